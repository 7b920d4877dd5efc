"""Body model: segment lengths, and joint positions for a pose.

Lengths are shares of the stature after R. Drillis and R. Contini, "Body Segment Parameters" (1966), as printed in
D. Winter, "Biomechanics and Motor Control of Human Movement".
"""

from dataclasses import dataclass

import numpy as np

from densecast.scenes.mesh import Array
from densecast.scenes.people.pose import Pair, Pose

_UPPER_ARM, _FOREARM, _HAND = 0.186, 0.146, 0.06
_THIGH, _SHIN, _ANKLE_HEIGHT, _FOOT = 0.245, 0.246, 0.039, 0.11
_TRUNK, _NECK = 0.288, 0.052
_SHOULDER_HALF, _HIP_HALF = 0.115, 0.057
_HEAD_RADII = (0.047, 0.058, 0.067)


@dataclass(frozen=True, slots=True)
class Build:
    """What differs between bodies."""

    stature_m: float
    girth: float
    """1 is slim, 1.5 is stout"""
    broad: float
    """Width of the shoulders, as a factor"""
    head: float
    """Size of the head, as a factor: large for children"""


@dataclass(frozen=True, slots=True)
class Body:
    """Places in metres in the camera's world. Pairs are left, right; frames' rows are left, front, up."""

    build: Build
    hip_frame: Array
    trunk_frame: Array
    head_frame: Array
    pelvis: Array
    chest: Array
    """Between the shoulders"""
    neck: Array
    head: Array
    """The head's middle"""
    head_radii: Array
    shoulders: Array
    elbows: Array
    wrists: Array
    hands: Array
    hips: Array
    knees: Array
    ankles: Array
    toes: Array

    @property
    def nose(self) -> Array:
        """(3,) the tip."""
        return self.on_head(0, 1.19, -0.18)

    @property
    def eyes(self) -> Array:
        """(2, 3)"""
        return np.stack([self.on_head(side * 0.4, 0.9, 0.1) for side in (1, -1)])

    @property
    def ears(self) -> Array:
        """(2, 3)"""
        return np.stack([self.on_head(side * 1.04, -0.08, -0.02) for side in (1, -1)])

    def on_head(self, left: float, front: float, up: float) -> Array:
        """(3,) a place given in radii of the head from its middle."""
        local = np.array([left, front, up], dtype=np.float32) * self.head_radii
        return (self.head + local @ self.head_frame).astype(np.float32)


def sample_build(rng: np.random.Generator) -> Build:
    """A grown-up, or one time in six a child."""
    if rng.random() < 1 / 6:
        stature = float(rng.uniform(1.05, 1.5))
        return Build(stature, float(rng.uniform(0.95, 1.2)), float(rng.uniform(0.9, 1.0)), 1.55 - 0.3 * stature)
    return Build(
        float(np.clip(rng.normal(1.71, 0.09), 1.5, 1.98)),
        float(np.clip(rng.normal(1.15, 0.17), 0.9, 1.6)),
        float(rng.uniform(0.9, 1.15)),
        float(rng.uniform(0.95, 1.08)),
    )


def stand(build: Build, pose: Pose, foot_xy_m: tuple[float, float], facing_rad: float) -> Body:
    """The body with its lowest point on the ground (z = 0), roughly above `foot_xy_m`.

    Args:
        build: The body.
        pose: What it does.
        foot_xy_m: Place on the ground.
        facing_rad: 0 looks at the camera (along -y), a quarter turn looks to the image's right.

    """
    tall = build.stature_m
    hip_frame = _frame(facing_rad)
    trunk = _turned(hip_frame, pose.twist, pose.lean)
    head_frame = _turned(trunk, pose.head[0], pose.head[1:])
    pelvis = np.zeros(3, dtype=np.float32)
    chest = pelvis + trunk[2] * np.float32(_TRUNK * tall)
    neck = chest + trunk[2] * np.float32(_NECK * tall)
    radii = np.array(_HEAD_RADII, dtype=np.float32) * np.float32(tall * build.head)
    middle = neck + head_frame[2] * radii[2] * np.float32(0.85) + head_frame[1] * radii[1] * np.float32(0.2)
    sides = np.array([[1], [-1]], dtype=np.float32)
    hips = pelvis + sides * hip_frame[0] * np.float32(_HIP_HALF * tall * (0.7 + 0.3 * build.girth))
    shoulders = chest + sides * trunk[0] * np.float32(_SHOULDER_HALF * tall * build.broad)
    knees, ankles, toes = _legs(pose, hips, hip_frame, tall)
    elbows, wrists, hands = _arms(pose, shoulders, trunk, tall)
    lowest = min(float(ankles[:, 2].min()) - _ANKLE_HEIGHT * tall, float(toes[:, 2].min()) - 0.02 * tall)
    shift = np.array([*foot_xy_m, -lowest], dtype=np.float32)
    points = (pelvis, chest, neck, middle), (shoulders, elbows, wrists, hands, hips, knees, ankles, toes)
    (pelvis, chest, neck, middle), pairs = ([point + shift for point in group] for group in points)
    return Body(build, hip_frame, trunk, head_frame, pelvis, chest, neck, middle, radii, *pairs)


