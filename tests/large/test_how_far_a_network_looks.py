"""How far a network looks is measured on networks of which it is known: sums over so many neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from densecast.verbs.large import reach
from densecast.verbs.large.network import Side

TILE = 128


@dataclass
class Sums:
    """A network of two planes: the picture's cells, and their sums over `down` and `across` neighbours on each side.

    `everywhere` adds a share of the picture's mean to all, as a layer that sees the whole tile does.
    """

    down: int = 0
    across: int = 0
    everywhere: float = 0.0
    cell_px: int = 1
    compute: str = "float32"
    bands: int = 3
    value_range: tuple[float, float] | None = None
    align_px: int = 32

    def __post_init__(self) -> None:
        self.sides = (Side(TILE, self.align_px, False),) * 2
        self.tile_hw = (TILE, TILE)
        self.rule = SimpleNamespace(value_range=self.value_range)
        self.seen: list[Any] = []

    def raw(self, pixels: Any, size_hw: tuple[int, int]) -> Any:
        """(h, w, bands) -> (2, h / cell, w / cell)."""
        assert pixels.shape == (*size_hw, self.bands)
        self.seen.append(pixels)
        cell = self.cell_px
        values = np.asarray(pixels, np.float64).mean(axis=2)
        cells = values.reshape(size_hw[0] // cell, cell, size_hw[1] // cell, cell).sum(axis=(1, 3))
        summed = cells
        for axis, count in ((0, self.down), (1, self.across)):
            filled = np.pad(summed, [(count, count) if each == axis else (0, 0) for each in (0, 1)])
            length = summed.shape[axis]
            summed = sum(np.take(filled, range(at, at + length), axis) for at in range(2 * count + 1))
        found = np.stack([cells, summed])
        return (found + self.everywhere * found.max() * values.mean() / 255).astype(np.float64)


@pytest.mark.parametrize(
    ("network", "px"),
    [
        (Sums(), 0), (Sums(3, 5), 5), (Sums(5, 3), 5), (Sums(0, 1), 1), (Sums(20, 0), 20),
        (Sums(2, 1, cell_px=4), 8), (Sums(1, 3, cell_px=8), 24), (Sums(3, 5, bands=5), 5),
        # Of what two tiles have in common, 96 cells, a tenth has to be equal: 10 are, 8 are not enough.
        (Sums(43, 0), 43), (Sums(44, 0), None), (Sums(0, 44), None),
        (Sums(3, 5, value_range=(-1.0, 3.0)), 5),
    ],
)  # fmt: skip
def test_a_network_looks_as_far_as_its_sums_reach(network: Any, px: int | None) -> None:
    found = reach.measure(network)
    assert found.px == px and bool(found.why) == (px is None)


@pytest.mark.parametrize(
    ("compute", "share", "is_near"),
    [
        ("float32", 1e-6, True), ("float32", 1e-5, True), ("float32", 1e-3, False), ("float16", 1e-3, True),
        ("float16", 0.3, False), ("bfloat16", 1e-2, True), ("int8", 3e-2, True), ("int8", 1.0, False),
        ("float64", 1e-5, True), ("float64", 1e-3, False),
    ],
)  # fmt: skip
def test_what_rounding_leaves_is_equal_and_what_sees_the_whole_tile_is_not(
    compute: str, share: float, is_near: bool
) -> None:
    found = reach.measure(Sums(2, 3, everywhere=share, compute=compute))  # type: ignore[arg-type]
    if is_near:
        assert found == reach.Reach(3)
    else:
        assert found.px is None and "further than 48 pixels away" in found.why


def test_where_tiles_cannot_be_shifted_nothing_is_known() -> None:
    network: Any = Sums(1, 1, align_px=96)
    found = reach.measure(network)
    assert found.px is None and "further than 0 pixels away" in found.why
    network = Sums(1, 1, align_px=64)
    assert reach.measure(network).px == 1


def test_pictures_are_of_the_values_that_the_model_takes() -> None:
    for value_range, low, high in ((None, 0, 255), ((-1.0, 3.0), -1, 3)):
        network: Any = Sums(1, 1, value_range=value_range)
        reach.measure(network)
        seen = np.stack(network.seen)
        assert seen.min() >= low and seen.max() <= high and np.ptp(seen) > 0.8 * (high - low)
        # Other pictures each time, darker to the left and above.
        assert not np.array_equal(seen[0], seen[2])
        assert seen[:, :32, :32].mean() < seen[:, -32:, -32:].mean()
