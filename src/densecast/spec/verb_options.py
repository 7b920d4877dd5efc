"""Options of exports, evaluations, benchmarks and searches, with their defaults and command-line help.

As in `options`, each option stands here once, with the words that a command line shows beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from densecast.errors import UsageError
from densecast.spec import choices
from densecast.spec.infer_options import InferOptions as InferOptions
from densecast.spec.options import Range, Split, option

Exporter = Literal["auto", "torchscript", "dynamo"]
Goal = Literal["throughput", "latency"]
Otherwise = Literal["16-bit", "best", "fail"]

ORIGINAL = "original"
"""The variant of a model's own publisher, which every model has."""

# Summing thousands of products in another order moves the last few of float32's 24 bits; 1e-4 of the largest
# output is a hundred times the differences seen on sound exports and a tenth of what flips labels visibly.
DEFAULT_TOLERANCE = 1e-4

_TUNE = "Measured choices"
_DROP = "Accuracy limit (int8)"
_LIMITS = "Limits (exit code 1 if exceeded)"

_MODEL_NAME = re.compile(r"[^\W_][\w.-]{0,99}")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Options of an export.

    `size_hw` fixes height and width; None keeps them open within `side`. `batch` likewise; None keeps it open.
    `weights` names the key of a checkpoint's weights, or "ema"; None for those that are not averaged.
    `variant` names one of a zoo model's ways to prepare images and to decode outputs. `input_name` is the input that
    takes the image, `output_name` the main output; None for what fits the task. Of several outputs all are exported,
    the main one first, unless `only_main_output`. In a TensorFlow graph the two are the tensors between which the
    network is; None is for graphs with a single input and output. `name` is what the model is called, in reports and in
    names of folders; None for the zoo's name or the file's. `config` is the path of the configuration that an OpenMMLab
    checkpoint was trained with; None for the one that it carries. `slide` is the height and width of sliding windows,
    in pixels of the network's input, `stride` their distance, by default two thirds; None for what the spec says.
    """

    size_hw: tuple[int, int] | None = None
    batch: int | None = None
    side: Range = Range(32, 4096)
    largest_batch: int = 64
    opset: int = option(17, "ONNX opset version.", minimum=11, maximum=23)
    exporter: Exporter = option("auto", "PyTorch exporter: auto, torchscript or dynamo.")
    tolerance: float = DEFAULT_TOLERANCE
    variant: str = option(
        ORIGINAL,
        "Pre- and postprocessing: original, or another variant that the model offers.",
        aliases=("--protocol",),
    )
    input_name: str | None = option(None, "Name of the image input; default: the one that fits.")
    output_name: str | None = option(None, "Name of the main output; default: the first one that fits the task.")
    weights: str | None = option(
        None, "Which weights of a checkpoint that holds several: a key, or ema; default: those that are not averaged."
    )
    config: str | None = option(
        None, "Configuration file (.py) of an MMSegmentation checkpoint; default: the one stored in it."
    )
    only_main_output: bool = option(False, "Keep only the main output.")
    name: str | None = option(None, "Name of the model, used in default folder names; default: the source's name.")
    slide: tuple[int, int] | None = option(
        None, "Sliding windows of this size, 512x512 (height x width), averaged where they overlap.", form="pair"
    )
    stride: tuple[int, int] | None = option(
        None, "Distance between sliding windows, such as 341x341; default: two thirds of --slide.", form="pair"
    )

    def __post_init__(self) -> None:
        """Check that sizes are positive, the tolerance is not negative, and the name can be one of a folder."""
        choices.types_of(self)
        if self.name is not None and not _MODEL_NAME.fullmatch(self.name):
            raise UsageError(
                f"a model's name is made of up to 100 letters, digits, '.', '_' and '-', a letter or digit first; "
                f"{self.name!r} cannot be part of a folder's name.",
                field="name",
            )
        sizes = (*(self.size_hw or ()), *(() if self.batch is None else (self.batch,)), self.largest_batch)
        if min(sizes) < 1 or not self.tolerance >= 0:
            raise UsageError(f"batch, height, width must be at least 1 and the tolerance at least 0, got {self}.")
        if self.stride is not None and self.slide is None:
            raise UsageError("stride is the distance of sliding windows: name their size too (slide).", field="stride")
        choices.check(self)


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Options of an evaluation. Without `batch`, it is the batch size that the model was tuned for, else 1.

    `limit` takes the first so many of the split.
    `protocol` names a published evaluation protocol of the data set, which determines split and number of images.
    """

    split: Split = option("val", "Split of the data set: train, val or all.")
    limit: int | None = option(None, "Use only the first N images.", minimum=1)
    batch: int | None = option(
        None,
        "Batch size; default: 1, or in throughput mode the one that build --tune selected.",
        minimum=1,
    )
    seed: int = option(0, "Random seed of the split, for data sets without a published split.")
    protocol: str | None = option(
        None, "Published evaluation protocol, which determines the images (VOC2012: magicmind_1000)."
    )

    def __post_init__(self) -> None:
        """Check that counts are positive, and that a protocol is not combined with a choice of images."""
        choices.types_of(self)
        if self.protocol is not None and (self.limit is not None or self.split != "val"):
            raise UsageError(
                f"protocol {self.protocol!r} determines which images are measured: leave limit and split out.",
                field="protocol",
            )
        for name, count in (("batch", self.batch), ("limit", self.limit)):
            if count is not None and count < 1:
                raise UsageError(f"{name} must be at least 1, got {count}.", field=name)
        choices.check(self)


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """Options of a benchmark, which ends when both `images` and `seconds` are reached.

    Without `batch`, it is what throughput mode was tuned for, else 1.
    """

    batch: int | None = option(
        None,
        "Batch size; default: 1, or in throughput mode the one that build --tune selected.",
        minimum=1,
    )
    images: int = option(50, "Minimum number of images to run.", flag="--count", aliases=("--limit",), minimum=1)
    seconds: float = option(3.0, "Minimum duration in seconds.", minimum=0)
    warm_up: int = option(5, "Warm-up batches, which are not timed.", minimum=0)
    layers: bool = option(False, "Also time every layer, and compare it with what this machine can reach (roofline).")

    def __post_init__(self) -> None:
        """Check that counts are positive."""
        choices.types_of(self)
        for name, value, least in (
            ("batch", 1 if self.batch is None else self.batch, 1),
            ("images", self.images, 1),
            ("warm_up", self.warm_up, 0),
            ("seconds", self.seconds, 0),
        ):
            if value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}.", field=name)
        choices.check(self)


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """Options of tuning: its goal and time limit.

    `goal` is images a second, with as many inferences at a time and as large batches as make most of them, or the
    time of one inference alone. After `seconds` no new trial is started; measurements are cached for the next time.
    `keep_int8` builds int8, if it was requested, even if 16 bits are as fast.
    """

    goal: Goal = option("throughput", "Goal of tuning: throughput or latency.", group=_TUNE)
    seconds: float = 600.0
    keep_int8: bool = option(False, "Keep int8 even if 16 bits are as fast.", group=_TUNE)

    def __post_init__(self) -> None:
        """Check that the time is positive."""
        choices.types_of(self)
        if not self.seconds > 0:
            raise UsageError(f"the time for tuning must be above 0 seconds, got {self.seconds}.", field="tune.seconds")
        choices.check(self)


