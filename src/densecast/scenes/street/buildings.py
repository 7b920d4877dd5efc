"""Houses along the street: fronts with windows, doors and shops, end walls and roofs."""

import numpy as np
import numpy.typing as npt

from densecast.scenes.street.classes import Kind
from densecast.scenes.street.light import Light
from densecast.scenes.street.road import Road
from densecast.scenes.street.shape import Colour, Footprint, Shape, Thing, filled, shaded

_WALLS: tuple[Colour, ...] = (
    (0.78, 0.74, 0.66), (0.66, 0.6, 0.52), (0.58, 0.34, 0.26), (0.8, 0.8, 0.78), (0.5, 0.5, 0.5), (0.72, 0.6, 0.38),
    (0.62, 0.66, 0.7), (0.44, 0.3, 0.25), (0.7, 0.5, 0.42), (0.36, 0.37, 0.4), (0.6, 0.66, 0.56),
)  # fmt: skip
_ROOFS: tuple[Colour, ...] = ((0.5, 0.24, 0.17), (0.35, 0.2, 0.16), (0.28, 0.28, 0.3), (0.42, 0.4, 0.38))
_KIND = Kind.BUILDING


def make(
    rng: np.random.Generator, road: Road, light: Light, side: int, front: float, along: tuple[float, float], tall: float
) -> Thing:
    """A building whose front stands `front` metres across on the left (side -1) or right (side 1)."""
    near, far = along
    back = front + side * rng.uniform(7, 14)
    wall = np.array(_WALLS[int(rng.integers(len(_WALLS)))]) * rng.uniform(0.75, 1.15)
    front_gain, end_gain = light.gain((-float(side), 0.0, 0.0)), light.gain((0.0, -1.0, 0.0))
    face, end = shaded(wall, front_gain), shaded(wall * rng.uniform(0.85, 1.05), end_gain)
    shapes: list[Shape] = []
    if rng.random() < 0.55:
        shapes += _roof(rng, light, side, (front, back), along, tall, end)
    shapes.append(filled(_end(front, back, near, 0, tall), end, _KIND))
    shapes += _end_windows(rng, light, side, front, back, near, tall, end)
    shapes.append(filled(_front(front, near, far, 0, tall), face, _KIND))
    shapes += _windows(rng, light, side, front, along, tall, face, front_gain)
    shapes += _ground_floor(rng, light, side, front, along, face, front_gain)
    cornice = shaded(face, rng.uniform(0.7, 1.3))
    shapes.append(filled(_front(front - side * 0.25, near, far, tall - 0.35, tall), cornice, _KIND))
    placed = [Shape(road.world(s.points), s.colour, s.kind) for s in shapes]
    low, high = min(front, back), max(front, back)
    return Thing(Footprint((low, high), along), tall, placed)


def make_terminal(
    rng: np.random.Generator, road: Road, light: Light, across: tuple[float, float], along: float
) -> Thing:
    """A house that faces the camera where the street ends."""
    left, right = across
    tall, gain = rng.uniform(9, 20), light.gain((0.0, -1.0, 0.0))
    wall = shaded(_WALLS[int(rng.integers(len(_WALLS)))], gain)
    shapes = [filled(_end(left, right, along, 0, tall), wall, _KIND)]
    if rng.random() < 0.5:
        roof = shaded(_ROOFS[int(rng.integers(len(_ROOFS)))], gain)
        top = [(left, along, tall), (right, along, tall), (right, along + 4, tall + 3), (left, along + 4, tall + 3)]
        shapes.insert(0, filled(top, roof, _KIND))
    shapes += _end_windows(rng, light, 1, left, right, along, tall, wall)
    return Thing(
        Footprint(across, (along, along + 8)), tall, [Shape(road.world(s.points), s.colour, s.kind) for s in shapes]
    )


def _front(across: float, near: float, far: float, low: float, high: float) -> npt.NDArray[np.float64]:
    return np.array([(across, near, low), (across, far, low), (across, far, high), (across, near, high)])


def _end(front: float, back: float, along: float, low: float, high: float) -> npt.NDArray[np.float64]:
    return np.array([(front, along, low), (back, along, low), (back, along, high), (front, along, high)])


