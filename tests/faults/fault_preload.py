"""What the processes that open a damaged artifact would import and compile for each: their server has it already.

Nothing of a damaged file is read here, and no thread is left. Kernels are decorated before a process is confined:
then they are read from where they were compiled, which a confined process would not look at.
"""

from __future__ import annotations

import importlib
import pkgutil

import densecast.kernels
from densecast.backends import onnxruntime, openvino
from densecast.imaging import views
from densecast.kernels.jit_warm_up import jit_warming_up
from densecast.runtime import late_imports

late_imports.openvino()
for _module in pkgutil.iter_modules(densecast.kernels.__path__, "densecast.kernels."):
    importlib.import_module(_module.name)
with jit_warming_up():
    assert onnxruntime and openvino and views
