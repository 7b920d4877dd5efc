"""Mean probabilities over views against the definition in float64, and what is no list of views."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from test_labels import resized_in_float32

from densecast.errors import BadInputError, BadShapeError, UsageError
from densecast.kernels.probabilities import mean_argmax

SOURCES = [(5, 7), (9, 4)]
SIZES = [[(20, 31)], [(12, 8), (20, 31)]]


def views(spread: float, channels: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [(rng.normal(size=(channels, *size)) * spread).astype(np.float32) for size in SOURCES]


def expected(logits: list[np.ndarray], sizes: list[list[tuple[int, int]]], mirrored: list[bool]) -> np.ndarray:
    total = np.zeros(())
    for array, steps, is_mirrored in zip(logits, sizes, mirrored, strict=True):
        share = special.softmax(resized_in_float32(array, steps, False).astype(np.float64), axis=0)
        total = total + (share[:, :, ::-1] if is_mirrored else share)
    return total / len(logits)


@pytest.mark.parametrize("spread", [1.0, 200.0])
@pytest.mark.parametrize("mirrored", [[False, True], [True, False]])
def test_means_are_those_of_the_definition_for_large_logits_too(spread: float, mirrored: list[bool]) -> None:
    logits = views(spread)
    labels, probability = mean_argmax(logits, SIZES, mirrored)
    wanted = expected(logits, SIZES, mirrored)
    # A logit of 1000 is known to 6e-5 in float32, and so are shares that neither vanish nor are all.
    tolerance = 1e-6 if spread == 1 else 2e-4
    np.testing.assert_allclose(probability, wanted.max(axis=0), rtol=0, atol=tolerance)
    two = np.sort(wanted, axis=0)[-2:]
    clear = two[1] - two[0] > 2 * tolerance
    # Of large logits each view is sure of one class: where the two differ, both have a half.
    assert clear.mean() > (0.95 if spread == 1 else 0.2)
    np.testing.assert_array_equal(labels[clear], wanted.argmax(axis=0)[clear])


def test_threads_and_memory_layouts_change_nothing() -> None:
    logits = views(5.0)
    labels, probability = mean_argmax(logits, SIZES, [False, True])
    turned = [np.asfortranarray(each) for each in logits]
    for other in (mean_argmax(logits, SIZES, [False, True], threads=3), mean_argmax(turned, SIZES, [False, True])):
        np.testing.assert_array_equal(other[0], labels)
        np.testing.assert_array_equal(other[1], probability)


@pytest.mark.parametrize("steps", [[(20, 31)], [(20, 31), (16, 24)]])
def test_a_crop_is_a_slice_of_what_the_first_resize_gives(steps: list[tuple[int, int]]) -> None:
    (logits, _), crop = views(5.0), (17, 23)
    whole = resized_in_float32(logits, steps[:1], False)[:, : crop[0], : crop[1]]
    wanted = special.softmax(resized_in_float32(whole, steps[1:], False).astype(np.float64), axis=0)
    labels, probability = mean_argmax([logits], [steps], [False], crops_hw=[crop])
    np.testing.assert_array_equal(labels, wanted.argmax(axis=0))
    np.testing.assert_allclose(probability, wanted.max(axis=0), atol=1e-6)
    # Of two views one may be cropped.
    both = mean_argmax([logits, wanted.astype(np.float32)], [steps, []], [False, False], crops_hw=[crop, None])
    assert both[0].shape == labels.shape


def test_what_are_no_views_of_one_picture_is_refused() -> None:
    one, other = views(1.0)
    size = [(20, 31)]
    for logits, sizes, mirrored, threads in (
        ([], [], [], 1),
        ([one, other], [size], [False, False], 1),
        ([one, other], [size, size], [False], 1),
        ([one], [size], [False], 0),
    ):
        with pytest.raises(UsageError, match="equally many"):
            mean_argmax(logits, sizes, mirrored, threads=threads)
    for logits, sizes in (
        ([one, other], [size, [(20, 30)]]),
        ([one, other], [size, []]),
        ([one, other[:5]], [size, size]),
        ([one[0]], [size]),
        ([one[:, :0]], [size]),
        ([one.astype(np.float64)], [size]),
        ([np.zeros((65537, 1, 1), np.float32)], [[(1, 1)]]),
    ):
        with pytest.raises(BadShapeError):
            mean_argmax(logits, sizes, [False] * len(logits))
    for value in (np.nan, np.inf, -np.inf):
        broken = other.copy()
        broken[2, 3, 1] = value
        with pytest.raises(BadInputError, match="finite"):
            mean_argmax([one, broken], SIZES, [False, False])
