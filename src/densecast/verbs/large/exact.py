"""Labels of a large picture from exact tiles: of each tile that part is taken which what lies beyond cannot change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from densecast.imaging.strips import Strips
from densecast.kernels import bilinear
from densecast.kernels.bilinear import Taps
from densecast.kernels.label_part import cut, label_part
from densecast.kernels.labels import Labels, Probability
from densecast.spec.sample import label_dtype
from densecast.spec.tiles import Grid, Tile
from densecast.verbs.large.network import F32, TileNetwork, largest_class_count
from densecast.verbs.large.picture import RowWindow

Band = tuple[Labels, Probability | None]


class Seams:
    """How far neighbouring tiles are apart where they meet: both have computed what lies there."""

    def __init__(self) -> None:
        self._left: F32 | None = None
        self._above: dict[int, F32] = {}
        self.largest, self.apart = 0.0, 0.0

    def add(self, planes: F32, row: tuple[int, int, int], column: tuple[int, int, int]) -> None:
        """Take a tile's planes, and of both sides the first cell that it has, and begin and end of its own ones."""
        (top, begin, end), (left, first, last) = row, column
        own = planes[:, begin - top : end - top]
        self.largest = max(self.largest, float(np.abs(own[:, :, first - left : last - left]).max(initial=0.0)))
        if left == 0:
            self._left = None
        if self._left is not None:
            self._compare(self._left, own[:, :, first - left])
        below = np.array(planes[:, end - top, first - left : last - left]) if end - top < planes.shape[1] else None
        if first in self._above:
            self._compare(self._above.pop(first), planes[:, begin - top, first - left : last - left])
        if below is not None:
            self._above[first] = below
        self._left = np.array(own[:, :, last - left]) if last - left < planes.shape[2] else None

    def _compare(self, one: F32, other: F32) -> None:
        self.apart = max(self.apart, float(np.abs(one - other).max(initial=0.0)))


def labels(
    network: TileNetwork,
    strips: Strips,
    grids: tuple[Grid, Grid],
    seams: Seams,
    *,
    scored: bool,
    done: Callable[[], None],
) -> Iterator[Band]:
    """Yield the labels of the picture's rows, from its top, and their probability with `scored`.

    Raises:
        BadImageError: the picture is damaged.
        BadInputError: outputs that are not finite.
    """
    height, width = strips.size_hw
    whole_hw = input_hw(network, grids, strips.size_hw)
    tiles = tuple(grid.tiles(side) for grid, side in zip(grids, whole_hw, strict=True))
    cells_hw = cells_of(network, tiles)
    rows, columns = (
        bilinear.taps(cells, side, network.options.align_corners)
        for cells, side in zip(cells_hw, whole_hw, strict=True)
    )
    window = RowWindow(strips)
    channels = largest_class_count(network.options, len(network.spec.labels))
    for down in tiles[0]:
        begin, end = targets(rows, down, height)
        band = np.empty((end - begin, width), label_dtype(channels))
        probability = np.empty((end - begin, width), np.float32) if scored else None
        pixels = window.rows(down.start, down.start + down.length)
        for across in tiles[1]:
            planes = network.raw(pixels[:, across.start : across.start + across.length], (down.length, across.length))
            top, left = down.start // network.cell_px, across.start // network.cell_px
            seams.add(
                planes,
                (top, down.begin, cells_hw[0] if down.end is None else down.end),
                (left, across.begin, cells_hw[1] if across.end is None else across.end),
            )
            first, last = targets(columns, across, width)
            done()
            if first == last or begin == end:
                continue
            part, winners = label_part(
                network.decided(planes), cut(rows, begin, end, top), cut(columns, first, last, left), scored=scored
            )
            band[:, first:last] = part
            if probability is not None and winners is not None:
                probability[:, first:last] = winners
        yield band, probability


def input_hw(network: TileNetwork, grids: tuple[Grid, Grid], image_hw: tuple[int, int]) -> tuple[int, int]:
    """The size of the network's whole input, with all padding."""
    model_hw = network.rule.place(image_hw).model_hw
    return grids[0].padded(model_hw[0]), grids[1].padded(model_hw[1])


def cells_of(network: TileNetwork, tiles: tuple[tuple[Tile, ...], ...]) -> tuple[int, int]:
    """The size of the output over the whole picture."""
    down, across = tiles[0][-1], tiles[1][-1]
    last_hw = network.cells((down.length, across.length))
    return down.start // network.cell_px + last_hw[0], across.start // network.cell_px + last_hw[1]


def targets(taps: Taps, tile: Tile, side: int) -> tuple[int, int]:
    """The picture's rows or columns that a tile labels: those that read its own cells first."""
    begin = int(np.searchsorted(taps.first, tile.begin)) if tile.begin else 0
    end = side if tile.end is None else int(np.searchsorted(taps.first, tile.end))
    return min(begin, side), min(end, side)
