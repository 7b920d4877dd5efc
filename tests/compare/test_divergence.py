"""Simple differences between two maps are called by their name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from densecast.verbs.compare import divergence

F32 = npt.NDArray[np.float32]


@pytest.fixture
def maps() -> F32:
    rng = np.random.default_rng(3)
    coarse = rng.normal(size=(1, 8, 10, 12)).astype(np.float32)
    return np.asarray(
        coarse.repeat(4, axis=2).repeat(4, axis=3) + rng.normal(scale=0.1, size=(1, 8, 40, 48)), "float32"
    )


def test_each_kind_is_described(maps: F32) -> None:
    offset = maps + np.linspace(1, 2, 8, dtype=np.float32)[:, None, None]
    scaled = maps * np.linspace(1.1, 1.5, 8, dtype=np.float32)[:, None, None]
    border = maps.copy()
    border[:, :, 0] += 3
    dead = maps.copy()
    dead[:, 2] = 0.5
    broken = maps.copy()
    broken[0, 0, 0, 0] = np.inf
    cases = {
        "bias": offset,
        "scaled": scaled,
        "padding": border,
        "first: 2": dead,
        "not finite": broken,
        "saturates": np.clip(maps, -0.5, 0.5),
        "order": maps[:, ::-1],
        "moved by (1, 0)": np.roll(maps, 1, axis=2),
        "ReLU": np.maximum(maps, 0),
    }
    clauses = {words: divergence.describe(maps, other) for words, other in cases.items()}
    assert all(words in text for words, text in clauses.items()), clauses


def test_unlike_maps_are_given_no_reason(maps: F32) -> None:
    other = np.random.default_rng(8).normal(size=maps.shape).astype(np.float32)
    assert divergence.describe(maps, other) == "the values differ all over the map"


def along(maps: F32, step: float, axis: int) -> F32:
    """The map moved along an axis: by half a pixel each value is the mean of itself and the one before or after."""
    whole = np.roll(maps, int(np.trunc(step)), axis)
    if step == int(step):
        return whole
    return np.asarray((whole + np.roll(whole, int(np.sign(step)), axis)) / 2, "float32")


@pytest.mark.parametrize("dy", [-1, -0.5, 0, 0.5, 1])
@pytest.mark.parametrize("dx", [-1, -0.5, 0, 0.5, 1])
def test_every_move_by_half_a_pixel_is_told_with_its_direction(dy: float, dx: float, maps: F32) -> None:
    """Half a pixel down and right is what a wrong `align_corners` does, up and left the same mistake turned round."""
    small = maps[:, :2, :14, :17]
    said = divergence.describe(small, along(along(small, dy, 2), dx, 3) + np.float32(1e-4))
    assert said == (f"the map is moved by ({dy:g}, {dx:g}) pixels down and right") or (dy, dx) == (0, 0)
    assert (dy, dx) != (0, 0) or "moved" not in said


@pytest.mark.parametrize(("side", "is_told"), [(8, True), (7, False)])
def test_maps_of_under_eight_pixels_are_too_small_to_be_moved(side: int, is_told: bool, maps: F32) -> None:
    for small in (maps[:, :2, :side, :20], maps[:, :2, :20, :side]):
        assert ("moved by (0, 1)" in divergence.describe(small, np.roll(small, 1, axis=3))) == is_told


def test_channels_are_counted_and_factors_and_bounds_are_those_that_were_planted(maps: F32) -> None:
    """A reader looks for the fault where the numbers point: at some channels, a range or a factor."""
    shift = np.array([0, 0, 0, 2, 0, -1, 0, 3], "float32")[:, None, None]
    assert divergence.describe(maps, maps + shift) == "3 of 8 channels are off by a constant: the bias differs"
    factors = np.array([1, 1, 0.7, 1, 1, 1.4, 1, 1], "float32")[:, None, None]
    said = divergence.describe(maps, maps * factors + np.float32(0.02))
    assert said == "the channels are scaled by 0.7 to 1.4: the scale or the normalisation differs"
    swapped = maps[:, [0, 1, 2, 6, 4, 5, 3, 7]]
    assert divergence.describe(maps, swapped) == "2 of 8 channels are other ones: the order differs"
    copied = maps[:, [0, 1, 2, 6, 4, 5, 6, 7]]
    assert "order" not in divergence.describe(maps, copied), "one channel in another's place is no order"
    lost = maps.copy()
    lost[:, [3, 6]] = 1.0
    assert divergence.describe(maps, lost) == "2 of 8 channels (first: 3) are constant: weights are gone"


@pytest.mark.parametrize(("low", "high"), [(-np.inf, 0.5), (-0.5, np.inf), (-0.5, 0.75)])
def test_a_range_that_saturates_is_given_with_the_one_it_should_have(low: float, high: float, maps: F32) -> None:
    said = divergence.describe(maps, np.clip(maps, low, high))
    least, most = float(maps.min()), float(maps.max())
    assert said == (
        f"the values are cut off at {max(low, least):.3g} to {min(high, most):.3g}, where the reference has "
        f"{least:.3g} to {most:.3g}: the range saturates"
    )


def test_which_of_two_maps_keeps_what_a_rectifier_takes_is_told(maps: F32) -> None:
    assert divergence.describe(np.maximum(maps, 0), maps).startswith("the candidate keeps values below 0")
    assert divergence.describe(maps, np.maximum(maps, 0)).startswith("the reference keeps values below 0")


@pytest.mark.parametrize(("rows", "is_told"), [(6, True), (8, False)])
def test_a_border_is_the_outermost_seventh_of_each_side(rows: int, is_told: bool, maps: F32) -> None:
    wrong = maps.copy()
    wrong[:, :, :rows] += np.random.default_rng(1).normal(scale=3, size=wrong[:, :, :rows].shape).astype("float32")
    assert ("only the border differs" in divergence.describe(maps, wrong)) == is_told
