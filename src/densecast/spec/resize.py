"""Resize rules: to what size an image is brought for the network, and where it lies in the network's input."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from densecast.errors import BadConfigError
from densecast.spec import pose_geometry, pose_unbiased
from densecast.spec.conversions import ByKind, one_or_many
from densecast.spec.conversions import Converted as Converted
from densecast.spec.geometry import Placement
from densecast.spec.near_multiple import NearMultiple as NearMultiple
from densecast.spec.plain_resize import KeepRatio as KeepRatio
from densecast.spec.plain_resize import Native as Native
from densecast.spec.plain_resize import ScaleBy as ScaleBy
from densecast.spec.plain_resize import Stretch as Stretch
from densecast.spec.plain_resize import ToMultiple as ToMultiple
from densecast.spec.pose_geometry import PosePlacement
from densecast.spec.pose_unbiased import UnbiasedPlacement
from densecast.spec.short_side import ShortSide as ShortSide
from densecast.spec.sides import check_sides, times

Floats = tuple[float, ...]
Fill = Floats


@dataclass(frozen=True, slots=True)
class FitInto:
    """Fit into `size_hw`, keeping the aspect, in the upper left corner; the rest is `fill`, in 0..255.

    The factor is that of `KeepRatio`, and so is the rounding. The network always sees `size_hw`.
    """

    size_hw: tuple[int, int]
    fill: Annotated[Fill, Converted(one_or_many)] = (0.0, 0.0, 0.0)
    kind: Literal["fit_into"] = "fit_into"

    def __post_init__(self) -> None:
        """Check the size and the fill."""
        object.__setattr__(self, "fill", check_fill(self.kind, self.fill))
        check_sides(self.kind, self.size_hw)

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands; no side becomes less than one pixel."""
        factor = min(most / side for most, side in zip(self.size_hw, image_hw, strict=True))
        height, width = (max(1, int(side * factor + 0.5)) for side in image_hw)
        return Placement.resized(image_hw, (height, width), model_hw=self.size_hw)

    def scaled(self, ratio: float) -> FitInto:
        """The size times `ratio`, rounded down."""
        return FitInto(times(self.size_hw, ratio), self.fill)


@dataclass(frozen=True, slots=True)
class FitCentre:
    """Fit into `size_hw`, keeping the aspect, centred; the rest is 0 after normalisation.

    The factor is `min(H / h, W / w)`, sizes are `int(side * factor)`, and of an odd number of lines to fill the larger
    part is to the right and below (Ascend ModelZoo-PyTorch, FCN-8s). The product's own rounding is reproduced: a long
    side that is not `size_hw`'s to start with may come out one pixel short.
    """

    size_hw: tuple[int, int]
    kind: Literal["fit_centre"] = "fit_centre"

    def __post_init__(self) -> None:
        """Check the size."""
        check_sides(self.kind, self.size_hw)

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands; no side becomes less than one pixel."""
        factor = min(most / side for most, side in zip(self.size_hw, image_hw, strict=True))
        height, width = (max(1, int(side * factor)) for side in image_hw)
        offset_xy = ((self.size_hw[1] - width) // 2, (self.size_hw[0] - height) // 2)
        return Placement.resized(image_hw, (height, width), model_hw=self.size_hw, offset_xy=offset_xy)

    def scaled(self, ratio: float) -> FitCentre:
        """The size times `ratio`, rounded down."""
        return FitCentre(times(self.size_hw, ratio))


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Fit into `size_hw`, keeping the aspect, centred; the rest is `fill`, in 0..255.

    The factor is `min(H / h, W / w)`, sizes are `round(side * factor)`, and of an odd number of lines to fill the
    larger part is to the right and below, as Ultralytics' `LetterBox` does it. Predictions are resized from the part
    that shows the image.
    """

    size_hw: tuple[int, int]
    fill: Annotated[Fill, Converted(one_or_many)] = (114.0, 114.0, 114.0)
    kind: Literal["letterbox"] = "letterbox"

    def __post_init__(self) -> None:
        """Check the size and the fill."""
        object.__setattr__(self, "fill", check_fill(self.kind, self.fill))
        check_sides(self.kind, self.size_hw)

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands; no side becomes less than one pixel."""
        factor = min(most / side for most, side in zip(self.size_hw, image_hw, strict=True))
        height, width = (max(1, round(side * factor)) for side in image_hw)
        # Half a line is rounded down by the 0.1 that is taken off first.
        top, left = (round((most - side) / 2 - 0.1) for most, side in zip(self.size_hw, (height, width), strict=True))
        return Placement.resized(image_hw, (height, width), model_hw=self.size_hw, offset_xy=(left, top))

    def scaled(self, ratio: float) -> Letterbox:
        """The size times `ratio`, rounded down."""
        return Letterbox(times(self.size_hw, ratio), self.fill)


@dataclass(frozen=True, slots=True)
class PoseAffine:
    """The short side zoomed to about `short_side`, centred, sizes rounded up to `multiple`, black around the image.

    MMPose 0.29's bottom-up pipeline, bilinear: see `spec.pose_geometry`. `scale` multiplies the input's size;
    `min_scale` is the smallest scale of those used together, which determines what part of the image all of them show.
    `unbiased` measures between the centres of the first and the last pixels and starts in the upper left corner: see
    `spec.pose_unbiased`.
    """

    short_side: int = 512
    multiple: int = 64
    scale: float = 1.0
    min_scale: float = 1.0
    unbiased: bool = False
    kind: Literal["pose_affine"] = "pose_affine"

    def geometry(self, image_hw: tuple[int, int]) -> PosePlacement | UnbiasedPlacement:
        """Where an image of this size lands, with the details that the original's rounding depends on."""
        place = pose_unbiased.place if self.unbiased else pose_geometry.place
        return place(image_hw, self.short_side, self.multiple, scale=self.scale, min_scale=self.min_scale)

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands."""
        return self.geometry(image_hw).placement

    def scaled(self, ratio: float) -> PoseAffine:
        """The scale times `ratio`."""
        return replace(self, scale=self.scale * ratio, min_scale=min(self.min_scale, self.scale * ratio))


def check_fill(what: str, fill: float | Floats) -> Floats:
    """The fill as one number a channel, or one for all.

    Raises:
        BadConfigError: values outside 0..255.
    """
    values = (float(fill),) if isinstance(fill, (int, float)) else tuple(float(value) for value in fill)
    if not values or not all(-0.5 <= value <= 255.5 for value in values):  # measured ones are not exact
        raise BadConfigError(f"{what}: a fill has values in 0..255, got {fill}.", field="resize")
    return values


_Whole = Native | ScaleBy | Stretch | KeepRatio | ShortSide | ToMultiple | NearMultiple
Rule = _Whole | FitInto | FitCentre | Letterbox | PoseAffine
RULES: tuple[type[Rule], ...] = (
    *(Native, ScaleBy, Stretch, KeepRatio, ShortSide, ToMultiple, NearMultiple),
    *(FitInto, FitCentre, Letterbox, PoseAffine),
)
Resize = Annotated[Rule, ByKind(*RULES)]
