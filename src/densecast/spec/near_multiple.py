"""The resize rule of networks for depth: about a size, or the image's own, with sides that are multiples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from densecast.errors import BadConfigError
from densecast.spec.geometry import Placement
from densecast.spec.sides import LARGEST_SIDE, check_multiple, check_sides, times


@dataclass(frozen=True, slots=True)
class NearMultiple:
    """About `size_hw`, or without it the image's own size times `factor`; each side a multiple of `multiple`.

    With `keep_ratio` both sides are scaled by the one of the two factors, `H / h` and `W / w`, that is nearer to 1
    (that of the height if neither is), so that one side may become longer than `size_hw` says. Sides are then rounded
    to the `nearest` multiple, halves to the even one, or `down`: the aspect is kept but for that. Hugging Face's
    processors of DPT and Depth Anything round to the nearest, that of GLPN down. No side becomes less than one
    multiple.
    """

    multiple: int
    size_hw: tuple[int, int] | None = None
    keep_ratio: bool = False
    rounding: Literal["nearest", "down"] = "nearest"
    factor: float = 1.0
    kind: Literal["near_multiple"] = "near_multiple"

    def __post_init__(self) -> None:
        """Check the multiple and the size.

        Raises:
            BadConfigError: not 1 to 4096, no size of an image, or an aspect to keep or a factor that have no effect.
        """
        check_multiple(self.kind, self.multiple)
        if self.size_hw is not None:
            check_sides(self.kind, self.size_hw)
        if not 0 < self.factor <= LARGEST_SIDE:
            raise BadConfigError(f"{self.kind}: the factor must be above 0, got {self.factor}.", field="resize")
        if self.size_hw is None and self.keep_ratio:
            raise BadConfigError(f"{self.kind}: keep_ratio is for a size_hw.", field="resize")
        if self.size_hw is not None and self.factor != 1:
            raise BadConfigError(f"{self.kind}: factor is for the image's own size: leave size_hw out.", field="resize")

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands."""
        height, width = (self._rounded(side) for side in self._wanted_hw(image_hw))
        return Placement.resized(image_hw, (height, width))

    def scaled(self, ratio: float) -> NearMultiple:
        """The size, or the factor, times `ratio`."""
        if self.size_hw is None:
            return replace(self, factor=self.factor * ratio)
        return replace(self, size_hw=times(self.size_hw, ratio))

    def _wanted_hw(self, image_hw: tuple[int, int]) -> tuple[float, float]:
        height, width = image_hw
        if self.size_hw is None:
            return height * self.factor, width * self.factor
        by_height, by_width = self.size_hw[0] / height, self.size_hw[1] / width
        if self.keep_ratio:
            by_height = by_width = by_width if abs(1 - by_width) < abs(1 - by_height) else by_height
        return by_height * height, by_width * width

    def _rounded(self, side: float) -> int:
        multiples = round(side / self.multiple) if self.rounding == "nearest" else int(side // self.multiple)
        return max(1, multiples) * self.multiple
