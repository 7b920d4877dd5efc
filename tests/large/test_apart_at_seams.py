"""Where tiles meet both have computed the same cells: how far they are apart is found at every seam, and only there."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.verbs.large.exact import Seams

WHOLE = np.arange(2 * 6 * 6, dtype=np.float32).reshape(2, 6, 6)


def seams(**changed: float) -> Seams:
    """Two by two tiles that keep 3×3 cells each and see one more on every side; `changed` is added to a cell of one."""
    found = Seams()
    for row, (top, begin, end, bottom) in enumerate(((0, 0, 3, 4), (2, 3, 6, 6))):
        for column, (left, first, last, right) in enumerate(((0, 0, 3, 4), (2, 3, 6, 6))):
            planes = WHOLE[:, top:bottom, left:right].copy()
            for place, value in changed.items():
                tile, y, x = map(int, place[1:].split("_"))
                if tile == 2 * row + column:
                    planes[1, y - top, x - left] += value
            found.add(planes, (top, begin, end), (left, first, last))
    return found


def test_equal_tiles_are_not_apart_and_the_largest_value_is_known() -> None:
    found = seams()
    assert (found.apart, found.largest) == (0.0, 71.0)
    assert (Seams().apart, Seams().largest) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("place", "apart"),
    [
        # Beside the right seam of the first tile, above and below the lower one, at the other tiles' seams.
        ("t0_1_3", 0.5), ("t1_1_3", 0.5), ("t0_3_1", 0.5), ("t2_3_1", 0.5), ("t1_3_4", 0.5), ("t3_3_4", 0.5),
        ("t2_4_3", 0.5), ("t3_4_3", 0.5),
        # Inside of a tile, and what it sees beyond the first cell that is another's.
        ("t0_1_1", 0.0), ("t3_5_5", 0.0), ("t1_1_2", 0.0), ("t3_2_4", 0.0),
    ],
)  # fmt: skip
def test_a_difference_counts_where_tiles_meet(place: str, apart: float) -> None:
    assert seams(**{place: 0.5}).apart == apart
    assert seams(**{place: -0.5}).apart == apart


def test_the_largest_difference_and_value_are_kept() -> None:
    found = seams(t0_1_3=0.25, t3_3_4=2.0, t2_3_1=0.5)
    assert found.apart == 2.0 and found.largest == 71.0
    assert seams(t3_5_5=29.0).largest == 100.0 and seams(t0_0_0=-200.0).largest == pytest.approx(164.0)
