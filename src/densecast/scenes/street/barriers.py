"""Walls and fences along plots."""

import numpy as np

from densecast.scenes.street.classes import Kind
from densecast.scenes.street.light import Light
from densecast.scenes.street.road import Road
from densecast.scenes.street.shape import Colour, Footprint, Shape, Thing, bar, filled, shaded

_WALLS: tuple[Colour, ...] = (
    (0.55, 0.54, 0.52),
    (0.52, 0.32, 0.25),
    (0.68, 0.66, 0.6),
    (0.42, 0.42, 0.44),
    (0.6, 0.54, 0.44),
)


def make_wall(
    rng: np.random.Generator, road: Road, light: Light, side: int, across: float, along: tuple[float, float]
) -> Thing:
    """A wall of bricks, stones or concrete panels, with a coping, and sometimes painted letters."""
    near, far = along
    tall, gain = rng.uniform(1.0, 3.2), light.gain((-float(side), 0.0, 0.0))
    base = np.array(_WALLS[int(rng.integers(len(_WALLS)))]) * rng.uniform(0.75, 1.2)
    face = shaded(base, gain)
    kind, thick = Kind.WALL, 0.35
    back = across + side * thick
    end = [(across, near, 0), (back, near, 0), (back, near, tall), (across, near, tall)]
    shapes = [filled(end, shaded(base, light.gain((0.0, -1.0, 0.0))), kind)]
    shapes.append(filled(_along(across, near, far, 0, tall), face, kind))
    style = rng.random()
    if style < 0.45:
        courses = [_along(across, near, far, z, z + 0.05) for z in np.arange(0.3, tall - 0.1, 0.36)]
        shapes.append(filled(courses, shaded(face, 0.8), kind))
    elif style < 0.75:
        joints = [_along(across, y, y + 0.12, 0, tall) for y in np.arange(near + 1, far, rng.uniform(2.0, 4.0))]
        if joints:
            shapes.append(filled(joints, shaded(face, 0.7), kind))
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(2, 7))):
            y, z, ink = rng.uniform(near, far), rng.uniform(0.2, 0.6) * tall, rng.uniform(0.1, 0.9, 3)
            line = [(across, y + dy, z + dz) for dy, dz in rng.uniform(-0.1, 1.0, (5, 2)) * [1.6, min(0.7, 0.4 * tall)]]
            shapes.append(bar(line, 0.1, shaded(tuple(ink.tolist()), gain), kind))
    shapes.append(filled(_along(across - side * 0.04, near, far, tall - 0.12, tall + 0.03), shaded(face, 1.25), kind))
    return _thing(road, across, side, thick, along, tall, shapes)


def make_fence(
    rng: np.random.Generator, road: Road, light: Light, side: int, across: float, along: tuple[float, float]
) -> Thing:
    """Palings, railings, boards or wire mesh between posts; one sees through all but boards."""
    near, far = along
    tall, gain = rng.uniform(0.9, 2.2), light.gain((-float(side), 0.0, 0.0))
    kind, style = Kind.FENCE, rng.random()
    posts = np.arange(near, far + 0.1, rng.uniform(1.8, 2.6))
    if style < 0.35:
        colour = shaded(_tone(rng, ((0.5, 0.36, 0.22), (0.85, 0.85, 0.82), (0.3, 0.22, 0.16))), gain)
        step, broad = (0.16, 0.1) if rng.random() < 0.6 else (0.2, 0.2)
        boards = [_along(across, y, y + broad, 0.08, tall) for y in np.arange(near, far, step * max(1.0, near / 20))]
        shapes = [filled(boards, colour, kind)]
        shapes.append(
            filled(
                [_along(across, near, far, z, z + 0.09) for z in (0.3 * tall, 0.75 * tall)], shaded(colour, 0.8), kind
            )
        )
    elif style < 0.7:
        colour = shaded(_tone(rng, ((0.12, 0.13, 0.13), (0.15, 0.3, 0.2), (0.5, 0.52, 0.54))), gain)
        step = 0.14 * max(1.0, near / 15)
        shapes = [bar([[(across, y, 0.1), (across, y, tall)] for y in np.arange(near, far, step)], 0.025, colour, kind)]
        shapes.append(bar([[(across, near, z), (across, far, z)] for z in (0.15, tall - 0.08)], 0.045, colour, kind))
    else:
        colour = shaded(_tone(rng, ((0.45, 0.48, 0.48), (0.2, 0.36, 0.26))), gain)
        reach = tall * 0.8
        step = 0.22 * max(1.0, near / 12)
        wires = [
            [(across, y, 0.05), (across, y + sign * reach, tall)]
            for y in np.arange(near, far, step)
            for sign in (-1, 1)
            if near <= y + sign * reach <= far
        ]
        shapes = [bar(wires, 0.012, colour, kind)] if wires else []
        shapes.append(bar([(across, near, tall), (across, far, tall)], 0.05, colour, kind))
    shapes.append(bar([[(across, y, 0), (across, y, tall + 0.06)] for y in posts], 0.08, shaded(colour, 0.85), kind))
    return _thing(road, across, side, 0.1, along, tall, shapes)


def _along(across: float, near: float, far: float, low: float, high: float) -> list[tuple[float, float, float]]:
    return [(across, near, low), (across, far, low), (across, far, high), (across, near, high)]


def _tone(rng: np.random.Generator, choices: tuple[Colour, ...]) -> Colour:
    return shaded(choices[int(rng.integers(len(choices)))], rng.uniform(0.75, 1.25))


def _thing(
    road: Road, across: float, side: int, thick: float, along: tuple[float, float], tall: float, shapes: list[Shape]
) -> Thing:
    placed = [Shape(road.world(s.points), s.colour, s.kind, s.diameter_m) for s in shapes]
    low, high = sorted((across, across + side * thick))
    return Thing(Footprint((low, high), along), tall, placed)
