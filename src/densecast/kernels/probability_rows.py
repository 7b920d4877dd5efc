"""Compiled loops that resize logits row by row and accumulate their softmax."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from densecast.kernels.bilinear import Plan, Taps
from densecast.kernels.float32 import exp_of_negative, fma

Float32 = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8 | np.uint16]


@njit(cache=True, nogil=True)
def add_softmax(logits: Float32, plan: Plan, first_row: int, mirrored: bool, total: Float32) -> None:
    """Add the probabilities of target rows from `first_row` to `total` (rows, C, W), mirrored back if `mirrored`.

    The next target row reads a row between two others again, so the last two of each resize are cached: row r
    in line r % 2, which never collides, as the two rows that a target reads are neighbours.
    """
    early, late = plan
    rows, channels, width = total.shape
    middle_width = early.cols.first.size
    source = np.empty((2, channels, middle_width), np.float32)
    source_row = np.full(2, -1)
    line = np.empty((2, channels, width), np.float32)
    line_row = np.full(2, -1)
    middle = np.empty((channels, middle_width), np.float32)
    values = np.empty((channels, width), np.float32)
    for i in range(rows):
        y = first_row + i
        for row in (np.int64(late.rows.first[y]), np.int64(late.rows.second[y])):
            if line_row[row % 2] == row:
                continue
            if middle_width == 0:
                _along(logits[:, row], late.cols, line[row % 2])
            else:
                for source_y in (np.int64(early.rows.first[row]), np.int64(early.rows.second[row])):
                    if source_row[source_y % 2] != source_y:
                        _along(logits[:, source_y], early.cols, source[source_y % 2])
                        source_row[source_y % 2] = source_y
                _down(source, early.rows, row, middle)
                _along(middle, late.cols, line[row % 2])
            line_row[row % 2] = row
        _down(line, late.rows, y, values)
        _softmax(values)
        for channel in range(channels):
            if mirrored:
                for x in range(width):
                    total[i, channel, width - 1 - x] += values[channel, x]
            else:
                for x in range(width):
                    total[i, channel, x] += values[channel, x]


@njit(cache=True, nogil=True)
def argmax_of_mean(total: Float32, count: np.float32, labels: Labels, probability: Float32) -> None:
    """(rows, C, W) sums of `count` outputs -> the argmax of their mean (the first of equals) and its value.

    `total` becomes the mean: it is divided before classes are compared, as the rounding may make two of them equal.
    """
    rows, channels, width = total.shape
    for i in range(rows):
        best = probability[i]
        for channel in range(channels):
            for x in range(width):
                total[i, channel, x] /= count
        for x in range(width):  # assigned as a whole, it would take seconds to compile
            best[x] = total[i, 0, x]
        labels[i] = 0
        for channel in range(1, channels):
            for x in range(width):
                wins = total[i, channel, x] > best[x]
                labels[i, x] = channel if wins else labels[i, x]
                best[x] = total[i, channel, x] if wins else best[x]


@njit(cache=True, nogil=True)
def _along(source: Float32, cols: Taps, out: Float32) -> None:
    """(C, w) -> (C, W): one row of every class, resized."""
    for channel in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[channel, x] = fma(
                source[channel, cols.first[x]],
                cols.first_weight[x],
                source[channel, cols.second[x]] * cols.second_weight[x],
            )


@njit(cache=True, nogil=True)
def _down(lines: Float32, rows: Taps, y: int, out: Float32) -> None:
    """(2, C, W) cached lines -> (C, W): target row `y` between the two that it reads."""
    upper = lines[rows.first[y] % 2]
    lower = lines[rows.second[y] % 2]
    upper_weight, lower_weight = rows.first_weight[y], rows.second_weight[y]
    for channel in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[channel, x] = fma(upper[channel, x], upper_weight, lower[channel, x] * lower_weight)


@njit(cache=True, nogil=True)
def _softmax(values: Float32) -> None:
    """(C, W) logits -> probabilities over the classes, in place."""
    channels, width = values.shape
    best = values[0].copy()
    for channel in range(1, channels):
        for x in range(width):
            best[x] = max(best[x], values[channel, x])
    total = np.zeros(width, np.float32)
    for channel in range(channels):
        for x in range(width):
            values[channel, x] = exp_of_negative(values[channel, x] - best[x])
            total[x] += values[channel, x]
    for channel in range(channels):
        for x in range(width):
            values[channel, x] /= total[x]
