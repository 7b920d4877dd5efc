"""The resize rule of torchvision and of Hugging Face's `shortest_edge`: the short side to a size, the aspect kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from densecast.errors import BadConfigError
from densecast.spec.geometry import Placement

_LARGEST_SIDE = 1 << 16


@dataclass(frozen=True, slots=True)
class ShortSide:
    """The short side becomes `side`, the long one `int(side * long / short)`, as torchvision's `resize(image, side)`.

    Hugging Face's processors with a `size` of `shortest_edge` alone round alike.
    """

    side: int
    kind: Literal["short_side"] = "short_side"

    def __post_init__(self) -> None:
        """Check the side.

        Raises:
            BadConfigError: no size of an image.
        """
        if not 1 <= self.side <= _LARGEST_SIDE:
            raise BadConfigError(
                f"{self.kind}: the side must be 1 to {_LARGEST_SIDE} pixels, got {self.side}.", field="resize"
            )

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands."""
        height, width = image_hw
        long = int(self.side * max(image_hw) / min(image_hw))
        return Placement.resized(image_hw, (self.side, long) if height <= width else (long, self.side))

    def scaled(self, ratio: float) -> ShortSide:
        """The side times `ratio`, rounded down."""
        return ShortSide(max(1, int(self.side * ratio)))
