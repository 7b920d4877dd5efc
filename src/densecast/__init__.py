"""densecast: from a trained segmentation or pose network to a fast, verified offline model.

Public names are resolved when they are first used, so that `import densecast` loads nothing heavy. Verbs are
modules of their own: `from densecast.verbs.builder import build`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from densecast.artifact import Artifact as Artifact
    from densecast.errors import DensecastError as DensecastError
    from densecast.pipeline import Pipeline as Pipeline
    from densecast.spec.options import BuildOptions as BuildOptions
    from densecast.spec.options import InputShape as InputShape
    from densecast.spec.options import QuantizeOptions as QuantizeOptions
    from densecast.spec.options import Range as Range
    from densecast.verbs.benchmark import BenchmarkOptions as BenchmarkOptions
    from densecast.verbs.evaluate import EvaluateOptions as EvaluateOptions
    from densecast.verbs.export import ExportOptions as ExportOptions
    from densecast.verbs.export import export_file as export_file
    from densecast.verbs.export import export_zoo as export_zoo
    from densecast.verbs.reproduce import RunOptions as RunOptions

_HOME = {
    "Artifact": "densecast.artifact",
    "BenchmarkOptions": "densecast.verbs.benchmark",
    "BuildOptions": "densecast.spec.options",
    "DensecastError": "densecast.errors",
    "EvaluateOptions": "densecast.verbs.evaluate",
    "ExportOptions": "densecast.verbs.export",
    "InputShape": "densecast.spec.options",
    "Pipeline": "densecast.pipeline",
    "QuantizeOptions": "densecast.spec.options",
    "Range": "densecast.spec.options",
    "RunOptions": "densecast.verbs.reproduce",
    "export_file": "densecast.verbs.export",
    "export_zoo": "densecast.verbs.export",
}

__all__ = [*sorted(_HOME)]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'densecast' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
