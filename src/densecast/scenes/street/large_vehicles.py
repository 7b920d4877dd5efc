"""Trucks, buses and trams."""

import numpy as np

from densecast.scenes.street.classes import Kind
from densecast.scenes.street.road import Pose
from densecast.scenes.street.shape import Colour, Footprint, Shape, Thing, bar
from densecast.scenes.street.solid import Body, Point

_GLASS: Colour = (0.12, 0.15, 0.18)
_DARK: Colour = (0.12, 0.12, 0.13)


def make_truck(rng: np.random.Generator, pose: Pose) -> Thing:
    """A cab before a box, a tank-like cover or a flat bed with walls."""
    length, width = rng.uniform(5.5, 10.5), rng.uniform(2.1, 2.5)
    cab_length, cab_height = rng.uniform(1.6, 2.1), rng.uniform(2.2, 2.9)
    load_height = rng.uniform(2.5, 3.7) if rng.random() < 0.75 else rng.uniform(1.4, 1.8)
    half, back, front = width / 2, -length / 2, length / 2
    cab_from = front - cab_length
    cab_colour, load_colour = _livery(rng), _livery(rng)
    cab = _box(
        ((cab_from, 0.5), (cab_from, cab_height), (front - 0.35, cab_height), (front - 0.05, 1.35), (front, 0.45)),
        half * 0.97,
        (cab_colour, cab_colour, _GLASS, cab_colour),
        cab_colour,
        Kind.TRUCK,
    )
    load = _box(
        ((back, 0.85), (back, load_height), (cab_from - 0.1, load_height), (cab_from - 0.1, 0.85)),
        half,
        (load_colour,) * 3,
        load_colour,
        Kind.TRUCK,
    )
    frame = _box(
        ((back, 0.4), (back, 0.85), (front - 0.3, 0.85), (front - 0.3, 0.4)),
        half * 0.9,
        (_DARK,) * 3,
        _DARK,
        Kind.TRUCK,
    )
    axles = [back + 0.9, back + 2.1, front - 1.1] if length > 7.5 else [back + 1.0, front - 0.9]
    shapes = frame.underside(pose, axles, 0.6) + frame.faces(pose)
    parts = [load.faces(pose) + _markings(rng, load, pose, back, cab_from, load_height)]
    glass: list[list[Point]] = [
        [
            (cab_from + 0.5, 1.4),
            (front - 0.2, 1.4),
            (front - 0.4, cab_height - 0.25),
            (cab_from + 0.5, cab_height - 0.25),
        ]
    ]
    lamps = [(-half * 0.9, -half * 0.6, 0.6, 0.8), (half * 0.6, half * 0.9, 0.6, 0.8)]
    parts.append(
        cab.faces(pose)
        + cab.on_side(pose, glass, _GLASS)
        + cab.on_end(pose, lamps, (0.95, 0.95, 0.85), rear=False, glowing=True)
    )
    # The one whose middle is nearer hides the other.
    if abs(pose.eye[1] - (front - cab_length / 2)) > abs(pose.eye[1] - (back + cab_from) / 2):
        parts.reverse()
    shapes += parts[0] + parts[1]
    shapes += frame.wheels(pose, axles, 0.48)
    shapes += frame.on_end(
        pose, [(-half * 0.95, -half * 0.7, 0.6, 0.8), (half * 0.7, half * 0.95, 0.6, 0.8)], (0.75, 0.1, 0.08), rear=True
    )
    return Thing(_footprint(pose, half, length), max(load_height, cab_height), pose.placed(shapes))


def _markings(rng: np.random.Generator, load: Body, pose: Pose, back: float, front: float, top: float) -> list[Shape]:
    """A stripe or a field of another colour on the sides, doors at the rear."""
    colour, low = _livery(rng), 1.1 + rng.uniform(0, 0.5)
    high = low + (top - low) * rng.uniform(0.3, 0.8)
    field: list[list[Point]] = [[(back + 0.4, low), (front - 0.6, low), (front - 0.9, high), (back + 0.4, high)]]
    shapes = load.on_side(pose, field, colour) if rng.random() < 0.6 else []
    half = load.half_widths_m[0]
    shapes += load.on_end(pose, [(-0.03, 0.03, 0.9, top - 0.1)], _DARK, rear=True)
    if rng.random() < 0.5:
        shapes += load.on_end(pose, [(-half * 0.9, half * 0.9, 0.95, 1.15)], (0.85, 0.3, 0.1), rear=True)
    return shapes


def make_bus(rng: np.random.Generator, pose: Pose) -> Thing:
    """A city bus or a coach: one long body with a band of windows."""
    length, width, height = rng.uniform(9.5, 13.0), 2.5, rng.uniform(2.9, 3.4)
    shapes = _carriage(rng, pose, length, width, height, _livery(rng), Kind.BUS, ends=(True, True), shift=0.0)
    return Thing(_footprint(pose, width / 2, length), height, pose.placed(shapes))