def coco_points(body: Body) -> Array:
    """(17, 3) in the order of COCO's key points."""
    pairs = (body.eyes, body.ears, body.shoulders, body.elbows, body.wrists, body.hips, body.knees, body.ankles)
    return np.concatenate([body.nose[None], *pairs]).astype(np.float32)


def _legs(pose: Pose, hips: Array, frame: Array, tall: float) -> tuple[Array, Array, Array]:
    knees, ankles, toes = [], [], []
    for side in (0, 1):
        flexion, abduction, bent = pose.hip_flexion[side], pose.hip_abduction[side], pose.knee[side]
        thigh = _direction(side, flexion, abduction)
        shin = _direction(side, flexion - bent, abduction * (0.5 if pose.kind == "sitting" else 1))
        knees.append(hips[side] + thigh @ frame * np.float32(_THIGH * tall))
        ankles.append(knees[side] + shin @ frame * np.float32(_SHIN * tall))
        # Feet stay level on the ground; a leg swung far back lifts its heel.
        tip = min(max(flexion - bent + 0.5, -0.9), 0.0)
        foot = np.array([0.25 if side == 0 else -0.25, np.cos(tip), np.sin(tip) - 0.2], dtype=np.float32)
        toes.append(ankles[side] + foot @ frame * np.float32(_FOOT * tall))
    return np.stack(knees), np.stack(ankles), np.stack(toes)


def _arms(pose: Pose, shoulders: Array, frame: Array, tall: float) -> tuple[Array, Array, Array]:
    elbows, wrists, hands = [], [], []
    for side in (0, 1):
        upper = _direction(side, pose.shoulder_flexion[side], pose.shoulder_abduction[side])
        inwards = pose.elbow_inwards[side]
        bend = np.array([inwards if side else -inwards, max(1 - inwards, 0.1), 0.45 * inwards], dtype=np.float32)
        bend -= upper * (bend @ upper)
        bend /= np.linalg.norm(bend) + 1e-6
        angle = pose.elbow[side]
        fore = upper * np.float32(np.cos(angle)) + bend * np.float32(np.sin(angle))
        elbows.append(shoulders[side] + upper @ frame * np.float32(_UPPER_ARM * tall))
        wrists.append(elbows[side] + fore @ frame * np.float32(_FOREARM * tall))
        hands.append(wrists[side] + fore @ frame * np.float32(_HAND * tall))
    return np.stack(elbows), np.stack(wrists), np.stack(hands)


def _direction(side: int, flexion: float, abduction: float) -> Array:
    """(3,) left, front, up of a limb that hangs down at 0, 0; side 0 is left."""
    out = np.sin(abduction) if side == 0 else -np.sin(abduction)
    flat = np.cos(abduction)
    return np.array([out, flat * np.sin(flexion), -flat * np.cos(flexion)], dtype=np.float32)


def _frame(facing_rad: float) -> Array:
    """Rows left, front, up of somebody upright."""
    sine, cosine = np.sin(facing_rad), np.cos(facing_rad)
    return np.array([[cosine, sine, 0], [sine, -cosine, 0], [0, 0, 1]], dtype=np.float32)


def _turned(frame: Array, left_rad: float, lean_rad: Pair) -> Array:
    """The frame turned to its left, then bent forwards and to the left."""
    turn = _rotation(1, -lean_rad[1]) @ _rotation(0, lean_rad[0]) @ _rotation(2, left_rad)
    return (turn @ frame).astype(np.float32)


def _rotation(axis: int, angle: float) -> Array:
    """(3, 3) turns a frame's rows about row `axis`: 0 front towards down, 1 up towards right, 2 front towards left."""
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3, dtype=np.float32)
    turn[first, first] = turn[second, second] = cosine
    turn[first, second], turn[second, first] = -sine, sine
    return turn
