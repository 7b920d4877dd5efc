"""Draws a car on a turntable from sixteen angles, with an exact mask, from a seed and an index."""

import hashlib
import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.scenes import drawing, lens, raster, stage
from densecast.scenes.camera import Camera
from densecast.scenes.mesh import Array
from densecast.scenes.turntable import attachments, floor_light, materials, paint
from densecast.scenes.turntable.paint import Light
from densecast.scenes.turntable.shape import make_left_half

NAME = "turntable"
VERSION = 1
"""Counts the changes that alter pictures."""

VIEWS = 16
"""Pictures of one car, a sixteenth of a turn apart."""

SIZE_HW = (640, 959)
"""Half of Carvana's 1280×1918."""

_CAR_STREAM = 0xCA7
_RAIL_PX_PER_HEIGHT = 1 / 180


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture and its truth."""

    id: str
    """As Carvana's: twelve hexadecimal digits for the car, `_`, 01 to 16 for the view"""
    image: npt.NDArray[np.uint8]
    """(H, W, 3) sRGB"""
    mask: npt.NDArray[np.uint8]
    """(H, W), 1 where at least half of the pixel is car, else 0; things in front of the car are not car"""


def scene_id(seed: int, index: int) -> str:
    """The id of picture `index`: sixteen cars take turns, so that a few pictures already show many cars.

    Pictures 0 to 255 are all views of cars 0 to 15, pictures 256 to 511 those of the next sixteen, and so on.
    """
    car, view = _car_and_view(index)
    return f"{hashlib.sha256(f'{NAME}/{seed}/{car}'.encode()).hexdigest()[:12]}_{view + 1:02d}"


def render(seed: int, index: int, size_hw: tuple[int, int] = SIZE_HW) -> Scene:
    """Picture `index` of the world `seed`. Equal arguments give equal pixels, in any order and any process.

    The car depends on the seed and its number alone; place, light, camera and lens change with each picture.
    The pixels were found equal under OpenCV 4.14 and 5.0; other processors may round single pixels differently.
    """
    car, view = _car_and_view(index)
    car_rng = np.random.default_rng([seed, _CAR_STREAM, car])
    shape = attachments.complete(car_rng, make_left_half(car_rng))
    finish = materials.make_finish(car_rng)
    rng = np.random.default_rng([seed, index])
    azimuth = float(2 * np.pi * view / VIEWS + rng.uniform(-0.08, 0.08))
    camera = _camera(rng, size_hw)
    ground = stage.make(rng, camera, size_hw, finish.paint)
    light = _light(rng, ground)
    picture = ground.picture
    floor_light.cast_shadow(picture, rng, shape.mesh, azimuth, camera, light)
    if ground.glossy > 0:
        floor_light.mirror(picture, shape.mesh, finish.paint, azimuth, camera, ground)

    seen = raster.surface(shape.mesh, azimuth, camera, size_hw)
    behind = picture.reshape(-1, 3)[seen.pixel].T
    colour = paint.shade(seen, shape, finish, light, camera.position, azimuth, behind)
    _put(picture, seen, colour)
    hidden = barrier(picture, rng, camera) if rng.random() < 0.18 else 0.0
    mask = (seen.coverage * (1 - hidden) >= 0.5).astype(np.uint8)
    return Scene(scene_id(seed, index), lens.photograph(picture, rng), mask)


def _car_and_view(index: int) -> tuple[int, int]:
    block, place = divmod(index, VIEWS * VIEWS)
    turn, car = divmod(place, VIEWS)
    # 5 and 16 have no common divisor: neighbouring cars show different sides, and no view comes twice.
    return block * VIEWS + car, (turn + 5 * car) % VIEWS


def _camera(rng: np.random.Generator, size_hw: tuple[int, int]) -> Camera:
    """At a photographer's height, so that a car fills half to four fifths of the width."""
    distance, height = rng.uniform(6.5, 10.5), rng.uniform(1.1, 2.4)
    pitch = float(np.arctan2(height - rng.uniform(0.55, 0.95), distance))
    focal = size_hw[1] / 4.7 * distance * rng.uniform(0.58, 0.82)
    centre = (size_hw[1] * rng.uniform(0.45, 0.55), size_hw[0] * rng.uniform(0.46, 0.58))
    return Camera(float(distance), float(height), pitch, float(focal), centre)


def _light(rng: np.random.Generator, ground: stage.Stage) -> Light:
    turn, rise = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 1.4)
    # Mostly from the camera's side, sometimes from behind the car.
    direction = np.array([np.cos(turn) * np.cos(rise), -abs(np.sin(turn)) * np.cos(rise), np.sin(rise)])
    if rng.random() < 0.25:
        direction[1] *= -1
    warmth = rng.uniform(-0.15, 0.2)
    white = np.array([1 + warmth, 1.0, 1 - warmth])
    power = rng.uniform(0.25, 1.5)
    return Light(
        sun_direction=direction.astype(np.float32),
        sun=(white * power).astype(np.float32),
        sky=(rng.uniform(0.3, 0.75) * (2 - white)).astype(np.float32),
        horizon=ground.wall_colour * np.float32(rng.uniform(0.8, 1.3)),
        floor=ground.floor_colour * np.float32(0.8),
        waves=(float(rng.uniform(0, 6.3)), float(rng.uniform(0, 6.3)), float(rng.uniform(0, 6.3))),
        lamp_rows=ground.indoors and bool(rng.random() < 0.6),
    )


def _put(picture: Array, seen: raster.Surface, colour: Array) -> None:
    """Blend the car's colour samples (3, n) into the picture."""
    flat = picture.reshape(-1, 3)
    picture *= (1 - seen.coverage)[..., None]
    weighted = (colour * seen.weight).T
    for group in seen.rounds:
        flat[seen.pixel[group]] += weighted[group]


def barrier(picture: Array, rng: np.random.Generator, camera: Camera) -> Array:
    """Posts and a rope in front of the car; returns how far they cover each pixel, (H, W) in 0..1."""
    near, step, height = -rng.uniform(2.6, 3.2), rng.uniform(1.4, 2.4), rng.uniform(0.5, 0.95)
    posts = np.arange(-2.6 + rng.uniform(-0.7, 0.7), 3.2, step)
    feet, _ = camera.project(np.array([[x, near, 0] for x in posts], dtype=np.float32))
    heads, _ = camera.project(np.array([[x, near, height] for x in posts], dtype=np.float32))
    post_px = max(1, round(picture.shape[0] * _RAIL_PX_PER_HEIGHT * rng.uniform(0.6, 2)))
    share = np.linspace(0, 1, 14, dtype=np.float32)[:, None]
    sag = (
        np.float32(rng.uniform(0.006, 0.04) * picture.shape[0])
        * (1 - (2 * share - 1) ** 2)
        * np.array([0, 1], dtype=np.float32)
    )
    ropes = [left + (right - left) * share + sag for left, right in itertools.pairwise(heads)]
    uprights = [np.stack(ends) for ends in zip(feet, heads, strict=True)]
    cover = drawing.stroke_cover(uprights, picture.shape[:2], post_px)
    if ropes:
        cover = np.maximum(cover, drawing.stroke_cover(ropes, picture.shape[:2], max(1, post_px // 2)))
    alpha: Array = cover.astype(np.float32) * np.float32(1 / 255)
    tone = (np.full(3, rng.choice([0.03, 0.2, 0.6])) * rng.uniform(0.7, 1.3, 3)).astype(np.float32)
    picture += (tone - picture) * alpha[..., None]
    return alpha
