"""Errors over several images are numpy's over all values at once; what a divergence is called goes by its numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from densecast.verbs.compare import divergence
from densecast.verbs.compare.tally import ExactMargins, OutputTally, sums_of

F32 = npt.NDArray[np.float32]


def tallied(*pairs: tuple[npt.ArrayLike, npt.ArrayLike]) -> OutputTally:
    tally = OutputTally()
    for expected, actual in pairs:
        tally.add(sums_of(np.asarray(expected, np.float32), np.asarray(actual, np.float32)))
    return tally


def test_errors_over_images_are_those_of_all_values_together() -> None:
    rng = np.random.default_rng(0)
    left = [rng.normal(size=size) for size in ((2, 3, 4), (2, 5, 5), (2, 1, 1))]
    right = [each + rng.normal(scale=0.1, size=each.shape) for each in left]
    pairs = [(np.float32(one), np.float32(other)) for one, other in zip(left, right, strict=True)]
    expected, actual = (np.concatenate([np.float64(pair[side]).ravel() for pair in pairs]) for side in (0, 1))
    apart = actual - expected
    found = tallied(*pairs).error()
    assert found.max_error == np.abs(apart).max()
    assert found.mean_error == pytest.approx(np.abs(apart).mean(), rel=1e-12)
    assert found.relative_error == pytest.approx(np.abs(apart).max() / np.abs(expected).max(), rel=1e-12)
    assert found.relative_l2 == pytest.approx(np.linalg.norm(apart) / np.linalg.norm(expected), rel=1e-12)
    cosine = expected @ actual / np.linalg.norm(expected) / np.linalg.norm(actual)
    assert found.cosine == pytest.approx(cosine, rel=1e-12)


def test_a_reference_of_zeros_is_met_or_missed_without_limit() -> None:
    same, other = tallied(([0.0, 0.0], [0.0, 0.0])).error(), tallied(([0.0, 0.0], [0.0, 2.0])).error()
    assert (same.max_error, same.mean_error, same.relative_error, same.relative_l2, same.cosine) == (0, 0, 0, 0, 1)
    assert (other.max_error, other.mean_error, other.relative_error, other.relative_l2) == (2, 1, np.inf, np.inf)
    none = OutputTally().error()
    assert (none.max_error, none.mean_error, none.relative_error, none.relative_l2, none.cosine) == (0, 0, 0, 0, 1)


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_number_in_any_image_stays_so(place: int) -> None:
    pairs = [([1.0, 2.0], [1.0, 2.5]), ([1.0, 2.0], [1.0, 2.0])]
    pairs[place] = ([1.0, 2.0], [np.nan, 2.0])
    found = tallied(*pairs).error()
    assert np.isnan([found.max_error, found.mean_error, found.relative_error, found.relative_l2, found.cosine]).all()


def test_margins_of_what_changed_have_their_largest_and_median_and_all_have_a_median() -> None:
    margins = ExactMargins()
    assert margins.facts() == (None, None, None)
    margins.add(np.zeros(0), np.array([5.0, 9.0]))
    assert margins.facts() == (None, None, 7.0)
    margins.add(np.array([0.5, 2.0]), np.array([1.0]))
    margins.add(np.array([0.25]), np.array([3.0, 4.0]))
    assert margins.facts() == (2.0, 0.5, 4.0)


@pytest.fixture(scope="module")
def maps() -> F32:
    """(1, 8, 40, 48) smooth maps of both signs."""
    rng = np.random.default_rng(3)
    coarse = rng.normal(size=(1, 8, 10, 12)).astype(np.float32)
    return np.asarray(coarse.repeat(4, 2).repeat(4, 3) + rng.normal(scale=0.1, size=(1, 8, 40, 48)), np.float32)


@pytest.mark.parametrize("step", [(1, 0), (-1, 0), (0, 1), (0, -1), (1, -1)])
def test_the_way_that_a_map_was_moved_is_told(maps: F32, step: tuple[int, int]) -> None:
    told = divergence.describe(maps, np.roll(maps, step, (2, 3)))
    assert told == f"the map is moved by ({step[0]}, {step[1]}) pixels down and right"


def test_half_a_pixel_is_the_mean_of_two(maps: F32) -> None:
    between = (maps + np.roll(maps, 1, 3)) / 2
    assert divergence.describe(maps, between) == "the map is moved by (0, 0.5) pixels down and right"
    between = (maps + np.roll(maps, -1, 2)) / 2
    assert divergence.describe(maps, between) == "the map is moved by (-0.5, 0) pixels down and right"


def test_how_many_channels_and_which_is_told(maps: F32) -> None:
    dead = maps.copy()
    dead[:, [3, 5]] = 7.0
    assert divergence.describe(maps, dead).startswith("2 of 8 channels (first: 3) are constant")
    swapped = maps[:, [0, 1, 4, 3, 2, 5, 6, 7]]
    assert divergence.describe(maps, swapped).startswith("2 of 8 channels are other ones")
    offset = maps.copy()
    offset[:, :5] += np.arange(1, 6, dtype=np.float32)[:, None, None]
    assert divergence.describe(maps, offset).startswith("5 of 8 channels are off by a constant")
    broken = maps.copy()
    broken.reshape(-1)[: maps.size // 4] = np.inf
    assert divergence.describe(maps, broken).startswith("25.0% of the values are not finite")


def test_slopes_and_limits_are_told_as_they_are(maps: F32) -> None:
    slopes = np.linspace(1.25, 2.0, 8, dtype=np.float32)[:, None, None]
    # Per channel also off by a constant, which is not what it is called.
    assert divergence.describe(maps, maps * slopes + 1).startswith("the channels are scaled by 1.25 to 2:")
    cut = np.clip(maps, -0.5, 0.75)
    told = divergence.describe(maps, cut)
    assert told.startswith("the values are cut off at -0.5 to 0.75, where the reference has ")
    assert f"{float(maps.min()):.3g} to {float(maps.max()):.3g}" in told


def test_which_of_the_two_is_without_the_rectifier_is_told(maps: F32) -> None:
    rectified = np.maximum(maps, 0)
    assert divergence.describe(rectified, maps).startswith("the candidate keeps values below 0")
    assert divergence.describe(maps, rectified).startswith("the reference keeps values below 0")


@pytest.mark.parametrize(("width", "border"), [(6, True), (16, False)])
def test_the_border_is_less_than_a_sixth_of_each_side(maps: F32, width: int, border: bool) -> None:
    other = maps.copy()
    noise = np.random.default_rng(5).normal(scale=3, size=maps.shape).astype(np.float32)
    other[:, :, :, :width] += noise[:, :, :, :width]
    assert (divergence.describe(maps, other) == "only the border differs: the padding") == border


def test_vectors_just_differ() -> None:
    assert divergence.describe(np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32)) == "the values differ"
