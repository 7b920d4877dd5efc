"""What a user may ask of an export."""

from __future__ import annotations

from dataclasses import dataclass

from densecast.errors import UsageError
from densecast.spec.options import Range
from densecast.verbs.export.to_onnx import Exporter
from densecast.zoo._base import ORIGINAL

# Summing thousands of products in another order moves the last few of float32's 24 bits; 1e-4 of the largest
# output is a hundred times the differences seen on sound exports and a tenth of what flips labels visibly.
DEFAULT_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How a float artifact is made.

    `size_hw` fixes height and width; None keeps them open within `side`. `batch` likewise; None keeps it open.
    `protocol` names one of a zoo model's ways to prepare images and to decode outputs. `input_name` and `output_name`
    are the tensors of a TensorFlow graph between which the network is; None for the only ones there are.
    """

    size_hw: tuple[int, int] | None = None
    batch: int | None = None
    side: Range = Range(32, 4096)
    largest_batch: int = 64
    opset: int = 17
    exporter: Exporter = "auto"
    tolerance: float = DEFAULT_TOLERANCE
    protocol: str = ORIGINAL
    input_name: str | None = None
    output_name: str | None = None

    def __post_init__(self) -> None:
        """Sizes are positive, and some difference from the framework is allowed."""
        sizes = (*(self.size_hw or ()), *(() if self.batch is None else (self.batch,)), self.largest_batch)
        if min(sizes) < 1 or not self.tolerance >= 0:
            raise UsageError(f"batch, height, width must be at least 1 and the tolerance at least 0, got {self}.")
