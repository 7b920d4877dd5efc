"""What each confined export would import and make for itself: its server imports this once and forks afterwards.

Nothing of a user's is imported, and no thread is started.
"""

from __future__ import annotations

import onnx

from densecast.artifact.manifest import FloatManifest
from densecast.io import codec
from densecast.spec.model import ModelSpec
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import foreign, found_outputs, onnx_file, parity, whole_patches

__all__ = ["foreign", "onnx_file"]

codec.prepare(ModelSpec, ExportOptions, FloatManifest)
# The pictures that most graphs are tried on, if their sizes are open; with them numpy's random numbers are loaded.
_TRIED_HW = ((onnx_file.TRIAL_SIDE, onnx_file.TRIAL_SIDE), found_outputs.TRIALS_HW[0], whole_patches.EVEN_HW)
for _size_hw in _TRIED_HW:
    parity.image_like((1, 3, *_size_hw), 0)
# The first call of ONNX's checker registers all operators: twenty times as long as checking a small graph.
_EMPTY = onnx.helper.make_graph([], "empty", [], [])
onnx.checker.check_model(onnx.helper.make_model(_EMPTY, ir_version=onnx.IR_VERSION_2023_5_5), full_check=True)
