"""Ascend's FCN-8s geometry: there and back, and the sample's own way back beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from densecast.errors import UsageError
from densecast.imaging.blend_labels import blend_labels
from densecast.imaging.prepare import prepare
from densecast.spec.preprocess import FitCentre, Preprocess
from densecast.tasks.segmentation.postprocess import place_labels
from densecast.zoo._base import ZOO

SIZES_HW = [(375, 500), (500, 333), (500, 500), (281, 500), (100, 77), (700, 999), (1, 500)]


def reference_place(height: int, width: int) -> tuple[int, int, int, int]:
    """As its README says: factor min(500/w, 500/h), sizes rounded down, (500 - size) // 2 before, the rest behind."""
    scale = min(500 / width, 500 / height)
    new_h, new_w = max(1, int(height * scale)), max(1, int(width * scale))
    return (500 - new_h) // 2, (500 - new_w) // 2, new_h, new_w


@pytest.mark.parametrize("image_hw", SIZES_HW)
def test_the_image_is_where_the_reference_puts_it(image_hw: tuple[int, int]) -> None:
    placement = FitCentre((500, 500)).place(image_hw)
    top, left, height, width = reference_place(*image_hw)
    assert placement.offset_xy == (left, top) and placement.content_hw == (height, width)
    corners = np.array([[0, 0], [image_hw[1], image_hw[0]]], float)
    np.testing.assert_allclose(placement.to_image(placement.to_model(corners)), corners, atol=1e-9)


@pytest.mark.parametrize("image_hw", SIZES_HW)
def test_the_surroundings_are_zero_after_normalisation(image_hw: tuple[int, int]) -> None:
    spec = ZOO.load("fcn_r50_d8_voc").spec_for("ascend")
    array, placement = prepare(np.full((*image_hw, 3), 250, np.uint8), spec.preprocess)
    (height, width), (left, top) = placement.content_hw, (int(each) for each in placement.offset_xy)
    assert array.shape == (3, 500, 500)
    inside = array[:, top : top + height, left : left + width]
    assert inside.all() and np.count_nonzero(array) == inside.size


@pytest.mark.parametrize("image_hw", SIZES_HW)
def test_labels_come_back_to_their_pixels(image_hw: tuple[int, int]) -> None:
    spec = ZOO.load("fcn_r50_d8_voc").spec_for("ascend")
    placement = spec.preprocess.resize.place(image_hw)
    labels = np.full((500, 500), 20, np.uint8)  # outside of the image: must not be seen
    (height, width), (left, top) = placement.content_hw, (int(each) for each in placement.offset_xy)
    labels[top : top + height, left : left + width] = np.arange(width) * 19 // width
    found = place_labels(labels, placement, spec).class_id
    assert found.shape == image_hw
    # Labels in order of columns stay in order, from the first to the last.
    assert found.max() == labels[top, left + width - 1] and (np.diff(found[0].astype(int)) >= 0).all()
    assert (found == found[0]).all() and found[0, 0] == 0


def test_blended_labels_invent_classes_that_nearest_ones_do_not() -> None:
    placement = FitCentre((500, 500)).place((800, 1000))
    labels = np.zeros((500, 500), np.uint8)
    labels[:, 250:] = 8
    assert set(np.unique(blend_labels(labels, placement))) > {0, 8}
    spec = ZOO.load("fcn_r50_d8_voc").spec_for("ascend")
    assert set(np.unique(place_labels(labels, placement, spec).class_id)) == {0, 8}


def test_surroundings_that_are_no_bytes_are_refused() -> None:
    with pytest.raises(UsageError, match="bytes"):
        Preprocess(FitCentre((500, 500)), mean=(123.675, 116.28, 103.53)).check_bytes()
    Preprocess(FitCentre((500, 500)), mean=(123.0, 116.0, 103.0)).check_bytes()


@pytest.mark.parametrize(
    ("colour", "divisor", "expected"),
    [("RGB", 1.0, (10.0, 20.0, 30.0)), ("BGR", 1.0, (30.0, 20.0, 10.0)), ("RGB", 2.0, (20.0, 40.0, 60.0))],
)
def test_around_the_image_is_what_becomes_zero_in_the_images_own_order_of_colours(
    colour: Any, divisor: float, expected: tuple[float, ...]
) -> None:
    rule = Preprocess(FitCentre((8, 8)), colour=colour, mean=(10.0, 20.0, 30.0), std=(4.0, 5.0, 6.0), divisor=divisor)
    found = rule.surroundings()
    assert found == expected
    # The mean is stated in the network's order.
    network = found if colour == "RGB" else found[::-1]
    assert [value / divisor - mean for value, mean in zip(network, rule.mean, strict=True)] == [0, 0, 0]


def test_blended_labels_are_cut_out_by_the_unrounded_size() -> None:
    import cv2

    # 665 rows at half size are 332.5: the original takes rows 83 to 414, where the image itself begins at another row.
    placement = FitCentre((500, 500)).place((665, 1000))
    labels = np.random.default_rng(0).integers(0, 21, (500, 500)).astype(np.uint8)
    expected = cv2.resize(labels[83:415].astype(np.float32), (1000, 665), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(blend_labels(labels, placement), expected.astype(np.uint8))


def test_labels_of_a_smaller_map_are_brought_to_the_networks_size_as_opencv_does_for_blending() -> None:
    import cv2

    spec = ZOO.load("fcn_r50_d8_voc").spec_for("ascend_blended")
    placement = FitCentre((500, 500)).place((500, 500))
    labels = np.random.default_rng(0).integers(0, 21, (300, 300)).astype(np.uint8)
    expected = cv2.resize(labels, (500, 500), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(place_labels(labels, placement, spec, "network").class_id, expected)
