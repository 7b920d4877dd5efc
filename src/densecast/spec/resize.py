"""Resize rules: to what size an image is brought for the network, and where it lies in the network's input."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from densecast.errors import BadConfigError
from densecast.spec import pose_geometry, pose_unbiased
from densecast.spec.geometry import Placement
from densecast.spec.pose_geometry import PosePlacement
from densecast.spec.pose_unbiased import UnbiasedPlacement
from densecast.spec.short_side import ShortSide

Floats = tuple[float, ...]
Fill = Floats
_LARGEST_SIDE = 1 << 16


class Converted:
    """Tells the codec to convert a value that people wrote before it is checked."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        self._convert = convert

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """The type's own schema, after the conversion."""
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(self._convert, handler(source))


class ByKind:
    """Tells the codec to read a resize rule by its `kind`, so that errors are about that rule alone."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """A schema of all rules, told apart by their kind."""
        from pydantic_core import core_schema

        choices: dict[str, Any] = {str(rule.__dataclass_fields__["kind"].default): rule for rule in RULES}

        def check(value: Any) -> Any:
            kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
            if kind not in choices:
                raise ValueError(f"a resize is a table with a kind, one of {', '.join(choices)}; got {kind!r}")
            return value

        schemas = {kind: handler.generate_schema(rule) for kind, rule in choices.items()}
        return core_schema.no_info_before_validator_function(
            check, core_schema.tagged_union_schema(schemas, discriminator="kind")
        )


def one_or_many(value: Any) -> Any:
    """A single number as a list of one: it stands for all channels."""
    return (value,) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


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

    def __post_init__(self) -> None:
        """Check the factor.

        Raises:
            BadConfigError: not a number above 0, or one that makes any image enormous.
        """
        if not (math.isfinite(self.factor) and 0 < self.factor <= _LARGEST_SIDE):
            raise BadConfigError(f"a scale factor must be above 0 and finite, got {self.factor}.", field="resize")

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

    def __post_init__(self) -> None:
        """Check the size."""
        _check_sides(self.kind, self.size_hw)

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

    def __post_init__(self) -> None:
        """Check the limits."""
        _check_sides(self.kind, (self.long_side, self.short_side))

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
    fill: Annotated[Fill, Converted(one_or_many)] = (0.0, 0.0, 0.0)
    kind: Literal["fit_into"] = "fit_into"

    def __post_init__(self) -> None:
        """Check the size and the fill."""
        object.__setattr__(self, "fill", check_fill(self.kind, self.fill))
        _check_sides(self.kind, self.size_hw)

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

    def __post_init__(self) -> None:
        """Check the size."""
        _check_sides(self.kind, self.size_hw)

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
        _check_sides(self.kind, self.size_hw)

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands; no side becomes less than one pixel."""
        factor = min(most / side for most, side in zip(self.size_hw, image_hw, strict=True))
        height, width = (max(1, round(side * factor)) for side in image_hw)
        # Half a line is rounded down by the 0.1 that is taken off first.
        top, left = (round((most - side) / 2 - 0.1) for most, side in zip(self.size_hw, (height, width), strict=True))
        return Placement.resized(image_hw, (height, width), model_hw=self.size_hw, offset_xy=(left, top))

    def scaled(self, ratio: float) -> Letterbox:
        """The size times `ratio`, rounded down."""
        return Letterbox(_times(self.size_hw, ratio), self.fill)


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


def _times(sides: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Scale both sides; neither becomes less than one pixel."""
    return max(1, int(sides[0] * ratio)), max(1, int(sides[1] * ratio))


def _check_sides(kind: str, sides: tuple[int, int]) -> None:
    if not all(1 <= side <= _LARGEST_SIDE for side in sides):
        raise BadConfigError(
            f"{kind}: sides must be 1 to {_LARGEST_SIDE} pixels, got {' and '.join(map(str, sides))}.", field="resize"
        )


def check_fill(what: str, fill: float | Floats) -> Floats:
    """The fill as one number a channel, or one for all.

    Raises:
        BadConfigError: values outside 0..255.
    """
    values = (float(fill),) if isinstance(fill, (int, float)) else tuple(float(value) for value in fill)
    if not values or not all(-0.5 <= value <= 255.5 for value in values):  # measured ones are not exact
        raise BadConfigError(f"{what}: a fill has values in 0..255, got {fill}.", field="resize")
    return values


Rule = Native | ScaleBy | Stretch | KeepRatio | ShortSide | FitInto | FitCentre | Letterbox | PoseAffine
RULES: tuple[type[Rule], ...] = (
    *(Native, ScaleBy, Stretch, KeepRatio, ShortSide),
    *(FitInto, FitCentre, Letterbox, PoseAffine),
)
Resize = Annotated[Rule, ByKind()]
