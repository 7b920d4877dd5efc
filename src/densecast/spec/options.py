"""What a user may ask of an export and of a build; stored in the manifest of what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from densecast.errors import BadShapeError, UsageError
from densecast.spec.precision import Precision
from densecast.spec.sample import Split
from densecast.spec.tensor import Dim, TensorSpec

WeightGranularity = Literal["per_channel", "per_tensor"]
ActivationScheme = Literal["auto", "symmetric", "asymmetric"]
CalibrationMethod = Literal["auto", "minmax", "mean_minmax", "percentile", "histogram"]
HalfType = Literal["auto", "bf16", "f16"]
BiasCorrection = Literal["auto", "fast", "full", "none"]


@dataclass(frozen=True, slots=True)
class Range:
    """Sizes from `min` to `max`, both included."""

    min: int
    max: int

    def __post_init__(self) -> None:
        """A range holds at least one positive size."""
        if not 1 <= self.min <= self.max:
            raise UsageError(f"a size range needs 1 <= min <= max, got {self.min}..{self.max}.")

    def __str__(self) -> str:
        """`32..2048`."""
        return f"{self.min}..{self.max}"


@dataclass(frozen=True, slots=True)
class InputShape:
    """The shapes a built model accepts.

    `batch` lists sizes that are compiled one by one (the fastest form), or is a range compiled once.
    `height` and `width` are fixed or ranges; None keeps what the model's spec says.
    """

    batch: tuple[int, ...] | Range = (1,)
    height: int | Range | None = None
    width: int | Range | None = None

    def __post_init__(self) -> None:
        """Sizes are positive, and at least one batch size is named."""
        listed = self.batch if isinstance(self.batch, tuple) else ()
        sizes = [*listed, *(size for size in (self.height, self.width) if isinstance(size, int))]
        if self.batch == () or any(size < 1 for size in sizes):
            raise UsageError(f"batch sizes, height and width must be at least 1, got {self}.")


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """How int8 ranges are found and laid out.

    `images` 0 means all there are. The estimators: `minmax` the extremes over all images, `mean_minmax` the mean
    of each image's extremes, `percentile` each image's values up to `percentile`, `histogram` the range with the
    least quantisation error; `auto` tries those the backend has and takes the one that changes the outputs least.
    Weights are always symmetric, which is what int8 kernels multiply fastest. Activations are `asymmetric` unless a
    graph pads between its layers (`auto`, OpenVINO): what is padded with zeros has to have its zero in the middle, or
    the layer after it does not run in int8.
    `bias_correction` moves biases so that layers keep their mean outputs: `fast` layer by layer, `full` through the
    network (much slower); `auto` compares `fast` with `none` where estimators are compared, else takes `none`.
    `excluded_types` and `excluded_names` (regular expressions) stay in the 16-bit type.
    """

    images: int = 300
    seed: int = 0
    split: Split = "train"
    weights: WeightGranularity = "per_channel"
    activations: ActivationScheme = "auto"
    calibration_method: CalibrationMethod = "auto"
    percentile: float = 99.99
    bias_correction: BiasCorrection = "auto"
    excluded_types: tuple[str, ...] = ()
    excluded_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """One offline model: engine, precision, shapes, and how to quantise if int8 is asked.

    `graph_passes` names exact rewritings of the graph; None takes those that the engine is known to run faster.
    """

    backend: str = "openvino"
    precision: Precision = "force_float32"
    shape: InputShape = InputShape()
    quantize: QuantizeOptions = field(default_factory=QuantizeOptions)
    half_type: HalfType = "auto"
    uint8_input: bool = False
    graph_passes: tuple[str, ...] | None = None


def built_input(spec: TensorSpec, shape: InputShape, *, uint8: bool) -> TensorSpec:
    """The input of a model built for `shape` from a float artifact whose input is `spec`.

    Several listed batch sizes become an open dimension from the smallest to the largest.

    Raises:
        BadShapeError: a size the float graph does not take.
    """
    batch, channels, height, width = spec.shape
    if isinstance(shape.batch, Range):
        asked: int | Range = shape.batch
    elif len(shape.batch) == 1:
        asked = shape.batch[0]
    else:
        asked = Range(min(shape.batch), max(shape.batch))
    sizes = (
        _narrow("batch", batch, asked),
        channels,
        _narrow("height", height, shape.height),
        _narrow("width", width, shape.width),
    )
    return replace(spec, shape=sizes, dtype="uint8" if uint8 else spec.dtype)


def _narrow(axis: str, have: int | Dim, asked: int | Range | None) -> int | Dim:
    if asked is None:
        return have
    if isinstance(asked, int):
        fits = have == asked if isinstance(have, int) else have.admits(asked)
    elif isinstance(have, int):
        fits = asked.min == asked.max == have
    else:
        fits = have.min <= asked.min and asked.max <= have.max
    if not fits:
        raise BadShapeError(
            f"{axis} {asked} was asked, but the exported graph takes {have}. Export it again with another range."
        )
    if isinstance(asked, int) or isinstance(have, int):
        return have if isinstance(have, int) else int(asked) if isinstance(asked, int) else have
    if asked.min == asked.max:
        return asked.min
    return replace(have, min=asked.min, max=asked.max)
