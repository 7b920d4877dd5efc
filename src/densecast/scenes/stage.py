"""The scene around the turntable: a floor in perspective, a backdrop, and clutter that is not a car."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.scenes import backdrop, drawing
from densecast.scenes.camera import Array, Camera
from densecast.scenes.noise import fractal, tiled, value_noise


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands around a car. The picture is linear RGB."""

    picture: Array
    """(H, W, 3) float32"""
    floor_colour: Array
    """(3,) the mean of the floor near the car"""
    wall_colour: Array
    """(3,) the mean of what is behind the car"""
    floor_from_row: int
    """Rows from here on show the floor"""
    glossy: float
    """How strongly the floor mirrors, 0..1"""
    indoors: bool


def make(rng: np.random.Generator, camera: Camera, size_hw: tuple[int, int], near: Array) -> Stage:
    """Random surroundings.

    Args:
        rng: Decides everything.
        camera: The view.
        size_hw: Pixels of the picture.
        near: (3,) the car's paint: some walls, floors and things take a colour close to it.

    """
    indoors = bool(rng.random() < 0.55)
    wall_m = float(rng.uniform(4.5, 14))
    _, foot = camera_rows(camera, wall_m)
    first = int(np.clip(foot, 8, size_hw[0] - 8))
    brightest = 0.8 if indoors else 0.45
    floor_tone, wall_tone = _tone(rng, near, 0.12, brightest), _tone(rng, near, 0.3, brightest)
    picture = np.empty((*size_hw, 3), dtype=np.float32)
    picture[:first] = (backdrop.studio if indoors else backdrop.street)(rng, (first, size_hw[1]), wall_tone)
    picture[first:] = _floor(rng, camera, size_hw, first, floor_tone, indoors)
    _clutter(rng, camera, picture, wall_m, near)
    centre = size_hw[1] // 2
    return Stage(
        picture=picture,
        floor_colour=picture[first::8, centre // 2 : centre + centre // 2 : 8].mean(axis=(0, 1)),
        wall_colour=picture[:first:8, ::8].mean(axis=(0, 1)),
        floor_from_row=first,
        glossy=float(rng.uniform(0.08, 0.4)) if indoors and rng.random() < 0.6 else 0.0,
        indoors=indoors,
    )


def camera_rows(camera: Camera, distance_m: float) -> tuple[float, float]:
    """Image rows of the horizon and of the ground `distance_m` behind the turntable's centre."""
    xy, _ = camera.project(np.array([[0.0, distance_m, 0.0]], dtype=np.float32))
    return camera.horizon_px, float(xy[0, 1])


def _tone(rng: np.random.Generator, near: Array, near_share: float, brightest: float) -> Array:
    """(3,) a colour for something large: neutral, tinted, or (one in `near_share`) close to the car's."""
    pick = rng.random()
    if pick < near_share:
        tone = near * rng.uniform(0.75, 1.35) + rng.uniform(-0.03, 0.04, 3)
    else:
        tone = np.full(3, rng.uniform(0.1, brightest)) * rng.uniform(0.92, 1.08, 3)
        if pick > 0.8:
            tone *= rng.uniform(0.55, 1.3, 3)
    clipped: Array = np.clip(tone, 0.02, 0.85).astype(np.float32)
    return clipped


def _floor(
    rng: np.random.Generator, camera: Camera, size_hw: tuple[int, int], first: int, tone: Array, indoors: bool
) -> Array:
    """The ground below row `first`: grain, a turntable's disc, tiles, worn lane lines."""
    x, y = camera.ground(size_hw, first)
    shape = (size_hw[0] - first, size_hw[1])
    tile = fractal(rng, (512, 512), (16, 16), 5, gain=0.75)
    grain = tiled(tile, x * 90, y * 90)
    broad = value_noise(rng, shape, (2, 3))
    gain = (1 - np.float32(rng.uniform(0.1, 0.55)) * grain) * (np.float32(0.75) + np.float32(0.5) * broad)
    tints = np.ones((2, 3), dtype=np.float32)
    away = np.sqrt(x * x + y * y)
    disc = np.zeros(shape, dtype=np.uint8)
    if rng.random() < (0.8 if indoors else 0.25):
        radius = np.float32(rng.uniform(2.9, 3.9))
        disc = (away < radius).astype(np.uint8)
        tints[1] = rng.uniform(0.65, 1.35) * rng.uniform(0.93, 1.07, 3)
        gain[np.abs(away - radius) < 0.025] *= np.float32(0.45)
        gain[(_phase(away, rng.uniform(0.7, 1.6)) < 0.02) & (disc > 0)] *= np.float32(0.75)
    if rng.random() < 0.35:
        pitch, turn = rng.uniform(0.4, 1.6), float(rng.uniform(0, 1.57))
        sine, cosine = np.float32(np.sin(turn)), np.float32(np.cos(turn))
        u, v = x * cosine + y * sine, y * cosine - x * sine
        if rng.random() < 0.4:
            odd = (_phase(u, 2 * pitch) < pitch) ^ (_phase(v, 2 * pitch) < pitch)
            gain[odd] *= np.float32(rng.uniform(0.5, 0.9))
        gain[(_phase(u, pitch) < 0.02) | (_phase(v, pitch) < 0.02)] *= np.float32(rng.uniform(0.4, 0.8))
    floor = gain[..., None] * (tone * tints)[disc]
    if not indoors or rng.random() < 0.15:
        turn = float(rng.uniform(-1.5, 1.5))
        u = x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))
        stripe = _phase(u + np.float32(rng.uniform(0, 3)), rng.uniform(2.4, 3.4)) < rng.uniform(0.08, 0.16)
        worn = tiled(tile, x * 200, y * 200) > rng.uniform(0.2, 0.5)
        floor[stripe & worn] = np.float32(rng.uniform(0.4, 0.8))
    result: Array = floor.astype(np.float32)
    return result


