"""Where tiles are faded into each other, a cell is their mean, weighed by how far it lies from either tile's end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densecast.imaging.strips import png
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.tiles import Grid
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.large import blended

TILE, SHARED = 24, 8


class TwoMinds:
    """One logit a pixel: the first tile says class 0 by `ratio`, the next one class 1 by 1."""

    def __init__(self, ratio: float) -> None:
        self._logits = iter((ratio, -1.0))
        self.rule, self.options, self.cell_px = Preprocess(Native()), SegmentationDecode(), 1
        self.spec, self.tile_hw = SimpleNamespace(name="two minds"), (TILE, TILE)

    def cells(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        return size_hw

    def raw(self, pixels: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
        planes = np.zeros((2, *size_hw), np.float32)
        planes[0] = next(self._logits)
        return planes

    def decided(self, planes: np.ndarray) -> np.ndarray:
        return planes


@pytest.mark.parametrize("ratio", [1.0, 2.0, 0.5, 3.7])
@pytest.mark.parametrize("across", [True, False])
def test_shared_cells_go_over_from_one_tile_to_the_next_in_equal_steps(
    across: bool, ratio: float, tmp_path: Path
) -> None:
    side = 2 * TILE - SHARED
    size_hw = (TILE, side) if across else (side, TILE)
    Image.fromarray(np.zeros((*size_hw, 3), np.uint8)).save(tmp_path / "a.png")
    grid = Grid(TILE, SHARED, 1, 1, True)
    with png.open_png(tmp_path / "a.png") as strips:
        network: Any = TwoMinds(ratio)
        bands = list(blended.labels(network, strips, (grid, grid), scored=False, done=lambda: None))
    found = np.concatenate([labels for labels, _ in bands])
    # Of 8 shared cells the k-th belongs to the first tile by (8 - k) / 9, and to the next one by (k + 1) / 9.
    place = np.arange(SHARED)
    shared = ratio * (SHARED - place) < place + 1
    expected = np.concatenate([np.zeros(TILE - SHARED), shared, np.ones(TILE - SHARED)])
    np.testing.assert_array_equal(found, np.broadcast_to(expected if across else expected[:, None], size_hw))
