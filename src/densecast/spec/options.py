"""Options of builds and int8 quantisation, with their defaults and command-line help.

Each option stands here once: its type, its default, and the words that a command line shows beside it. What came of a
build keeps them in its manifest. Nothing here needs numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from densecast.errors import UsageError
from densecast.spec import choices
from densecast.spec.cpu import Cpu
from densecast.spec.precision import Precision, parse

Split = Literal["train", "val", "all"]
WeightGranularity = Literal["per_channel", "per_tensor"]
ActivationScheme = Literal["auto", "symmetric", "asymmetric"]
LARGEST_SIZE = 2**31 - 1
"""Of one axis of a tensor; engines count no further."""
CalibrationMethod = Literal["auto", "minmax", "mean_minmax", "percentile", "histogram"]
HalfType = Literal["auto", "bf16", "f16"]
BiasCorrection = Literal["auto", "fast", "full", "none"]


def option(
    default: Any,
    help: str,
    *,
    flag: str | None = None,
    aliases: tuple[str, ...] = (),
    group: str | None = None,
    form: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A dataclass field with its command-line flag and help.

    `flag` is its name there, if not the field's; `aliases` are older ones that still work. `group` heads a part of the
    help. `form` names how a text becomes the value, where its type does not tell: `sizes`, `size`, `pair`, `seconds`,
    `names`.
    """
    words = {
        "help": help,
        "flag": flag,
        "aliases": aliases,
        "group": group,
        "form": form,
        "minimum": minimum,
        "maximum": maximum,
    }
    return field(default=default, metadata=words)


@dataclass(frozen=True, slots=True)
class Range:
    """Sizes from `min` to `max`, both included."""

    min: int
    max: int

    def __post_init__(self) -> None:
        """A range holds at least one positive size."""
        choices.types_of(self)
        if not 1 <= self.min <= self.max <= LARGEST_SIZE:
            raise UsageError(f"a size range needs 1 <= min <= max <= {LARGEST_SIZE}, got {self.min}..{self.max}.")

    def __str__(self) -> str:
        """`32..2048`."""
        return f"{self.min}..{self.max}"


@dataclass(frozen=True, slots=True)
class InputShape:
    """The shapes a built model accepts.

    `batch` lists sizes that are compiled one by one (the fastest form), or is a range compiled once.
    `height` and `width` are fixed or ranges; None keeps what the model's spec says.
    """

    batch: tuple[int, ...] | Range = option(
        (1,), "Batch sizes compiled separately (1,4,16), or a range compiled once (1:16).", form="sizes"
    )
    height: int | Range | None = option(
        None, "Input height: fixed (640) or a range (32:2048); default: what the model allows.", form="size"
    )
    width: int | Range | None = option(
        None, "Input width: fixed (959) or a range (32:2048); default: what the model allows.", form="size"
    )

    def __post_init__(self) -> None:
        """Sizes are positive, and at least one batch size is named."""
        choices.types_of(self)
        listed = self.batch if isinstance(self.batch, tuple) else ()
        sizes = [*listed, *(size for size in (self.height, self.width) if isinstance(size, int))]
        if self.batch == () or any(not 1 <= size <= LARGEST_SIZE for size in sizes):
            raise UsageError(
                f"batch sizes, height and width must be from 1 to {LARGEST_SIZE}, got {self}.", field="shape"
            )


_INT8 = "Calibration (int8)"


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """Options of int8 calibration and quantisation.

    `images` 0 means all there are; ranges are of no more of them than they take to settle. The calibration
    methods: `minmax` the extremes over all images, `mean_minmax` the mean of each image's extremes, `percentile` each
    image's values up to `percentile`, `histogram` the range with the least quantisation error; `auto` tries those the
    backend has and takes the one that changes the outputs least.
    Weights are always symmetric, which is what int8 kernels multiply fastest. Activations are `asymmetric` unless a
    graph pads between its layers (`auto`, OpenVINO): what is padded with zeros has to have its zero in the middle, or
    the layer after it does not run in int8.
    `bias_correction` moves biases so that layers keep their mean outputs: `fast` layer by layer, `full` through the
    network (much slower); `auto` compares `fast` with `none` where methods are compared, else takes `none`.
    `excluded_types` and `excluded_names` (regular expressions) stay in the 16-bit type. `listed`
    are the paths, names or stems of the only images to calibrate on; empty means any that there are.
    """

    images: int = option(
        300, "Most calibration images; 0 for all. Calibration stops once ranges have settled.", group=_INT8, minimum=0
    )
    seed: int = option(0, "Random seed for selecting calibration images.", group=_INT8, minimum=0)
    split: Split = option("train", "Split to take calibration images from: train, val or all.", group=_INT8)
    weights: WeightGranularity = option(
        "per_channel", "Granularity of weight ranges: per_channel or per_tensor.", group=_INT8
    )
    activations: ActivationScheme = option(
        "auto",
        "Activation ranges: asymmetric, symmetric, or auto (symmetric if the graph pads between its layers).",
        group=_INT8,
    )
    calibration_method: CalibrationMethod = option(
        "auto",
        "Calibration method: minmax, mean_minmax, percentile, histogram, or auto (tries each and takes the best).",
        aliases=("--estimator",),
        group=_INT8,
    )
    percentile: float = option(99.99, "Percentile for the percentile method.", group=_INT8, minimum=50, maximum=100)
    bias_correction: BiasCorrection = option(
        "auto", "Bias correction: fast, full (slow), none, or auto (fast if it measurably helps).", group=_INT8
    )
    excluded_types: tuple[str, ...] = option(
        (),
        "Operator type to exclude from int8, such as MatMul; repeatable.",
        flag="--exclude-type",
        aliases=("--keep-float-type",),
        group=_INT8,
        form="names",
    )
    excluded_names: tuple[str, ...] = option(
        (),
        "Regular expression for names of nodes to exclude from int8; repeatable.",
        flag="--exclude",
        aliases=("--keep-float",),
        group=_INT8,
        form="names",
    )
    listed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check words and bounds."""
        choices.types_of(self)
        choices.check(self)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options of a build: engine, precision, shapes, and quantisation for int8.

    `graph_passes` names exact optimisation passes over the graph; None takes those that the engine is known to run
    faster. `cpu` is the kind of CPU that will run it, `native` this one: it decides how much of their range int8
    weights use, the 16-bit type, and the passes.
    """

    backend: str = option("openvino", "Engine: openvino, onnxruntime, torch or reference.", aliases=("-b",))
    precision: Precision = "force_float32"
    shape: InputShape = InputShape()
    quantize: QuantizeOptions = field(default_factory=QuantizeOptions)
    half_type: HalfType = option(
        "auto", "16-bit type: auto (the faster one on this machine), bf16 or f16.", aliases=("--sixteen-bit",)
    )
    uint8_input: bool = option(False, "Build a model with uint8 input; normalisation moves into the graph.")
    graph_passes: tuple[str, ...] | None = option(
        None,
        "Exact graph optimisation pass, or none; repeatable. Default: those known to be faster on the engine.",
        flag="--graph-pass",
        aliases=("--rewrite",),
        form="names",
    )
    cpu: Cpu = option(
        "native",
        "CPU that the build is for: native (this one), any (right on all of them), avx2, avx512, vnni, amx or arm64.",
    )

    def __post_init__(self) -> None:
        """Check words and bounds; short names of precisions are put right.

        Raises:
            UnknownNameError: no such precision.
        """
        choices.types_of(self)
        object.__setattr__(self, "precision", parse(self.precision))
        choices.check(self)
