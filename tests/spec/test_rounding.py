"""Sizes at exact halves, and products that floating point leaves one bit short of a whole number."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.spec.geometry import Placement
from densecast.spec.pose_geometry import place
from densecast.spec.preprocess import FitCentre, FitInto, KeepRatio, Letterbox


def test_a_resized_image_has_the_size_it_was_resized_to() -> None:
    # 49 * (1 / 49) is 0.99...: of the sides up to 120, some hundreds of products fall short of the whole number.
    sides = range(1, 121)
    short = [(side, content) for side in sides for content in sides if side * (content / side) < content]
    assert len(short) > 100
    for side, content in short:
        assert Placement.resized((side, 7), (content, 7)).content_hw == (content, 7)
        assert Placement.resized((7, side), (7, content)).content_hw == (7, content)


def test_halves_are_rounded_up_as_mmcv_does() -> None:
    # The factor is exactly a half; 2.5, 3.5 and 4.5 become 3, 4 and 5, where rounding to even gives 2, 4 and 4.
    for side, resized in ((5, 3), (7, 4), (9, 5)):
        assert KeepRatio(10, 10).place((20, side)).model_hw == (10, resized)
        assert FitInto((10, 10)).place((20, side)).content_hw == (10, resized)


@pytest.mark.parametrize(("side", "resized"), [(9446, 94), (9449, 94), (9450, 95), (9454, 95), (49, 1), (1, 1)])
def test_less_than_a_half_is_rounded_down_and_no_side_vanishes(side: int, resized: int) -> None:
    # A hundredth: 94.46 and 94.49 are 94, 94.5 and 94.54 are 95; 0.49 pixels are one all the same.
    assert KeepRatio(100, 100).place((10000, side)).model_hw == (100, resized)
    assert FitInto((100, 100)).place((side, 10000)).content_hw == (resized, 100)


@pytest.mark.parametrize(
    ("image_hw", "offset_xy"),
    # Ultralytics' LetterBox: left and top are round(d - 0.1), where d is half of what is missing.
    [
        ((20, 40), (0, 5)),
        ((40, 20), (5, 0)),
        ((18, 20), (0, 1)),
        ((20, 17), (1, 0)),
        ((20, 13), (3, 0)),
        ((20, 20), (0, 0)),
    ],
)
def test_a_letterbox_has_the_smaller_half_of_what_is_filled_at_the_left_and_above(
    image_hw: tuple[int, int], offset_xy: tuple[int, int]
) -> None:
    placed = Letterbox((20, 20)).place(image_hw)
    assert placed.offset_xy == offset_xy and placed.model_hw == (20, 20)


def test_a_letterboxs_halves_go_to_the_even_number() -> None:
    for side, resized in ((5, 2), (7, 4), (9, 4)):
        assert Letterbox((10, 10)).place((20, side)).content_hw == (10, resized)


def test_a_centred_image_comes_out_as_its_product_is_rounded() -> None:
    # 500 / 19 * 19 is less than 500 in float64: the original's int() takes 499.
    assert 500 / 19 * 19 < 500
    assert FitCentre((500, 500)).place((19, 10)).content_hw == (499, 263)
    assert FitCentre((500, 500)).place((20, 10)).content_hw == (500, 250)


def test_poses_are_brought_back_in_float32() -> None:
    geometry = place((427, 641), 512, 64)
    xy = np.random.default_rng(0).uniform(0, 128, (200, 2)).astype(np.float32)
    height, width = 128, 192
    expected = np.empty_like(xy)
    for axis, side in ((0, width), (1, height)):
        extent = np.float64(geometry.extent_xy[axis]) * 200.0
        step = np.float32(extent / side)
        shifted = (xy[:, axis] * step).astype(np.float32) + np.float32(geometry.center_xy[axis])
        expected[:, axis] = shifted - np.float32(extent * 0.5)
    found = geometry.to_image(xy, (height, width))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("count", [3, 7])
def test_a_mean_is_a_division_not_a_product_with_the_reciprocal(count: int) -> None:
    from densecast.kernels.probability_rows import argmax_of_mean

    divisor = np.float32(count)
    sums = np.random.default_rng(count).uniform(0, count, (2, 3, 50)).astype(np.float32)
    assert (sums / divisor != sums * (np.float32(1) / divisor)).any()
    labels, probability = np.zeros((2, 50), np.uint8), np.zeros((2, 50), np.float32)
    argmax_of_mean(sums.copy(), divisor, labels, probability)
    np.testing.assert_array_equal(probability, (sums / divisor).max(axis=1))
    np.testing.assert_array_equal(labels, (sums / divisor).argmax(axis=1))