def _phase(position: Array, period: float) -> Array:
    """`position % period`, ten times faster than numpy's."""
    turns: Array = np.floor(position * np.float32(1 / period))
    phase: Array = position - turns * np.float32(period)
    return phase


def _clutter(rng: np.random.Generator, camera: Camera, picture: Array, wall_m: float, near: Array) -> None:
    """Crates, cones, drums, posts and spare wheels beside and behind the car, far ones first."""
    count = int(rng.integers(0, 9))
    depth = np.sort(rng.uniform(1.5, max(wall_m - 0.5, 2.0), count))[::-1]
    for y in depth:
        x = rng.uniform(-1, 1) * (3.0 + 0.5 * y)
        tone = near * rng.uniform(0.8, 1.2) if rng.random() < 0.35 else rng.uniform(0.03, 0.8, 3)
        tone = np.clip(tone * rng.uniform(0.6, 1.0), 0, 1)
        _thing(rng, camera, picture, np.array([x, y, 0.0]), tone)


def _thing(
    rng: np.random.Generator,
    camera: Camera,
    picture: Array,
    foot: npt.NDArray[np.float64],
    tone: npt.NDArray[np.float64],
) -> None:
    wide, tall = rng.uniform(0.3, 1.6), rng.uniform(0.4, 1.7)

    def fill(points: list[tuple[float, float, float]], gain: float) -> None:
        xy, _ = camera.project((np.array(points) + foot).astype(np.float32))
        drawing.polygon(picture, xy, np.clip(tone * gain, 0, 1))

    kind = rng.integers(0, 5)
    if kind == 0:
        deep = rng.uniform(0.3, 1.2)
        fill([(0, 0, tall), (wide, 0, tall), (wide, deep, tall), (0, deep, tall)], 1.25)
        fill([(0, 0, 0), (wide, 0, 0), (wide, 0, tall), (0, 0, tall)], 1.0)
        inner = wide if foot[0] < 0 else 0.0
        fill([(inner, 0, 0), (inner, deep, 0), (inner, deep, tall), (inner, 0, tall)], 0.7)
    elif kind == 1:
        fill([(-0.2, 0, 0), (0.2, 0, 0), (0.04, 0, 0.75), (-0.04, 0, 0.75)], 1.1)
        fill([(-0.13, 0, 0.28), (0.13, 0, 0.28), (0.09, 0, 0.48), (-0.09, 0, 0.48)], 2.5)
    elif kind == 2:
        radius = min(wide, 0.6) / 2
        for step in range(6):
            left = -radius + step * radius / 3
            fill(
                [(left, 0, 0), (left + radius / 3, 0, 0), (left + radius / 3, 0, tall), (left, 0, tall)],
                0.55 + 0.13 * min(step, 6 - step),
            )
    elif kind == 3:
        fill([(0, 0, 0), (0.06, 0, 0), (0.06, 0, 2.2 * tall), (0, 0, 2.2 * tall)], 0.8)
        if rng.random() < 0.5:
            fill(
                [(-0.3, 0, 1.6 * tall), (0.36, 0, 1.6 * tall), (0.36, 0, 2.2 * tall), (-0.3, 0, 2.2 * tall)],
                1.3,
            )
    else:
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        for radius, gain in ((0.34, 0.25), (0.22, 1.3), (0.17, 0.4), (0.06, 1.0)):
            fill([(radius * np.cos(t), 0, 0.34 + radius * np.sin(t)) for t in turn], gain)
