"""Polygons of masks cover exactly the pixels of the mask, and are valid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from densecast.imaging.outlines import Polygon, polygons, signed_area

Mask = npt.NDArray[np.bool_]


def inside(ring: npt.NDArray[np.float64], size_hw: tuple[int, int]) -> Mask:
    """Pixels whose centre has an odd number of the ring's vertical edges on its left."""
    crossed = np.zeros(size_hw, int)
    for (x, y), (x_next, y_next) in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
        if x == x_next:
            top, bottom = sorted((int(y), int(y_next)))
            crossed[top:bottom, int(x) :] += 1
    return crossed % 2 == 1


def covered(polygon: Polygon, size_hw: tuple[int, int]) -> Mask:
    mask = inside(polygon.exterior, size_hw)
    for hole in polygon.holes:
        mask &= ~inside(hole, size_hw)
    return mask


@pytest.mark.parametrize("seed", range(40))
def test_polygons_cover_each_pixel_of_a_random_mask_once_and_nothing_else(seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random(tuple(random.integers(1, 12, 2))) < random.choice([0.2, 0.5, 0.8, 1.0])
    found = polygons(mask)
    times = sum((covered(each, mask.shape).astype(int) for each in found), np.zeros(mask.shape, int))
    np.testing.assert_array_equal(times, mask)
    assert [each.area for each in found] == [covered(each, mask.shape).sum() for each in found]
    for each in found:
        for ring in (each.exterior, *each.holes):
            assert len(np.unique(ring, axis=0)) == len(ring), "a ring passes a corner twice"
        assert signed_area(each.exterior) > 0 and all(signed_area(hole) < 0 for hole in each.holes)


def test_pixels_that_touch_at_a_corner_are_two_polygons_and_a_hole_may_touch_the_outside_at_one() -> None:
    two = polygons(np.eye(2, dtype=bool))
    assert [each.exterior.tolist() for each in two] == [
        [[0, 0], [1, 0], [1, 1], [0, 1]],
        [[1, 1], [2, 1], [2, 2], [1, 2]],
    ]
    # A ring of pixels without its upper left one: inside and outside meet at the corner (1, 1) only.
    mask = np.ones((3, 3), bool)
    mask[1, 1] = mask[0, 0] = False
    (one,) = polygons(mask)
    assert len(one.holes) == 1 and one.area == 7
    assert sorted(one.holes[0].tolist()) == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_simplified_outlines_lose_corners_and_keep_tiny_regions() -> None:
    # A staircase along a diagonal.
    mask = np.tril(np.ones((40, 40), bool))
    (exact,) = polygons(mask)
    fewer = exact.simplified(1.5)
    assert len(exact.exterior) > 70 and len(fewer.exterior) < 8
    # A strip of half a pixel along the diagonal.
    assert abs(fewer.area - exact.area) < 40
    (pixel,) = polygons(np.ones((1, 1), bool))
    assert pixel.simplified(9.0).area == 1
