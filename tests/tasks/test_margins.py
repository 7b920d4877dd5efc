"""The margin of a pixel is the gap between the two largest logits of the enlarged map there."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.tasks.segmentation.margins import margins


def enlarged(planes: np.ndarray, size_hw: tuple[int, int], *, align_corners: bool) -> np.ndarray:
    """(C, h, w) -> (C, *size_hw): along one axis after the other, as `np.interp` does it, the ends repeated."""
    for axis, size in enumerate(size_hw, start=1):
        own = planes.shape[axis]
        at = (
            np.arange(size) * ((own - 1) / max(size - 1, 1))
            if align_corners
            else (np.arange(size) + 0.5) * own / size - 0.5
        )
        planes = np.apply_along_axis(lambda line, at=at, own=own: np.interp(at, np.arange(own), line), axis, planes)
    return planes


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size_hw", [(13, 22), (5, 7), (1, 9), (3, 4)])
def test_margins_are_gaps_of_the_enlarged_planes(size_hw: tuple[int, int], align_corners: bool) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 5, 7))
    places = np.argwhere(np.ones(size_hw))
    whole = np.sort(enlarged(logits, size_hw, align_corners=align_corners), axis=0)
    found = margins(logits, places, size_hw, align_corners=align_corners)
    np.testing.assert_allclose(found, (whole[-1] - whole[-2]).ravel(), rtol=0, atol=1e-12)
    some = places[::3]
    np.testing.assert_array_equal(margins(logits, some, size_hw, align_corners=align_corners), found[::3])


def test_one_plane_or_no_place_has_no_margins() -> None:
    assert margins(np.zeros((1, 3, 3)), np.zeros((1, 2), np.int64), (6, 6), align_corners=False).size == 0
    assert margins(np.zeros((2, 3, 3)), np.zeros((0, 2), np.int64), (6, 6), align_corners=False).size == 0