@dataclass(frozen=True, slots=True)
class MaxDrop:
    """The accuracy limit of an int8 model, and the time and images to spend on the search.

    `points` are hundredths of the metric: 0.5 allows an mIoU of 0.780 to become 0.775. `metric` is the model's own,
    or for want of ground truth the task's measure against float32, as `disagreement` (the share of pixels whose class
    changes) or `oks` (what the people found lose in similarity to those float32 finds); None takes the first of these
    that the data allows. `images` is how many of `split` to measure on, 0 for as many as the time allows. `otherwise`
    says what to do if no int8 model stays within the limit: take the 16-bit one, the int8 model that loses least, or
    fail.
    """

    points: float
    metric: str | None = option(
        None,
        "Metric: the model's own (mIoU, dice, AP) or, without ground truth, disagreement or oks with "
        "float32. Default: the first of these that --data supports.",
        flag="--metric",
        group=_DROP,
    )
    seconds: float = option(
        600.0,
        "Time limit of the search or of --tune: 90s, 10m, 2h.",
        flag="--time-budget",
        group=_DROP,
        form="seconds",
    )
    images: int = option(
        0, "Number of images to measure accuracy on; 0: as many as the time allows.", group=_DROP, minimum=0
    )
    split: Split = option("val", "Split to measure accuracy on: val, train or all.", group=_DROP)
    otherwise: Otherwise = option(
        "16-bit",
        "If no int8 model stays within the limit: 16-bit, best (smallest loss) or fail.",
        flag="--otherwise",
        group=_DROP,
    )

    def __post_init__(self) -> None:
        """Check that all numbers are in range."""
        choices.types_of(self)
        if not 0 < self.points < 100:
            raise UsageError(f"a drop is in points between 0 and 100, got {self.points}.", field="max_drop.points")
        if not self.seconds > 0:
            raise UsageError(
                f"the time for a search must be above 0 seconds, got {self.seconds}.", field="max_drop.seconds"
            )
        if self.images < 0:
            raise UsageError(f"a number of images is at least 0, got {self.images}.", field="max_drop.images")
        choices.check(self)


@dataclass(frozen=True, slots=True)
class CompareLimits:
    """Limits on the difference from the reference; None for no limit."""

    tolerance: float | None = option(None, "Maximum error, relative to the largest output.", group=_LIMITS, minimum=0)
    max_changed: float | None = option(None, "Maximum share of labels changed.", group=_LIMITS, minimum=0, maximum=1)
    min_oks: float | None = option(
        None, "Minimum mean similarity (OKS) of people.", group=_LIMITS, minimum=0, maximum=1
    )
    max_difference: float | None = option(
        None, "Maximum share of predictions that differ, for any task.", group=_LIMITS, minimum=0
    )
    max_drop: float | None = option(
        None,
        "Maximum drop of the metric in points (hundredths), as in build: 0.5 lets 78.0 become 77.5.",
        group=_LIMITS,
    )

    def __post_init__(self) -> None:
        """Check words and bounds."""
        choices.types_of(self)
        choices.check(self)
