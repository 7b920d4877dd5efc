"""Street furniture along the kerb: lamps, posts, traffic lights, signs, and unlabelled objects."""

import numpy as np

from densecast.scenes.street.classes import Kind
from densecast.scenes.street.road import Pose
from densecast.scenes.street.shape import Colour, Footprint, Shape, Thing, bar, dot, filled, shaded

_STEEL: Colour = (0.36, 0.38, 0.39)
_SIGN_COLOURS: dict[str, Colour] = {
    "red": (0.78, 0.08, 0.1), "white": (0.93, 0.93, 0.91), "blue": (0.08, 0.26, 0.66), "yellow": (0.95, 0.75, 0.1),
    "black": (0.08, 0.08, 0.08), "green": (0.05, 0.42, 0.25),
}  # fmt: skip


def make_lamp(rng: np.random.Generator, pose: Pose, towards: float) -> Thing:
    """A street lamp whose arm reaches over the road (`towards` is -1 for left, 1 for right)."""
    tall, arm = rng.uniform(5.0, 9.0), towards * rng.uniform(0.6, 2.2)
    colour = shaded(_STEEL, pose.gain((0.0, -1.0, 0.0)) * rng.uniform(0.5, 1.4))
    thick = rng.uniform(0.1, 0.17)
    shapes = [
        bar([(0, 0, 0), (0, 0, 0.9)], thick * 1.5, colour, Kind.POLE),
        bar([(0, 0, 0.5), (0, 0, tall)], thick, colour, Kind.POLE),
        bar([(0, 0, tall), (0.5 * arm, 0, tall + 0.25), (arm, 0, tall + 0.3)], 0.09, colour, Kind.POLE),
    ]
    lit = (1.0, 0.93, 0.7) if pose.light.lamps else shaded((0.6, 0.6, 0.58), pose.light.ambient)
    shapes.append(bar([(0.8 * arm, 0, tall + 0.27), (1.25 * arm, 0, tall + 0.3)], 0.2, lit, Kind.POLE))
    if rng.random() < 0.25:
        shapes += _face(str(rng.choice(list(_FACES))), 2.4, 0.55, pose, rng)
    return _thing(pose, tall, 0.2, shapes)


def make_post(rng: np.random.Generator, pose: Pose) -> Thing:
    """A bollard, a slim post, or a wooden mast with wires' crossbars."""
    pick, shapes = rng.random(), []
    gain = pose.gain((0.0, -1.0, 0.0))
    if pick < 0.45:
        tall = rng.uniform(0.7, 1.1)
        colour = shaded((0.25, 0.25, 0.26), gain * rng.uniform(0.4, 2.6))
        shapes = [bar([(0, 0, 0.04), (0, 0, tall)], rng.uniform(0.08, 0.16), colour, Kind.POLE)]
        if rng.random() < 0.5:
            shapes.append(bar([(0, 0, tall - 0.2), (0, 0, tall - 0.12)], 0.16, (0.85, 0.85, 0.85), Kind.POLE))
    elif pick < 0.75:
        tall = rng.uniform(2.2, 4.5)
        shapes = [bar([(0, 0, 0), (0, 0, tall)], rng.uniform(0.06, 0.1), shaded(_STEEL, gain), Kind.POLE)]
    else:
        tall = rng.uniform(6.5, 10.0)
        wood = shaded((0.36, 0.28, 0.2), gain * rng.uniform(0.7, 1.3))
        shapes = [bar([(0, 0, 0), (0, 0, tall)], rng.uniform(0.18, 0.28), wood, Kind.POLE)]
        shapes += [
            bar([(-0.9, 0, tall - d), (0.9, 0, tall - d)], 0.1, wood, Kind.POLE)
            for d in (0.3, 1.0)[: int(rng.integers(1, 3))]
        ]
    return _thing(pose, tall, 0.15, shapes)


