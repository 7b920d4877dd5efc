"""Resize rules that leave nothing but the image in the network's input: no padding, and nothing cut off."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from densecast.errors import BadConfigError
from densecast.spec.conversions import ByKind
from densecast.spec.geometry import Placement
from densecast.spec.short_side import ShortSide
from densecast.spec.sides import LARGEST_SIDE, check_multiple, check_sides, times


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
        if not (math.isfinite(self.factor) and 0 < self.factor <= LARGEST_SIDE):
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
        check_sides(self.kind, self.size_hw)

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands."""
        return Placement.resized(image_hw, self.size_hw)

    def scaled(self, ratio: float) -> Stretch:
        """The size times `ratio`, rounded down, as MMSegmentation's `img_ratios`."""
        return Stretch(times(self.size_hw, ratio))


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
        check_sides(self.kind, (self.long_side, self.short_side))

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands; no side becomes less than one pixel."""
        factor = min(self.long_side / max(image_hw), self.short_side / min(image_hw))
        height, width = (max(1, int(side * factor + 0.5)) for side in image_hw)
        return Placement.resized(image_hw, (height, width))

    def scaled(self, ratio: float) -> KeepRatio:
        """Both limits times `ratio`, rounded down, as MMSegmentation's `img_ratios`."""
        return KeepRatio(*times((self.long_side, self.short_side), ratio))


First = Native | ScaleBy | Stretch | KeepRatio | ShortSide
_FIRST: tuple[type[First], ...] = (Native, ScaleBy, Stretch, KeepRatio, ShortSide)


@dataclass(frozen=True, slots=True)
class ToMultiple:
    """Resized by another rule, `first`, and then once more, each side up to the next multiple: two interpolations.

    MMCV 1.7's `imresize_to_multiple` behind a resize. Of sides that are multiples already nothing is changed.
    """

    multiple: int
    first: Annotated[First, ByKind(*_FIRST)] = Native()
    kind: Literal["to_multiple"] = "to_multiple"

    def __post_init__(self) -> None:
        """Check the multiple.

        Raises:
            BadConfigError: not 1 to 4096.
        """
        check_multiple(self.kind, self.multiple)

    def first_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """To what size the first rule brings an image."""
        return self.first.place(image_hw).model_hw

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands."""
        height, width = (-(-side // self.multiple) * self.multiple for side in self.first_hw(image_hw))
        return Placement.resized(image_hw, (height, width))

    def scaled(self, ratio: float) -> ToMultiple:
        """The first rule times `ratio`."""
        return replace(self, first=self.first.scaled(ratio))
