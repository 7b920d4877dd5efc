"""Bicycles and motorcycles, alone or with a rider."""

import numpy as np

from densecast.scenes.street import people
from densecast.scenes.street.classes import Kind
from densecast.scenes.street.road import Pose
from densecast.scenes.street.shape import Colour, Footprint, Shape, Thing, bar, dot, filled, shaded

_TYRE: Colour = (0.07, 0.07, 0.08)


def make_bicycle(rng: np.random.Generator, pose: Pose, *, ridden: bool) -> Thing:
    """A bicycle; its middle stands at the pose."""
    radius, reach = 0.34, rng.uniform(0.5, 0.56)
    paint = shaded(tuple(rng.uniform(0.05, 0.9, 3).tolist()), pose.gain((1.0, 0.0, 0.0)))
    kind = Kind.BICYCLE
    crank, seat, head = (0.0, -0.08, 0.28), (0.0, -0.2, 0.95), (0.0, 0.36, 0.9)
    rear, front = (0.0, -reach, radius), (0.0, reach, radius)
    shapes = _spoked_wheels((-reach, reach), radius, 0.045)
    if rng.random() < 0.5:
        arcs = [_arc(y, radius + 0.04, 0.3, 2.6) for y in (-reach, reach)]
        shapes.append(bar(arcs, 0.03, _TYRE, kind))
    tubes = [[seat, crank], [crank, head], [rear, crank], [rear, (0.0, -0.17, 0.78)], [front, head]]
    if rng.random() < 0.6:
        tubes.append([(0.0, -0.17, 0.8), head])
    shapes.append(bar(tubes, 0.042, paint, kind))
    grip_up = rng.uniform(0.98, 1.1)
    steel: Colour = (0.35, 0.35, 0.37)
    shapes.append(bar([head, (0.0, 0.36, grip_up)], 0.03, steel, kind))
    shapes.append(bar([(-0.28, 0.3, grip_up), (0.0, 0.38, grip_up), (0.28, 0.3, grip_up)], 0.03, steel, kind))
    shapes.append(bar([(0.0, -0.32, 0.97), (0.0, -0.1, 0.97)], 0.1, _TYRE, kind))
    shapes.append(bar([(-0.12, -0.08, 0.34), (0.0, -0.08, 0.28), (0.12, -0.08, 0.22)], 0.04, steel, kind))
    if rng.random() < 0.35:
        basket = [(-0.18, 0.5, 0.75), (0.18, 0.5, 0.75), (0.2, 0.6, 1.0), (-0.2, 0.6, 1.0)]
        shapes.append(filled(basket, (0.3, 0.25, 0.2), kind))
        shapes.append(bar([(0.0, 0.45, 0.85), (0.0, 0.62, 0.85)], 0.22, (0.3, 0.25, 0.2), kind))
    if rng.random() < 0.5:
        shapes.append(bar([(0.0, -0.25, 0.75), (0.0, -0.65, 0.75)], 0.05, steel, kind))
    if not ridden:
        return _thing(pose, 1.0, reach + radius, shapes)
    person = people.rider(rng, pose, (0.0, -0.22, 0.98), (0.26, 0.3, grip_up), 0.3)
    return _thing(pose, 1.7, reach + radius, _mounted(pose, shapes, person))


