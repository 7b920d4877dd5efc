"""Finds the highest peaks of every joint's heatmap, and reads the tags there.

A peak is a pixel of the upsampled heatmap that no pixel of the square window around it exceeds; plateaus are
peaks throughout. Only those above a threshold are looked for, and most of the upsampled map is never computed:

- a pixel cannot exceed the largest (slightly widened) value of the small map's four pixels around it;
- inside such a cell the upsampled map is linear along each axis. Where both edges of the cell rise by more than
  rounding can hide, only the last pixels along that axis can be peaks, and where both fall, only the first, if the
  window is wide enough to see past pixels with equal weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from densecast.kernels.pose_field import SLACK, Table, blend, mean_value, planes
from densecast.kernels.pose_topk import heapify, insert_sorted, offer, sort_by_index, sort_heap

# torch.topk sorts by way of a heap when this many times k values are not more than there are.
_HEAP_WHEN = 64

# The target pixels `start` to `end` that lie between a small-map pixel and the next one. Those before `first_end`
# share the first one's weights, those from `last_start` on the last one's.
_CELL = np.dtype([(name, np.int64) for name in ("start", "first_end", "last_start", "end")])


class Cells(NamedTuple):
    """Cells (runs of equal taps) of both axes, and the smallest weight step inside a cell.

    A pixel is at most `reach` pixels from one that has other weights or is in another cell.
    """

    rows: Table
    cols: Table
    row_gap: np.float32
    col_gap: np.float32
    reach: int


def cells(rows: Table, cols: Table, source_hw: tuple[int, int]) -> Cells:
    """The cells of upsampling tables from maps of `source_hw`."""
    reach = max(int(np.diff(_run_edges(axis)).max()) for axis in (rows, cols))
    return Cells(_cells(rows, source_hw[0]), _cells(cols, source_hw[1]), _gap(rows), _gap(cols), reach)


def _same_cell(axis: Table) -> npt.NDArray[np.bool_]:
    return np.asarray(axis["first"][1:] == axis["first"][:-1])


def _gap(axis: Table) -> np.float32:
    steps = np.diff(axis["weight1"])[_same_cell(axis)]
    return np.float32(steps[steps > 0].min(initial=1.0))


def _run_edges(axis: Table) -> npt.NDArray[np.int64]:
    """Start of each run of target pixels with equal taps and weights, and the end of the last one."""
    breaks = np.flatnonzero(~(_same_cell(axis) & (np.diff(axis["weight1"]) == 0))) + 1
    return np.concatenate([[0], breaks, [len(axis)]])


def _cells(axis: Table, source: int) -> Table:
    table = np.empty(source, _CELL)
    edges = np.searchsorted(axis["first"], np.arange(source + 1))
    run_edges = _run_edges(axis)
    table["start"], table["end"] = edges[:-1], edges[1:]
    after_start = np.searchsorted(run_edges, table["start"], side="right")
    table["first_end"] = run_edges[np.minimum(after_start, len(run_edges) - 1)]
    table["last_start"] = run_edges[np.searchsorted(run_edges, table["end"] - 1, side="right") - 1]
    return table


@njit(cache=True, nogil=True, forceinline=True)
def _is_peak(plain, mirrored, rows, cols, mirror_cols, y, x, value, radius):  # type: ignore[no-untyped-def]
    """Whether no value in the window exceeds `value`, the one at its centre; neighbours are checked first."""
    height, width = len(rows), len(cols)
    if radius > 0:
        for yy in range(max(y - 1, 0), min(y + 2, height)):
            if mean_value(plain, mirrored, rows, cols, mirror_cols, yy, x) > value:
                return False
        for xx in range(max(x - 1, 0), min(x + 2, width)):
            if mean_value(plain, mirrored, rows, cols, mirror_cols, y, xx) > value:
                return False
    for yy in range(max(y - radius, 0), min(y + radius + 1, height)):
        for xx in range(max(x - radius, 0), min(x + radius + 1, width)):
            if mean_value(plain, mirrored, rows, cols, mirror_cols, yy, xx) > value:
                return False
    return True


@njit(cache=True, nogil=True, forceinline=True)
def _trend(first_edge, second_edge, least):  # type: ignore[no-untyped-def]
    """1 where both edges of a cell rise by more than `least`, -1 where both fall by more, else 0."""
    if first_edge > least and second_edge > least:
        return 1
    if first_edge < -least and second_edge < -least:
        return -1
    return 0


@njit(cache=True, nogil=True, forceinline=True)
def _candidates(plain, mirrored, is_mirrored, row_cell, col_cell, row_gap, col_gap, j, i):  # type: ignore[no-untyped-def]
    """The rows and columns, as half-open ranges, in which cell (j, i) can have peaks."""
    height, width = plain.shape
    below, beside = min(j + 1, height - 1), min(i + 1, width - 1)
    left, right = i, beside
    if is_mirrored:
        left, right = width - 1 - i, width - 1 - beside
    a00, a01, a10, a11 = plain[j, i], plain[j, beside], plain[below, i], plain[below, beside]
    b00, b01, b10, b11 = mirrored[j, left], mirrored[j, right], mirrored[below, left], mirrored[below, right]
    size = max(max(abs(a00), abs(a01)), max(abs(a10), abs(a11)))
    size += max(max(abs(b00), abs(b01)), max(abs(b10), abs(b11)))
    m00, m01, m10, m11 = a00 + b00, a01 + b01, a10 + b10, a11 + b11
    # Two neighbouring values err by less than SLACK * size each. The factor covers the sum's being twice the mean,
    # and the rounding of this very test.
    noise = np.float32(8) * SLACK * size
    y0, y1, x0, x1 = row_cell.start, row_cell.end, col_cell.start, col_cell.end
    trend = _trend(m01 - m00, m11 - m10, noise / col_gap)
    if trend > 0:
        x0 = col_cell.last_start
    elif trend < 0:
        x1 = col_cell.first_end
    trend = _trend(m10 - m00, m11 - m01, noise / row_gap)
    if trend > 0:
        y0 = row_cell.last_start
    elif trend < 0:
        y1 = row_cell.first_end
    return y0, y1, x0, x1


@njit(cache=True, nogil=True)
def _append(values, indices, count, value, index):  # type: ignore[no-untyped-def]
    """Append a pair to buffers that double when full; returns the buffers."""
    if count == len(values):
        longer_values = np.empty(2 * count, np.float32)
        longer_indices = np.empty(2 * count, np.int64)
        for place in range(count):  # assigned as a whole, they would take seconds to compile
            longer_values[place], longer_indices[place] = values[place], indices[place]
        values, indices = longer_values, longer_indices
    values[count] = value
    indices[count] = index
    return values, indices


@njit(cache=True, nogil=True)
def _hot_rows(ceiling, floor):  # type: ignore[no-untyped-def]
    """(h,) whether any ceiling of the row, or of the one below it, exceeds `floor`."""
    height, width = ceiling.shape
    hot = np.zeros(height, np.bool_)
    for j in range(height):
        above = 0
        for i in range(width):
            above += ceiling[j, i] > floor
        if above:
            hot[j] = True
            hot[max(j - 1, 0)] = True
    return hot


@njit(cache=True, nogil=True)
def _peaks_of_row(heat, is_mirrored, ceiling, cells, j, floor, radius, values, indices, count):  # type: ignore[no-untyped-def]
    """Append the peaks above `floor` in row j of cells. Returns the buffers and their count."""
    plain, mirrored, rows, cols, mirror_cols = heat
    row_cells, col_cells, row_gap, col_gap, reach = cells
    height, width = ceiling.shape
    below = min(j + 1, height - 1)
    row_cell = row_cells[j]
    for i in range(width):
        beside = min(i + 1, width - 1)
        if not (
            ceiling[j, i] > floor
            or ceiling[below, i] > floor
            or ceiling[j, beside] > floor
            or ceiling[below, beside] > floor
        ):
            continue
        col_cell = col_cells[i]
        y0, y1, x0, x1 = row_cell.start, row_cell.end, col_cell.start, col_cell.end
        if radius >= reach:
            y0, y1, x0, x1 = _candidates(plain, mirrored, is_mirrored, row_cell, col_cell, row_gap, col_gap, j, i)
        for y in range(y0, y1):
            for x in range(x0, x1):
                value = mean_value(plain, mirrored, rows, cols, mirror_cols, y, x)
                if value > floor and _is_peak(plain, mirrored, rows, cols, mirror_cols, y, x, value, radius):
                    values, indices = _append(values, indices, count, value, y * len(cols) + x)
                    count += 1
    return values, indices, count


@njit(cache=True, nogil=True)
def _peaks_above(heat, is_mirrored, ceiling, cells, floor, radius):  # type: ignore[no-untyped-def]
    """Values and flat indices of all peaks of one joint above `floor`, cell by cell."""
    values, indices = np.empty(256, np.float32), np.empty(256, np.int64)
    count = np.int64(0)
    hot = _hot_rows(ceiling, floor)
    for j in range(len(hot)):
        if hot[j]:
            values, indices, count = _peaks_of_row(
                heat, is_mirrored, ceiling, cells, j, floor, radius, values, indices, count
            )
    return values[:count], indices[:count]


@njit(cache=True, nogil=True)
def _suppressed(heat, index, radius):  # type: ignore[no-untyped-def]
    """The value at a flat index after non-maximum suppression: 0 if it is not a peak."""
    plain, mirrored, rows, cols, mirror_cols = heat
    y, x = index // len(cols), index % len(cols)
    value = mean_value(plain, mirrored, rows, cols, mirror_cols, y, x)
    if _is_peak(plain, mirrored, rows, cols, mirror_cols, y, x, value, radius):
        return value
    return np.float32(0)


@njit(cache=True, nogil=True)
def _order_of_torch(heat, is_mirrored, ceiling, cells, radius, values, indices):  # type: ignore[no-untyped-def]
    """Fill `values` and `indices` with the largest values after suppression, ordered as torch.topk does."""
    pixels = len(heat.rows) * len(heat.cols)
    for index in range(len(values)):
        values[index] = _suppressed(heat, index, radius)
        indices[index] = index
    heapify(values, indices)
    after = len(values)
    # While the smallest is negative, a suppressed pixel's 0 can enter. From then on only positive peaks can.
    while after < pixels and values[0] < 0:
        offer(values, indices, _suppressed(heat, after, radius), after)
        after += 1
    row_values, row_indices = np.empty(256, np.float32), np.empty(256, np.int64)
    for j in range(ceiling.shape[0]):
        # What does not exceed the smallest of the heap cannot change it.
        row_values, row_indices, count = _peaks_of_row(
            heat, is_mirrored, ceiling, cells, j, max(values[0], np.float32(0)), radius,
            row_values, row_indices, np.int64(0),
        )  # fmt: skip
        sort_by_index(row_values, row_indices, count)
        for place in range(count):
            if row_indices[place] >= after:
                offer(values, indices, row_values[place], row_indices[place])
    sort_heap(values, indices)


@njit(cache=True, nogil=True)
def highest_peaks(field, ceiling, cells, floor, radius, values, indices):  # type: ignore[no-untyped-def]
    """Fill `values` and `indices` (K, M) with each joint's highest peaks above `floor` >= 0, in descending order.

    `ceiling` (K, h, w) is that of `pose_field.ceilings`, `cells` those of rows and of columns; `indices` are flat,
    y * W + x. Returns (K,) how many there are of each joint.
    """
    joints, most = values.shape
    counts = np.zeros(joints, np.int64)
    pixels = len(field.rows) * len(field.cols)
    # One more than needed: whether the last one ties with the first left out must be seen.
    best_values, best_indices = np.empty(most + 1, np.float32), np.empty(most + 1, np.int64)
    for joint in range(joints):
        heat = planes(field, joint)
        peak_values, peak_indices = _peaks_above(heat, field.has_mirror, ceiling[joint], cells, floor, radius)
        count = np.int64(0)
        for place in range(len(peak_values)):
            count = insert_sorted(best_values, best_indices, count, peak_values[place], peak_indices[place])
        ties = False
        for place in range(1, count):
            ties |= best_values[place] == best_values[place - 1]
        count = min(count, most)
        for place in range(count):
            values[joint, place], indices[joint, place] = best_values[place], best_indices[place]
        if ties and _HEAP_WHEN * most <= pixels:
            _order_of_torch(heat, field.has_mirror, ceiling[joint], cells, radius, values[joint], indices[joint])
        counts[joint] = count
    return counts


@njit(cache=True, nogil=True)
def tags_at(field, indices, counts, tags):  # type: ignore[no-untyped-def]
    """Fill `tags` (K, M, L) with the upsampled tags at the first `counts[k]` flat `indices` (K, M) of joint k."""
    width = len(field.cols)
    for joint in range(len(counts)):
        tag = planes(field, joint)
        for place in range(counts[joint]):
            y, x = indices[joint, place] // width, indices[joint, place] % width
            tags[joint, place, 0] = blend(tag.plain, tag.rows, tag.cols, y, x)
            if field.has_mirror:
                tags[joint, place, 1] = blend(tag.mirrored, tag.rows, tag.mirror_cols, y, x)
