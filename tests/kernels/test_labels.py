"""upsample_argmax and upsample_scores against scipy, and against the float32 chain written out in numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, special

from densecast.errors import BadInputError, BadShapeError, UsageError
from densecast.kernels.labels import upsample_argmax, upsample_scores

# Low resolution, sizes: enlarging, shrinking, both, neither, odd ratios, maps of one pixel, row or column.
CASES = [
    ((7, 9), [(29, 41)]),
    ((16, 12), [(64, 48), (64, 48)]),
    ((16, 12), [(16, 12)]),
    ((16, 12), []),
    ((13, 17), [(52, 70), (9, 11)]),
    ((13, 17), [(5, 70), (90, 3)]),
    ((13, 17), [(52, 68), (104, 136)]),
    ((40, 31), [(7, 5)]),
    ((40, 31), [(7, 5), (30, 50)]),
    ((1, 1), [(6, 4)]),
    ((1, 23), [(1, 50), (3, 50)]),
    ((23, 1), [(50, 1)]),
    ((9, 9), [(1, 1)]),
    ((9, 9), [(33, 1), (1, 33)]),
    ((6, 300), [(12, 1300)]),
]


def normal(channels, size_hw, seed=0):
    return np.random.default_rng(seed).standard_normal((channels, *size_hw)).astype(np.float32)


def blobs(channels, size_hw, seed=0):
    """Logits with areas in which all pixels agree, as a trained network gives."""
    return 9 * ndimage.gaussian_filter(normal(channels, size_hw, seed), (0, 2, 2), mode="nearest")


def lattice(source, target, align_corners):
    """Float64 source coordinates of the target pixels."""
    if align_corners:
        return np.arange(target) * ((source - 1) / (target - 1) if target > 1 else 0.0)
    return np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)


def resized_by_scipy(values, sizes_hw, align_corners):
    """Float64, through `map_coordinates`."""
    values = values.astype(np.float64)
    for size_hw in sizes_hw:
        pairs = zip(values.shape[1:], size_hw, strict=True)
        grid = np.meshgrid(*(lattice(s, t, align_corners) for s, t in pairs), indexing="ij")
        values = np.stack([ndimage.map_coordinates(v, grid, order=1, mode="nearest") for v in values])
    return values


def axis_resized_in_float32(values, target, align_corners):
    """Last axis, each operation rounded to float32 as torch does; products are exact in float64."""
    source = values.shape[-1]
    if source == target:
        return values
    index = np.arange(target)
    if align_corners:
        scale = np.float32(source - 1) / np.float32(target - 1) if target > 1 else np.float32(0)
        coordinate = (np.float64(scale) * index).astype(np.float32)
    else:
        scale = np.float32(source) / np.float32(target)
        coordinate = np.maximum(np.float64(scale) * (index + 0.5) - 0.5, 0).astype(np.float32)
    low = np.minimum(np.floor(coordinate).astype(int), source - 1)
    high = np.minimum(low + 1, source - 1)
    weight = np.clip(coordinate - low.astype(np.float32), np.float32(0), np.float32(1))
    second = (values[..., high] * weight).astype(np.float64)
    return (values[..., low].astype(np.float64) * (np.float32(1) - weight) + second).astype(np.float32)


def resized_in_float32(values, sizes_hw, align_corners):
    for height, width in sizes_hw:
        if (height, width) != values.shape[1:]:
            values = axis_resized_in_float32(values, width, align_corners)
            values = axis_resized_in_float32(values.swapaxes(1, 2), height, align_corners).swapaxes(1, 2)
    return values


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("size_hw", "sizes_hw"), CASES)
@pytest.mark.parametrize("make", [normal, blobs])
def test_labels_follow_scipy_wherever_the_best_two_classes_differ(make, size_hw, sizes_hw, align_corners):
    logits = make(5, size_hw)
    expected = resized_by_scipy(logits, sizes_hw, align_corners)
    best = np.sort(expected, axis=0)
    # Float32 coordinates up to 300 are off by up to 1.5e-5 of a pixel; neighbours differ by less than 7.
    clear = best[-1] - best[-2] > 2e-4
    assert clear.mean() > 0.95
    labels = upsample_argmax(logits, sizes_hw, align_corners=align_corners)
    np.testing.assert_array_equal(labels[clear], expected.argmax(axis=0)[clear])


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("size_hw", "sizes_hw"), CASES)
@pytest.mark.parametrize("levels", ["any", "few", "one ulp apart"])
def test_labels_are_those_of_the_float32_chain_ties_included(levels, size_hw, sizes_hw, align_corners):
    rng = np.random.default_rng(1)
    if levels == "any":
        logits = blobs(6, size_hw)
    elif levels == "few":
        logits = rng.integers(-1, 2, (6, *size_hw)).astype(np.float32)
    else:
        # The higher class wins everywhere, often by a difference that interpolation rounds away.
        logits = np.full((2, *size_hw), 1.7, np.float32)
        logits[0] += rng.standard_normal(size_hw).astype(np.float32) * np.float32(0.1)
        logits[1] = np.nextafter(logits[0], np.float32(9))
    expected = resized_in_float32(logits, sizes_hw, align_corners).argmax(axis=0)
    np.testing.assert_array_equal(upsample_argmax(logits, sizes_hw, align_corners=align_corners), expected)


def test_the_cases_one_ulp_apart_have_pixels_that_rounding_flips():
    lower = 1.7 + 0.1 * normal(1, (16, 12))
    logits = np.concatenate([lower, np.nextafter(lower, np.float32(9))])
    assert (upsample_argmax(logits, []) == 1).all()
    assert 0 < (upsample_argmax(logits, [(64, 48)]) == 0).mean() < 1


def test_the_first_of_equal_classes_wins():
    logits = np.zeros((4, 5, 5), np.float32)
    assert (upsample_argmax(logits, [(20, 20)]) == 0).all()
    logits[[1, 3]] = 2.0
    assert (upsample_argmax(logits, [(20, 20)]) == 1).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.floats(-(2.0**100), 2.0**100, width=32), st.integers(1, 40), st.integers(1, 40))
def test_a_map_with_one_winner_stays_that_class(channels, level, height, width):
    logits = np.full((channels, 3, 4), np.float32(level))
    logits[channels - 1] += max(abs(np.float32(level)), np.float32(1)) * np.float32(0.5)
    assert (upsample_argmax(logits, [(height, width)]) == channels - 1).all()


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(5)), st.integers(0, 2**16), st.integers(1, 60), st.integers(1, 60))
def test_permuted_classes_have_permuted_labels(order, seed, height, width):
    # Multiples of 1/64 at ratios of whole numbers are interpolated exactly; an offset per class avoids ties.
    logits = np.round(blobs(5, (6, 7), seed) * 64) / 64 + np.arange(5, dtype=np.float32)[:, None, None] / 8192
    values = resized_in_float32(logits, [(height, width)], False)
    best = np.sort(values, axis=0)
    clear = best[-1] - best[-2] > 1e-5
    labels = upsample_argmax(logits, [(height, width)])
    permuted = upsample_argmax(logits[list(order)], [(height, width)])
    np.testing.assert_array_equal(np.array(order)[permuted][clear], labels[clear])


@pytest.mark.parametrize("sizes_hw", [[], [(30, 44)], [(30, 44), (17, 90)]])
def test_a_batch_is_its_images_and_threads_change_nothing(sizes_hw):
    batch = np.stack([blobs(4, (9, 11), seed) for seed in range(3)])
    labels = upsample_argmax(batch, sizes_hw)
    np.testing.assert_array_equal(labels, np.stack([upsample_argmax(logits, sizes_hw) for logits in batch]))
    np.testing.assert_array_equal(labels, upsample_argmax(batch, sizes_hw, threads=3))
    assert upsample_argmax(batch[:0], sizes_hw).shape == (0, *labels.shape[1:])


@pytest.mark.parametrize("sizes_hw", [[], [(30, 44)], [(30, 44), (17, 90)]])
def test_views_have_the_labels_of_their_copies(sizes_hw):
    logits = blobs(4, (9, 11))
    channels_last = np.ascontiguousarray(logits.transpose(1, 2, 0)).transpose(2, 0, 1)
    for view in (channels_last, logits[:, ::-1, ::-1], logits[::2, 1:, :7]):
        expected = upsample_argmax(view.copy(), sizes_hw)
        np.testing.assert_array_equal(upsample_argmax(view, sizes_hw), expected)


def test_steps_that_change_nothing_do_not_count():
    logits = blobs(4, (9, 11))
    once = upsample_argmax(logits, [(30, 44)])
    np.testing.assert_array_equal(upsample_argmax(logits, [(9, 11), (30, 44), (30, 44)]), once)
    np.testing.assert_array_equal(upsample_argmax(logits, [[9, 11], [30, 44], np.array([30, 44])]), once)


@pytest.mark.parametrize("channels", [1, 2, 255, 256])
def test_every_number_of_classes_up_to_256(channels):
    logits = normal(channels, (5, 200))
    expected = resized_in_float32(logits, [(11, 390)], False).argmax(axis=0)
    np.testing.assert_array_equal(upsample_argmax(logits, [(11, 390)]), expected)


def test_out_is_filled_and_returned():
    logits = blobs(4, (9, 11))
    out = np.full((30, 44), 77, np.uint8)
    assert upsample_argmax(logits, [(30, 44)], out=out) is out
    np.testing.assert_array_equal(out, upsample_argmax(logits, [(30, 44)]))


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("size_hw", "sizes_hw"), CASES)
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_scores_are_the_softmax_of_the_winner(spread, size_hw, sizes_hw, align_corners):
    logits = normal(6, size_hw) * np.float32(spread)
    labels, score = upsample_scores(logits, sizes_hw, align_corners=align_corners)
    expected = special.softmax(resized_in_float32(logits, sizes_hw, align_corners).astype(np.float64), axis=0)
    np.testing.assert_array_equal(labels, upsample_argmax(logits, sizes_hw, align_corners=align_corners))
    assert score.dtype == np.float32
    # The difference to the largest logit, up to 24, is rounded to float32: 1e-6 of a class's share at most.
    np.testing.assert_allclose(score, np.take_along_axis(expected, labels[None].astype(int), 0)[0], rtol=1e-6)


def test_scores_of_a_batch_keep_its_axis():
    labels, score = upsample_scores(np.stack([blobs(3, (4, 4))] * 2), [(8, 8)], threads=2)
    assert labels.shape == score.shape == (2, 8, 8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sizes_hw", [[], [(30, 44)], [(30, 44), (17, 90)]])
def test_numbers_that_are_not_finite_are_refused(value, sizes_hw):
    logits = blobs(4, (9, 11))
    logits[2, 4, 5] = value
    with pytest.raises(BadInputError, match="finite"):
        upsample_argmax(logits, sizes_hw)


def test_the_largest_finite_numbers_are_taken():
    logits = np.full((3, 4, 4), -np.finfo(np.float32).max)
    logits[1] = np.finfo(np.float32).max
    assert (upsample_argmax(logits.astype(np.float32), [(9, 9)]) == 1).all()


def test_more_than_256_classes_are_labels_of_16_bits():
    logits = np.random.default_rng(0).normal(size=(300, 3, 4)).astype(np.float32)
    labels, probability = upsample_scores(logits, [(3, 4)])
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, logits.argmax(axis=0))
    powers = np.exp(logits - logits.max(axis=0))
    np.testing.assert_allclose(probability, 1 / powers.sum(axis=0), atol=1e-6)
    most = np.zeros((65536, 1, 1), np.float32)
    most[65535] = 1
    assert upsample_argmax(most, []).tolist() == [[65535]]
    assert upsample_argmax(most[:256], []).dtype == np.uint8 and upsample_argmax(most[:257], []).dtype == np.uint16


@pytest.mark.parametrize(
    "logits",
    [
        np.zeros((3, 4, 4)),
        np.zeros((4, 4), np.float32),
        np.zeros((0, 4, 4), np.float32),
        np.zeros((65537, 1, 1), np.float32),
        np.zeros((3, 0, 4), np.float32),
    ],
)
def test_arrays_that_are_not_logits_are_refused(logits):
    with pytest.raises(BadShapeError):
        upsample_argmax(logits, [(8, 8)])


@pytest.mark.parametrize(
    "sizes_hw",
    [[(0, 8)], [(8, -1)], [(2**20, 2**20)], [(8, 8), (9, 9), (10, 10)], [(2**20, 2**20), (4, 4)], [(1, 2**17)]],
)
def test_sizes_that_cannot_be_are_refused(sizes_hw):
    with pytest.raises(BadShapeError):
        upsample_argmax(np.zeros((3, 4, 4), np.float32), sizes_hw)


def test_an_unfit_out_and_no_threads_are_refused():
    logits = np.zeros((3, 4, 4), np.float32)
    with pytest.raises(BadShapeError, match="out"):
        upsample_argmax(logits, [(8, 8)], out=np.zeros((8, 9), np.uint8))
    for out in (np.zeros((8, 8), np.uint16), np.zeros((8, 16), np.uint8)[:, ::2], np.zeros((1, 8, 8), np.uint8)):
        with pytest.raises(BadShapeError, match="out must be"):
            upsample_argmax(logits, [(8, 8)], out=out)
    with pytest.raises(UsageError, match="threads"):
        upsample_argmax(logits, [(8, 8)], threads=0)


@pytest.mark.parametrize("crop_hw", [(0, 5), (5, 17), (17, 5)])
def test_a_crop_of_nothing_or_beyond_the_first_size_is_refused(crop_hw):
    with pytest.raises(BadShapeError, match="crop"):
        upsample_argmax(np.zeros((2, 4, 4), np.float32), [(16, 16)], crop_hw=crop_hw)
