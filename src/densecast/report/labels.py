"""Places the labels of points in a chart so that none lies over another, over a point, or beyond the edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Of a 12-pixel system font: wide letters are 11 pixels, most are 6 to 7.
CHARACTER_PX, LINE_PX = 7.0, 14.0
_POINT_PX = 8.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of a chart, in its pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The area that both have in common."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(across, 0.0) * max(down, 0.0)


@dataclass(frozen=True, slots=True)
class Label:
    """Where a label's text begins on its base line, and whether it lies so far off that a line has to lead to it."""

    x: float
    y: float
    box: Box
    is_led: bool


def width_of(text: str) -> float:
    """About how wide a text of 12 pixels is."""
    return CHARACTER_PX * len(text)


def place(
    points: Sequence[tuple[float, float]], texts: Sequence[str], within: Box, taken: Sequence[Box] = ()
) -> list[Label]:
    """A label for each point, near it where there is room, else further off; none overlaps what is `taken`.

    Candidates are tried from the nearest on, and the first without any overlap is taken, else that with the least.
    """
    occupied = [*taken, *(Box(x - _POINT_PX, y - _POINT_PX, x + _POINT_PX, y + _POINT_PX) for x, y in points)]
    placed = []
    for (x, y), text in zip(points, texts, strict=True):
        best: tuple[float, Label] | None = None
        for number, (left, top) in enumerate(_candidates(x, y, width_of(text))):
            box = Box(left, top, left + width_of(text), top + LINE_PX)
            inside = box.left >= within.left and box.right <= within.right
            if not (inside and box.top >= within.top and box.bottom <= within.bottom):
                continue
            common = sum(box.overlap(each) for each in occupied)
            label = Label(left, top + LINE_PX - 3.5, box, number >= _NEAR)
            if best is None or common < best[0]:
                best = common, label
            if not common:
                break
        if best is None:
            left = min(max(x + _POINT_PX, within.left), max(within.left, within.right - width_of(text)))
            best = 0.0, Label(left, y, Box(left, y - LINE_PX, left + width_of(text), y), False)
        occupied.append(best[1].box)
        placed.append(best[1])
    return placed


# So many of the candidates touch their point.
_NEAR = 8


def _candidates(x: float, y: float, width: float) -> list[tuple[float, float]]:
    """Upper left corners around a point: right, left, above, below, the corners; then the same further off."""
    places = []
    for off in (_POINT_PX + 1, 22.0, 38.0, 56.0, 76.0, 100.0):
        right, left, middle = x + off, x - off - width, x - width / 2
        above, below, level = y - off - LINE_PX, y + off, y - LINE_PX / 2
        places += [(right, level), (left, level), (middle, above), (middle, below)]
        places += [(right, above), (right, below), (left, above), (left, below)]
    return places
