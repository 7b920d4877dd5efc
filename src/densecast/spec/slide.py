"""Sliding windows: the network sees a large image in overlapping windows, whose outputs are averaged."""

from __future__ import annotations

from dataclasses import dataclass

from densecast.errors import BadConfigError
from densecast.spec.sides import LARGEST_SIDE


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a network's whole input: rows from `top`, columns from `left`, in network pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """The row after the last."""
        return self.top + self.height

    @property
    def right(self) -> int:
        """The column after the last."""
        return self.left + self.width


@dataclass(frozen=True, slots=True)
class Slide:
    """Windows of `crop_hw`, `stride_hw` apart, as MMSegmentation's `slide_inference` places them.

    The last window of a row or column is moved back so that it ends at the border. A side that is shorter than the crop
    is seen whole: its windows are as long as that side. Where windows overlap, their outputs are averaged.
    """

    crop_hw: tuple[int, int]
    stride_hw: tuple[int, int]

    def __post_init__(self) -> None:
        """Check that windows leave no gap.

        Raises:
            BadConfigError: a side that is not positive, or a stride longer than the crop.
        """
        for name, sides in (("crop", self.crop_hw), ("stride", self.stride_hw)):
            if not all(1 <= side <= LARGEST_SIDE for side in sides):
                raise BadConfigError(
                    f"the {name} of sliding windows must be 1 to {LARGEST_SIDE} pixels high and wide, got "
                    f"{_text(sides)}.",
                    field="stride" if name == "stride" else "slide",
                )
        if any(stride > crop for stride, crop in zip(self.stride_hw, self.crop_hw, strict=True)):
            raise BadConfigError(
                f"windows of {_text(self.crop_hw)} pixels every {_text(self.stride_hw)} would leave gaps between them. "
                "Take a stride of at most the window's size.",
                field="stride",
            )

    def window_hw(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """The windows' height and width over an input of this size, which is one for all of them."""
        return min(self.crop_hw[0], size_hw[0]), min(self.crop_hw[1], size_hw[1])

    def windows(self, size_hw: tuple[int, int]) -> tuple[Window, ...]:
        """All windows over an input of this size, row by row.

        >>> [(each.top, each.left) for each in Slide((4, 4), (3, 3)).windows((4, 9))]
        [(0, 0), (0, 3), (0, 5)]
        """
        height, width = self.window_hw(size_hw)
        tops, lefts = (
            _starts(side, crop, stride)
            for side, crop, stride in zip(size_hw, self.crop_hw, self.stride_hw, strict=True)
        )
        return tuple(Window(top, left, height, width) for top in tops for left in lefts)

    def counts(self, size_hw: tuple[int, int]) -> tuple[list[int], list[int]]:
        """How many windows lie over each row and over each column; over a pixel it is the product of both."""
        return _covered(size_hw[0], self.crop_hw[0], self.stride_hw[0]), _covered(
            size_hw[1], self.crop_hw[1], self.stride_hw[1]
        )

    def __str__(self) -> str:
        """`512x512 every 341x341`, height before width."""
        return f"{_text(self.crop_hw)} every {_text(self.stride_hw)}"


def of(crop_hw: tuple[int, int], stride_hw: tuple[int, int] | None = None) -> Slide:
    """Windows of that size; without a stride it is two thirds of them, as in MMSegmentation's own configurations.

    >>> of((512, 1024))
    Slide(crop_hw=(512, 1024), stride_hw=(341, 682))

    Raises:
        BadConfigError: windows that leave gaps.
    """
    height, width = crop_hw
    return Slide((height, width), stride_hw or (max(1, height * 2 // 3), max(1, width * 2 // 3)))


def _starts(side: int, crop: int, stride: int) -> list[int]:
    """Where windows start along a side: every `stride`, the last one moved back to the border."""
    steps = max(side - crop + stride - 1, 0) // stride + 1
    return [max(min(step * stride + crop, side) - crop, 0) for step in range(steps)]


def _covered(side: int, crop: int, stride: int) -> list[int]:
    counts = [0] * side
    for start in _starts(side, crop, stride):
        for place in range(start, min(start + crop, side)):
            counts[place] += 1
    return counts


def _text(sides: tuple[int, int]) -> str:
    return f"{sides[0]}x{sides[1]}"
