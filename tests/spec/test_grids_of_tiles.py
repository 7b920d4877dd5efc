"""How tiles lie along a side: aligned, sharing enough, up to its end, and each cell taken from one tile alone."""

from __future__ import annotations

import itertools

import pytest

from densecast.errors import BadConfigError
from densecast.spec.tiles import Grid, Tile

GRIDS = [
    Grid(tile, overlap, align, cell, fixed)
    for tile, overlap, align, cell in (
        (32, 8, 8, 2), (32, 0, 32, 4), (30, 7, 5, 1), (64, 40, 8, 8), (16, 15, 1, 1), (48, 16, 16, 16),
    )
    for fixed in (False, True)
]  # fmt: skip


@pytest.mark.parametrize("grid", GRIDS)
def test_tiles_cover_a_side_and_share_enough(grid: Grid) -> None:
    assert (
        grid.step_px % grid.align_px == 0
        and grid.step_px <= grid.tile_px - grid.overlap_px < grid.step_px + grid.align_px
    )
    for side in (1, grid.tile_px - 1, grid.tile_px, grid.tile_px + 1, 3 * grid.tile_px + 5, 200, 333):
        padded = grid.padded(side)
        assert padded >= side and (grid.is_fixed or padded == side)
        if grid.is_fixed:
            assert (padded - grid.tile_px) % grid.align_px == 0 and padded < max(side, grid.tile_px) + grid.align_px
        tiles = grid.tiles(padded)
        assert tiles[0].start == 0 and tiles[-1].start + tiles[-1].length == padded
        assert all(tile.start % grid.align_px == 0 for tile in tiles)
        for one, other in itertools.pairwise(tiles):
            assert 0 < other.start - one.start <= grid.step_px
            shared = one.start + one.length - other.start
            assert shared >= grid.overlap_px and one.length == grid.tile_px
            # Both meet in the middle of what they share.
            assert one.end == other.begin == (one.start + one.length + other.start) // 2 // grid.cell_px
        assert tiles[0].begin == 0 and tiles[-1].end is None
        if len(tiles) > 1:
            most = grid.tile_px + (0 if grid.is_fixed else grid.align_px - 1)
            assert grid.tile_px <= tiles[-1].length <= most


def test_a_side_that_one_tile_covers_is_one_tile() -> None:
    grid = Grid(32, 8, 8, 2, False)
    assert grid.tiles(32) == (Tile(0, 32, 0, None),) and grid.tiles(5) == (Tile(0, 5, 0, None),)
    assert grid.tiles(40) == (Tile(0, 32, 0, 10), Tile(8, 32, 10, None))
    assert grid.tiles(39) == (Tile(0, 39, 0, None),) and grid.tiles(41)[-1] == Tile(8, 33, 10, None)


@pytest.mark.parametrize(("tile", "overlap", "align"), [(32, 32, 1), (32, 25, 8), (8, 0, 16)])
def test_tiles_that_do_not_move_on_are_refused(tile: int, overlap: int, align: int) -> None:
    with pytest.raises(BadConfigError, match=f"tiles of {tile} pixels that share {overlap} do not move on") as error:
        _ = Grid(tile, overlap, align, 1, True).step_px
    assert error.value.field == "tile"
    assert Grid(tile, overlap - 1, 1, 1, True).step_px == tile - overlap + 1
