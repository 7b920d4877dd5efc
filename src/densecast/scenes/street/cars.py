"""Cars: seven outlines in many colours, seen from anywhere."""

import numpy as np

from densecast.scenes.street.classes import Kind
from densecast.scenes.street.road import Pose
from densecast.scenes.street.shape import Colour, Footprint, Shape, Thing
from densecast.scenes.street.solid import Body, Point

_GLASS: Colour = (0.1, 0.13, 0.16)
_PAINTS: tuple[Colour, ...] = (
    (0.08, 0.08, 0.09), (0.2, 0.21, 0.23), (0.45, 0.46, 0.48), (0.7, 0.71, 0.72), (0.88, 0.88, 0.87),
    (0.55, 0.08, 0.08), (0.12, 0.2, 0.45), (0.1, 0.3, 0.2), (0.75, 0.6, 0.15), (0.35, 0.25, 0.18), (0.3, 0.5, 0.65),
)  # fmt: skip

_OUTLINES: dict[str, tuple[tuple[float, float, float], tuple[Point, ...]]] = {
    # length, height, width in metres; corners as fractions of length (rear to front) and height
    "saloon": ((4.6, 1.44, 1.82), (
        (0, 0.2), (0, 0.55), (0.02, 0.72), (0.15, 0.75), (0.3, 0.99),
        (0.52, 1.0), (0.7, 0.7), (0.97, 0.58), (1, 0.45), (1, 0.2),
    )),
    "hatchback": ((4.0, 1.5, 1.75), (
        (0, 0.2), (0, 0.5), (0.01, 0.66), (0.04, 0.72), (0.13, 0.98),
        (0.52, 1.0), (0.72, 0.68), (0.97, 0.56), (1, 0.44), (1, 0.2),
    )),
    "estate": ((4.7, 1.5, 1.83), (
        (0, 0.2), (0, 0.5), (0.01, 0.62), (0.02, 0.7), (0.08, 0.98),
        (0.54, 1.0), (0.72, 0.69), (0.97, 0.57), (1, 0.45), (1, 0.2),
    )),
    "suv": ((4.5, 1.72, 1.9), (
        (0, 0.22), (0, 0.5), (0.01, 0.62), (0.03, 0.68), (0.09, 0.98),
        (0.56, 1.0), (0.71, 0.69), (0.97, 0.6), (1, 0.45), (1, 0.22),
    )),
    "van": ((4.9, 1.95, 1.9), (
        (0, 0.17), (0, 0.4), (0, 0.55), (0.01, 0.6), (0.03, 0.98),
        (0.66, 1.0), (0.84, 0.62), (0.98, 0.48), (1, 0.38), (1, 0.17),
    )),
    "coupe": ((4.4, 1.3, 1.84), (
        (0, 0.22), (0, 0.6), (0.02, 0.75), (0.1, 0.78), (0.32, 0.99),
        (0.48, 1.0), (0.66, 0.7), (0.96, 0.57), (1, 0.46), (1, 0.22),
    )),
}  # fmt: skip


def make(rng: np.random.Generator, pose: Pose) -> Thing:
    """A car; its middle stands at the pose."""
    name = str(rng.choice(list(_OUTLINES)))
    (length, height, width), outline = _OUTLINES[name]
    size = rng.uniform(0.93, 1.07)
    length, height, width = length * size, height * size, width * size
    profile = tuple(((along - 0.5) * length, up * height) for along, up in outline)
    half = width / 2
    belt = profile[3][1]
    halves = tuple(half * (1 - 0.22 * max(0.0, (up - belt) / (height - belt))) for _, up in profile)
    paint = tuple(
        float(c) for c in np.clip(np.array(_PAINTS[int(rng.integers(len(_PAINTS)))]) * rng.uniform(0.8, 1.15), 0, 1)
    )
    body_colour: Colour = (paint[0], paint[1], paint[2])
    trim = (0.1, 0.1, 0.11) if rng.random() < 0.3 else body_colour
    faces = (trim, body_colour, body_colour, _GLASS, body_colour, _GLASS, body_colour, body_colour, trim)
    body = Body(profile, halves, faces, body_colour, Kind.CAR)
    radius = 0.21 * height
    axles = (-0.31 * length, 0.32 * length)
    shapes = body.underside(pose, axles, profile[0][1])
    shapes += body.faces(pose)
    shapes += body.on_side(pose, _side_glass(profile, belt, height), _GLASS)
    shapes += body.wheels(pose, axles, radius)
    shapes += _lights(rng, body, pose, half, belt)
    turned = abs(float(np.sin(pose.heading_rad)))
    across, along = half + turned * (length / 2 - half), length / 2 + turned * (half - length / 2)
    footprint = Footprint(
        (pose.across_m - across, pose.across_m + across), (pose.along_m - along, pose.along_m + along)
    )
    return Thing(footprint, height, pose.placed(shapes))


def _side_glass(profile: tuple[Point, ...], belt: float, height: float) -> list[list[Point]]:
    """Two or three panes between the belt and the roof, with pillars between them."""
    low, high = belt + 0.03 * height, height * 0.94
    back_low, back_high, front_high, front_low = profile[3][0], profile[4][0], profile[5][0], profile[6][0]
    panes: list[list[Point]] = []
    for start, end in ((0.06, 0.46), (0.5, 0.93)):
        bottom = [back_low + (front_low - back_low) * share for share in (start, end)]
        top = [back_high + (front_high - back_high) * share for share in (start, end)]
        panes.append([(bottom[0], low), (bottom[1], low), (top[1], high), (top[0], high)])
    return panes


def _lights(rng: np.random.Generator, body: Body, pose: Pose, half: float, belt: float) -> list[Shape]:
    """Lamps, number plates, bumpers and grilles on whichever end the camera sees."""
    tall, broad = rng.uniform(0.12, 0.3) * belt, rng.uniform(0.12, 0.3) * half * 2
    top = belt * rng.uniform(0.84, 0.95)
    pair = [(-half * 0.97, -half * 0.97 + broad, top - tall, top), (half * 0.97 - broad, half * 0.97, top - tall, top)]
    lit = pose.light.lamps or rng.random() < 0.3
    red: Colour = (0.95, 0.12, 0.1) if lit else (0.5, 0.05, 0.06)
    white: Colour = (1.0, 0.98, 0.88) if lit else (0.75, 0.78, 0.8)
    bumper = [(-half * 0.98, half * 0.98, belt * 0.3, belt * 0.42)]
    plate = [(-0.26, 0.26, belt * 0.46, belt * 0.6)]
    shapes = body.on_end(pose, bumper, (0.13, 0.13, 0.14), rear=True)
    shapes += body.on_end(pose, pair, red, rear=True, glowing=lit)
    shapes += body.on_end(pose, plate, (0.85, 0.85, 0.8), rear=True)
    low = [(left, right, bottom - 0.12 * belt, up - 0.12 * belt) for left, right, bottom, up in pair]
    shapes += body.on_end(pose, [(-half * 0.5, half * 0.5, belt * 0.45, belt * 0.72)], (0.09, 0.09, 0.1), rear=False)
    shapes += body.on_end(pose, low, white, rear=False, glowing=lit)
    shapes += body.on_end(pose, [(-0.26, 0.26, belt * 0.35, belt * 0.46)], (0.85, 0.85, 0.8), rear=False)
    return shapes
