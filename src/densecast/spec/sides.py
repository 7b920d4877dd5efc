"""What sides and multiples of images can be."""

from __future__ import annotations

from densecast.errors import BadConfigError

LARGEST_SIDE = 1 << 16
LARGEST_MULTIPLE = 4096


def times(sides: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Scale both sides; neither becomes less than one pixel."""
    return max(1, int(sides[0] * ratio)), max(1, int(sides[1] * ratio))


def check_sides(kind: str, sides: tuple[int, int]) -> None:
    """Refuse sides that no image has.

    Raises:
        BadConfigError: they are not 1 to 65,536 pixels.
    """
    if not all(1 <= side <= LARGEST_SIDE for side in sides):
        raise BadConfigError(
            f"{kind}: sides must be 1 to {LARGEST_SIDE} pixels, got {' and '.join(map(str, sides))}.", field="resize"
        )


def check_multiple(kind: str, multiple: int) -> None:
    """Refuse a multiple that no side could be.

    Raises:
        BadConfigError: it is not 1 to 4096.
    """
    if not 1 <= multiple <= LARGEST_MULTIPLE:
        raise BadConfigError(f"{kind}: the multiple must be 1 to {LARGEST_MULTIPLE}, got {multiple}.", field="resize")
