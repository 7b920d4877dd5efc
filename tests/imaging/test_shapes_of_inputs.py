"""What networks take beside three channels of any size: grey, many bands, multiples, letterboxes, Pillow's bilinear."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import tiny_specs
from made_images import picture
from PIL import Image

from densecast.errors import BadConfigError, BadShapeError, UsageError
from densecast.imaging.prepare import displayable, prepare, resize
from densecast.imaging.views import prepare_views
from densecast.runtime.batching import Buffers
from densecast.runtime.clock import unclocked
from densecast.spec.augment import Augment
from densecast.spec.preprocess import FitInto, Letterbox, Native, PoseAffine, Preprocess, Resize, ScaleBy
from densecast.tasks.segmentation.postprocess import decode, decode_views

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def test_a_network_of_one_channel_sees_opencvs_grey() -> None:
    image = picture((24, 40))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    wanted = (grey.astype(np.float32) - np.float32(100)) / np.float32(50)
    rule = Preprocess(Native(), colour="gray", mean=100.0, std=(50.0,))  # type: ignore[arg-type]
    for given in (image, grey, grey[:, :, None]):
        np.testing.assert_array_equal(prepare(given, rule)[0], wanted[None])
    out = np.empty((1, 24, 40), np.float32)
    prepare(image, replace(rule, colour="RGB"), out=out)  # the network's channels decide
    np.testing.assert_array_equal(out, wanted[None])
    np.testing.assert_array_equal(prepare(image, rule, dtype="uint8")[0], grey[None])


@pytest.mark.parametrize("bands", [2, 4, 7, 13])
@pytest.mark.parametrize("interpolation", ["bilinear_opencv", "bicubic_pillow", "nearest"])
def test_bands_are_resized_and_normalised_one_by_one(bands: int, interpolation: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (30, 44, bands), dtype=np.uint8)
    mean = tuple(float(10 * band + 7) for band in range(bands))
    rule = Preprocess(ScaleBy(0.5), interpolation, mean=mean, std=(60.0,))  # type: ignore[arg-type]
    array, _ = prepare(image, rule)
    assert array.shape == (bands, 15, 22)
    for band in range(bands):
        plane = np.ascontiguousarray(image[:, :, band])
        if interpolation == "bicubic_pillow":
            small = np.asarray(Image.fromarray(plane).resize((22, 15), Image.Resampling.BICUBIC))
        elif interpolation == "nearest":
            small = np.asarray(Image.fromarray(plane).resize((22, 15), Image.Resampling.NEAREST))
        else:
            small = cv2.resize(image, (22, 15), interpolation=cv2.INTER_LINEAR)[:, :, band]
        np.testing.assert_array_equal(array[band], (small.astype(np.float32) - np.float32(mean[band])) / np.float32(60))


def test_pillows_bilinear_averages_when_it_reduces() -> None:
    image = picture((81, 123))
    wanted = np.asarray(Image.fromarray(image).resize((30, 20), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resize(image, (20, 30), "bilinear_pillow"), wanted)
    assert (wanted != cv2.resize(image, (30, 20), interpolation=cv2.INTER_LINEAR)).any()


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint16", 0, 4095), ("float32", -1.5, 2.0), ("int32", 0, 1e6)])
def test_a_value_range_is_mapped_in_float_and_never_rounded(dtype: str, low: float, high: float) -> None:
    span = np.linspace(low, high, 24 * 40 * 3).reshape(24, 40, 3)
    image = span.astype(dtype)
    rule = Preprocess(Native(), mean=MEAN, std=STD, value_range=(low, high))
    wanted = ((image.astype(np.float64) - low) * 255 / (high - low) - MEAN) / STD
    np.testing.assert_allclose(prepare(image, rule)[0], wanted.transpose(2, 0, 1), rtol=1e-5, atol=1e-5)
    assert displayable(image, rule).dtype == np.uint8 and displayable(image, rule).max() == 255
    with pytest.raises(UsageError, match="more than 8 bits"):
        prepare(image, rule, dtype="uint8")


@pytest.mark.parametrize("image_hw", [(75, 101), (32, 64), (1, 1)])
def test_padding_to_a_multiple_is_right_and_below_and_cut_back(image_hw: tuple[int, int]) -> None:
    image = picture(image_hw)
    rule = Preprocess(Native(), mean=MEAN, std=STD, pad_multiple=32, pad_fill=(10.0, 20.0, 30.0), colour="BGR")
    array, placement = prepare(image, rule)
    height, width = image_hw
    padded = np.full((-(-height // 32) * 32, -(-width // 32) * 32, 3), (10, 20, 30), np.float32)
    padded[:height, :width] = image
    np.testing.assert_array_equal(array, ((padded[:, :, ::-1] - np.float32(MEAN)) / np.float32(STD)).transpose(2, 0, 1))
    labels = np.random.default_rng(1).integers(0, 2, padded.shape[:2], dtype=np.uint8)
    logits = np.stack([labels == 0, labels == 1]).astype(np.float32)
    spec = replace(tiny_specs.segmentation(), preprocess=rule)
    np.testing.assert_array_equal(decode(logits, placement, spec).class_id, labels[:height, :width])


def test_the_padding_of_a_multiple_has_its_own_colour_beside_that_of_a_fit() -> None:
    rule = Preprocess(FitInto((40, 40), (200.0,)), std=(1.0,), pad_multiple=32, pad_fill=(7.0,))
    array, placement = prepare(np.full((10, 20, 3), 99, np.uint8), rule)
    assert placement.model_hw == (64, 64)
    assert set(np.unique(array[:, :20])) == {7, 99} and set(np.unique(array[:, 20:40, :40])) == {200}
    assert set(np.unique(array[:, 40:])) == {7}


def letterboxed(image: np.ndarray, side: int, fill: int) -> tuple[np.ndarray, int, int]:
    """The published recipe: one factor, rounded sides, half of the rest before the image."""
    height, width = image.shape[:2]
    ratio = min(side / height, side / width)
    inner_w, inner_h = round(width * ratio), round(height * ratio)
    left, top = (side - inner_w) / 2, (side - inner_h) / 2
    if (width, height) != (inner_w, inner_h):
        image = cv2.resize(image, (inner_w, inner_h), interpolation=cv2.INTER_LINEAR)
    before, after = (round(top - 0.1), round(left - 0.1)), (round(top + 0.1), round(left + 0.1))
    whole = cv2.copyMakeBorder(
        image, before[0], after[0], before[1], after[1], cv2.BORDER_CONSTANT, value=(fill, fill, fill)
    )
    return whole, before[0], before[1]


@pytest.mark.parametrize("image_hw", [(60, 100), (101, 64), (64, 64), (33, 80), (7, 200)])
def test_a_letterbox_is_centred_and_its_predictions_are_resized_from_the_image_alone(image_hw: tuple[int, int]) -> None:
    image, side = picture(image_hw), 64
    wanted, top, left = letterboxed(image, side, 114)
    rule = Preprocess(Letterbox((side, side)))
    array, placement = prepare(image, rule, dtype="uint8")
    np.testing.assert_array_equal(array, wanted.transpose(2, 0, 1))
    logits = np.random.default_rng(3).normal(size=(3, side // 2, side // 2)).astype(np.float32)
    height, width = placement.content_hw
    large = np.stack([cv2.resize(plane, (side, side), interpolation=cv2.INTER_LINEAR) for plane in logits])
    part = large[:, top : top + height, left : left + width]
    back = np.stack([cv2.resize(plane, image_hw[::-1], interpolation=cv2.INTER_LINEAR) for plane in part])
    two = np.sort(back, axis=0)
    clear = two[-1] - two[-2] > 1e-3
    spec = replace(tiny_specs.segmentation(("a", "b", "c")), preprocess=rule)
    decoded = decode(logits, placement, spec, probability=True)
    np.testing.assert_array_equal(decoded.class_id[clear], back.argmax(axis=0)[clear])
    assert decoded.probability is not None
    np.testing.assert_allclose(decoded.probability, (np.exp(two[-1]) / np.exp(back).sum(axis=0)), atol=1e-3)


def test_a_mirrored_letterbox_mirrors_the_image_and_not_its_place() -> None:
    image = picture((33, 61))
    spec = replace(tiny_specs.segmentation(), preprocess=Preprocess(Letterbox((48, 64), (50.0,))))
    plain, mirrored = prepare_views([image], spec, Augment(flip=True), Buffers(), unclocked)[0].arrays("image")
    other = prepare_views([image[:, ::-1]], spec, Augment(), Buffers(), unclocked)[0]
    np.testing.assert_array_equal(mirrored, other.arrays("image")[0])
    views = prepare_views([image], spec, Augment(flip=True), Buffers(), unclocked)[0].views
    logits = np.stack([plain[0], plain[1] * 1.001])
    outputs = [logits, np.stack([mirrored[0], mirrored[1] * 1.001])]
    single = decode(logits, views[0].placement, spec).class_id
    np.testing.assert_array_equal(decode_views(outputs, views, spec).class_id, single)


@pytest.mark.parametrize(
    ("rule", "channels", "message"),
    [
        (Preprocess(Native(), mean=MEAN, std=STD), 4, "mean needs 4 numbers, one a channel, or one for all; got 3"),
        (Preprocess(Native(), colour="BGR"), 4, "colour BGR is for 3 channels"),
        (Preprocess(Native(), colour="GRAY"), 3, "colour GRAY is for 1 channels"),
    ],
)
def test_numbers_for_another_count_of_channels_are_refused(rule: Preprocess, channels: int, message: str) -> None:
    with pytest.raises(BadConfigError, match=message):
        rule.for_channels(channels)


@pytest.mark.parametrize("shape", [(24, 40, 4), (24, 40, 2), (3, 24, 40), (1, 24, 40, 3), (0, 40, 3), (24, 0, 3)])
def test_another_shape_is_refused_before_any_kernel(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadShapeError, match=r"must be \(height, width, 3\)"):
        prepare(np.zeros(shape, np.uint8), Preprocess(Native()), out=np.empty((3, 24, 40), np.float32))


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64", "bool", "int64"])
def test_another_type_is_refused_before_any_kernel(dtype: str) -> None:
    for rule in (Preprocess(Native()), Preprocess(PoseAffine(64, 32))):
        with pytest.raises(BadShapeError, match="must be uint8"):
            prepare(np.zeros((24, 40, 3), dtype), rule)


@pytest.mark.parametrize("make", [lambda: ScaleBy(0), lambda: ScaleBy(-1), lambda: ScaleBy(float("inf"))])
def test_a_factor_that_is_none_is_refused(make: object) -> None:
    with pytest.raises(BadConfigError, match="above 0 and finite"):
        make()  # type: ignore[operator]


def test_sizes_of_nothing_are_refused() -> None:
    for make in (lambda: FitInto((0, 4)), lambda: Letterbox((4, -1)), lambda: Preprocess(Native(), pad_multiple=0)):
        with pytest.raises(BadConfigError, match="1 to"):
            make()


_RULES: tuple[Resize, ...] = (Native(), FitInto((40, 40)), Letterbox((40, 40)), ScaleBy(0.3))


@pytest.mark.parametrize("rule", _RULES)
def test_points_go_there_and_back_through_padding(rule: Resize) -> None:
    placement = Preprocess(rule, pad_multiple=16).place((37, 51))
    assert all(side % 16 == 0 for side in placement.model_hw)
    points = np.random.default_rng(0).uniform(0, 37, (20, 2))
    np.testing.assert_allclose(placement.to_image(placement.to_model(points)), points, atol=1e-9)
