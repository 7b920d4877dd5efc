"""Where sliding windows lie: every stride, the last one at the border, and without a stride at two thirds."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.errors import BadConfigError
from densecast.spec import slide
from densecast.spec.slide import Slide, Window


@pytest.mark.parametrize(
    ("crop_hw", "stride_hw"),
    [((512, 1024), (341, 682)), ((3, 4), (2, 2)), ((2, 1), (1, 1)), ((1, 1), (1, 1)), ((6, 5), (4, 3))],
)
def test_without_a_stride_it_is_two_thirds_of_the_window(crop_hw: tuple[int, int], stride_hw: tuple[int, int]) -> None:
    assert slide.of(crop_hw) == Slide(crop_hw, stride_hw)
    assert slide.of(crop_hw, (1, 1)) == Slide(crop_hw, (1, 1))
    assert str(slide.of(crop_hw)) == f"{crop_hw[0]}x{crop_hw[1]} every {stride_hw[0]}x{stride_hw[1]}"


@pytest.mark.parametrize(
    ("side", "crop", "stride", "starts"),
    [
        (9, 4, 3, [0, 3, 5]), (10, 4, 3, [0, 3, 6]), (4, 4, 3, [0]), (3, 4, 3, [0]), (5, 4, 3, [0, 1]),
        (8, 4, 4, [0, 4]), (9, 4, 4, [0, 4, 5]), (7, 4, 1, [0, 1, 2, 3]), (1, 4, 4, [0]),
    ],
)  # fmt: skip
def test_windows_start_every_stride_and_end_at_the_border(side: int, crop: int, stride: int, starts: list[int]) -> None:
    across, down = Slide((2, crop), (2, stride)), Slide((crop, 2), (stride, 2))
    size = min(crop, side)
    assert across.windows((2, side)) == tuple(Window(0, left, 2, size) for left in starts)
    assert down.windows((side, 2)) == tuple(Window(top, 0, size, 2) for top in starts)
    seen = np.zeros(side, int)
    for start in starts:
        seen[start : start + crop] += 1
    assert across.counts((2, side)) == ([1, 1], seen.tolist()) and down.counts((side, 2)) == (seen.tolist(), [1, 1])
    assert seen.min() >= 1


def test_windows_of_both_directions_go_row_by_row() -> None:
    found = Slide((4, 4), (3, 3)).windows((5, 9))
    assert [(each.top, each.left) for each in found] == [(0, 0), (0, 3), (0, 5), (1, 0), (1, 3), (1, 5)]
    assert Slide((4, 6), (3, 3)).window_hw((3, 9)) == (3, 6) and Slide((4, 6), (3, 3)).window_hw((9, 5)) == (4, 5)


@pytest.mark.parametrize("stride_hw", [(5, 3), (3, 5), (0, 3), (3, 0)])
def test_windows_that_leave_gaps_are_refused(stride_hw: tuple[int, int]) -> None:
    with pytest.raises(BadConfigError):
        slide.of((4, 4), stride_hw)
    assert slide.of((4, 4), (4, 4)).stride_hw == (4, 4)
