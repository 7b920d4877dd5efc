"""Places people in an image: size, distance, and how much they may occlude each other."""

from dataclasses import dataclass

import numpy as np

from densecast.scenes.camera import Camera
from densecast.scenes.people.body import Body, Build, sample_build, stand
from densecast.scenes.people.outfit import Outfit, sample_outfit
from densecast.scenes.people.pose import sample_pose

_SIZES_HW = ((240, 320), (320, 240), (256, 256), (256, 352), (240, 352), (288, 256))
_COUNT_SHARES = (0.3, 0.26, 0.19, 0.12, 0.08, 0.05)
_NEAREST_WALL_M = 4.5
"""The backdrop never stands nearer than this behind the middle of the stage."""
_MOST_HIDDEN = 0.45
"""Share of a trunk's width that nearer people may cover."""
_TRIES = 12
"""Places tried for a person; one that finds none stays away."""


@dataclass(frozen=True, slots=True)
class Guest:
    """One person in a place."""

    body: Body
    outfit: Outfit


def size_hw(rng: np.random.Generator) -> tuple[int, int]:
    """Landscape, portrait or square."""
    return _SIZES_HW[int(rng.integers(len(_SIZES_HW)))]


def arrange(rng: np.random.Generator, picture_hw: tuple[int, int]) -> tuple[Camera, list[Guest]]:
    """A camera and one to six people in its view, the nearest first."""
    height, width = picture_hw
    count = 1 + int(rng.choice(len(_COUNT_SHARES), p=_COUNT_SHARES))
    close_up = rng.random() < 0.15
    largest = rng.uniform(1.05, 1.7) if close_up else rng.uniform(0.55 if count < 3 else 0.5, 0.95)
    smallest = max(0.22, largest * rng.uniform(0.4, 0.95))
    shares = np.sort(rng.uniform(smallest, largest, count))[::-1]
    shares[0] = largest
    builds = [sample_build(rng) for _ in range(count)]
    camera = _camera(rng, picture_hw, largest, builds[0].stature_m, close_up)
    taken: list[tuple[float, float]] = []
    guests = []
    for share, build in zip(shares, builds, strict=True):
        # A share is that of somebody 1.7 m tall, so that children are smaller; only the first is as tall as it says.
        tall = build.stature_m if share == largest else 1.7
        depth = min(camera.focal_px * tall / (share * height), camera.distance_m + _NEAREST_WALL_M - 0.4)
        half_px = 0.17 * camera.focal_px * build.stature_m / depth
        for _ in range(_TRIES):
            x = rng.uniform(0.1, 0.9) * width
            if all(_hidden((x - half_px, x + half_px), other) <= _MOST_HIDDEN for other in taken):
                taken.append((x - half_px, x + half_px))
                spot = ((x - camera.centre_px[0]) / camera.focal_px * depth, depth - camera.distance_m)
                guests.append(_guest(rng, build, spot))
                break
    return camera, guests


def _camera(
    rng: np.random.Generator, picture_hw: tuple[int, int], largest: float, stature_m: float, close_up: bool
) -> Camera:
    """A level camera that has the largest person's head in view, and mostly the feet, too."""
    height, width = picture_hw
    focal = max(picture_hw) * rng.uniform(1.0, 1.6)
    eye_m = rng.uniform(0.8, 1.9)
    if close_up:
        top = rng.uniform(0.02, 0.18)
    else:
        top = rng.uniform(0.01, max(1.0 - largest, 0.03)) - (0.07 if rng.random() < 0.1 else 0.0)
    horizon = (top + largest * (1 - eye_m / stature_m)) * height
    centre = (width * rng.uniform(0.45, 0.55), float(horizon))
    return Camera(float(rng.uniform(5.0, 8.0)), float(eye_m), 0.0, float(focal), centre)


def _guest(rng: np.random.Generator, build: Build, spot_xy_m: tuple[float, float]) -> Guest:
    """Most people face the camera, more or less; some turn their side or back to it."""
    pick = rng.random()
    if pick < 0.5:
        facing = rng.normal(0, 0.4)
    elif pick < 0.75:
        facing = rng.choice([-1, 1]) * rng.normal(1.5, 0.3)
    elif pick < 0.9:
        facing = np.pi + rng.normal(0, 0.4)
    else:
        facing = rng.uniform(-np.pi, np.pi)
    pose = sample_pose(rng)
    return Guest(stand(build, pose, spot_xy_m, float(facing)), sample_outfit(rng))


def _hidden(span: tuple[float, float], other: tuple[float, float]) -> float:
    """How much of the narrower of two spans the other covers."""
    both = min(span[1], other[1]) - max(span[0], other[0])
    return max(both, 0.0) / min(span[1] - span[0], other[1] - other[0])
