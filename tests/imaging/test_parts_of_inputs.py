"""Parts of a network's input are slices of the whole one; what is drawn on, and what is resized besides bytes."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from made_images import picture
from PIL import Image

from densecast.errors import BadShapeError
from densecast.imaging.prepare import displayable, fill_part, prepare, resize, resize_labels, resized_for
from densecast.spec.preprocess import FitCentre, FitInto, Letterbox, Native, Preprocess, Stretch

RULES = [
    Preprocess(Native(), mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 40.0)),
    Preprocess(Native(), pad_multiple=32, pad_fill=(7.0, 8.0, 9.0), colour="BGR"),
    Preprocess(FitInto((48, 64), (30.0, 40.0, 50.0)), mean=(9.0, 8.0, 7.0)),
    Preprocess(Letterbox((48, 64), (50.0, 60.0, 70.0)), pad_multiple=10, pad_fill=(1.0, 2.0, 3.0)),
    Preprocess(FitCentre((48, 64))),
    Preprocess(Stretch((48, 64)), value_range=(0.0, 300.0)),
]


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("rule", RULES)
def test_any_part_is_that_slice_of_the_whole(rule: Preprocess, dtype: str) -> None:
    if dtype == "uint8" and rule.value_range is not None:
        return  # values are mapped in float32 only
    image = picture((41, 75))
    whole, placement = prepare(image, rule, dtype=dtype)
    resized, ready, again = resized_for(image, rule, 3)
    assert again == placement
    _, height, width = whole.shape
    x, y = (int(each) for each in placement.offset_xy)
    inner_h, inner_w = placement.content_hw
    turned = whole.copy()
    turned[:, y : y + inner_h, x : x + inner_w] = whole[:, y : y + inner_h, x : x + inner_w][:, :, ::-1]
    for top, left, rows, columns in (
        (0, 0, height, width),
        (0, 0, 5, 7),
        (y, x, 4, 4),
        (3, 5, 11, 30),
        (height - 6, width - 9, 6, 9),
        (height // 2, 0, 3, width),
    ):
        for mirrored, wanted in ((False, whole), (True, turned)):
            out = np.full((3, rows, columns), 77, dtype)
            fill_part(resized, ready, placement, top, left, out, mirrored=mirrored)
            np.testing.assert_array_equal(out, wanted[:, top : top + rows, left : left + columns])


def test_an_out_of_another_size_is_refused() -> None:
    for shape in ((3, 24, 39), (3, 23, 40)):
        with pytest.raises(BadShapeError, match="the input is"):
            prepare(picture((24, 40)), Preprocess(Native()), out=np.empty(shape, np.float32))


def test_what_is_drawn_on_is_rgb_of_eight_bits() -> None:
    image = picture((12, 15))
    plain = Preprocess(Native())
    assert displayable(image, plain) is image
    grey = image[:, :, 0]
    for one in (grey, grey[:, :, None], np.dstack([grey, image[:, :, 1]])):
        np.testing.assert_array_equal(displayable(one, plain), np.repeat(grey[:, :, None], 3, axis=2))
    many = np.dstack([image, image])
    np.testing.assert_array_equal(displayable(many, plain), image)
    values = np.linspace(-2, 12, 12 * 15 * 3).reshape(12, 15, 3)
    drawn = displayable(values, Preprocess(Native(), value_range=(0.0, 10.0)))
    np.testing.assert_array_equal(drawn, np.rint(np.clip(values * 25.5, 0, 255)).astype(np.uint8))
    # Bytes are mapped too, where there is a range.
    half = displayable(image, Preprocess(Native(), value_range=(0.0, 510.0)))
    np.testing.assert_array_equal(half, np.rint(image / 2).astype(np.uint8))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("rule", ["bilinear_opencv", "bicubic_pillow", "bilinear_pillow", "nearest"])
def test_every_number_type_is_resized_band_by_band(rule: Any, dtype: str, channels: int) -> None:
    image = (np.random.default_rng(0).random((30, 44, channels)) * 250).astype(dtype)
    found = resize(image, (13, 60), rule)
    assert found.dtype == image.dtype and found.shape == (13, 60, channels)
    for band in range(channels):
        plane = np.ascontiguousarray(image[:, :, band])
        if rule == "bilinear_opencv":
            wanted = cv2.resize(image, (60, 13), interpolation=cv2.INTER_LINEAR).reshape(13, 60, channels)[:, :, band]
        else:
            kinds = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
            kind = kinds.get(rule.removesuffix("_pillow"), Image.Resampling.NEAREST)
            source = Image.fromarray(plane if dtype == "uint8" else plane.astype(np.float32))
            wanted = np.asarray(source.resize((60, 13), kind)).astype(dtype)
        np.testing.assert_array_equal(found[:, :, band], wanted)
    assert resize(image, (30, 44), rule) is image


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("size_hw", [(7, 50), (40, 11)])
def test_labels_keep_their_values(size_hw: tuple[int, int], dtype: str) -> None:
    labels = np.random.default_rng(0).integers(0, 250, (20, 33)).astype(dtype)
    height, width = size_hw
    centres = [((np.arange(to) + 0.5) * have / to).astype(int) for to, have in ((height, 20), (width, 33))]
    corners = [(np.arange(to) * have // to) for to, have in ((height, 20), (width, 33))]
    for rule, (rows, columns) in (("pillow", centres), ("opencv", corners)):
        found = resize_labels(labels, size_hw, rule)  # type: ignore[arg-type]
        assert found.dtype == labels.dtype
        np.testing.assert_array_equal(found, labels[rows][:, columns])
        assert resize_labels(labels, (20, 33), rule) is labels  # type: ignore[arg-type]