def make_motorcycle(rng: np.random.Generator, pose: Pose, *, ridden: bool) -> Thing:
    """A motorcycle or a scooter; its middle stands at the pose."""
    scooter = rng.random() < 0.45
    radius, reach = (0.24, 0.6) if scooter else (0.31, 0.7)
    paint = shaded(tuple(rng.uniform(0.05, 0.9, 3).tolist()), pose.gain((1.0, 0.0, 0.0)))
    dark, steel = shaded((0.1, 0.1, 0.11), 1.0), shaded((0.5, 0.5, 0.52), pose.gain((1.0, 0.0, 0.0)))
    kind = Kind.MOTORCYCLE
    shapes = [
        bar([_circle(y, radius - 0.05) for y in (-reach, reach)], 0.12, _TYRE, kind),
        dot((0.0, -reach, radius), 0.26, steel, kind),
        dot((0.0, reach, radius), 0.26, steel, kind),
    ]
    if scooter:
        shapes += [
            bar([(0, -reach + 0.05, 0.5), (0, -0.1, 0.55)], 0.36, paint, kind),
            bar([(0, -0.2, 0.25), (0, 0.35, 0.25), (0, 0.5, 0.85)], 0.16, paint, kind),
            filled([(-0.22, 0.46, 0.3), (0.22, 0.46, 0.3), (0.17, 0.52, 0.95), (-0.17, 0.52, 0.95)], paint, kind),
            bar([(0, -reach, 0.76), (0, 0.05, 0.74)], 0.17, dark, kind),
            bar([(0, 0.48, 0.9), (0, reach, radius)], 0.08, dark, kind),
        ]
    else:
        shapes += [
            bar([(0, -0.15, 0.4), (0, 0.25, 0.42)], 0.4, dark, kind),
            bar(
                [(-0.06, reach, radius), (-0.06, 0.48, 0.95), (0.06, 0.48, 0.95), (0.06, reach, radius)],
                0.06,
                steel,
                kind,
            ),
            bar([(0, 0.02, 0.78), (0, 0.38, 0.82)], 0.28, paint, kind),
            bar([(0, -0.75, 0.84), (0, -0.4, 0.76), (0, 0.0, 0.76)], 0.17, dark, kind),
            bar([(0.15, 0.1, 0.28), (0.16, -0.75, 0.36)], 0.1, steel, kind),
            bar([(0, -reach, radius), (0, -0.1, 0.4)], 0.09, dark, kind),
            dot((0, 0.58, 0.86), 0.22, paint, kind),
        ]
    shapes.append(bar([(-0.36, 0.36, 1.02), (0.0, 0.44, 1.0), (0.36, 0.36, 1.02)], 0.045, dark, kind))
    shapes.append(bar([[(s * 0.33, 0.38, 1.03), (s * 0.4, 0.4, 1.18)] for s in (-1, 1)], 0.05, dark, kind))
    if pose.eye[1] < 0:
        shapes.append(dot((0, -reach - 0.15, 0.68), 0.12, (0.8, 0.1, 0.1), kind))
        shapes.append(
            filled(
                [
                    (-0.1, -reach - 0.2, 0.45),
                    (0.1, -reach - 0.2, 0.45),
                    (0.1, -reach - 0.2, 0.58),
                    (-0.1, -reach - 0.2, 0.58),
                ],
                (0.8, 0.8, 0.75),
                kind,
            )
        )
    else:
        shapes.append(dot((0, 0.66, 0.86), 0.17, (1.0, 0.98, 0.9), kind))
    if not ridden:
        return _thing(pose, 1.1, reach + radius, shapes)
    person = people.rider(rng, pose, (0.0, -0.25, 0.84), (0.34, 0.36, 1.03), 0.32)
    return _thing(pose, 1.6, reach + radius, _mounted(pose, shapes, person))


def _mounted(pose: Pose, machine: list[Shape], person: list[Shape]) -> list[Shape]:
    """Machine and rider: from behind the rider hides the bars; else the far leg is behind the machine."""
    if abs(pose.eye[0]) < 0.35 * abs(pose.eye[1]):
        return machine + person if pose.eye[1] < 0 else person + machine
    far_leg = 2
    return person[:far_leg] + machine + person[far_leg:]


def _spoked_wheels(places_m: tuple[float, float], radius: float, tyre: float) -> list[Shape]:
    spokes = [
        [
            (0.0, y - np.cos(turn) * radius, radius - np.sin(turn) * radius),
            (0.0, y + np.cos(turn) * radius, radius + np.sin(turn) * radius),
        ]
        for y in places_m
        for turn in (0.2, 0.98, 1.77, 2.55)
    ]
    return [
        bar(spokes, 0.008, (0.45, 0.45, 0.47), Kind.BICYCLE),
        bar([_circle(y, radius - 0.02) for y in places_m], tyre, _TYRE, Kind.BICYCLE),
    ]


def _circle(along: float, radius: float) -> list[tuple[float, float, float]]:
    """A closed ring of the given radius that stands on the ground."""
    return _arc(along, radius, 0.0, 2 * np.pi, radius + 0.02)


def _arc(along: float, radius: float, start: float, end: float, up: float = 0.34) -> list[tuple[float, float, float]]:
    turns = np.linspace(start, end, 19)
    return [(0.0, along + radius * float(np.cos(t)), up + radius * float(np.sin(t))) for t in turns]


def _thing(pose: Pose, height: float, half_length: float, shapes: list[Shape]) -> Thing:
    turned = abs(float(np.sin(pose.heading_rad)))
    across, along = 0.3 + turned * (half_length - 0.3), half_length + turned * (0.3 - half_length)
    place = Footprint((pose.across_m - across, pose.across_m + across), (pose.along_m - along, pose.along_m + along))
    return Thing(place, height, pose.placed(shapes))
