"""What runners of vendors' devices have in common: one image tensor in, one tensor out, one size, one at a time."""

from __future__ import annotations

from densecast.artifact import CompiledArtifact
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import TensorSpec


class VendorRunner:
    """The facts of a runner, from the manifest: these devices report none of them."""

    max_concurrency = 1
    reuses_buffers = False

    def __init__(self, artifact: CompiledArtifact) -> None:
        self._input, self._output = artifact.spec.input, artifact.spec.output
        self._ran = artifact.manifest.precision_ran

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The one input."""
        return (self._input,)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The one output."""
        return (self._output,)

    @property
    def batch_sizes(self) -> tuple[int, ...] | None:
        """The batch size that the model was built for."""
        batch = self._input.shape[0]
        return (batch,) if isinstance(batch, int) else None

    @property
    def precision(self) -> PrecisionRan:
        """The precision that was requested of the vendor's compiler."""
        return self._ran
