"""Refines grouped people: quarter-pixel shifts, and positions for missing joints.

A missing joint is put where its heatmap is highest after taking off the rounded distance between the pixel's tags
and the person's mean tag (MMPose 0.29.0, `HeatmapParser.adjust` and `refine`). The search is exact, the first of
equal maxima wins, and nearly all of the map is ruled out first: within a tile no pixel can exceed the tile's
highest ceiling less the rounded distance from the mean tag to the box that holds all of the tile's tags. Tiles
that survive are cut into smaller ones, and only the pixels of those that survive again are computed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from densecast.kernels.pose_field import SLACK, Table, blend, mean_value, planes
from densecast.kernels.pose_grouping import mean_tag

_QUARTER = np.float32(0.25)
_HALF = np.float32(0.5)
_NEVER = np.float32(-np.inf)
# A distance is computed with a few roundings; this is on the safe side of them.
_SHRINK = 1.0 - 1e-5
# Target pixels along the side of a tile, about.
_TILE_PX = 16


# The target pixels `start` to `end` between a pixel of the tag maps and the next one, and the heatmap pixels
# that they read, `low` to `high` inclusive.
_CELL = np.dtype([(name, np.int64) for name in ("start", "end", "low", "high")])


class Tiling(NamedTuple):
    """Both axes' cells; row of tiles t is the rows of cells `row_edges[t]` to `row_edges[t + 1]`."""

    rows: Table
    cols: Table
    row_edges: npt.NDArray[np.int64]
    col_edges: npt.NDArray[np.int64]


def tiling(heat_rows: Table, heat_cols: Table, tag_rows: Table, tag_cols: Table, tag_hw: tuple[int, int]) -> Tiling:
    """The tiles of maps upsampled by these tables, the tags from `tag_hw`."""
    rows, row_edges = _axis_tiling(heat_rows, tag_rows, tag_hw[0])
    cols, col_edges = _axis_tiling(heat_cols, tag_cols, tag_hw[1])
    return Tiling(rows, cols, row_edges, col_edges)


def _axis_tiling(heat: Table, tag: Table, tag_pixels: int) -> tuple[Table, npt.NDArray[np.int64]]:
    target = len(tag)
    edges = np.searchsorted(tag["first"], np.arange(tag_pixels + 1))
    table = np.empty(tag_pixels, _CELL)
    table["start"], table["end"] = edges[:-1], edges[1:]
    # A cell without target pixels (where maps are made smaller) reads some pixel, which does no harm.
    table["low"] = heat["first"][np.minimum(edges[:-1], target - 1)]
    table["high"] = np.maximum(table["low"], heat["second"][np.maximum(edges[1:] - 1, 0)])
    cells_in_tile = max(1, round(_TILE_PX * tag_pixels / target))
    return table, np.append(np.arange(0, tag_pixels, cells_in_tile), tag_pixels)


@njit(cache=True, nogil=True)
def _quarter_shift(heat, y, x):  # type: ignore[no-untyped-def]
    """-0.25 or +0.25 for x and for y: towards the larger neighbour, negative if they are equal."""
    plain, mirrored, rows, cols, mirror_cols = heat
    above, below = max(0, y - 1), min(len(rows) - 1, y + 1)
    left, right = max(0, x - 1), min(len(cols) - 1, x + 1)
    slope_x = mean_value(plain, mirrored, rows, cols, mirror_cols, y, right) > mean_value(
        plain, mirrored, rows, cols, mirror_cols, y, left
    )
    slope_y = mean_value(plain, mirrored, rows, cols, mirror_cols, below, x) > mean_value(
        plain, mirrored, rows, cols, mirror_cols, above, x
    )
    return _QUARTER if slope_x else -_QUARTER, _QUARTER if slope_y else -_QUARTER


@njit(cache=True, nogil=True)
def adjust(field, people):  # type: ignore[no-untyped-def]
    """Move every detected joint of (P, K, 3) people to its pixel's centre and a quarter towards the larger side."""
    for joint in range(people.shape[1]):
        heat = planes(field, joint)
        for person in range(people.shape[0]):
            if people[person, joint, 2] > 0:
                x, y = np.int64(people[person, joint, 0]), np.int64(people[person, joint, 1])
                shift_x, shift_y = _quarter_shift(heat, y, x)
                people[person, joint, 0] += shift_x + _HALF
                people[person, joint, 1] += shift_y + _HALF


@njit(cache=True, nogil=True)
def _tile_ceilings(ceiling, tiles, out):  # type: ignore[no-untyped-def]
    """Fill `out` (ny, nx) with the largest ceiling that each tile's pixels are blended from."""
    rows, cols, row_edges, col_edges = tiles
    width = ceiling.shape[1]
    column = np.empty(width, np.float32)
    for ty in range(out.shape[0]):
        column[:] = _NEVER
        for y in range(rows[row_edges[ty]].low, rows[row_edges[ty + 1] - 1].high + 1):
            for x in range(width):
                value = ceiling[y, x]
                column[x] = value if value > column[x] else column[x]
        for tx in range(out.shape[1]):
            highest = _NEVER
            for x in range(cols[col_edges[tx]].low, cols[col_edges[tx + 1] - 1].high + 1):
                highest = max(highest, column[x])
            out[ty, tx] = highest