def make_traffic_light(rng: np.random.Generator, pose: Pose, towards: float) -> Thing:
    """Signals on a post, sometimes also on an arm over the road."""
    steel = shaded(_STEEL, pose.gain((0.0, -1.0, 0.0)) * rng.uniform(0.5, 1.3))
    state, turned = int(rng.integers(3)), rng.random() < 0.2
    with_arm = rng.random() < 0.4
    tall = rng.uniform(5.2, 6.0) if with_arm else rng.uniform(3.2, 3.7)
    shapes = [bar([(0, 0, 0), (0, 0, tall)], rng.uniform(0.11, 0.18), steel, Kind.POLE)]
    if with_arm:
        reach = towards * rng.uniform(2.5, 5.0)
        shapes.append(bar([(0, 0, tall), (reach, 0, tall + 0.15)], 0.12, steel, Kind.POLE))
        shapes += _signal(rng, (reach, -0.1, tall + 0.1), state, back=turned)
    shapes += _signal(rng, (towards * 0.05, -0.12, min(tall, 3.3)), state, back=turned)
    if rng.random() < 0.5:
        shapes += _signal(rng, (-towards * 0.28, -0.1, 2.5), state, back=turned)
    return _thing(pose, tall, 0.25, shapes)


def _signal(rng: np.random.Generator, top: tuple[float, float, float], state: int, *, back: bool) -> list[Shape]:
    """Three lamps in a dark box that hangs down from `top`; from the back only the box."""
    x, y, up = top
    kind, half, tall = Kind.TRAFFIC_LIGHT, 0.17, 0.95
    dark: Colour = (0.07, 0.08, 0.08) if rng.random() < 0.8 else (0.42, 0.36, 0.08)

    def plate(margin: float, colour: Colour) -> Shape:
        left, right, low, high = x - half - margin, x + half + margin, up - tall - margin, up + margin
        return filled([(left, y, low), (right, y, low), (right, y, high), (left, y, high)], colour, kind)

    shapes = [plate(0.0, dark)]
    if rng.random() < 0.35:
        shapes = [plate(0.09, (0.85, 0.85, 0.83)), plate(0.06, (0.06, 0.06, 0.06)), plate(0.0, dark)]
    if back:
        return shapes
    glow: tuple[Colour, ...] = ((1.0, 0.16, 0.12), (1.0, 0.72, 0.12), (0.15, 0.95, 0.55))
    dim: tuple[Colour, ...] = ((0.22, 0.05, 0.05), (0.22, 0.16, 0.04), (0.04, 0.18, 0.1))
    for index in range(3):
        centre = (x, y - 0.02, up - 0.17 - 0.3 * index)
        shapes.append(dot(centre, 0.24, glow[index] if index == state else dim[index], kind))
    return shapes


_FACES: dict[str, tuple[tuple[str, float, int, float], ...]] = {
    # layers of (colour, size, corners, turn); 24 corners stand for a disc
    "limit": (("red", 1.0, 24, 0.0), ("white", 0.78, 24, 0.0), ("black", 0.3, 4, 0.0)),
    "no entry": (("red", 1.0, 24, 0.0),),
    "mandatory": (("white", 1.0, 24, 0.0), ("blue", 0.94, 24, 0.0), ("white", 0.35, 3, 1.57)),
    "stop": (("white", 1.0, 8, 0.39), ("red", 0.92, 8, 0.39)),
    "danger": (("red", 1.1, 3, 1.57), ("white", 0.7, 3, 1.57), ("black", 0.2, 4, 0.0)),
    "give way": (("red", 1.1, 3, -1.57), ("white", 0.7, 3, -1.57)),
    "priority": (("white", 1.05, 4, 0.0), ("yellow", 0.75, 4, 0.0)),
    "parking": (("blue", 1.15, 4, 0.785), ("white", 0.5, 4, 0.785)),
    "no stopping": (("red", 1.0, 24, 0.0), ("blue", 0.8, 24, 0.0)),
}


def make_sign(rng: np.random.Generator, pose: Pose) -> Thing:
    """One to three signs on a post, or a board with directions on two posts."""
    gain = pose.gain((0.0, -1.0, 0.0))
    steel = shaded((0.5, 0.51, 0.52), gain)
    if rng.random() < 0.2:
        return _board(rng, pose, steel)
    size, top = rng.uniform(0.3, 0.42), rng.uniform(2.2, 3.0)
    tall = top + size
    shapes = [bar([(0, 0, 0), (0, 0, tall)], rng.uniform(0.06, 0.09), steel, Kind.POLE)]
    for index in range(int(rng.integers(1, 4)) if rng.random() < 0.5 else 1):
        if rng.random() < 0.15:
            grey = shaded((0.5, 0.5, 0.5), gain)
            shapes.append(filled(_ring((0, -0.06, top - index * 2.1 * size), size, 24, 0.0), grey, Kind.TRAFFIC_SIGN))
        else:
            shapes += _face(str(rng.choice(list(_FACES))), top - index * 2.1 * size, size, pose, rng)
    return _thing(pose, tall, 0.3, shapes)


