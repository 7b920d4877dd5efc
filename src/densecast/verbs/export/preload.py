"""What each confined export would import and make for itself: its server imports this once and forks afterwards.

Nothing of a user's is imported, and no thread is started.
"""

from __future__ import annotations

from densecast.artifact.manifest import FloatManifest
from densecast.io import codec
from densecast.spec.model import ModelSpec
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import foreign, onnx_file

__all__ = ["foreign", "onnx_file"]

codec.prepare(ModelSpec, ExportOptions, FloatManifest)
