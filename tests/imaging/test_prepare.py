"""A declared preprocessing is carried out as Pillow, OpenCV and numpy do it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from made_images import picture
from PIL import Image

from densecast.errors import UsageError
from densecast.imaging import prepare
from densecast.spec.preprocess import FitInto, KeepRatio, Native, Preprocess, ScaleBy, Stretch

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def test_pillows_bicubic() -> None:
    image = picture((81, 123))
    wanted = np.asarray(Image.fromarray(image).resize((61, 40), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    array, placement = prepare.prepare(image, Preprocess(ScaleBy(0.5), "bicubic_pillow"))
    assert placement.model_hw == (40, 61)
    np.testing.assert_array_equal(array, wanted.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("resize", [Stretch((40, 61)), KeepRatio(200, 100)])
def test_opencvs_bilinear(resize: Stretch | KeepRatio) -> None:
    image = picture((81, 123))
    height, width = resize.place((81, 123)).model_hw
    wanted = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).transpose(2, 0, 1)
    array, _ = prepare.prepare(image, Preprocess(resize), dtype="uint8")
    np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_normalisation_is_numpys_in_float32(colour: str) -> None:
    image = picture((24, 40))
    ordered = image if colour == "RGB" else image[:, :, ::-1]
    wanted = (ordered.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    array, _ = prepare.prepare(image, Preprocess(Native(), colour=colour, mean=MEAN, std=STD))  # type: ignore[arg-type]
    assert array.dtype == np.float32 and array.flags.c_contiguous
    np.testing.assert_array_equal(array, wanted.transpose(2, 0, 1))
    as_bytes, _ = prepare.prepare(image, Preprocess(Native(), colour=colour), dtype="uint8")  # type: ignore[arg-type]
    np.testing.assert_array_equal(as_bytes, ordered.transpose(2, 0, 1))


@pytest.mark.parametrize("strided", [lambda image: image[::2, 1:], lambda image: image[:, ::-1], np.asfortranarray])
def test_images_of_any_layout(strided: object) -> None:
    image = strided(picture((48, 80)))  # type: ignore[operator]
    preprocess = Preprocess(ScaleBy(0.5), "bicubic_pillow", mean=MEAN, std=STD)
    np.testing.assert_array_equal(
        prepare.prepare(image, preprocess)[0], prepare.prepare(np.ascontiguousarray(image), preprocess)[0]
    )


def test_out_receives_the_result() -> None:
    image, out = picture((24, 40)), np.full((2, 3, 24, 40), 7, np.float32)
    array, _ = prepare.prepare(image, Preprocess(Native()), out=out[1])
    assert np.shares_memory(array, out)
    np.testing.assert_array_equal(out[1], prepare.prepare(image, Preprocess(Native()))[0])
    assert (out[0] == 7).all()


@pytest.mark.parametrize("size_hw", [(640, 959), (20, 33), (81, 123)])
def test_labels_are_resized_as_pillow_does(size_hw: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 19, (81, 123), dtype=np.uint8)
    wanted = np.asarray(Image.fromarray(labels).resize((size_hw[1], size_hw[0]), Image.Resampling.NEAREST))
    np.testing.assert_array_equal(prepare.resize_labels(labels, size_hw), wanted)


@pytest.mark.parametrize("colour", ["RGB", "BGR"])
@pytest.mark.parametrize("image_hw", [(81, 123), (123, 81), (20, 20)])
def test_an_image_fitted_into_a_size_is_surrounded_right_and_below(image_hw: tuple[int, int], colour: str) -> None:
    image, fill = picture(image_hw), (10.0, 20.5, 30.0)
    fitted = Preprocess(FitInto((60, 70), fill), colour=colour, mean=MEAN, std=STD)  # type: ignore[arg-type]
    array, placement = prepare.prepare(image, fitted)
    height, width = placement.content_hw
    assert array.shape == (3, 60, 70) and placement.model_hw == (60, 70)
    assert height == 60 or width == 70
    # The same factor as when the aspect is kept; what is left is the declared colour, normalised.
    content, _ = prepare.prepare(image, replace(fitted, resize=Stretch((height, width))))
    np.testing.assert_array_equal(array[:, :height, :width], content)
    order = np.float32(fill if colour == "RGB" else fill[::-1])
    outside = (order - np.float32(MEAN)) / np.float32(STD)
    for part in (array[:, height:], array[:, :height, width:]):
        np.testing.assert_array_equal(part, np.broadcast_to(outside[:, None, None], part.shape))


def test_bytes_cannot_surround_an_image_with_half_a_grey_level() -> None:
    with pytest.raises(UsageError, match="uint8-input"):
        prepare.prepare(picture((8, 9)), Preprocess(FitInto((10, 10), (127.5, 127.5, 127.5))), dtype="uint8")
    array, _ = prepare.prepare(picture((5, 10)), Preprocess(FitInto((10, 10), (127.0, 128.0, 129.0))), dtype="uint8")
    assert array[:, -1, -1].tolist() == [127, 128, 129]


@pytest.mark.parametrize("dtype", ["int32", "uint32", "float64"])
def test_values_that_no_float32_holds_are_mapped_before_they_are_rounded(dtype: str) -> None:
    # Beyond 2^24 a float32 has the even numbers alone.
    image = (2**24 + np.arange(256)).astype(dtype).reshape(16, 16, 1)
    rule = Preprocess(Native(), mean=(0.0,), std=(1.0,), value_range=(2.0**24, 2.0**24 + 255))
    array, _ = prepare.prepare(image, rule)
    np.testing.assert_array_equal(array, np.arange(256, dtype=np.float32).reshape(1, 16, 16))
