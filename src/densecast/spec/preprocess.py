"""Declarative preprocessing: everything that happens to an image before it reaches the network.

The declaration travels with the model in its manifest; `imaging.prepare` carries it out for calibration,
inference, evaluation and benchmarks alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from densecast.errors import BadConfigError, UsageError
from densecast.spec import pose_geometry
from densecast.spec.geometry import Placement
from densecast.spec.pose_geometry import PosePlacement

Interpolation = Literal["bicubic_pillow", "bilinear_opencv"]
ColourOrder = Literal["RGB", "BGR"]
TripleFloat = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Native:
    """The image as it is."""

    kind: Literal["native"] = "native"

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands."""
        return Placement.resized(image_hw, image_hw)

    def scaled(self, ratio: float) -> ScaleBy:
        """Both sides times `ratio`."""
        return ScaleBy(ratio)


@dataclass(frozen=True, slots=True)
class ScaleBy:
    """Both sides times `factor`, rounded down: `int(factor * side)`, as milesial/Pytorch-UNet does."""

    factor: float
    kind: Literal["scale_by"] = "scale_by"

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands; no side becomes less than one pixel."""
        height, width = image_hw
        return Placement.resized(image_hw, (max(1, int(self.factor * height)), max(1, int(self.factor * width))))

    def scaled(self, ratio: float) -> ScaleBy:
        """The factor times `ratio`."""
        return ScaleBy(self.factor * ratio)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Exactly `size_hw`, whatever the image's aspect."""

    size_hw: tuple[int, int]
    kind: Literal["stretch"] = "stretch"

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands."""
        return Placement.resized(image_hw, self.size_hw)

    def scaled(self, ratio: float) -> Stretch:
        """The size times `ratio`, rounded down, as MMSegmentation's `img_ratios`."""
        return Stretch(_times(self.size_hw, ratio))


@dataclass(frozen=True, slots=True)
class KeepRatio:
    """Fit within both limits, keeping the aspect: the long side up to `long_side`, the short one up to `short_side`.

    The factor is `min(long_side / long, short_side / short)`; sizes are `int(side * factor + 0.5)`
    (MMCV 1.7 `imrescale`).
    """

    long_side: int
    short_side: int
    kind: Literal["keep_ratio"] = "keep_ratio"

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands; no side becomes less than one pixel."""
        factor = min(self.long_side / max(image_hw), self.short_side / min(image_hw))
        height, width = (max(1, int(side * factor + 0.5)) for side in image_hw)
        return Placement.resized(image_hw, (height, width))

    def scaled(self, ratio: float) -> KeepRatio:
        """Both limits times `ratio`, rounded down, as MMSegmentation's `img_ratios`."""
        return KeepRatio(*_times((self.long_side, self.short_side), ratio))


