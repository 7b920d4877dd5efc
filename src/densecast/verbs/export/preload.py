"""What each confined export would import and make for itself: its server imports this once and forks afterwards.

Nothing of a user's is imported, and no thread is started.
"""

from __future__ import annotations

from densecast.artifact.manifest import FloatManifest
from densecast.io import codec
from densecast.spec.model import ModelSpec
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import foreign, onnx_file, parity

__all__ = ["foreign", "onnx_file"]

codec.prepare(ModelSpec, ExportOptions, FloatManifest)
# The picture that every graph is tried on first, if its sizes are open; with it numpy's random numbers are loaded.
parity.image_like((1, 3, onnx_file.TRIAL_SIDE, onnx_file.TRIAL_SIDE), 0)
