"""How long tiles are along a side that a network takes, and whether the last of a row may be longer."""

from __future__ import annotations

import pytest

from densecast.errors import BadConfigError
from densecast.spec.tensor import Dim
from densecast.verbs.large.network import Side, side_of

GRID = 64


@pytest.mark.parametrize(
    ("size", "pad_multiple", "wanted", "expected"),
    [
        # One size only: these, in steps of the grid and of what it is padded to.
        (256, 1, None, Side(256, GRID, True)),
        (240, 48, 240, Side(240, 192, True)),
        # The last tile goes on to the picture's end, less than a step beyond the others: there has to be room for it.
        (Dim("h", 1, 256), 1, 256 - GRID + 1, Side(256 - GRID + 1, GRID, True)),
        (Dim("h", 1, 256), 1, 256 - GRID, Side(256 - GRID, GRID, False)),
        (Dim("h", 1, 256), 1, None, Side(256 - GRID, GRID, False)),
        (Dim("h", 1, 257), 1, None, Side(256 - GRID, GRID, False)),
        (Dim("h", 1, 255), 1, None, Side(256 - 2 * GRID, GRID, False)),
        # Where sizes are multiples it cannot be of any length.
        (Dim("h", 8, 256, 8), 1, None, Side(256 - GRID, GRID, True)),
        (Dim("h", 48, 960, 48), 1, 192, Side(192, 192, True)),
        # Padding to a multiple makes tiles multiples.
        (Dim("h", 1, 256), 48, 48, Side(48, 192, False)),
        (Dim("h", 1, 256), 48, 96, Side(96, 192, True)),
        # A thousand pixels are enough.
        (Dim("h", 1, 1087), 1, None, Side(960, GRID, False)),
        (Dim("h", 1, 1088), 1, None, Side(1024, GRID, False)),
        (Dim("h", 1, 9999), 1, None, Side(1024, GRID, False)),
        # What is too small for a step has the smallest tiles there are.
        (Dim("h", 1, 40), 1, None, Side(1, GRID, True)),
    ],
)
def test_tiles_of_a_side(size: int | Dim, pad_multiple: int, wanted: int | None, expected: Side) -> None:
    assert side_of(size, pad_multiple, wanted) == expected


@pytest.mark.parametrize(
    ("size", "pad_multiple", "wanted"),
    [(256, 1, 255), (256, 1, 257), (Dim("h", 8, 256, 8), 1, 252), (Dim("h", 8, 256), 1, 257), (Dim("h", 8, 256), 1, 7)],
)
def test_tiles_that_a_network_does_not_take_are_refused(size: int | Dim, pad_multiple: int, wanted: int) -> None:
    with pytest.raises(
        BadConfigError, match=f"tiles of {wanted} pixels were asked for, and the network takes"
    ) as error:
        side_of(size, pad_multiple, wanted)
    assert error.value.field == "tile"
