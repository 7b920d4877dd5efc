"""Points go to the network and come back; pixels land where a resize puts them."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.preprocess import KeepRatio, Native, Preprocess, Resize, ScaleBy, Stretch

SIZES_HW = [(1280, 1918), (375, 500), (1024, 2048), (7, 11)]
FITS: list[Resize] = [Stretch((512, 640)), KeepRatio(640, 512), ScaleBy(0.5), Native()]


def corners_and_inner(size_hw: tuple[int, int]) -> np.ndarray:
    height, width = size_hw
    inner = np.random.default_rng(0).uniform((0, 0), (width, height), (50, 2))
    return np.concatenate([[[0, 0], [width, height], [0.5, 0.5]], inner])


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.kind)
@pytest.mark.parametrize("image_hw", SIZES_HW)
def test_there_and_back(image_hw: tuple[int, int], fit: Resize) -> None:
    placement = fit.place(image_hw)
    xy = corners_and_inner(image_hw)
    # float64 keeps 1e-16 of coordinates of some thousand pixels.
    np.testing.assert_allclose(placement.to_image(placement.to_model(xy)), xy, rtol=0, atol=1e-9)


@pytest.mark.parametrize("image_hw", SIZES_HW)
def test_there_and_back_with_padding(image_hw: tuple[int, int]) -> None:
    content_hw = KeepRatio(512, 512).place(image_hw).content_hw
    placement = Placement.resized(image_hw, content_hw, model_hw=(600, 640), offset_xy=(64, 40))
    xy = corners_and_inner(image_hw)
    np.testing.assert_allclose(placement.to_image(placement.to_model(xy)), xy, rtol=0, atol=1e-9)
    assert placement.is_padded and placement.content_hw == content_hw


@pytest.mark.parametrize("fit", FITS, ids=lambda fit: fit.kind)
@pytest.mark.parametrize("image_hw", SIZES_HW)
def test_the_images_corners_are_the_contents_corners(image_hw: tuple[int, int], fit: Resize) -> None:
    placement = fit.place(image_hw)
    height, width = placement.content_hw
    last = placement.to_model((image_hw[1], image_hw[0]))
    np.testing.assert_allclose(last, (width, height), rtol=0, atol=1e-9)
    assert placement.content_hw == placement.model_hw and not placement.is_padded


def test_points_line_up_with_the_pixels_of_a_real_resize() -> None:
    """A bright spot's centre of mass, after OpenCV's resize, is where `to_model` says."""
    import cv2

    image_hw = (101, 157)
    placement = KeepRatio(80, 64).place(image_hw)
    y, x = np.mgrid[0 : image_hw[0], 0 : image_hw[1]].astype(float) + 0.5
    centre_xy = np.array([71.3, 44.8])
    spot = np.exp(-((x - centre_xy[0]) ** 2 + (y - centre_xy[1]) ** 2) / (2 * 9.0**2))
    small = cv2.resize(spot, placement.content_hw[::-1], interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[0 : small.shape[0], 0 : small.shape[1]].astype(float) + 0.5
    found = np.array([(x * small).sum(), (y * small).sum()]) / small.sum()
    # Area averaging keeps the centre of mass; what is left is the spot's tail beyond the border.
    np.testing.assert_allclose(found, placement.to_model(centre_xy), atol=0.02)


def test_published_sizes() -> None:
    # milesial/Pytorch-UNet at scale 0.5 of Carvana's 1918x1280; MMSegmentation's test pipelines.
    assert ScaleBy(0.5).place((1280, 1918)).model_hw == (640, 959)
    assert KeepRatio(2048, 1024).place((1024, 2048)).model_hw == (1024, 2048)
    assert KeepRatio(2048, 512).place((375, 500)).model_hw == (512, 683)


def test_no_side_vanishes() -> None:
    assert ScaleBy(0.01).place((5, 3000)).model_hw == (1, 30)
    assert KeepRatio(64, 64).place((1, 4000)).model_hw == (1, 64)


@pytest.mark.parametrize(("multiple", "model_hw"), [(1, (5, 7)), (2, (6, 8)), (3, (6, 9)), (7, (7, 7)), (8, (8, 8))])
def test_an_input_is_padded_up_to_the_next_multiple(multiple: int, model_hw: tuple[int, int]) -> None:
    placement = Preprocess(Native(), pad_multiple=multiple).place((5, 7))
    assert (placement.model_hw, placement.content_hw, placement.offset_xy) == (model_hw, (5, 7), (0, 0))


def test_a_view_of_which_nothing_is_said_is_the_plain_one() -> None:
    placement = Native().place((5, 7))
    assert View(placement) == View(placement, mirrored=False, ratio=1.0, window=None)
