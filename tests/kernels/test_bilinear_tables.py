"""Tables of bilinear resizing against exact fractions: every pair of sizes, borders, parts and refusals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from densecast.errors import BadShapeError
from densecast.kernels import bilinear

SIDES = (1, 2, 3, 4, 5, 8, 13, 31)


def exact_place(source: int, target: int, index: int, align_corners: bool) -> Fraction:
    """Where a target pixel's centre lies among the centres of the source pixels."""
    if source == target:
        return Fraction(index)
    if align_corners:
        return Fraction(index * (source - 1), target - 1) if target > 1 else Fraction(0)
    place = (index + Fraction(1, 2)) * Fraction(source, target) - Fraction(1, 2)
    return max(Fraction(0), min(place, Fraction(source - 1)))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("source", SIDES)
def test_taps_are_the_two_neighbours_with_their_shares(source: int, align_corners: bool) -> None:
    for target in SIDES:
        taps = bilinear.taps(source, target, align_corners)
        assert [each.dtype for each in taps] == [np.uint32] * 2 + [np.float32] * 2
        for index in range(target):
            first, second, first_weight, second_weight = (each[index].item() for each in taps)
            exact = exact_place(source, target, index, align_corners)
            # A float32 coordinate below 32 is off by 2**-20 at most.
            assert abs(first * first_weight + second * second_weight - float(exact)) < 2e-6
            assert first_weight + second_weight == pytest.approx(1, abs=1e-7) and 0 <= second_weight <= 1
            # A pixel that lies on a pixel of the source reads that one alone.
            assert second == first if second_weight == 0 else second == min(first + 1, source - 1)


def resized(values: np.ndarray, size_hw: tuple[int, int], align_corners: bool) -> np.ndarray:
    """(C, h, w) in float64, by full matrices of weights."""
    for axis, target in ((1, size_hw[0]), (2, size_hw[1])):
        source = values.shape[axis]
        matrix = np.zeros((target, source))
        for index in range(target):
            place = exact_place(source, target, index, align_corners)
            low = int(place)
            matrix[index, low] += float(1 - (place - low))
            matrix[index, min(low + 1, source - 1)] += float(place - low)
        values = np.moveaxis(np.tensordot(values, matrix, axes=([axis], [1])), -1, axis)
    return values


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size_hw", [(5, 7), (2, 2), (1, 1), (9, 3), (4, 16), (20, 1)])
def test_planes_are_resized_as_defined(size_hw: tuple[int, int], align_corners: bool) -> None:
    planes = np.random.default_rng(0).normal(size=(2, 5, 7)).astype(np.float32)
    found = bilinear.resize_planes(planes, size_hw, align_corners=align_corners)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_allclose(found, resized(planes.astype(np.float64), size_hw, align_corners), atol=1e-5)
    assert bilinear.resize_planes(planes, (5, 7)) is planes
    for wrong in (planes[0], planes[:, :0], planes[:, :, :0]):
        with pytest.raises(BadShapeError, match="planes"):
            bilinear.resize_planes(wrong, size_hw)


@pytest.mark.parametrize("sizes_hw", [[(9, 40)], [(9, 13), (20, 37)], [(3, 5), (20, 37)], [(30, 64), (4, 9)]])
def test_blocks_of_columns_read_what_the_whole_reads_and_nothing_else(sizes_hw: list[tuple[int, int]]) -> None:
    whole = bilinear.plan((6, 23), sizes_hw, False)
    assert whole is not None
    width = sizes_hw[-1][1]
    for begin, end in ((0, 4), (4, 9), (width - 3, width), (0, width)):
        part = bilinear.stretch(whole, begin, end)
        early, late = part.plan
        assert [each.tolist() for each in late.rows] == [each.tolist() for each in whole.late.rows]
        wanted = whole.late.cols
        for mine, theirs in zip(late.cols[2:], wanted[2:], strict=True):
            assert mine.tolist() == theirs[begin:end].tolist()
        read = sorted({*wanted.first[begin:end].tolist(), *wanted.second[begin:end].tolist()})
        if len(sizes_hw) == 1:
            assert (late.cols.first + part.source_begin).tolist() == wanted.first[begin:end].tolist()
            assert (late.cols.second + part.source_begin).tolist() == wanted.second[begin:end].tolist()
        else:  # of the columns between the two resizes those that are read are numbered anew
            assert [read[each] for each in late.cols.first] == wanted.first[begin:end].tolist()
            assert [read[each] for each in late.cols.second] == wanted.second[begin:end].tolist()
            middle = whole.early.cols
            assert (early.cols.first + part.source_begin).tolist() == middle.first[read].tolist()
            assert (early.cols.second + part.source_begin).tolist() == middle.second[read].tolist()
            assert early.cols.second_weight.tolist() == middle.second_weight[read].tolist()
            read = [*middle.first[read].tolist(), *middle.second[read].tolist()]
        assert (part.source_begin, part.source_end) == (min(read), max(read) + 1)


def test_a_crop_takes_the_upper_left_of_the_first_resize() -> None:
    for size_hw in ((6, 8), (12, 20)):  # as it is, and enlarged
        whole = bilinear.taps(8, size_hw[1], False)
        plan = bilinear.plan((6, 8), [size_hw], False, (4, 5))
        assert plan is not None and plan.early.cols.first.size == 0
        assert (plan.late.rows.first.size, plan.late.cols.first.size) == (4, 5)
        assert plan.late.cols.first.tolist() == whole.first[:5].tolist()
        assert plan.late.cols.second_weight.tolist() == whole.second_weight[:5].tolist()
        # What follows counts from the crop.
        after = bilinear.plan((6, 8), [size_hw, (4, 5)], False, (4, 5))
        assert after is not None and after.early.cols.first.size == 0
    assert bilinear.plan((6, 8), [(6, 8)], False, (6, 8)) is None
    assert bilinear.plan((6, 8), [(6, 8), (6, 8)], True) is None and bilinear.plan((6, 8), [], False) is None


def test_sizes_up_to_the_limits_and_not_beyond() -> None:
    for size_hw in ((1, 1), (1, 2**16), (2**16, 1), (2**14, 2**14), (2**12, 2**16)):
        bilinear.check_size(size_hw)
    for wrong in ((0, 1), (1, 0), (1, 2**16 + 1), (2**16 + 1, 1), (2**14, 2**14 + 1), (2**12 + 1, 2**16), (4,)):
        with pytest.raises(BadShapeError, match="a size must be"):
            bilinear.check_size(wrong)  # type: ignore[arg-type]
    two = [(3, 3), (4, 4)]
    assert bilinear.plan((2, 2), two, False) is not None
    with pytest.raises(BadShapeError, match="at most 2"):
        bilinear.plan((2, 2), [*two, (5, 5)], False)
