"""Painting order agrees with what rays from the camera meet."""

import numpy as np
import pytest

from densecast.scenes.street.depth_order import far_to_near
from densecast.scenes.street.shape import Footprint


def scattered(seed: int, count: int) -> list[Footprint]:
    """Rectangles ahead of the camera that share no ground: cars, long trams, walls, posts."""
    rng = np.random.default_rng(seed)
    found: list[Footprint] = []
    while len(found) < count:
        across, along = rng.uniform(-12, 12), rng.uniform(3, 60)
        wide, deep = rng.choice([0.2, 2.0, 8.0]), rng.choice([0.2, 4.0, 25.0])
        place = Footprint((across, across + wide), (along, along + deep))
        if not any(place.meets(other) for other in found):
            found.append(place)
    return found


def distance_along_ray(place: Footprint, direction: np.ndarray) -> float:
    """Where a ray from the origin enters the rectangle; infinite where it misses (slab method)."""
    enter, leave = 0.0, np.inf
    for (low, high), step in zip((place.across, place.along), direction, strict=True):
        near, far = sorted((low / step, high / step))
        enter, leave = max(enter, near), min(leave, far)
    return enter if enter < leave else np.inf


@pytest.mark.parametrize("seed", range(12))
def test_every_ray_meets_what_is_painted_later_first(seed: int) -> None:
    places = scattered(seed, 30)
    order = far_to_near(places)
    assert sorted(order) == list(range(30))
    compared = 0
    for turn in np.linspace(-1.1, 1.1, 401) + 1e-4:
        direction = np.array([np.sin(turn), np.cos(turn)])
        distances = np.array([distance_along_ray(places[index], direction) for index in order])
        met = distances[np.isfinite(distances)]
        compared += len(met)
        assert (np.diff(met) < 0).all()
    assert compared > 300


def test_things_that_share_ground_go_by_distance() -> None:
    near, far = Footprint((-1, 1), (5, 9)), Footprint((-1, 1), (6, 20))
    assert far_to_near([near, far]) == [1, 0]
    assert far_to_near([far, near]) == [0, 1]


def test_nothing_has_an_order() -> None:
    assert far_to_near([]) == []
