"""How far two tiles are apart where they meet is seen along every border, below as well as beside."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.errors import BadConfigError
from densecast.spec.tiles import Grid
from densecast.verbs.large.exact import Seams


@pytest.mark.parametrize("apart", [0.0, 0.25])
@pytest.mark.parametrize("beside", [True, False])
def test_neighbours_are_compared_where_both_have_computed(beside: bool, apart: float) -> None:
    # Two tiles of 6 cells that share 4, of which the border is in the middle: the cell behind it is in both.
    first, second = np.ones((2, 6, 6), np.float32), np.ones((2, 6, 6), np.float32)
    first[0, 4, 2] = first[0, 2, 4] = 3
    second[0, 2, 2] = 3 + apart
    sides = (0, 0, 4), (2, 4, 8)
    only = (0, 0, 6)
    seams = Seams()
    for planes, side in zip((first, second), sides, strict=True):
        seams.add(planes, only if beside else side, side if beside else only)
    assert (seams.apart, seams.largest) == (apart, 3 + apart)


def test_tiles_move_on_by_a_pixel_at_least() -> None:
    assert Grid(9, 8, 1, 1, True).step_px == 1
    with pytest.raises(BadConfigError, match="do not move on by the 1 that"):
        _ = Grid(9, 9, 1, 1, True).step_px
