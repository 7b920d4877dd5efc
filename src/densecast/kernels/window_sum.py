"""Compiled loops that add up the outputs of sliding windows, and divide finished rows by their number of windows.

The sum is a ring of rows: row y of the whole map lies in line `y % lines`, so that finished rows make room for the next
without being moved. Additions and the division happen in the order and precision of MMSegmentation's
`slide_inference`, each window resized as torch does (see `bilinear`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from densecast.kernels.bilinear import Resize
from densecast.kernels.float32 import fma

Float32 = npt.NDArray[np.float32]


@njit(cache=True, nogil=True)
def add_plain(planes: Float32, top: int, left: int, ring: Float32) -> None:
    """Add (C, h, w) to rows from `top` and columns from `left` of the ring (lines, C, W)."""
    lines = ring.shape[0]
    for y in range(planes.shape[1]):
        line = ring[(top + y) % lines]
        for channel in range(planes.shape[0]):
            source, target = planes[channel, y], line[channel]
            for x in range(planes.shape[2]):
                target[left + x] += source[x]


@njit(cache=True, nogil=True)
def add_resized(planes: Float32, resize: Resize, top: int, left: int, ring: Float32) -> None:
    """Resize (C, h, w), and add it to rows from `top` and columns from `left` of the ring (lines, C, W).

    The next target row mostly reads the same two rows again: row r, resized along x, is kept in line r % 2.
    """
    rows, cols = resize.rows, resize.cols
    lines, channels = ring.shape[0], planes.shape[0]
    width = cols.first.size
    kept = np.empty((2, channels, width), np.float32)
    kept_row = np.full(2, -1)
    for y in range(rows.first.size):
        for row in (int(rows.first[y]), int(rows.second[y])):
            if kept_row[row % 2] == row:
                continue
            for channel in range(channels):
                source, along = planes[channel, row], kept[row % 2, channel]
                for x in range(width):
                    along[x] = fma(
                        source[cols.first[x]], cols.first_weight[x], source[cols.second[x]] * cols.second_weight[x]
                    )
            kept_row[row % 2] = row
        upper, lower = kept[int(rows.first[y]) % 2], kept[int(rows.second[y]) % 2]
        upper_weight, lower_weight = rows.first_weight[y], rows.second_weight[y]
        line = ring[(top + y) % lines]
        for channel in range(channels):
            for x in range(width):
                line[channel, left + x] += fma(upper[channel, x], upper_weight, lower[channel, x] * lower_weight)


@njit(cache=True, nogil=True)
def take_mean(ring: Float32, first_row: int, down: Float32, across: Float32, left: int, out: Float32) -> None:
    """Write the means of rows from `first_row` to `out` (C, n, w), columns from `left` on, and clear these rows.

    `down` (n) and `across` (w) are the numbers of windows over rows and columns.
    """
    lines = ring.shape[0]
    for y in range(out.shape[1]):
        line = ring[(first_row + y) % lines]
        for channel in range(out.shape[0]):
            source, target = line[channel], out[channel, y]
            for x in range(out.shape[2]):
                target[x] = source[left + x] / (down[y] * across[x])
        line[:] = np.float32(0.0)
