"""Reads pose maps at image resolution without upsampling them.

A network for bottom-up pose gives maps at a quarter of its input's resolution, and grouping works on maps
upsampled to the whole of it. A `Field` holds the small maps and the tables of the bilinear upsampling, so that
any upsampled value can be computed on demand: the same float32 value, bit for bit, as
`torch.nn.functional.interpolate` would have stored (see `bilinear`).

A field may also hold the maps of the mirrored image. They are read from right to left, so nothing is copied.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from densecast.kernels.bilinear import taps
from densecast.kernels.float32 import fma

# Six roundings lie between the small maps and an upsampled mean: they change it by less than 2**-21 of the weighted
# mean of the magnitudes that enter (subnormal values aside).
SLACK = np.float32(2.0**-20)

_HALF = np.float32(0.5)
# Larger maps than any network gives are refused with the infinite ones: their sums and costs would overflow.
LARGEST = np.float32(1e12)


# What one target row or column is blended from.
TAP = np.dtype([("first", np.int64), ("second", np.int64), ("weight0", np.float32), ("weight1", np.float32)])

Table = npt.NDArray[np.void]


class Field(NamedTuple):
    """Maps of K joints: `plain[channel[k]]`, and `mirrored[mirror_channel[k]]` read from right to left.

    `plain` and `mirrored` are (C, h, w) float32. `rows` and `cols`, of dtype `TAP`, say how each row and column of
    the H x W upsampled map is blended; `mirror_cols` does for the mirrored maps. Without a mirrored image
    (`has_mirror` False) the plain one takes its place, from left to right: the mean of a value and itself is that
    value, exactly.
    """

    plain: npt.NDArray[np.float32]
    mirrored: npt.NDArray[np.float32]
    has_mirror: bool
    channel: npt.NDArray[np.int64]
    mirror_channel: npt.NDArray[np.int64]
    rows: Table
    cols: Table
    mirror_cols: Table


class Planes(NamedTuple):
    """One joint of a field: (h, w) maps.

    Compiled loops over pixels unpack it first and hand single arrays on: taken out of a tuple inside the loop, each
    would be reference-counted at every pixel.
    """

    plain: npt.NDArray[np.float32]
    mirrored: npt.NDArray[np.float32]
    rows: Table
    cols: Table
    mirror_cols: Table


def field(
    plain: npt.NDArray[np.float32],
    mirrored: npt.NDArray[np.float32] | None,
    channel: npt.NDArray[np.int64],
    mirror_channel: npt.NDArray[np.int64],
    size_hw: tuple[int, int],
    align_corners: bool = False,
) -> Field:
    """The field of (C, h, w) maps read at `size_hw`."""
    height, width = plain.shape[1:]
    rows = table(height, size_hw[0], align_corners=align_corners)
    cols = table(width, size_hw[1], align_corners=align_corners)
    if mirrored is None:
        return Field(plain, plain, False, channel, channel, rows, cols, cols)
    mirror_cols = table(width, size_hw[1], is_mirrored=True, align_corners=align_corners)
    return Field(plain, mirrored, True, channel, mirror_channel, rows, cols, mirror_cols)


@lru_cache(maxsize=64)
def table(source: int, target: int, is_mirrored: bool = False, align_corners: bool = False) -> Table:
    """Taps for upsampling an axis from `source` to `target` pixels, mirrored or not: dtype `TAP`."""
    axis = taps(source, target, align_corners)
    blends = np.empty(target, TAP)
    blends["first"], blends["second"] = axis.first, axis.second
    if is_mirrored:
        blends["first"], blends["second"] = source - 1 - blends["first"], source - 1 - blends["second"]
    blends["weight0"], blends["weight1"] = axis.first_weight, axis.second_weight
    return blends


@njit(cache=True, nogil=True)
def planes(field, joint):  # type: ignore[no-untyped-def]
    """One joint of a field."""
    return Planes(
        field.plain[field.channel[joint]],
        field.mirrored[field.mirror_channel[joint]],
        field.rows,
        field.cols,
        field.mirror_cols,
    )


@njit(cache=True, nogil=True, forceinline=True)
def blend(plane, rows, cols, y, x):  # type: ignore[no-untyped-def]
    """The upsampled value of an (h, w) map at row y, column x: horizontally first, then vertically, as torch does."""
    row, col = rows[y], cols[x]
    top = fma(plane[row.first, col.first], col.weight0, plane[row.first, col.second] * col.weight1)
    bottom = fma(plane[row.second, col.first], col.weight0, plane[row.second, col.second] * col.weight1)
    return fma(top, row.weight0, bottom * row.weight1)


@njit(cache=True, nogil=True, forceinline=True)
def mean_value(plain, mirrored, rows, cols, mirror_cols, y, x):  # type: ignore[no-untyped-def]
    """The heatmap value: the mean of the plain and mirrored images' upsampled values, or the only one."""
    return (blend(plain, rows, cols, y, x) + blend(mirrored, rows, mirror_cols, y, x)) * _HALF


@njit(cache=True, nogil=True)
def _ceiling_row(a, b, is_mirrored, out):  # type: ignore[no-untyped-def]
    """Compute one row of `ceilings` from the rows of both images. Returns whether the values are in range."""
    width = len(a)
    beyond = 0
    for x in range(width):
        other = b[width - 1 - x] if is_mirrored else b[x]
        size = abs(a[x]) + abs(other)
        out[x] = (a[x] + other) * _HALF + size * SLACK
        beyond += not size <= LARGEST
    return beyond == 0


@njit(cache=True, nogil=True)
def ceilings(field, out):  # type: ignore[no-untyped-def]
    """Fill `out` (K, h, w) with upper bounds: no upsampled mean exceeds the largest of the four around it.

    Returns whether every value is finite and at most `LARGEST`; if not, `out` means nothing.
    """
    joints, height, _ = out.shape
    for joint in range(joints):
        channel, mirror_channel = field.channel[joint], field.mirror_channel[joint]
        for y in range(height):
            a, b = field.plain[channel, y], field.mirrored[mirror_channel, y]
            if not _ceiling_row(a, b, field.has_mirror, out[joint, y]):
                return False
    return True


@njit(cache=True, nogil=True)
def _plane_is_in_range(plane):  # type: ignore[no-untyped-def]
    """Whether (h, w) values are in range throughout."""
    beyond = 0
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            beyond += not abs(plane[y, x]) <= LARGEST
    return beyond == 0


@njit(cache=True, nogil=True)
def is_in_range(field):  # type: ignore[no-untyped-def]
    """Whether every value of every joint's maps is finite and at most `LARGEST`."""
    for joint in range(len(field.channel)):
        if not _plane_is_in_range(field.plain[field.channel[joint]]):
            return False
        if field.has_mirror and not _plane_is_in_range(field.mirrored[field.mirror_channel[joint]]):
            return False
    return True
