"""Reference backend: ONNX's own evaluator in plain numpy; slow, and the definition of what a graph computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.backends._base import Backend, BuildJob, Built, Capabilities, Traits
from densecast.backends._inspection import Inspector
from densecast.backends._onnx_inspector import OnnxInspector
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.process_settings import warnings_ignored
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Feeds, TensorSpec, check_feeds

_FILE = "model.onnx"
_RAN = PrecisionRan("float32", {}, "ONNX reference evaluator")


class ReferenceBackend:
    """Backend that evaluates the graph node by node."""

    traits = Traits("onnx")

    def capabilities(self) -> Capabilities:
        """Always available: onnx is part of the base install."""
        import onnx

        return Capabilities(onnx.__version__, ("CPU",), ("force_float32",), notes=("for small checks, not for speed",))

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Write the graph unchanged."""
        (folder / _FILE).write_bytes(job.graph.read_bytes())
        return Built(_RAN)

    def load(self, artifact: CompiledArtifact, config: ExecutionConfig) -> ReferenceRunner:
        """Load the graph; `config` has no effect."""
        return ReferenceRunner(artifact)

    def inspect(self, artifact: CompiledArtifact, config: ExecutionConfig, feed_shape: Sequence[int]) -> Inspector:
        """Open the artifact's graph for inspection, computed by ONNX Runtime."""
        import onnx

        return OnnxInspector(onnx.load(artifact.file(_FILE)), feed_shape, config.num_threads)


class ReferenceRunner:
    """Runner of one evaluator, for one caller at a time."""

    max_concurrency = 1
    reuses_buffers = False
    batch_sizes = None
    precision = _RAN

    def __init__(self, artifact: CompiledArtifact) -> None:
        from onnx.reference import ReferenceEvaluator

        self._inputs, self._outputs = artifact.spec.inputs, artifact.spec.outputs
        self._evaluator = ReferenceEvaluator(str(artifact.file(_FILE)))

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The artifact's specs."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The artifact's specs."""
        return self._outputs

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """Run one inference; returns new arrays."""
        check_feeds(self._inputs, feeds)
        names = [output.name for output in self._outputs]
        with warnings_ignored():  # numpy's, on overflow inside a network that saturates on purpose
            arrays = self._evaluator.run(names, feeds)
        return {name: np.asarray(array) for name, array in zip(names, arrays, strict=True)}

    def close(self) -> None:
        """Release the graph."""
        del self._evaluator


BACKEND: Backend = ReferenceBackend()