def _roof(
    rng: np.random.Generator,
    light: Light,
    side: int,
    across: tuple[float, float],
    along: tuple[float, float],
    tall: float,
    end: Colour,
) -> list[Shape]:
    front, back = across
    near, far = along
    rise, ridge = rng.uniform(1.5, 4.5), (front + back) / 2
    roof = np.array(_ROOFS[int(rng.integers(len(_ROOFS)))]) * rng.uniform(0.8, 1.2)
    slope = [(front, near, tall), (front, far, tall), (ridge, far, tall + rise), (ridge, near, tall + rise)]
    shapes = [filled(slope, shaded(roof, light.gain((-0.6 * side, 0.0, 0.8))), _KIND)]
    shapes.append(filled([(front, near, tall), (back, near, tall), (ridge, near, tall + rise)], end, _KIND))
    if rng.random() < 0.6:
        x, y = (front + ridge) / 2, near + (far - near) * rng.uniform(0.2, 0.8)
        top = tall + rise * rng.uniform(1.0, 1.3)
        stack = [(x - 0.4, y, tall + rise / 2), (x + 0.4, y, tall + rise / 2), (x + 0.4, y, top), (x - 0.4, y, top)]
        shapes.append(filled(stack, shaded((0.5, 0.3, 0.24), light.gain((0.0, -1.0, 0.0))), _KIND))
    return shapes


def _grid(start: float, end: float, step: float, share: float) -> npt.NDArray[np.float64]:
    """(n, 2) from and to of evenly spaced openings."""
    count = max(1, int(abs(end - start) / step))
    pitch = (end - start) / count
    low = start + pitch * (np.arange(count) + (1 - share) / 2)
    return np.stack([low, low + pitch * share], axis=1)


def _panes(
    columns: npt.NDArray[np.float64], rows: npt.NDArray[np.float64], margin: float = 0.0
) -> npt.NDArray[np.float64]:
    """(rows * columns, 4) left, right, bottom, top of every opening, widened by a margin."""
    count = len(rows), len(columns)
    left = np.broadcast_to(columns[None, :, 0], count) - margin * np.sign(columns[0, 1] - columns[0, 0])
    right = np.broadcast_to(columns[None, :, 1], count) + margin * np.sign(columns[0, 1] - columns[0, 0])
    bottom, top = np.broadcast_to(rows[:, :1], count) - margin, np.broadcast_to(rows[:, 1:], count) + margin
    return np.stack([left, right, bottom, top], axis=-1).reshape(-1, 4)


def _upright(panes: npt.NDArray[np.float64], fixed: float, *, in_front: bool) -> npt.NDArray[np.float64]:
    """(m, 4) panes -> (m, 4, 3) on a front at a fixed place across, or on an end wall at one along."""
    left, right, bottom, top = panes.T
    along = np.stack([left, right, right, left], axis=1)
    up = np.stack([bottom, bottom, top, top], axis=1)
    flat = np.full_like(up, fixed)
    return np.stack([flat, along, up] if in_front else [along, flat, up], axis=2)


def _glazing(rng: np.random.Generator, light: Light, quads: npt.NDArray[np.float64], gain: float) -> list[Shape]:
    """Panes in two tones: dark glass, and bright where the sky is mirrored, a curtain hangs or a lamp burns."""
    glass = np.array([0.14, 0.17, 0.21]) * rng.uniform(0.6, 1.7) * min(1.0, gain + 0.2)
    other = (
        np.array([0.95, 0.8, 0.5]) * rng.uniform(0.7, 1.0)
        if light.lamps
        else np.array(light.sky_low) * rng.uniform(0.3, 0.8)
    )
    bright = rng.random(len(quads)) < rng.uniform(0.1, 0.5)
    shapes = []
    for chosen, colour in ((~bright, glass), (bright, other)):
        if chosen.any():
            shapes.append(filled(quads[chosen], np.clip(colour, 0, 1), _KIND))
    return shapes


