"""The resize rule of torchvision and of Hugging Face's `shortest_edge`: the short side to a size, the aspect kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from densecast.errors import BadConfigError
from densecast.spec.geometry import Placement
from densecast.spec.sides import LARGEST_SIDE, check_multiple


@dataclass(frozen=True, slots=True)
class ShortSide:
    """The short side becomes `side`, the long one `int(side * long / short)`, as torchvision's `resize(image, side)`.

    Hugging Face's processors with a `size` of `shortest_edge` alone round alike. With `long_side` the long side becomes
    no more than that, as those of DETR and MaskFormer round it (`get_size_with_aspect_ratio` of transformers): the
    short side is `round(long_side * short / long)` then. Both sides are then rounded up to a multiple of `multiple`.
    """

    side: int
    long_side: int | None = None
    multiple: int = 1
    kind: Literal["short_side"] = "short_side"

    def __post_init__(self) -> None:
        """Check the sides.

        Raises:
            BadConfigError: no size of an image, a long side below the short one, or a multiple that is none.
        """
        if not 1 <= self.side <= LARGEST_SIDE:
            raise BadConfigError(
                f"{self.kind}: the side must be 1 to {LARGEST_SIDE} pixels, got {self.side}.", field="resize"
            )
        if self.long_side is not None and not self.side <= self.long_side <= LARGEST_SIDE:
            raise BadConfigError(
                f"{self.kind}: long_side must be {self.side} (the side) to {LARGEST_SIDE} pixels, got "
                f"{self.long_side}.",
                field="resize",
            )
        check_multiple(self.kind, self.multiple)

    def place(self, image_hw: tuple[int, int]) -> Placement:
        """Where an image of this size lands."""
        height, width = image_hw
        short, long = (-(-side // self.multiple) * self.multiple for side in self._sides(*sorted(image_hw)))
        return Placement.resized(image_hw, (short, long) if height <= width else (long, short))

    def scaled(self, ratio: float) -> ShortSide:
        """The sides times `ratio`, rounded down."""
        side = max(1, int(self.side * ratio))
        long_side = None if self.long_side is None else max(side, int(self.long_side * ratio))
        return replace(self, side=side, long_side=long_side)

    def _sides(self, short: int, long: int) -> tuple[int, int]:
        """The image's short and long side, resized."""
        if self.long_side is None or long / short * self.side <= self.long_side:
            return self.side, int(self.side * long / short)
        exact = self.long_side * short / long
        side = round(exact)
        # An image whose short side has its size already is left as it is.
        return (short, long) if side == short else (side, int(exact * long / short))
