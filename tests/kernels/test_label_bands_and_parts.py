"""Labels of a map that comes in bands, and of a rectangle of it, are those of the whole map by definition."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import special
from test_labels import blobs, resized_in_float32

from densecast.errors import BadInputError
from densecast.kernels import bilinear
from densecast.kernels.label_bands import LabelBands
from densecast.kernels.label_part import cut, label_part
from densecast.kernels.labels import upsample_argmax, upsample_scores

CHANNELS, SOURCE = 5, (13, 9)
TARGETS = [(29, 70), (13, 9), (6, 40), (40, 5)]


def bands(logits: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    for y in range(0, logits.shape[1], rows):
        yield np.ascontiguousarray(logits[:, y : y + rows])


def softmax(logits: np.ndarray, target_hw: tuple[int, int], align_corners: bool) -> np.ndarray:
    return np.asarray(
        special.softmax(resized_in_float32(logits, [target_hw], align_corners).astype(np.float64), axis=0)
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("target_hw", TARGETS)
@pytest.mark.parametrize("rows", [1, 4, 13])
def test_bands_of_any_height_give_the_labels_of_the_whole(
    rows: int, target_hw: tuple[int, int], align_corners: bool
) -> None:
    logits = blobs(CHANNELS, SOURCE)
    wanted = resized_in_float32(logits, [target_hw], align_corners).argmax(axis=0)
    for scored in (False, True):
        made = LabelBands(CHANNELS, [SOURCE], target_hw, align_corners=align_corners, scored=scored)
        for band in bands(logits, rows):
            assert not made.is_complete
            made.add(0, band)
        assert made.is_complete
        np.testing.assert_array_equal(made.labels, wanted)
        if scored:
            winners = softmax(logits, target_hw, align_corners).max(axis=0)
            np.testing.assert_allclose(made.probability, winners, atol=1e-6)
        else:
            assert made.probability.size == 0


@pytest.mark.parametrize("target_hw", TARGETS)
@pytest.mark.parametrize("mirrored", [(False, True), (True, False)])
def test_bands_of_several_maps_give_the_mean_probability(
    target_hw: tuple[int, int], mirrored: tuple[bool, bool]
) -> None:
    maps = [blobs(CHANNELS, SOURCE), blobs(CHANNELS, (7, 21), seed=1)]
    made = LabelBands(CHANNELS, [SOURCE, (7, 21)], target_hw, mirrored=mirrored)
    # The second comes whole before the first has ended.
    first = bands(maps[0], 3)
    made.add(0, next(first))
    for band in bands(maps[1], 2):
        made.add(1, band)
    for band in first:
        made.add(0, band)
    assert made.is_complete
    shares = [softmax(each, target_hw, False) for each in maps]
    total = sum(each[:, :, ::-1] if turned else each for each, turned in zip(shares, mirrored, strict=True)) / 2
    np.testing.assert_allclose(made.probability, np.max(total, axis=0), atol=1e-6)
    two = np.sort(total, axis=0)
    clear = two[-1] - two[-2] > 2e-6
    np.testing.assert_array_equal(made.labels[clear], np.argmax(total, axis=0)[clear])


def test_one_map_that_is_mirrored_is_turned_back() -> None:
    logits, target_hw = blobs(CHANNELS, SOURCE), (29, 70)
    made = LabelBands(CHANNELS, [SOURCE], target_hw, mirrored=[True])
    made.add(0, logits)
    wanted = softmax(logits, target_hw, False)[:, :, ::-1]
    np.testing.assert_array_equal(made.labels, wanted.argmax(axis=0))
    np.testing.assert_allclose(made.probability, wanted.max(axis=0), atol=1e-6)


@pytest.mark.parametrize("maps", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_band_that_is_not_finite_is_refused(value: float, maps: int) -> None:
    logits = blobs(CHANNELS, SOURCE)
    broken = logits.copy()
    broken[3, 7, 2] = value
    made = LabelBands(CHANNELS, [SOURCE] * maps, (29, 70), mirrored=[False] * maps)
    for each in range(1, maps):
        made.add(each, logits)
    with pytest.raises(BadInputError, match="finite"):
        for band in bands(broken, 4):
            made.add(0, band)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("target_hw", [(29, 700), (13, 9), (40, 5)])
def test_a_rectangle_has_the_labels_of_its_place_in_the_whole(target_hw: tuple[int, int], align_corners: bool) -> None:
    logits = blobs(CHANNELS, SOURCE)
    values = resized_in_float32(logits, [target_hw], align_corners)
    winners = softmax(logits, target_hw, align_corners).max(axis=0)
    rows, columns = (bilinear.taps(*each, align_corners) for each in zip(SOURCE, target_hw, strict=True))
    height, width = target_hw
    for top, bottom, left, right in ((0, height, 0, width), (3, 9, 2, 5), (height - 2, height, width - 3, width)):
        read = [(int(each.first[a]), int(each.second[b - 1]) + 1)
                for each, a, b in ((rows, top, bottom), (columns, left, right))]  # fmt: skip
        part = np.ascontiguousarray(logits[:, slice(*read[0]), slice(*read[1])])
        taps = cut(rows, top, bottom, read[0][0]), cut(columns, left, right, read[1][0])
        for scored in (False, True):
            labels, probability = label_part(part, *taps, scored=scored)
            np.testing.assert_array_equal(labels, values[:, top:bottom, left:right].argmax(axis=0))
            assert (probability is not None) == scored
            if probability is not None:
                np.testing.assert_allclose(probability, winners[top:bottom, left:right], atol=1e-6)
    logits[1, 4, 4] = np.inf
    with pytest.raises(BadInputError, match="finite"):
        label_part(logits, rows, columns)


@pytest.mark.parametrize("width", [1, 2, 3, 70])
def test_classes_that_only_some_rows_have_win_there_and_nowhere_else(width: int) -> None:
    # Rows in which few classes can win lie beside others in which all can: what is kept from row to row is not mixed.
    rng = np.random.default_rng(width)
    for channels in (3, 7):
        logits = rng.normal(size=(channels, 24, width)).astype(np.float32)
        logits -= np.where(rng.random((channels, 24, 1)) < 0.4, np.float32(60), np.float32(0))
        for sizes_hw in ([(70, width)], [(70, 2 * width)], [(9, width)], [(48, width), (70, 3)]):
            values = resized_in_float32(logits, sizes_hw, False)
            labels, probability = upsample_scores(logits, sizes_hw)
            np.testing.assert_array_equal(labels, values.argmax(axis=0))
            np.testing.assert_array_equal(upsample_argmax(logits, sizes_hw), values.argmax(axis=0))
            winners = special.softmax(values.astype(np.float64), axis=0).max(axis=0)
            np.testing.assert_allclose(probability, winners, atol=1e-6)


def test_numbers_that_interpolation_rounds_to_nothing_tie_and_the_first_class_wins() -> None:
    # Below the smallest float32 there is 0: a class that is higher by so little is no longer, once it is blended.
    smallest = np.float32(1e-45)
    logits = np.zeros((2, 1, 4), np.float32)
    logits[0] = -smallest
    values = resized_in_float32(logits, [(1, 7)], True)  # every second pixel is halfway between two
    assert (values.argmax(axis=0) == 0).any() and (values.argmax(axis=0) == 1).any()
    labels, _ = upsample_scores(logits, [(1, 7)], align_corners=True)
    np.testing.assert_array_equal(labels, values.argmax(axis=0))
    np.testing.assert_array_equal(upsample_argmax(logits, [(1, 7)], align_corners=True), labels)
