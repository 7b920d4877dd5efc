"""Source indices and weights of bilinear resizing, as in torch.

`torch.nn.functional.interpolate(mode="bilinear")` without antialiasing is separable: each axis has its own
table of taps. On a CPU, for contiguous float32 input, torch computes

    along a row      t(y) = fma(v[y, x0], wx0, v[y, x1] * wx1)
    down the column  fma(t(y0), wy0, t(y1) * wy1)

each product and each fused multiply-add rounded once, and the source coordinate with one rounding as well.
Established by comparing bits with torch 2.13 (AVX2 and AVX-512 code paths; its fall-back for processors
without fused multiply-add differs in the last bit). Torch has a second path, four products per pixel, which
differs in the last bit too; it is taken for targets with height + width <= 128, for channels-last tensors of
more than three channels, and for tensors of exactly three channels when torch runs on one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError

MAX_PIXELS = 2**28
MAX_SIDE = 2**16
MAX_RESIZES = 2


class Taps(NamedTuple):
    """Taps of one axis: target i is `first[i] * first_weight[i] + second[i] * second_weight[i]`.

    Named tuples, because compiled code takes them as they are. The indices are unsigned, so that it need not
    allow for negative ones.
    """

    first: npt.NDArray[np.uint32]
    second: npt.NDArray[np.uint32]
    first_weight: npt.NDArray[np.float32]
    second_weight: npt.NDArray[np.float32]


class Resize(NamedTuple):
    """Taps of both axes of one resize."""

    rows: Taps
    cols: Taps


class Plan(NamedTuple):
    """One or two consecutive resizes: `early` (empty tables if there is only one), then `late`."""

    early: Resize
    late: Resize


class Stretch(NamedTuple):
    """A plan for a range of target columns, with tables relative to the first source column that they read."""

    plan: Plan
    source_begin: int
    source_end: int


def taps(source: int, target: int, align_corners: bool) -> Taps:
    """Compute the taps that resize an axis of `source` pixels to `target` pixels.

    Pixel centres are at +0.5, or, with `align_corners`, the first and the last pixels of both grids coincide.
    """
    positions = np.arange(target, dtype=np.float64)
    if source == target:
        first = positions.astype(np.int64)
        second_weight = np.zeros(target, np.float32)
    else:
        # The float64 product of two float32 numbers is exact: one rounding, in astype.
        if align_corners:
            scale = np.float32(source - 1) / np.float32(max(target - 1, 1))
            coordinate = (np.float64(scale if target > 1 else 0) * positions).astype(np.float32)
        else:
            scale = np.float32(source) / np.float32(target)
            coordinate = (np.float64(scale) * (positions + 0.5) - 0.5).astype(np.float32)
        coordinate = np.maximum(coordinate, np.float32(0))
        first = np.minimum(coordinate.astype(np.int64), source - 1)
        second_weight = np.clip(coordinate - first.astype(np.float32), np.float32(0), np.float32(1))
    second = np.minimum(first + (second_weight > 0), source - 1)
    return Taps(first.astype(np.uint32), second.astype(np.uint32), np.float32(1) - second_weight, second_weight)


def plan(
    size_hw: tuple[int, int],
    sizes_hw: Sequence[tuple[int, int]],
    align_corners: bool,
    crop_hw: tuple[int, int] | None = None,
) -> Plan | None:
    """Plan resizing `size_hw` to each of `sizes_hw` in turn; None if nothing changes.

    A resize to equal size is exactly the identity, and is left out. Of what the first of `sizes_hw` leads to, only the
    upper left `crop_hw` is used.

    Raises:
        BadShapeError: an empty or enormous size, a crop of nothing or beyond the first size, or more than two resizes.
    """
    steps = []
    for index, target_hw in enumerate(sizes_hw):
        check_size(target_hw)
        target_hw = (int(target_hw[0]), int(target_hw[1]))
        cropped_hw = target_hw if index or crop_hw is None else (int(crop_hw[0]), int(crop_hw[1]))
        if target_hw != size_hw or cropped_hw != target_hw:
            if not all(0 < cropped <= whole for cropped, whole in zip(cropped_hw, target_hw, strict=True)):
                raise BadShapeError(f"a crop must be 1 to {target_hw} pixels high and wide, got {cropped_hw}.")
            axes = zip(size_hw, target_hw, cropped_hw, strict=True)
            steps.append(
                Resize(*(_picked(taps(have, want, align_corners), slice(cropped)) for have, want, cropped in axes))
            )
        size_hw = cropped_hw
    if len(steps) > MAX_RESIZES:
        raise BadShapeError(f"at most {MAX_RESIZES} resizes can follow each other, got {len(steps)}.")
    if not steps:
        return None
    if len(steps) == 1:
        nothing = taps(0, 0, align_corners)
        return Plan(Resize(nothing, nothing), steps[0])
    return Plan(*steps)


def resize_planes(
    planes: npt.NDArray[np.float32], size_hw: tuple[int, int], *, align_corners: bool = False
) -> npt.NDArray[np.float32]:
    """(C, h, w) float32 -> (C, *size_hw), the array itself if the size is right; within an ulp of torch's.

    For the few cases that need the resized values; the labels' kernels do not make them.

    Raises:
        BadShapeError: planes of no pixels, or a size as of `check_size`.
    """
    check_size(size_hw)
    if planes.ndim != 3 or 0 in planes.shape[1:]:
        raise BadShapeError(f"planes must be (C, h, w) of at least one pixel, got {planes.shape}.")
    if planes.shape[1:] == size_hw:
        return planes
    rows, cols = (taps(have, want, align_corners) for have, want in zip(planes.shape[1:], size_hw, strict=True))
    across = planes[:, :, cols.first] * cols.first_weight + planes[:, :, cols.second] * cols.second_weight
    down = across[:, rows.first] * rows.first_weight[:, None] + across[:, rows.second] * rows.second_weight[:, None]
    return np.ascontiguousarray(down, dtype=np.float32)


def check_size(size_hw: tuple[int, int]) -> None:
    """Check a size to resize to.

    Raises:
        BadShapeError: empty, longer than `MAX_SIDE`, or more than `MAX_PIXELS`.
    """
    fits = len(size_hw) == 2 and min(size_hw) >= 1 and max(size_hw) <= MAX_SIDE
    if not fits or int(size_hw[0]) * int(size_hw[1]) > MAX_PIXELS:
        raise BadShapeError(
            f"a size must be (height, width), each 1 to {MAX_SIDE}, at most {MAX_PIXELS} pixels, got {size_hw}."
        )


def unchanged(size_hw: tuple[int, int]) -> Plan:
    """The identity plan, for callers that need tables in any case."""
    nothing = taps(0, 0, False)
    return Plan(Resize(nothing, nothing), Resize(*(taps(length, length, False) for length in size_hw)))


def stretch(whole: Plan, begin: int, end: int) -> Stretch:
    """Restrict `whole` to target columns `begin` to `end`; drops intermediate columns that none of them reads."""
    early, late = whole
    late_cols = _picked(late.cols, slice(begin, end))
    read = np.unique(np.concatenate([late_cols.first, late_cols.second]))
    if early.cols.first.size == 0:
        source_begin, source_end = int(read[0]), int(read[-1]) + 1
        return Stretch(Plan(early, Resize(late.rows, _shifted(late_cols, source_begin))), source_begin, source_end)
    late_cols = late_cols._replace(
        first=np.searchsorted(read, late_cols.first).astype(np.uint32),
        second=np.searchsorted(read, late_cols.second).astype(np.uint32),
    )
    early_cols = _picked(early.cols, read)
    source_begin, source_end = int(early_cols.first[0]), int(early_cols.second[-1]) + 1
    return Stretch(
        Plan(Resize(early.rows, _shifted(early_cols, source_begin)), Resize(late.rows, late_cols)),
        source_begin,
        source_end,
    )


def _picked(axis: Taps, which: slice | npt.NDArray[np.uint32]) -> Taps:
    """The taps of a slice of the target rows or columns."""
    return Taps(axis.first[which], axis.second[which], axis.first_weight[which], axis.second_weight[which])


def _shifted(cols: Taps, origin: int) -> Taps:
    """The same taps, relative to source column `origin`."""
    return cols._replace(first=cols.first - np.uint32(origin), second=cols.second - np.uint32(origin))