@njit(cache=True, nogil=True)
def _tile_ranges(plane, is_mirrored, row_edges, col_edges, least, most):  # type: ignore[no-untyped-def]
    """Fill `least` and `most` (ny, nx) with the range of each tile's tags, widened by the slack."""
    height, width = plane.shape
    low, high = np.empty(width, np.float32), np.empty(width, np.float32)
    for ty in range(least.shape[0]):
        # Element by element: to assign arrays, texts are compiled of errors that cannot be, which takes seconds.
        for x in range(width):
            low[x] = plane[row_edges[ty], x]
            high[x] = low[x]
        for y in range(row_edges[ty] + 1, min(row_edges[ty + 1], height - 1) + 1):
            for x in range(width):
                value = plane[y, x]
                low[x] = value if value < low[x] else low[x]
                high[x] = value if value > high[x] else high[x]
        for tx in range(least.shape[1]):
            first, last = col_edges[tx], min(col_edges[tx + 1], width - 1)
            if is_mirrored:
                first, last = width - 1 - last, width - 1 - first
            smallest, largest = low[first], high[first]
            for x in range(first + 1, last + 1):
                smallest = min(smallest, low[x])
                largest = max(largest, high[x])
            slack = SLACK * max(abs(smallest), abs(largest))
            least[ty, tx] = smallest - slack
            most[ty, tx] = largest + slack


@njit(cache=True, nogil=True, forceinline=True)
def _squared_gap(least, most, mean):  # type: ignore[no-untyped-def]
    """The square of the distance from `mean` to the interval from `least` to `most`."""
    gap = max(np.float64(least) - np.float64(mean), np.float64(mean) - np.float64(most))
    return gap * gap if gap > 0 else 0.0


@njit(cache=True, nogil=True, forceinline=True)
def _least_penalty(squared_gap):  # type: ignore[no-untyped-def]
    """Lower bound of the penalty at no less than this distance from the mean tag."""
    return np.float32(np.rint(np.sqrt(squared_gap) * _SHRINK))


@njit(cache=True, nogil=True, forceinline=True)
def _squared_gap_of_cell(plane, j, below, i, beside, mean):  # type: ignore[no-untyped-def]
    """`_squared_gap` for the tags blended from four pixels."""
    a, b, c, d = plane[j, i], plane[j, beside], plane[below, i], plane[below, beside]
    least, most = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
    slack = SLACK * max(abs(least), abs(most))
    return _squared_gap(least - slack, most + slack, mean)


@njit(cache=True, nogil=True, forceinline=True)
def _search_tile(heat, tag, has_mirror, ceiling, mean, tiles, ty, tx, best, place):  # type: ignore[no-untyped-def]
    """Search tile (ty, tx); returns the best score so far and its flat index."""
    heat_plain, heat_mirrored, heat_rows, heat_cols, heat_mirror_cols = heat
    tag_plain, tag_mirrored, tag_rows, tag_cols, tag_mirror_cols = tag
    rows, cols, row_edges, col_edges = tiles
    height, width = tag_plain.shape
    target_width = len(heat_cols)
    for j in range(row_edges[ty], row_edges[ty + 1]):
        row, below = rows[j], min(j + 1, height - 1)
        for i in range(col_edges[tx], col_edges[tx + 1]):
            col, beside = cols[i], min(i + 1, width - 1)
            highest = _NEVER
            for y in range(row.low, row.high + 1):
                for x in range(col.low, col.high + 1):
                    highest = max(highest, ceiling[y, x])
            # The penalty is never negative.
            if highest < best:
                continue
            squared = _squared_gap_of_cell(tag_plain, j, below, i, beside, mean[0])
            if has_mirror:
                left, right = width - 1 - i, width - 1 - beside
                squared += _squared_gap_of_cell(tag_mirrored, j, below, left, right, mean[1])
            penalty = _least_penalty(squared)
            bound = highest - penalty
            if bound < best or (bound == best and row.start * target_width + col.start > place):
                continue
            for y in range(row.start, row.end):
                for x in range(col.start, col.end):
                    value = mean_value(heat_plain, heat_mirrored, heat_rows, heat_cols, heat_mirror_cols, y, x)
                    if value - penalty < best:
                        continue
                    difference = blend(tag_plain, tag_rows, tag_cols, y, x) - mean[0]
                    distance = difference * difference
                    if has_mirror:
                        difference = blend(tag_mirrored, tag_rows, tag_mirror_cols, y, x) - mean[1]
                        distance += difference * difference
                    score = value - np.rint(np.sqrt(distance))
                    index = y * target_width + x
                    if score > best or (score == best and index < place):
                        best, place = score, index
    return best, place