def make_tram(rng: np.random.Generator, pose: Pose) -> list[Thing]:
    """A tram of two to four carriages, each a thing of its own, with bellows between them and a current collector."""
    carriages, length, width, height = int(rng.integers(2, 5)), rng.uniform(6.5, 10.0), 2.5, rng.uniform(3.2, 3.6)
    livery, things = _livery(rng), []
    forwards = float(np.cos(pose.heading_rad)) > 0
    look = rng.integers(1 << 31)
    for index in range(carriages):
        along = pose.along_m + index * (length + 0.5)
        here = Pose(pose.road, pose.light, pose.across_m, along, pose.heading_rad, pose.eye_height_m)
        is_near, is_far = index == 0, index == carriages - 1
        ends = (is_near, is_far) if forwards else (is_far, is_near)
        same = np.random.default_rng(int(look))
        shapes = _bellows(width, length, height) + _carriage(
            same, here, length, width, height, livery, Kind.TRAIN, ends=ends, shift=0.12
        )
        if index == carriages // 2:
            knee, head = (0.0, 0.9, height + 0.6), (0.0, 0.0, height + 1.3)
            arms = [[(0.0, 0.0, height), knee, head]]
            shapes.append(bar(arms, 0.07, _DARK, Kind.TRAIN))
            shapes.append(bar([(-0.8, 0.0, height + 1.3), (0.8, 0.0, height + 1.3)], 0.07, _DARK, Kind.TRAIN))
        things.append(Thing(_footprint(here, width / 2, length + 0.5), height, here.placed(shapes)))
    return things


def _bellows(width: float, length: float, height: float) -> list[Shape]:
    half, end = 0.42 * width, length / 2 + 0.45
    return [
        Shape(
            np.array(
                [
                    [
                        (s * half, -end, 0.5),
                        (s * half, end, 0.5),
                        (s * half, end, height - 0.2),
                        (s * half, -end, height - 0.2),
                    ]
                    for s in (-1, 1)
                ],
                dtype=np.float32,
            ),
            (0.16, 0.16, 0.17),
            Kind.TRAIN,
        )
    ]


def _carriage(
    rng: np.random.Generator,
    pose: Pose,
    length: float,
    width: float,
    height: float,
    colour: Colour,
    kind: Kind,
    *,
    ends: tuple[bool, bool],
    shift: float,
) -> list[Shape]:
    """A body with windows, doors and stripes; `ends` says whether rear and front are faces with a windscreen."""
    half, back, front = width / 2, -length / 2, length / 2
    lower, upper = _livery(rng) if rng.random() < 0.6 else colour, colour
    slant = (shift + 0.15) if ends[1] else 0.0
    body = _box(
        (
            (back, 0.35),
            (back + (shift if ends[0] else 0.0), height),
            (front - slant, height),
            (front, 1.1),
            (front, 0.35),
        ),
        half,
        (upper, _roof(upper), upper, lower),
        upper,
        kind,
    )
    axles = (back + 0.25 * length, front - 0.25 * length)
    shapes = body.underside(pose, axles, 0.45) + body.faces(pose)
    skirt: list[list[Point]] = [[(back, 0.36), (front, 0.36), (front, 0.95), (back, 0.95)]]
    shapes += body.on_side(pose, skirt, lower)
    low, high = height * 0.42, height * 0.8
    count = max(3, int(length / 1.5))
    step = (length - 0.6) / count
    panes: list[list[Point]] = []
    doors: list[list[Point]] = []
    door_every = int(rng.integers(3, 5))
    for index in range(count):
        left, right = back + 0.3 + index * step + 0.06, back + 0.3 + (index + 1) * step - 0.06
        if index % door_every == 1:
            doors.append([(left, 0.45), (right, 0.45), (right, high), (left, high)])
        else:
            panes.append([(left, low), (right, low), (right, high), (left, high)])
    glass = (0.75, 0.7, 0.5) if pose.light.lamps else _GLASS
    shapes += body.on_side(pose, panes, glass) + body.on_side(pose, doors, (0.2, 0.22, 0.25))
    if kind is Kind.BUS:
        shapes += body.wheels(pose, axles, 0.48)
    return shapes + _faces(body, pose, half, height, ends)


def _faces(body: Body, pose: Pose, half: float, height: float, ends: tuple[bool, bool]) -> list[Shape]:
    """Windscreens, signs, lamps and bumpers of the ends that are faces, rear and front."""
    shapes: list[Shape] = []
    for rear, shown in ((True, ends[0]), (False, ends[1])):
        if shown:
            lamp: Colour = (0.85, 0.1, 0.08) if rear else (1.0, 0.97, 0.85)
            shapes += body.on_end(pose, [(-half * 0.85, half * 0.85, height * 0.45, height * 0.83)], _GLASS, rear=rear)
            shapes += body.on_end(
                pose,
                [(-half * 0.6, half * 0.6, height * 0.86, height * 0.95)],
                (0.95, 0.65, 0.15),
                rear=rear,
                glowing=pose.light.lamps,
            )
            shapes += body.on_end(
                pose,
                [(-half * 0.92, -half * 0.7, 0.7, 0.95), (half * 0.7, half * 0.92, 0.7, 0.95)],
                lamp,
                rear=rear,
                glowing=True,
            )
            shapes += body.on_end(pose, [(-half * 0.98, half * 0.98, 0.4, 0.6)], _DARK, rear=rear)
    return shapes


def _roof(colour: Colour) -> Colour:
    """Roofs gather dirt and machinery."""
    red, green, blue = colour
    return 0.5 * red + 0.2, 0.5 * green + 0.2, 0.5 * blue + 0.2


def _box(profile: tuple[Point, ...], half: float, faces: tuple[Colour, ...], side: Colour, kind: Kind) -> Body:
    return Body(profile, (half,) * len(profile), faces, side, kind)


def _livery(rng: np.random.Generator) -> Colour:
    if rng.random() < 0.4:
        grey = float(rng.uniform(0.55, 0.95))
        return grey, grey, grey
    red, green, blue = rng.uniform(0.08, 0.85, 3).tolist()
    return red, green, blue


def _footprint(pose: Pose, half: float, length: float) -> Footprint:
    turned = abs(float(np.sin(pose.heading_rad)))
    across, along = half + turned * (length / 2 - half), length / 2 + turned * (half - length / 2)
    return Footprint((pose.across_m - across, pose.across_m + across), (pose.along_m - along, pose.along_m + along))