def _windows(
    rng: np.random.Generator,
    light: Light,
    side: int,
    front: float,
    along: tuple[float, float],
    tall: float,
    face: Colour,
    gain: float,
) -> list[Shape]:
    storey = rng.uniform(2.8, 3.6)
    if tall < 2 * storey:
        return []
    columns = _grid(*along, rng.uniform(1.7, 3.4), rng.uniform(0.35, 0.7))
    rows = _grid(storey + 0.3, tall - 0.5, storey, rng.uniform(0.4, 0.65))
    panes = _panes(columns, rows)
    shapes = []
    if rng.random() < 0.6:
        frame = shaded(face, 0.7) if rng.random() < 0.4 else shaded((0.88, 0.87, 0.84), gain)
        shapes.append(filled(_upright(_panes(columns, rows, 0.12), front - side * 0.02, in_front=True), frame, _KIND))
    shapes += _glazing(rng, light, _upright(panes, front - side * 0.03, in_front=True), gain)
    if rng.random() < 0.35:
        bands = np.array([_front(front - side * 0.05, *along, low, low + 0.18) for low in rows[:, 0] - 0.35])
        shapes.append(filled(bands, shaded(face, rng.uniform(0.6, 1.35)), _KIND))
    if rng.random() < 0.3:
        rails = panes[rng.random(len(panes)) < 0.5]
        if len(rails):
            rails = rails * [1, 1, 1, 0] + np.stack(
                [0 * rails[:, 0], 0 * rails[:, 0], -0.15 + 0 * rails[:, 0], rails[:, 2] + 0.8], axis=1
            )
            balcony = shaded((0.3, 0.3, 0.32), gain * rng.uniform(0.5, 2.4))
            shapes.append(filled(_upright(rails, front - side * 0.7, in_front=True), balcony, _KIND))
    return shapes


def _ground_floor(
    rng: np.random.Generator,
    light: Light,
    side: int,
    front: float,
    along: tuple[float, float],
    face: Colour,
    gain: float,
) -> list[Shape]:
    near, far = along
    if rng.random() < 0.45:
        sign = shaded(tuple(rng.uniform(0.05, 0.9, 3).tolist()), max(gain, 0.6))
        glass = _upright(
            _panes(_grid(near, far, 3.2, 0.85), np.array([[0.5, 2.5]])), front - side * 0.03, in_front=True
        )
        shapes = [
            filled(_front(front - side * 0.02, near, far, 0, 3.2), shaded(face, 0.8), _KIND),
            *_glazing(rng, light, glass, gain),
            filled(_front(front - side * 0.1, near + 0.3, far - 0.3, 2.6, 3.15), sign, _KIND),
        ]
        if rng.random() < 0.4:
            low = [
                (front, near + 1, 2.8),
                (front, far - 1, 2.8),
                (front - side * 1.2, far - 1, 2.3),
                (front - side * 1.2, near + 1, 2.3),
            ]
            shapes.append(filled(low, shaded(sign, 0.8), _KIND))
        return shapes
    plinth = shaded(face, rng.uniform(0.55, 0.9))
    shapes = [filled(_front(front - side * 0.04, near, far, 0, rng.uniform(0.4, 1.0)), plinth, _KIND)]
    columns = _grid(near, far, rng.uniform(2.0, 3.4), 0.45)
    is_door = rng.random(len(columns)) < 0.25
    windows, doors = _panes(columns, np.array([[1.0, 2.4]])), _panes(columns, np.array([[0.05, 2.3]]))
    if (~is_door).any():
        shapes += _glazing(rng, light, _upright(windows[~is_door], front - side * 0.05, in_front=True), gain)
    if is_door.any():
        wood = shaded(tuple(rng.uniform(0.1, 0.5, 3).tolist()), gain)
        shapes.append(filled(_upright(doors[is_door], front - side * 0.06, in_front=True), wood, _KIND))
    return shapes


def _end_windows(
    rng: np.random.Generator,
    light: Light,
    side: int,
    front: float,
    back: float,
    along: float,
    tall: float,
    face: Colour,
) -> list[Shape]:
    if tall < 5 or rng.random() < 0.4:
        return []
    columns = _grid(front + side * 0.8, back - side * 0.8, rng.uniform(2.2, 3.5), rng.uniform(0.3, 0.6))
    rows = _grid(0.8, tall - 0.5, rng.uniform(2.8, 3.6), rng.uniform(0.4, 0.6))
    quads = _upright(_panes(columns, rows), along - 0.03, in_front=False)
    return _glazing(rng, light, quads, light.gain((0.0, -1.0, 0.0)))
