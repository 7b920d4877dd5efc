"""densecast: from a trained segmentation or pose network to a fast, verified offline model.

Public names are resolved when they are first used, so that `import densecast` loads nothing heavy. Verbs are
modules of their own: `from densecast.build import build`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from densecast.benchmark import BenchmarkOptions as BenchmarkOptions
    from densecast.core.artifact import Artifact as Artifact
    from densecast.core.errors import DensecastError as DensecastError
    from densecast.core.options import BuildOptions as BuildOptions
    from densecast.core.options import InputShape as InputShape
    from densecast.core.options import QuantizeOptions as QuantizeOptions
    from densecast.core.options import Range as Range
    from densecast.evaluate import EvaluateOptions as EvaluateOptions
    from densecast.export import ExportOptions as ExportOptions
    from densecast.export import export_file as export_file
    from densecast.export import export_zoo as export_zoo
    from densecast.infer import Pipeline as Pipeline
    from densecast.run import RunOptions as RunOptions

_HOME = {
    "Artifact": "densecast.core.artifact",
    "BenchmarkOptions": "densecast.benchmark",
    "BuildOptions": "densecast.core.options",
    "DensecastError": "densecast.core.errors",
    "EvaluateOptions": "densecast.evaluate",
    "ExportOptions": "densecast.export",
    "InputShape": "densecast.core.options",
    "Pipeline": "densecast.infer",
    "QuantizeOptions": "densecast.core.options",
    "Range": "densecast.core.options",
    "RunOptions": "densecast.run",
    "export_file": "densecast.export",
    "export_zoo": "densecast.export",
}

__all__ = [*sorted(_HOME)]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'densecast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