def _face(name: str, up: float, size: float, pose: Pose, rng: np.random.Generator) -> list[Shape]:
    gain = max(0.55, pose.gain((0.0, -1.0, 0.0)))
    shapes = [
        filled(
            _ring((0, -0.06 - 0.004 * layer, up), size * share, corners, turn),
            shaded(_SIGN_COLOURS[colour], gain),
            Kind.TRAFFIC_SIGN,
        )
        for layer, (colour, share, corners, turn) in enumerate(_FACES[name])
    ]
    if name == "no entry":
        white = shaded(_SIGN_COLOURS["white"], gain)
        stripe = np.array([(-0.65, -0.15), (0.65, -0.15), (0.65, 0.15), (-0.65, 0.15)]) * size
        shapes.append(filled([(x, -0.08, up + z) for x, z in stripe], white, Kind.TRAFFIC_SIGN))
    if rng.random() < 0.2:
        low, half = up - 1.5 * size, 0.8 * size
        plate = [(-half, -0.06, low), (half, -0.06, low), (half, -0.06, low + 0.22), (-half, -0.06, low + 0.22)]
        shapes.append(filled(plate, shaded(_SIGN_COLOURS["white"], gain), Kind.TRAFFIC_SIGN))
    return shapes


def _board(rng: np.random.Generator, pose: Pose, steel: Colour) -> Thing:
    half, low, high = rng.uniform(0.6, 1.4), rng.uniform(1.2, 2.4), rng.uniform(2.9, 3.8)
    gain = max(0.55, pose.gain((0.0, -1.0, 0.0)))
    shapes = [bar([[(s * half * 0.7, 0, 0), (s * half * 0.7, 0, high)] for s in (-1, 1)], 0.09, steel, Kind.POLE)]
    field = shaded(_SIGN_COLOURS[str(rng.choice(["blue", "yellow", "green", "white"]))], gain)
    ink = shaded(_SIGN_COLOURS["black" if sum(field) > 1.5 else "white"], gain)
    quad = [(-half, -0.06, low), (half, -0.06, low), (half, -0.06, high), (-half, -0.06, high)]
    shapes.append(filled(quad, field, Kind.TRAFFIC_SIGN))
    rows = np.linspace(low + 0.15, high - 0.3, 3)
    lines = [
        [(-half * 0.8, -0.07, z), (half * w, -0.07, z), (half * w, -0.07, z + 0.13), (-half * 0.8, -0.07, z + 0.13)]
        for z, w in zip(rows, rng.uniform(-0.1, 0.8, 3), strict=True)
    ]
    shapes.append(filled(lines, ink, Kind.TRAFFIC_SIGN))
    return _thing(pose, high, half, shapes)


def make_oddment(rng: np.random.Generator, pose: Pose) -> Thing:
    """A bin, a cabinet, an advertising column or a bench: things without a class of their own."""
    tall, half = rng.uniform(0.6, 1.9), rng.uniform(0.2, 0.55)
    colour = shaded(tuple(rng.uniform(0.1, 0.6, 3).tolist()), pose.gain((0.0, -1.0, 0.0)))
    kind = Kind.UNLABELLED
    front = [(-half, -half, 0), (half, -half, 0), (half, -half, tall), (-half, -half, tall)]
    sign = 1 if pose.eye[0] > 0 else -1
    side = [(sign * half, -half, 0), (sign * half, half, 0), (sign * half, half, tall), (sign * half, -half, tall)]
    shapes = [filled(side, shaded(colour, 0.75), kind), filled(front, colour, kind)]
    shapes.append(bar([(-half, -half, tall), (half, -half, tall)], 0.07, shaded(colour, 0.6), kind))
    return _thing(pose, tall, half, shapes)


def _ring(centre: tuple[float, float, float], size: float, corners: int, turn: float) -> np.typing.NDArray[np.float64]:
    turns = np.linspace(0, 2 * np.pi, corners, endpoint=False) + turn
    x, y, up = centre
    return np.stack([x + size * np.cos(turns), np.full(corners, y), up + size * np.sin(turns)], axis=1)


def _thing(pose: Pose, tall: float, half: float, shapes: list[Shape]) -> Thing:
    place = Footprint((pose.across_m - half, pose.across_m + half), (pose.along_m - 0.15, pose.along_m + 0.15))
    return Thing(place, tall, pose.placed(shapes))