@njit(cache=True, nogil=True)
def _best_place(heat, tag, has_mirror, ceiling, mean, tiles, highest, least, most, bounds):  # type: ignore[no-untyped-def]
    """The flat index of the first maximum of heatmap minus penalty.

    `highest`, `least` and `most` bound the tiles; `bounds` (ny, nx) is written to.
    """
    rows, cols, row_edges, col_edges = tiles
    target_width = len(heat.cols)
    first_y, first_x = 0, 0
    for ty in range(bounds.shape[0]):
        for tx in range(bounds.shape[1]):
            squared = _squared_gap(least[0, ty, tx], most[0, ty, tx], mean[0])
            if has_mirror:
                squared += _squared_gap(least[1, ty, tx], most[1, ty, tx], mean[1])
            bounds[ty, tx] = highest[ty, tx] - _least_penalty(squared)
            if bounds[ty, tx] > bounds[first_y, first_x]:
                first_y, first_x = ty, tx
    best, place = _NEVER, len(heat.rows) * target_width
    # The most promising tile first: it usually rules out nearly all others.
    for turn in range(bounds.size + 1):
        ty, tx = first_y, first_x
        if turn > 0:
            ty, tx = (turn - 1) // bounds.shape[1], (turn - 1) % bounds.shape[1]
            bound = bounds[ty, tx]
            corner = rows[row_edges[ty]].start * target_width + cols[col_edges[tx]].start
            if bound < best or (bound == best and corner > place) or (ty == first_y and tx == first_x):
                continue
        best, place = _search_tile(heat, tag, has_mirror, ceiling, mean, tiles, ty, tx, best, place)
    return place


@njit(cache=True, nogil=True)
def _mean_tags(field, people, out):  # type: ignore[no-untyped-def]
    """Fill `out` (P, L) with each person's mean tag, read at the current positions of the detected joints."""
    height, width = len(field.rows), len(field.cols)
    persons, joints, _ = people.shape
    at_joints = np.empty((persons, joints, out.shape[1]), np.float32)
    counts = np.zeros(persons, np.int64)
    for joint in range(joints):
        tag = planes(field, joint)
        for person in range(persons):
            if people[person, joint, 2] > 0:
                x = min(max(np.int64(people[person, joint, 0]), 0), width - 1)
                y = min(max(np.int64(people[person, joint, 1]), 0), height - 1)
                at_joints[person, counts[person], 0] = blend(tag.plain, tag.rows, tag.cols, y, x)
                if field.has_mirror:
                    at_joints[person, counts[person], 1] = blend(tag.mirrored, tag.rows, tag.mirror_cols, y, x)
                counts[person] += 1
    for person in range(persons):
        mean_tag(at_joints[person, : counts[person]], out[person])


@njit(cache=True, nogil=True)
def fill_missing(heat_field, tag_field, ceilings, tiles, people, centre=_HALF):  # type: ignore[no-untyped-def]
    """Place every missing joint of (P, K, 3) people at the best position of its maps, if the value is above 0.

    `centre`, float32, is where a pixel's centre lies in it: 0.5, or 0 where places count from the first centre.
    """
    has_mirror = tag_field.has_mirror
    width = len(heat_field.cols)
    length = 2 if has_mirror else 1
    size = (len(tiles.row_edges) - 1, len(tiles.col_edges) - 1)
    means = np.empty((len(people), length), np.float32)
    _mean_tags(tag_field, people, means)
    highest, bounds = np.empty(size, np.float32), np.empty(size, np.float32)
    least = np.empty((length, size[0], size[1]), np.float32)
    most = np.empty((length, size[0], size[1]), np.float32)
    for joint in range(people.shape[1]):
        missing = 0
        for person in range(len(people)):
            missing += people[person, joint, 2] == 0
        if missing == 0:
            continue
        heat, tag, ceiling = planes(heat_field, joint), planes(tag_field, joint), ceilings[joint]
        _tile_ceilings(ceiling, tiles, highest)
        _tile_ranges(tag.plain, np.bool_(False), tiles.row_edges, tiles.col_edges, least[0], most[0])
        if has_mirror:
            _tile_ranges(tag.mirrored, np.bool_(True), tiles.row_edges, tiles.col_edges, least[1], most[1])
        for person in range(len(people)):
            if people[person, joint, 2] != 0:
                continue
            place = _best_place(heat, tag, has_mirror, ceiling, means[person], tiles, highest, least, most, bounds)
            y, x = place // width, place % width
            value = mean_value(heat.plain, heat.mirrored, heat.rows, heat.cols, heat.mirror_cols, y, x)
            if value > 0:
                shift_x, shift_y = _quarter_shift(heat, y, x)
                people[person, joint, 0] = np.float32(x) + (shift_x + centre)
                people[person, joint, 1] = np.float32(y) + (shift_y + centre)
                people[person, joint, 2] = value
