"""Sums of windows against numpy: rows in a ring, windows resized or not, counts by row and column."""

from __future__ import annotations

import numpy as np
import pytest
from test_labels import resized_in_float32

from densecast.kernels import bilinear, window_sum

LINES, CHANNELS, WIDTH = 7, 3, 20


def ring_of(whole: np.ndarray, top: int, rows: int) -> np.ndarray:
    """A ring of which rows `top` to `top + rows` of a whole map lie in their lines."""
    ring = np.zeros((LINES, CHANNELS, WIDTH), np.float32)
    for y in range(top, top + rows):
        ring[y % LINES] = whole[:, y]
    return ring


@pytest.mark.parametrize("top", [0, 4, 12])
@pytest.mark.parametrize("left", [0, 3, 9])
def test_a_window_is_added_where_it_lies(top: int, left: int) -> None:
    rng = np.random.default_rng(top)
    whole = rng.random((CHANNELS, 30, WIDTH)).astype(np.float32)
    window = rng.random((CHANNELS, 5, 11)).astype(np.float32)
    ring = ring_of(whole, top, LINES)
    window_sum.add_plain(window, top, left, ring)
    wanted = whole.copy()
    wanted[:, top : top + 5, left : left + 11] += window
    np.testing.assert_array_equal(ring, ring_of(wanted, top, LINES))


@pytest.mark.parametrize("size_hw", [(6, 10), (3, 17), (6, 20)])
@pytest.mark.parametrize("top", [0, 12])
def test_a_window_is_resized_on_the_way(size_hw: tuple[int, int], top: int) -> None:
    rng = np.random.default_rng(1)
    small = rng.normal(size=(CHANNELS, 4, 6)).astype(np.float32)
    plan = bilinear.plan((4, 6), [size_hw], False)
    assert plan is not None
    ring = np.zeros((LINES, CHANNELS, WIDTH), np.float32)
    window_sum.add_resized(small, plan.late, top, WIDTH - size_hw[1], ring)
    wanted = np.zeros((CHANNELS, top + LINES, WIDTH), np.float32)
    wanted[:, top : top + size_hw[0], WIDTH - size_hw[1] :] = resized_in_float32(small, [size_hw], False)
    np.testing.assert_array_equal(ring, ring_of(wanted, top, LINES))


def test_means_are_taken_and_their_rows_are_free_again() -> None:
    rng = np.random.default_rng(2)
    whole = rng.random((CHANNELS, 30, WIDTH)).astype(np.float32)
    ring = ring_of(whole, 10, LINES)
    down, across = np.array([1, 2, 3], np.float32), np.array([1, 1, 2, 2, 4], np.float32)
    out = np.full((CHANNELS, 3, 5), np.nan, np.float32)
    window_sum.take_mean(ring, 12, down, across, 6, out)
    np.testing.assert_array_equal(out, whole[:, 12:15, 6:11] / (down[:, None] * across[None]))
    left = whole.copy()
    left[:, 12:15] = 0
    np.testing.assert_array_equal(ring, ring_of(left, 10, LINES))
