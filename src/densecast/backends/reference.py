"""ONNX's own evaluator: slow, plain numpy, and the definition of what a graph means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from densecast.artifact import Artifact
from densecast.backends._base import BuildJob, Built, Capabilities
from densecast.backends._inspection import Inspector
from densecast.backends._onnx_inspector import OnnxInspector
from densecast.errors import BadArtifactError
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.quiet import warnings_ignored
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Feeds, TensorSpec, check_feeds

_FILE = "model.onnx"
_RAN = PrecisionRan("float32", {}, "ONNX reference evaluator")


def capabilities() -> Capabilities:
    """Always there: onnx is part of the base install."""
    import onnx

    return Capabilities(onnx.__version__, ("CPU",), ("force_float32",), notes=("for small checks, not for speed",))


def build(job: BuildJob, folder: Path) -> Built:
    """The graph as it is."""
    (folder / _FILE).write_bytes(job.graph.read_bytes())
    return Built(_RAN)


def load(artifact: Artifact, config: ExecutionConfig) -> ReferenceRunner:
    """The graph, evaluated node by node; `plan` has no effect."""
    if artifact.manifest.build is None:
        raise BadArtifactError(f"{artifact.folder} is not compiled. Run `densecast build` on it first.")
    return ReferenceRunner(artifact)


def inspect(artifact: Artifact, config: ExecutionConfig, feed_shape: Sequence[int]) -> Inspector:
    """The artifact's graph, with its inner tensors, as ONNX Runtime computes them."""
    import onnx

    return OnnxInspector(onnx.load(artifact.file(_FILE)), feed_shape, config.num_threads)


class ReferenceRunner:
    """One evaluator."""

    def __init__(self, artifact: Artifact) -> None:
        from onnx.reference import ReferenceEvaluator

        self._input, self._output_name = artifact.spec.input, artifact.spec.output.name
        self._evaluator = ReferenceEvaluator(str(artifact.file(_FILE)))

    @property
    def input(self) -> TensorSpec:
        """The one input."""
        return self._input

    @property
    def batch_sizes(self) -> None:
        """Any."""
        return

    @property
    def precision(self) -> PrecisionRan:
        """float32, by the evaluator's definition."""
        return _RAN

    def run(self, feeds: Feeds) -> Feeds:
        """One inference into fresh arrays."""
        check_feeds((self._input,), feeds)
        with warnings_ignored():  # numpy's, on overflow inside a network that saturates on purpose
            (output,) = self._evaluator.run([self._output_name], feeds)
        return {self._output_name: np.asarray(output)}

    def close(self) -> None:
        """Drop the graph."""
        del self._evaluator