@dataclass(frozen=True, slots=True)
class FitInto:
    """Fit into `size_hw`, keeping the aspect, in the upper left corner; the rest is `fill`, in 0..255.

    The factor is that of `KeepRatio`, and so is the rounding. The network always sees `size_hw`.
    """

    size_hw: tuple[int, int]
    fill: TripleFloat = (0.0, 0.0, 0.0)
    kind: Literal["fit_into"] = "fit_into"

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands; no side becomes less than one pixel."""
        factor = min(most / side for most, side in zip(self.size_hw, image_hw, strict=True))
        height, width = (max(1, int(side * factor + 0.5)) for side in image_hw)
        return Placement.resized(image_hw, (height, width), model_hw=self.size_hw)

    def scaled(self, ratio: float) -> FitInto:
        """The size times `ratio`, rounded down."""
        return FitInto(_times(self.size_hw, ratio), self.fill)


@dataclass(frozen=True, slots=True)
class FitCentre:
    """Fit into `size_hw`, keeping the aspect, centred; the rest is 0 after normalisation.

    The factor is `min(H / h, W / w)`, sizes are `int(side * factor)`, and of an odd number of lines to fill the larger
    part is to the right and below (Ascend ModelZoo-PyTorch, FCN-8s). The product's own rounding is reproduced: a long
    side that is not `size_hw`'s to start with may come out one pixel short.
    """

    size_hw: tuple[int, int]
    kind: Literal["fit_centre"] = "fit_centre"

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands; no side becomes less than one pixel."""
        factor = min(most / side for most, side in zip(self.size_hw, image_hw, strict=True))
        height, width = (max(1, int(side * factor)) for side in image_hw)
        offset_xy = ((self.size_hw[1] - width) // 2, (self.size_hw[0] - height) // 2)
        return Placement.resized(image_hw, (height, width), model_hw=self.size_hw, offset_xy=offset_xy)

    def scaled(self, ratio: float) -> FitCentre:
        """The size times `ratio`, rounded down."""
        return FitCentre(_times(self.size_hw, ratio))


@dataclass(frozen=True, slots=True)
class PoseAffine:
    """The short side zoomed to about `short_side`, centred, sizes rounded up to `multiple`, black around the image.

    MMPose 0.29's bottom-up pipeline, bilinear: see `spec.pose_geometry`. `scale` multiplies the input's size;
    `min_scale` is the smallest scale of those used together, which determines what part of the image all of them show.
    """

    short_side: int = 512
    multiple: int = 64
    scale: float = 1.0
    min_scale: float = 1.0
    kind: Literal["pose_affine"] = "pose_affine"

    def geometry(self, image_hw: tuple[int, int]) -> PosePlacement:
        """Where an image of this size lands, with the details that the original's rounding depends on."""
        return pose_geometry.place(image_hw, self.short_side, self.multiple, scale=self.scale, min_scale=self.min_scale)

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands."""
        return self.geometry(image_hw).placement

    def scaled(self, ratio: float) -> PoseAffine:
        """The scale times `ratio`."""
        return replace(self, scale=self.scale * ratio, min_scale=min(self.min_scale, self.scale * ratio))


def _times(sides: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Scale both sides; neither becomes less than one pixel."""
    return max(1, int(sides[0] * ratio)), max(1, int(sides[1] * ratio))


Resize = Native | ScaleBy | Stretch | KeepRatio | FitInto | FitCentre | PoseAffine


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Resize, colour order, `(x / divisor - mean) / std` in float32 on values 0..255, then channels first.

    A `divisor` of 255 is for a mean and deviation of values 0..1; scaling these instead changes the last bits.
    `interpolation` is not for `PoseAffine`, which has its own. `use_exif` turns a photo upright by its orientation tag
    first, as OpenCV does and Pillow does not.
    """

    resize: Resize
    interpolation: Interpolation = "bilinear_opencv"
    colour: ColourOrder = "RGB"
    mean: TripleFloat = (0.0, 0.0, 0.0)
    std: TripleFloat = (255.0, 255.0, 255.0)
    use_exif: bool = False
    divisor: float = 1.0

    def __post_init__(self) -> None:
        """Check what cannot work.

        Raises:
            BadConfigError: a divisor that is not positive.
        """
        if not self.divisor > 0:
            raise BadConfigError(f"divisor must be above 0, got {self.divisor}.")

    def surroundings(self) -> TripleFloat | None:
        """The padding colour around the image, RGB in 0..255; None if there is no padding."""
        if isinstance(self.resize, FitInto):
            return self.resize.fill
        if isinstance(self.resize, FitCentre):
            mean = self.mean if self.colour == "RGB" else self.mean[::-1]
            return (mean[0] * self.divisor, mean[1] * self.divisor, mean[2] * self.divisor)
        return None

    def check_bytes(self) -> None:
        """Check that normalisation can move into the network, with uint8 input.

        Raises:
            UsageError: the image is surrounded by a value that is no whole number.
        """
        fill = self.surroundings()
        if fill is not None and any(value != int(value) for value in fill):
            raise UsageError(
                f"this model's images are surrounded by {fill}, which bytes cannot hold. "
                "Build it without --uint8-input, or export another variant of it."
            )

    def at_ratios(self, ratios: Sequence[float]) -> tuple[Preprocess, ...]:
        """The preprocessing scaled by each ratio, for views that are used together."""
        resize = self.resize
        if isinstance(resize, PoseAffine):
            resize = replace(resize, min_scale=resize.scale * min(ratios))
        return tuple(replace(self, resize=resize if ratio == 1 else resize.scaled(ratio)) for ratio in ratios)
