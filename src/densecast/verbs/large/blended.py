"""Labels of a large picture from tiles that are faded into each other, where no tile is exact.

A tile's outputs count fully in its middle, and less towards an edge that another tile overlaps; what a cell gets from
all tiles is divided by their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from densecast.errors import UsageError
from densecast.imaging.strips import Strips
from densecast.kernels import bilinear
from densecast.kernels.bilinear import Taps
from densecast.kernels.label_part import cut, label_part
from densecast.spec.tiles import Grid, Tile
from densecast.verbs.large.exact import Band, cells_of, input_hw
from densecast.verbs.large.network import F32, TileNetwork
from densecast.verbs.large.picture import RowWindow

_MOST_BYTES = 1 << 30


class Finished:
    """Labels the rows of a map that comes in bands of whole rows; keeps the rows that are read again."""

    def __init__(self, network: TileNetwork, rows: Taps, columns: Taps, *, scored: bool) -> None:
        self._network, self._rows, self._columns, self._scored = network, rows, columns, scored
        self._kept: F32 | None = None
        self._top = self._done = 0

    def add(self, planes: F32) -> Band | None:
        """Take the next rows (C, n, w); gives the labels of the picture's rows that can be computed now, if any."""
        kept = planes if self._kept is None else np.concatenate([self._kept, planes], axis=1)
        end = self._top + kept.shape[1]
        ready = int(np.searchsorted(self._rows.second, end))
        band: Band | None = None
        if ready > self._done:
            whole = cut(self._columns, 0, self._columns.first.size, 0)
            rows = cut(self._rows, self._done, ready, self._top)
            band = label_part(self._network.decided(kept), rows, whole, scored=self._scored)
        needed = int(self._rows.first[ready]) if ready < self._rows.first.size else end
        self._kept = np.array(kept[:, needed - self._top :])
        self._top, self._done = needed, ready
        return band


def labels(
    network: TileNetwork, strips: Strips, grids: tuple[Grid, Grid], *, scored: bool, done: Callable[[], None]
) -> Iterator[Band]:
    """Yield the labels of the picture's rows, from its top, and their probability with `scored`.

    Raises:
        UsageError: a row of tiles needs more memory than is sane.
        BadImageError: the picture is damaged.
        BadInputError: outputs that are not finite.
    """
    whole_hw = input_hw(network, grids, strips.size_hw)
    tiles = tuple(grid.tiles(side) for grid, side in zip(grids, whole_hw, strict=True))
    cells_hw = cells_of(network, tiles)
    weights = [_weights(each, count, network.cell_px) for each, count in zip(tiles, cells_hw, strict=True)]
    totals = [
        _total(each, weight, count, network.cell_px)
        for each, weight, count in zip(tiles, weights, cells_hw, strict=True)
    ]
    rows, columns = (
        cut(bilinear.taps(cells, side, network.options.align_corners), 0, image, 0)
        for cells, side, image in zip(cells_hw, whole_hw, strips.size_hw, strict=True)
    )
    window, finished = RowWindow(strips), Finished(network, rows, columns, scored=scored)
    total, top = np.zeros((0, 0, 0), np.float32), 0
    for number, down in enumerate(tiles[0]):
        begin = down.start // network.cell_px
        pixels = window.rows(down.start, down.start + down.length)
        for place, across in enumerate(tiles[1]):
            planes = network.raw(pixels[:, across.start : across.start + across.length], (down.length, across.length))
            if not place:
                total = _grown(total, top, begin, planes, cells_hw[1], network)
                top = begin
            left = across.start // network.cell_px
            vertical, horizontal = weights[0][number], weights[1][place]
            total[:, : planes.shape[1], left : left + planes.shape[2]] += planes * vertical[:, None] * horizontal
            done()
        end = tiles[0][number + 1].start // network.cell_px if number + 1 < len(tiles[0]) else cells_hw[0]
        ready = total[:, : end - top] / (totals[0][top:end, None] * totals[1])
        band = finished.add(np.asarray(ready, np.float32))
        if band is not None:
            yield band


def _grown(total: F32, top: int, begin: int, planes: F32, width: int, network: TileNetwork) -> F32:
    """Sums of the rows of the next row of tiles, with what the last one left of them."""
    channels, count = planes.shape[0], planes.shape[1]
    size = 4 * channels * count * width
    if size > _MOST_BYTES:
        raise UsageError(
            f"{network.spec.name}: its tiles are faded into each other, and a row of them needs {size >> 20} MiB of "
            f"outputs. Take lower tiles than {network.tile_hw[0]} pixels.",
            field="tile",
        )
    grown = np.zeros((channels, count, width), np.float32)
    left = total[:, begin - top :]
    if left.size:
        grown[:, : left.shape[1]] = left
    return grown


def _weights(tiles: tuple[Tile, ...], cells: int, cell_px: int) -> list[npt.NDArray[np.float32]]:
    """For each tile of a side the weight of its cells: a slope where the one before or after lies, else 1."""
    starts = [each.start // cell_px for each in tiles]
    ends = [(each.start + each.length) // cell_px for each in tiles[:-1]] + [cells]
    weights = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        weight = np.ones(end - start, np.float32)
        if number:
            shared = ends[number - 1] - start
            weight[:shared] = (np.arange(shared) + 1) / (shared + 1)
        if number + 1 < len(tiles):
            shared = end - starts[number + 1]
            weight[len(weight) - shared :] *= (np.arange(shared, 0, -1)) / np.float32(shared + 1)
        weights.append(weight)
    return weights


def _total(
    tiles: tuple[Tile, ...], weights: list[npt.NDArray[np.float32]], cells: int, cell_px: int
) -> npt.NDArray[np.float32]:
    total = np.zeros(cells, np.float32)
    for tile, weight in zip(tiles, weights, strict=True):
        start = tile.start // cell_px
        total[start : start + len(weight)] += weight
    return total
