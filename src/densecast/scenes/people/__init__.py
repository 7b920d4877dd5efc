"""Draws people with the position and visibility of each COCO keypoint, from a seed and an index."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from densecast.scenes import lens, stage
from densecast.scenes.camera import Camera
from densecast.scenes.mesh import Array
from densecast.scenes.people import draw, layout, props
from densecast.scenes.people.body import coco_points
from densecast.scenes.people.depth_canvas import FINE, DepthCanvas, Lamp
from densecast.scenes.people.layout import Guest

NAME = "people"
VERSION = 1
"""Counts the changes that alter pictures."""

_STREAM = 0x9E0
_LEAST_VISIBLE_PX = 60


@dataclass(frozen=True, slots=True)
class Person:
    """One person's truth, in pixels of the picture; pixel (0, 0) covers [0, 1)."""

    xy_px: Array
    """(17, 2) in COCO's order; 0, 0 where `visibility` is 0"""
    visibility: npt.NDArray[np.uint8]
    """(17,) 0 outside the picture, 1 hidden by something or by the person's own body, 2 in sight"""
    mask: npt.NDArray[np.bool_]
    """(H, W) where at least half of the pixel shows this person"""


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture and its truth."""

    image: npt.NDArray[np.uint8]
    """(H, W, 3) sRGB"""
    people: tuple[Person, ...]


def render(seed: int, index: int) -> Scene:
    """Picture `index` of the world `seed`. Equal arguments give equal pixels, in any order and any process."""
    rng = np.random.default_rng([seed, _STREAM, index])
    size_hw = layout.size_hw(rng)
    camera, guests = layout.arrange(rng, size_hw)
    some_colour = rng.uniform(0.02, 0.8, 3).astype(np.float32)
    ground = stage.make(rng, camera, size_hw, some_colour)
    lamp, thrown = _lamp(rng)
    picture = _shadowed(rng, ground.picture, camera, guests, thrown)
    canvas = DepthCanvas(size_hw, camera, lamp)
    for number, guest in enumerate(guests, start=1):
        draw.draw(canvas, guest.body, guest.outfit, number)
        props.seat(rng, canvas, guest.body)
    props.scatter(rng, canvas, camera, size_hw)
    image = lens.photograph(_blurred(rng, canvas.over(picture)), rng)
    return Scene(image, tuple(_truths(canvas, camera, guests, size_hw)))


def _truths(canvas: DepthCanvas, camera: Camera, guests: list[Guest], size_hw: tuple[int, int]) -> list[Person]:
    """Everyone of whom something can be seen."""
    found = []
    blocks = (size_hw[0], FINE, size_hw[1], FINE)
    size_xy = np.array([size_hw[1], size_hw[0]])
    for number, guest in enumerate(guests, start=1):
        mask = (canvas.owner == number).reshape(blocks).sum(axis=(1, 3)) * 2 >= FINE * FINE
        points = coco_points(guest.body)
        xy, _ = camera.project(points)
        inside = np.all((xy >= 0) & (xy < size_xy), axis=1)
        seen = canvas.is_seen(points, draw.slack_m(guest.body))
        if mask.sum() < _LEAST_VISIBLE_PX or not (inside & seen).any():
            continue
        visibility = np.where(inside, 1 + seen, 0).astype(np.uint8)
        found.append(Person(np.where(inside[:, None], xy, 0).astype(np.float32), visibility, mask))
    return found


def _lamp(rng: np.random.Generator) -> tuple[Lamp, Array]:
    """The light, and the way on the ground (x, y) that a shadow runs for each metre of height."""
    turn, rise = rng.uniform(-1.4, 1.4), rng.uniform(0.35, 1.2)
    # Mostly from the camera's side, sometimes from behind the people.
    away = -np.cos(turn) * np.cos(rise) * (-0.6 if rng.random() < 0.15 else 1)
    towards = np.array([np.sin(turn) * np.cos(rise), np.sin(rise), away], dtype=np.float32)
    towards /= np.linalg.norm(towards)
    warmth = rng.uniform(-0.12, 0.18)
    white = np.array([1 + warmth, 1.0, 1 - warmth], dtype=np.float32)
    sun = white * np.float32(rng.uniform(0.2, 1.0))
    sky = (2 - white) * np.float32(rng.uniform(0.4, 0.8))
    return Lamp(towards, sun.astype(np.float32), sky.astype(np.float32)), -towards[[0, 2]] / max(towards[1], 0.3)


def _shadowed(rng: np.random.Generator, picture: Array, camera: Camera, guests: list[Guest], thrown: Array) -> Array:
    """The stage with the shadows of the people on its floor: soft under the feet, longer away from the sun."""
    height, width = picture.shape[:2]
    dark = np.zeros((height, width), dtype=np.float32)
    depth = float(rng.uniform(0.1, 0.55))
    for guest in guests:
        body = guest.body
        points = np.concatenate([body.ankles, body.toes, body.knees, body.hips, body.chest[None], body.head[None]])
        ground = points * np.array([1, 1, 0], dtype=np.float32)
        ground[:, :2] += points[:, 2:] * thrown
        # The camera is level: ground that is farther away lies higher, up to the horizon.
        ground[:, 1] = np.maximum(ground[:, 1], 0.6 - camera.distance_m)
        xy, far = camera.project(ground)
        for first, second, thick_m in (
            (0, 4, 0.16),
            (1, 5, 0.16),
            (4, 6, 0.24),
            (5, 7, 0.24),
            (6, 8, 0.34),
            (8, 9, 0.2),
        ):
            thick = max(1, round(thick_m * camera.focal_px / float(far[[first, second]].mean()) * 0.6))
            ends = [tuple(int(v) for v in np.clip(xy[i], -4000, 4000)) for i in (first, second)]
            cv2.line(dark, ends[0], ends[1], depth, min(thick, 200))
    soft = cv2.GaussianBlur(dark, (0, 0), float(rng.uniform(1.0, 3.0)))
    darker: Array = picture * (1 - soft)[..., None]
    return darker


def _blurred(rng: np.random.Generator, picture: Array) -> Array:
    """Some pictures are a little out of focus, or were taken by a hand that moved."""
    pick = rng.random()
    if pick < 0.2:
        blurred: Array = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.1)))
        return blurred
    if pick < 0.28:
        length = int(rng.integers(3, 6))
        kernel = np.zeros((length, length), dtype=np.float32)
        turn = rng.uniform(0, np.pi)
        middle = (length - 1) / 2
        for step in np.linspace(-middle, middle, 4 * length):
            kernel[round(middle + step * np.sin(turn)), round(middle + step * np.cos(turn))] = 1
        moved: Array = cv2.filter2D(picture, -1, kernel / kernel.sum())
        return moved
    return picture
