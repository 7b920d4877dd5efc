"""Objects among people: seats, posts, balls, bushes, bags."""

import numpy as np

from densecast.scenes.camera import Camera
from densecast.scenes.mesh import Array
from densecast.scenes.people.body import Body
from densecast.scenes.people.depth_canvas import BallPaint, DepthCanvas, Limb, LimbPaint

PROP = 1000
"""What samples of things are marked with."""

_UPRIGHT = np.eye(3, dtype=np.float32)


def seat(rng: np.random.Generator, canvas: DepthCanvas, body: Body) -> None:
    """A stool or a block under a body whose thighs are level; nothing under one that stands."""
    tall = body.build.stature_m
    if float(np.abs(body.hips[:, 2] - body.knees[:, 2]).max()) > 0.1 * tall:
        return
    colour = _colour(rng)
    top = body.pelvis - _UPRIGHT[2] * np.float32(0.1 * tall) + body.hip_frame[1] * np.float32(0.04 * tall)
    foot = top * np.array([1, 1, 0], dtype=np.float32)
    left, front = body.hip_frame[0], body.hip_frame[1]
    if rng.random() < 0.4:
        block = Limb((top, foot), (0.14 * tall, 0.14 * tall), left, 0.8, 0.08)
        canvas.limb(block, _flat(colour), PROP)
        return
    board = Limb(
        (top - left * np.float32(0.11 * tall), top + left * np.float32(0.11 * tall)),
        (0.12 * tall,) * 2,
        front,
        0.16,
        0.3,
    )
    canvas.limb(board, _flat(colour), PROP)
    for side, ahead in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        end = foot + left * np.float32(side * 0.12 * tall) + front * np.float32(ahead * 0.09 * tall)
        canvas.limb(Limb((top, end), (0.016, 0.016), left), _flat(colour * np.float32(0.7)), PROP)


def scatter(rng: np.random.Generator, canvas: DepthCanvas, camera: Camera, size_hw: tuple[int, int]) -> None:
    """Up to four things on the ground, anywhere from near the camera to the backdrop."""
    for _ in range(int(rng.choice(5, p=(0.3, 0.25, 0.2, 0.15, 0.1)))):
        depth = rng.uniform(2.2, camera.distance_m + 4)
        x = (rng.uniform(0, 1) * size_hw[1] - camera.centre_px[0]) / camera.focal_px * depth
        spot = np.array([x, depth - camera.distance_m, 0], dtype=np.float32)
        kind = rng.choice(5, p=(0.15, 0.2, 0.25, 0.25, 0.15))
        colour = _colour(rng)
        if kind == 0:
            _post(rng, canvas, spot, colour)
        elif kind == 1:
            radius = np.float32(rng.uniform(0.08, 0.25))
            canvas.ball(spot + _UPRIGHT[2] * radius, _UPRIGHT, np.full(3, radius), _patches(colour), PROP)
        elif kind == 2:
            _bush(rng, canvas, spot)
        elif kind == 3:
            size = rng.uniform(0.12, 0.3)
            block = Limb((spot, spot + _UPRIGHT[2] * np.float32(2 * size)), (size, size * 0.85), _UPRIGHT[0], 0.7, 0.2)
            canvas.limb(block, _banded(colour), PROP)
        else:
            _table(rng, canvas, spot, colour)


def _post(rng: np.random.Generator, canvas: DepthCanvas, spot: Array, colour: Array) -> None:
    thick, tall = rng.uniform(0.02, 0.05), rng.uniform(0.7, 2.6)
    canvas.limb(Limb((spot, spot + _UPRIGHT[2] * np.float32(tall)), (thick, thick), _UPRIGHT[0]), _banded(colour), PROP)
    if rng.random() < 0.4:
        centre = spot + _UPRIGHT[2] * np.float32(tall)
        canvas.ball(centre, _UPRIGHT, np.array([0.17, 0.04, 0.17], dtype=np.float32), _patches(colour), PROP)


def _bush(rng: np.random.Generator, canvas: DepthCanvas, spot: Array) -> None:
    """Leaves on stalks; a pot under them."""
    green = (np.array([0.1, 0.2, 0.05]) * rng.uniform(0.4, 1.6) * rng.uniform(0.7, 1.3, 3)).astype(np.float32)
    tall = rng.uniform(0.25, 0.8)
    for _ in range(int(rng.integers(7, 15))):
        tip = np.array([*rng.normal(0, 0.35 * tall, 2), rng.uniform(0.5, 1.2) * tall], dtype=np.float32)
        leaf = Limb((spot + tip * np.float32(0.2), spot + tip), (0.012, rng.uniform(0.02, 0.07)), _UPRIGHT[0], 0.4)
        canvas.limb(leaf, _flat(green * np.float32(rng.uniform(0.6, 1.5))), PROP)
    pot = Limb((spot, spot + _UPRIGHT[2] * np.float32(0.3 * tall)), (0.2 * tall, 0.27 * tall), _UPRIGHT[0], 1.0, 0.1)
    canvas.limb(pot, _flat(_colour(rng)), PROP)


def _table(rng: np.random.Generator, canvas: DepthCanvas, spot: Array, colour: Array) -> None:
    half, tall = rng.uniform(0.3, 0.6), rng.uniform(0.45, 0.75)
    level = spot + _UPRIGHT[2] * np.float32(tall)
    reach = _UPRIGHT[0] * np.float32(half)
    canvas.limb(Limb((level - reach, level + reach), (0.25, 0.25), _UPRIGHT[1], 0.09, 0.1), _banded(colour), PROP)
    for side in (-1, 1):
        foot = spot + reach * np.float32(side * 0.9)
        canvas.limb(
            Limb((foot, level + reach * np.float32(side * 0.9)), (0.03, 0.03), _UPRIGHT[0]), _flat(colour), PROP
        )


def _colour(rng: np.random.Generator) -> Array:
    return (rng.uniform(0.02, 0.7, 3) * rng.uniform(0.4, 1.0)).astype(np.float32)


def _flat(colour: Array) -> LimbPaint:
    return lambda along_m, around_rad: np.broadcast_to(colour, (len(along_m), 3))


def _banded(colour: Array) -> LimbPaint:
    def paint(along_m: Array, around_rad: Array) -> Array:
        shade = np.float32(0.8) + np.float32(0.3) * np.sin(along_m * 40 + np.sin(around_rad * 5))
        return shade[:, None] * colour

    return paint


def _patches(colour: Array) -> BallPaint:
    def paint(sphere: Array) -> Array:
        dark = np.sign(np.sin(sphere[0] * 7)) * np.sign(np.sin(sphere[2] * 7)) > 0
        return np.where(dark[:, None], colour, np.float32(0.7) - colour * np.float32(0.6))

    return paint
