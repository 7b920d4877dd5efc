"""Parts that stick out of a car's body: door mirrors, and thin parts that are hard to segment."""

import itertools
from dataclasses import replace

import numpy as np

from densecast.scenes import mesh
from densecast.scenes.mesh import Array, Mesh
from densecast.scenes.turntable.shape import LUT_BINS, CarShape, Part


def complete(rng: np.random.Generator, half: CarShape) -> CarShape:
    """The whole car: the left half with its door mirror, the same reflected, and some of the thin parts."""
    left = mesh.join([half.mesh, _door_mirror(half)])
    thin = _aerial(rng, half) + _rails(rng, half) + _wing(rng, half) + _bull_bar(rng, half) + _tow_ball(rng, half)
    return replace(half, mesh=mesh.join([left, mesh.mirrored(left), *thin]))


def _roof_point(shape: CarShape, place: float, y: float, lift_m: float) -> Array:
    """(3,) a point `lift_m` above the roof line, at a fraction of the length from the nose."""
    return mesh.point(shape.length_m * (0.5 - place), y, shape.top_z[int(place * LUT_BINS)] + lift_m)


def _roof_ends(shape: CarShape) -> tuple[float, float]:
    """Where the flat part of the roof begins and ends, as fractions of the length."""
    return shape.screens[0][1] + 0.03, shape.screens[1][0] - 0.03


def _door_mirror(shape: CarShape) -> Mesh:
    """The left mirror on its stalk; between them and the glass the background shows."""
    place = shape.screens[0][0] + 0.07
    height = shape.shoulder_z[int(place * LUT_BINS)] + 0.03
    base = mesh.point(shape.length_m * (0.5 - place), shape.width_m / 2 * 0.9, height)
    head = base + mesh.point(0, 0.19, 0.07)
    stalk = mesh.bar(base, head, (0.03, 0.03), Part.BLACK_TRIM)
    return mesh.join([stalk, mesh.ball(head, (0.06, 0.1, 0.07), Part.PAINTED_TRIM)])


def _aerial(rng: np.random.Generator, shape: CarShape) -> list[Mesh]:
    if rng.random() >= 0.65:
        return []
    roof_from, roof_to = _roof_ends(shape)
    place = roof_to - 0.02 if rng.random() < 0.6 else roof_from
    foot = _roof_point(shape, place, rng.choice([0.0, 0.35]), 0.0)
    tip = foot + mesh.point(-rng.uniform(0.05, 0.35), 0, rng.uniform(0.2, 0.75))
    return [mesh.bar(foot, tip, (0.012, 0.012), Part.BLACK_TRIM, pieces=4)]


def _rails(rng: np.random.Generator, shape: CarShape) -> list[Mesh]:
    """Two rails on feet, sometimes with cross bars."""
    if rng.random() >= (0.7 if shape.kind in ("suv", "estate", "van") else 0.15):
        return []
    roof_from, roof_to = _roof_ends(shape)
    y = float(shape.roof_half_width[int((roof_from + roof_to) / 2 * LUT_BINS)]) - 0.04
    part = Part.CHROME if rng.random() < 0.5 else Part.BLACK_TRIM
    found = []
    for side in (-y, y):
        stops = [_roof_point(shape, place, side, 0.075) for place in np.linspace(roof_from, roof_to, 6)]
        for start, end in itertools.pairwise(stops):
            found.append(mesh.bar(start, end, (0.028, 0.024), part))
        for foot in (stops[0], stops[2], stops[-1]):
            found.append(mesh.bar(foot - mesh.point(0, 0, 0.09), foot, (0.03, 0.03), part))
    if rng.random() < 0.5:
        for share in (0.3, 0.7):
            place = roof_from + (roof_to - roof_from) * share
            start, end = (_roof_point(shape, place, side, 0.1) for side in (-y, y))
            found.append(mesh.bar(start, end, (0.045, 0.02), part, pieces=4))
    return found


def _wing(rng: np.random.Generator, shape: CarShape) -> list[Mesh]:
    """A wing over the boot, on two struts."""
    if shape.kind not in ("saloon", "coupe") or rng.random() >= 0.35:
        return []
    lift, span = rng.uniform(0.12, 0.24), 0.42 * shape.width_m
    struts = [
        mesh.bar(
            _roof_point(shape, 0.95, y, -0.02),
            _roof_point(shape, 0.965, y, lift),
            (0.02, 0.03),
            Part.BLACK_TRIM,
        )
        for y in (-0.45, 0.45)
    ]
    left, right = (_roof_point(shape, 0.965, y, lift) for y in (-span, span))
    return [*struts, mesh.bar(left, right, (0.2, 0.022), Part.PAINTED_TRIM, pieces=6)]


def _bull_bar(rng: np.random.Generator, shape: CarShape) -> list[Mesh]:
    if shape.kind not in ("suv", "pickup") or rng.random() >= 0.4:
        return []
    x, size = shape.length_m / 2 + 0.1, (0.035, 0.035)
    found = []
    for z in (0.45, 0.62, 0.8):
        found.append(mesh.bar(mesh.point(x, -0.5, z), mesh.point(x, 0.5, z), size, Part.CHROME, pieces=4))
    for y in (-0.5, 0.5):
        found.append(mesh.bar(mesh.point(x, y, 0.38), mesh.point(x, y, 0.8), size, Part.CHROME))
    return found


def _tow_ball(rng: np.random.Generator, shape: CarShape) -> list[Mesh]:
    if rng.random() >= 0.3:
        return []
    start = mesh.point(-shape.length_m / 2 + 0.05, 0, 0.38)
    hook = start + mesh.point(-0.16, 0, 0)
    ball = mesh.ball(hook + mesh.point(0, 0, 0.05), (0.03, 0.03, 0.05), Part.CHROME, rings=5, sectors=6)
    return [mesh.bar(start, hook, (0.04, 0.03), Part.BLACK_TRIM), ball]
