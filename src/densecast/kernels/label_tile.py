"""Labels one tile of the target: fills in the pixels whose label is certain and computes the others.

A tile is some columns of some rows. Its target rows that read the same two source rows form a group. Where
all pixels that a target pixel reads have the same argmax, its label is written down (`label_uniform`); each run
of others is computed (`label_argmax`): along the columns once for the group, down the rows for each target
row. Memory beyond the output: four rows of low-resolution labels, and two rows of blended logits, as wide as
the tile.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from densecast.kernels.bilinear import Plan
from densecast.kernels.label_argmax import (
    argmax_run,
    blend_once,
    blend_twice,
    candidates,
    negligible,
    winner_probability,
)
from densecast.kernels.label_uniform import (
    ROWS_READ,
    UNSURE,
    Float32,
    Index,
    Indices,
    Int32,
    UInt32,
    argmax_row,
    argmax_row_or_unsure,
    next_run,
    uniform_over_cols,
    uniform_over_rows,
)

# Compiled for each of the two types.
Labels = npt.NDArray[np.uint8 | np.uint16]

_ONE = np.uintp(1)
_NO_ROW = np.uintp(2**63)


@njit(cache=True, nogil=True)
def label_unresized(logits: Float32, bits: Int32, first_row: Index, last_row: Index, labels: Labels) -> bool:
    """Write the labels of rows `first_row` to `last_row` of logits that keep their size; see `label_tile`."""
    width = np.uintp(labels.shape[1])
    best = np.empty(width, np.float32)
    below = np.empty(width, np.float32)
    label = np.empty(width, np.int32)
    for y in range(first_row, last_row):
        if not argmax_row(logits, bits, y, np.uintp(0), width, best, label, below):
            return False
        for x in range(width):
            labels[y, x] = label[x]
    return True


@njit(cache=True, nogil=True)
def cache_rows(
    logits: Float32,
    bits: Int32,
    origin: Index,
    rows: Indices,
    cached: npt.NDArray[np.int64],
    row_labels: Int32,
    slots: Indices,
    best: Float32,
    below: Float32,
) -> bool:
    """Compute the labels of those `rows` that are not cached yet; `slots` becomes where each one is.

    A row not cached replaces the smallest. That one is no longer needed: targets read ever larger rows, never
    more than `ROWS_READ` at once. Returns whether all logits read are finite.
    """
    for i in range(rows.size):
        slot = 0
        for other in range(ROWS_READ):
            if cached[other] == np.int64(rows[i]):
                slot = other
                break
            if cached[other] < cached[slot]:
                slot = other
        slots[i] = slot
        if cached[slot] != np.int64(rows[i]):
            cached[slot] = rows[i]
            if not argmax_row_or_unsure(logits, bits, rows[i], origin, best, row_labels, slots[i], below):
                return False
    return True


@njit(cache=True, nogil=True)
def group_end(first: UInt32, second: UInt32, y: Index, last: Index) -> Index:
    """One past the last target row, below `last`, that reads the same two rows as `y`."""
    end = y + _ONE
    while end < last and first[end] == first[y] and second[end] == second[y]:
        end += _ONE
    return end


@njit(cache=True, nogil=True)
def label_tile(
    logits: Float32,
    bits: Int32,
    origin: Index,
    source_width: Index,
    plan: Plan,
    first_row: Index,
    last_row: Index,
    first_col: Index,
    labels: Labels,
    probability: Float32,
) -> bool:
    """Write the labels of target rows `first_row` to `last_row`; the plan's columns go to `first_col` and on.

    `logits` (C, h, w) float32, `bits` the same as int32; `source_width` of their columns from `origin` on are
    read, and the columns of `plan` count from there. `labels` is (H, W) uint8 or uint16; `probability`, (H, W) float32,
    receives the winners' softmax probability, or is empty and stays so. Returns whether all logits read are
    finite.
    """
    early, late = plan
    row_1, row_2, row_weight_1, row_weight_2 = late.rows
    col_1, col_2, col_weight_1, col_weight_2 = late.cols
    early_row_1, early_row_2, early_row_weight_1, early_row_weight_2 = early.rows
    early_col_1, early_col_2, early_col_weight_1, early_col_weight_2 = early.cols
    twice = early_row_1.size > 0
    scored = probability.size > 0
    every = np.uintp(logits.shape[0])
    width = np.uintp(col_1.size)

    cached = np.full(ROWS_READ, -1, np.int64)
    rows = np.empty(ROWS_READ if twice else 2, np.uintp)
    slots = np.empty(rows.size, np.uintp)
    row_labels = np.empty((ROWS_READ, source_width), np.int32)
    uniform = np.empty(source_width, np.int32)
    uniform_early = np.empty(early_col_1.size, np.int32)
    decided = np.full(width, UNSURE, np.int32)
    best = np.empty(max(source_width, width), np.float32)
    below = np.empty(best.size, np.float32)
    label = np.empty(width, np.int32)
    line = np.empty(early_col_1.size, np.float32)
    blended = np.empty((2, every, width), np.float32)
    classes = np.empty(every, np.uintp)
    lows = np.empty(every, np.float32)
    highs = np.empty(every, np.float32)
    slack = negligible(every) if scored else np.float32(0.0)
    # The source row of which plane `1 - upper` of `blended` holds every class and column.
    blended_row = _NO_ROW
    upper = np.uintp(0)

    y = first_row
    while y < last_row:
        end_row = group_end(row_1, row_2, y, last_row)
        first = np.uintp(row_1[y])
        second = np.uintp(row_2[y])
        if twice:
            rows[0], rows[1] = early_row_1[first], early_row_2[first]
            rows[2], rows[3] = early_row_1[second], early_row_2[second]
        else:
            rows[0], rows[1] = first, second
        if not cache_rows(logits, bits, origin, rows, cached, row_labels, slots, best, below):
            return False
        if not scored:
            uniform_over_rows(row_labels, slots, uniform)
            if twice:
                uniform_over_cols(uniform, early_col_1, early_col_2, uniform_early)
                uniform_over_cols(uniform_early, col_1, col_2, decided)
            else:
                uniform_over_cols(uniform, col_1, col_2, decided)
            for k in range(y, end_row):
                for x in range(width):
                    labels[k, first_col + x] = decided[x]

        begin, end = next_run(decided, np.uintp(0))
        while begin < width:
            size = end - begin
            near = np.uintp(col_1[begin])
            far = np.uintp(col_2[end - _ONE])
            if twice:
                near = np.uintp(early_col_1[near])
                far = np.uintp(early_col_2[far])
            # Reading every column between would cost more than computing every class where most are skipped.
            if far - near <= size + size:
                count = candidates(logits, rows, origin + near, origin + far + _ONE, slack, lows, highs, classes)
            else:
                count = every
                for i in range(every):
                    classes[i] = i

            whole = size == width and count == every
            reuse = whole and blended_row == first
            if reuse:
                upper = _ONE - upper
            for half in range(_ONE if reuse else np.uintp(0), np.uintp(2)):
                row = second if half == _ONE else first
                plane = _ONE - upper if half == _ONE else upper
                if twice:
                    blend_twice(
                        logits,
                        np.uintp(early_row_1[row]),
                        np.uintp(early_row_2[row]),
                        early_row_weight_1[row],
                        early_row_weight_2[row],
                        origin,
                        early_col_1,
                        early_col_2,
                        early_col_weight_1,
                        early_col_weight_2,
                        col_1,
                        col_2,
                        col_weight_1,
                        col_weight_2,
                        begin,
                        size,
                        classes,
                        count,
                        line,
                        blended,
                        plane,
                    )
                else:
                    blend_once(
                        logits,
                        row,
                        origin,
                        col_1,
                        col_2,
                        col_weight_1,
                        col_weight_2,
                        begin,
                        size,
                        classes,
                        count,
                        blended,
                        plane,
                    )
            blended_row = second if whole else _NO_ROW

            for k in range(y, end_row):
                weight_1 = row_weight_1[k]
                weight_2 = row_weight_2[k]
                argmax_run(blended, upper, weight_1, weight_2, classes, count, size, best, label)
                for x in range(size):
                    labels[k, first_col + begin + x] = label[x]
                if scored:
                    winner_probability(blended, upper, weight_1, weight_2, count, size, best, below)
                    for x in range(size):
                        probability[k, first_col + begin + x] = below[x]
            begin, end = next_run(decided, end)
        y = end_row
    return True
