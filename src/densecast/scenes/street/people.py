"""People: walking, standing, and sitting on two wheels; limbs are bars between joints."""

import numpy as np

from densecast.scenes.street.classes import Kind
from densecast.scenes.street.road import Pose
from densecast.scenes.street.shape import Colour, Footprint, Shape, Thing, bar, dot, filled, shaded

_SKINS: tuple[Colour, ...] = ((0.85, 0.66, 0.54), (0.7, 0.5, 0.38), (0.45, 0.3, 0.22), (0.92, 0.76, 0.66))
_Point = tuple[float, float, float]


def make_walker(rng: np.random.Generator, pose: Pose) -> Thing:
    """A person on foot, a child or a grown-up, mid-step or standing."""
    tall = rng.uniform(1.5, 1.95) if rng.random() < 0.85 else rng.uniform(0.95, 1.4)
    swing = rng.uniform(-0.32, 0.32) if rng.random() < 0.75 else rng.uniform(-0.05, 0.05)
    hip, shoulder = 0.9, 1.42
    legs = {
        side: [(side * 0.09, 0.0, hip), (side * 0.1, side * swing * 0.6 + 0.05, 0.48), (side * 0.1, side * swing, 0.08)]
        for side in (-1, 1)
    }
    arms = {
        side: [
            (side * 0.21, 0.0, shoulder - 0.03),
            (side * 0.26, -side * swing * 0.4, 1.13),
            (side * 0.25, -side * swing * 0.7 + 0.08, 0.88),
        ]
        for side in (-1, 1)
    }
    shapes = _figure(rng, pose, legs, arms, (0.0, 0.0, hip), (0.0, 0.03, shoulder), Kind.PERSON)
    if rng.random() < 0.25:
        shapes.insert(
            0 if pose.eye[1] > 0 else len(shapes),
            bar([(0, -0.2, 1.02), (0, -0.2, 1.32)], 0.27, _cloth(rng), Kind.PERSON),
        )
    if rng.random() < 0.2:
        shapes.append(dot((0.32, 0.05, 0.62), 0.28, _cloth(rng), Kind.PERSON))
    size = tall / 1.75
    scaled = [Shape(s.points * np.float32(size), s.colour, s.kind, s.diameter_m * size) for s in shapes]
    place = Footprint((pose.across_m - 0.25, pose.across_m + 0.25), (pose.along_m - 0.25, pose.along_m + 0.25))
    return Thing(place, tall, pose.placed(scaled))


def rider(rng: np.random.Generator, pose: Pose, seat: _Point, grip: _Point, pedal_up_m: float) -> list[Shape]:
    """Someone on a saddle, holding the bars, in local metres of the machine.

    Args:
        rng: Clothes and posture.
        pose: Where the machine is.
        seat: The saddle.
        grip: The right grip; the left one mirrors it.
        pedal_up_m: Height of the feet.

    """
    lean = rng.uniform(0.05, 0.25)
    shoulder_up = seat[2] + 0.5
    pedals = {-1: pedal_up_m + 0.17, 1: pedal_up_m - 0.05}
    legs = {
        side: [
            (side * 0.1, seat[1], seat[2]),
            (side * 0.16, seat[1] + 0.42, (seat[2] + pedals[side]) / 2 + 0.16),
            (side * 0.13, seat[1] + 0.25, pedals[side]),
        ]
        for side in (-1, 1)
    }
    arms = {
        side: [
            (side * 0.2, seat[1] + lean, shoulder_up),
            (side * 0.28, (seat[1] + lean + grip[1]) / 2, (shoulder_up + grip[2]) / 2 - 0.05),
            (side * grip[0], grip[1], grip[2]),
        ]
        for side in (-1, 1)
    }
    return _figure(rng, pose, legs, arms, seat, (0.0, seat[1] + lean, shoulder_up), Kind.RIDER)


def _figure(
    rng: np.random.Generator,
    pose: Pose,
    legs: dict[int, list[_Point]],
    arms: dict[int, list[_Point]],
    hip: _Point,
    shoulder: _Point,
    kind: Kind,
) -> list[Shape]:
    """Limbs of the far side, trunk and head, limbs of the near side."""
    gain = pose.gain((0.0, -1.0 if pose.eye[1] < 0 else 1.0, 0.0))
    skin = shaded(_SKINS[int(rng.integers(len(_SKINS)))], gain)
    top, trousers = shaded(_cloth(rng), gain), shaded(_cloth(rng, dark=True), gain)
    hair = shaded(_cloth(rng), gain) if kind is Kind.RIDER else shaded((0.35, 0.24, 0.14), gain * rng.uniform(0.2, 1.6))
    shoe = shaded((0.12, 0.11, 0.11), gain * rng.uniform(0.5, 4.0))
    near = 1 if pose.eye[0] > 0 else -1
    bare = rng.random() < 0.25

    def limbs(side: int) -> list[Shape]:
        foot = legs[side][-1]
        arm_end = arms[side][1] if bare else arms[side][-1]
        return [
            bar(legs[side], 0.15, shaded(trousers, 0.93 if side != near else 1.0), kind),
            bar([foot, (foot[0], foot[1] + 0.16, foot[2] - 0.03)], 0.1, shoe, kind),
            bar(arms[side], 0.085, skin, kind),
            bar([*arms[side][:2], arm_end], 0.105, shaded(top, 0.85 if side != near else 0.95), kind),
            dot(arms[side][-1], 0.09, skin, kind),
        ]

    trunk = [
        filled(
            [
                (-0.2, shoulder[1], shoulder[2]),
                (0.2, shoulder[1], shoulder[2]),
                (0.15, hip[1], hip[2]),
                (-0.15, hip[1], hip[2]),
            ],
            top,
            kind,
        ),
        bar([(-0.14, shoulder[1], shoulder[2] - 0.05), (0.14, shoulder[1], shoulder[2] - 0.05)], 0.15, top, kind),
        bar([(0.0, hip[1], hip[2] + 0.1), (0.0, shoulder[1], shoulder[2] - 0.12)], 0.26, top, kind),
    ]
    if rng.random() < 0.25:
        hem = hip[2] - rng.uniform(0.15, 0.45)
        skirt = [(-0.17, hip[1], hip[2] + 0.1), (0.17, hip[1], hip[2] + 0.1), (0.22, hip[1], hem), (-0.22, hip[1], hem)]
        trunk += [filled(skirt, top, kind), bar([(0, hip[1], hip[2]), (0, hip[1], hem + 0.12)], 0.24, top, kind)]
    neck, y = shoulder[2] + 0.13, shoulder[1] + 0.03
    head = [
        bar([(0, y, neck - 0.1), (0, y, neck)], 0.1, skin, kind),
        bar([(0, y, neck + 0.04), (0, y + 0.01, neck + 0.1)], 0.19, skin, kind),
        dot((0, y - 0.025, neck + 0.14), 0.2, hair, kind),
    ]
    if rng.random() < 0.3 and kind is Kind.PERSON:
        head.append(bar([(0, y - 0.08, neck + 0.1), (0, y - 0.08, neck - 0.08)], 0.14, hair, kind))
    return limbs(-near) + trunk + head + limbs(near)


def _cloth(rng: np.random.Generator, *, dark: bool = False) -> Colour:
    tone = rng.uniform(0.06, 0.4 if dark else 0.9)
    red, green, blue = np.clip(tone * rng.uniform(0.5, 1.4, 3), 0.03, 0.95).tolist()
    return red, green, blue
