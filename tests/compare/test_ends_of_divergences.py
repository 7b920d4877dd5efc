"""A simple explanation of a difference holds where it leaves less than a tenth of it, at any scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from densecast.verbs.compare.divergence import describe

RNG = np.random.default_rng(0)
SHAPE = (1, 4, 40, 40)
REFERENCE = RNG.normal(size=SHAPE)
NOISE = RNG.normal(size=SHAPE)
BORDER = np.ones(SHAPE, bool)
BORDER[:, :, 6:-6, 6:-6] = False  # 15 % of each side


def with_share(explained: np.ndarray, rest: np.ndarray, share: float) -> np.ndarray:
    """A difference of which `rest`, which does not overlap with the explained part, has this share of the energy."""
    own, other = float((explained**2).sum()), float((rest**2).sum())
    return explained + rest * np.sqrt(share / (1 - share) * own / other)


def told(apart: np.ndarray, scale: float, reference: np.ndarray = REFERENCE) -> str:
    return describe((reference * scale).astype(np.float32), ((reference + apart) * scale).astype(np.float32))


def at_border(share: float) -> np.ndarray:
    return with_share(np.where(BORDER, NOISE, 0), np.where(BORDER, 0, NOISE), share)


def off(share: float) -> np.ndarray:
    constant = np.broadcast_to(np.array([1.0, -2.0, 0.0, 0.5]).reshape(1, 4, 1, 1), SHAPE)
    noise = NOISE - NOISE.mean(axis=(0, 2, 3), keepdims=True)
    return with_share(constant, noise, share)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
@pytest.mark.parametrize(
    ("made", "clause"),
    [(at_border, "only the border differs: the padding"), (off, "3 of 4 channels are off by a constant")],
)
def test_a_clause_holds_up_to_a_tenth_that_is_left(made: Any, clause: str, scale: float) -> None:
    assert told(made(0.09), scale).startswith(clause)
    assert told(made(0.11), scale) == "the values differ all over the map"


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
@pytest.mark.parametrize(("share", "holds"), [(0.09, True), (0.11, False)])
def test_a_rectifier_lacks_negative_values_alone(share: float, holds: bool, scale: float) -> None:
    rectified = np.maximum(REFERENCE, 0)
    difference = REFERENCE - rectified
    off_above = np.where(REFERENCE > 0.5, np.abs(NOISE), 0)
    with_rest = rectified + with_share(difference, off_above, share)
    for one, other, which in ((rectified, with_rest, "candidate"), (with_rest, rectified, "reference")):
        found = describe((one * scale).astype(np.float32), (other * scale).astype(np.float32))
        clause = f"the {which} keeps values below 0, the other does not: an activation (ReLU)"
        assert (found == clause) == holds


def test_channels_whose_weights_are_gone_are_counted() -> None:
    candidate = REFERENCE.copy()
    candidate[:, 1], candidate[:, 3] = 0.5, -0.25
    found = describe(REFERENCE.astype(np.float32), candidate.astype(np.float32))
    assert found == "2 of 4 channels (first: 1) are constant: weights are gone"


@pytest.mark.parametrize(("dy", "dx"), [(1, 0), (0, -1), (-1, 1), (0.5, 0), (-0.5, 0.5)])
def test_a_map_that_is_moved_is_told_with_its_way(dy: float, dx: float) -> None:
    y, x = np.mgrid[:40, :40]
    smooth = np.stack([np.sin(y / 3 + k) + np.cos(x / 4 - k) for k in range(3)])[None]

    def shifted(array: np.ndarray, step: float, axis: int) -> np.ndarray:
        low, high = int(np.floor(step)), int(np.ceil(step))
        return (np.roll(array, low, axis) + np.roll(array, high, axis)) / 2

    moved = shifted(shifted(smooth, dy, 2), dx, 3)
    found = describe(smooth.astype(np.float32), moved.astype(np.float32))
    assert found == f"the map is moved by ({dy:g}, {dx:g}) pixels down and right"


def test_channels_that_are_scaled_are_told_with_the_least_and_greatest_factor() -> None:
    factors = np.array([0.5, 1.5, 2.0, 1.0]).reshape(1, 4, 1, 1)
    found = describe(REFERENCE.astype(np.float32), (REFERENCE * factors + 0.001).astype(np.float32))
    assert found == "the channels are scaled by 0.5 to 2: the scale or the normalisation differs"


def test_what_is_cut_off_is_told_with_its_ends() -> None:
    found = describe(REFERENCE.astype(np.float32), np.clip(REFERENCE, -1, 1).astype(np.float32))
    low, high = REFERENCE.min(), REFERENCE.max()
    assert found.startswith(f"the values are cut off at -1 to 1, where the reference has {low:.3g} to {high:.3g}")


def test_channels_in_another_order_and_values_that_are_no_numbers() -> None:
    order = [1, 0, 2, 3]
    found = describe(REFERENCE.astype(np.float32), REFERENCE[:, order].astype(np.float32))
    assert found == "2 of 4 channels are other ones: the order differs"
    broken = REFERENCE.astype(np.float32)
    broken[0, 0, :4] = np.inf
    assert describe(REFERENCE.astype(np.float32), broken).startswith("2.5% of the values are not finite")
    assert describe(np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)) == "the values differ"
