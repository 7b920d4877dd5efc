"""Random poses: joint angles within the ranges that bodies can reach."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["standing", "walking", "sitting", "crouching"]
Pair = tuple[float, float]
"""Left, right."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles in radians. Flexion turns a limb forwards, abduction sideways away from the body."""

    kind: Kind
    lean: Pair
    """Of the trunk: forwards, to the left"""
    twist: float
    """Of the shoulders against the hips, to the left"""
    head: tuple[float, float, float]
    """Turned to the left, bent down, tilted to the left; against the trunk"""
    hip_flexion: Pair
    hip_abduction: Pair
    knee: Pair
    shoulder_flexion: Pair
    shoulder_abduction: Pair
    elbow: Pair
    elbow_inwards: Pair
    """Where the forearm bends to: 0 forwards, 1 towards the other side and up"""


@dataclass(frozen=True, slots=True)
class _Arm:
    """Ranges of one habit of holding an arm."""

    share: float
    flexion: Pair
    abduction: Pair
    elbow: Pair
    inwards: Pair


_ARMS = (
    _Arm(0.30, (-0.25, 0.35), (0.08, 0.35), (0.05, 0.6), (0.0, 0.3)),  # hanging
    _Arm(0.14, (-0.6, -0.2), (0.45, 0.8), (1.4, 1.9), (1.0, 1.4)),  # hand on the hip
    _Arm(0.12, (0.2, 0.6), (0.0, 0.2), (1.3, 2.0), (0.5, 0.9)),  # across the chest
    _Arm(0.14, (0.6, 1.6), (0.0, 0.5), (0.0, 1.2), (0.1, 0.6)),  # reaching forwards
    _Arm(0.12, (-0.2, 0.2), (1.0, 1.7), (0.0, 1.5), (0.2, 1.0)),  # out to the side
    _Arm(0.12, (-0.2, 0.2), (2.2, 2.9), (0.0, 1.0), (0.6, 1.0)),  # overhead
    _Arm(0.06, (0.3, 0.9), (0.2, 0.5), (2.0, 2.4), (0.2, 0.6)),  # hand at the face
)


def sample_pose(rng: np.random.Generator) -> Pose:
    """A random pose: standing and walking are common, sitting and crouching less so."""
    kinds: tuple[Kind, ...] = ("standing", "walking", "sitting", "crouching")
    kind = kinds[int(rng.choice(4, p=(0.45, 0.27, 0.2, 0.08)))]
    left, right = _arms(rng)
    flexion, abduction, knee = _legs(rng, kind)
    flexion_arms = [_within(rng, left.flexion), _within(rng, right.flexion)]
    if kind == "walking":
        # Arms swing against the legs.
        for side, arm in enumerate((left, right)):
            flexion_arms[side] -= 0.5 * flexion[side] * (arm is _ARMS[0])
    stooped = {"standing": (-0.1, 0.2), "walking": (0.0, 0.22), "sitting": (-0.2, 0.4), "crouching": (0.1, 0.5)}
    return Pose(
        kind=kind,
        lean=(_within(rng, stooped[kind]), float(rng.normal(0, 0.07))),
        twist=float(rng.normal(0, 0.15)),
        head=(float(np.clip(rng.normal(0, 0.35), -1, 1)), float(rng.normal(0.05, 0.15)), float(rng.normal(0, 0.1))),
        hip_flexion=flexion,
        hip_abduction=abduction,
        knee=knee,
        shoulder_flexion=(flexion_arms[0], flexion_arms[1]),
        shoulder_abduction=(_within(rng, left.abduction), _within(rng, right.abduction)),
        elbow=(_within(rng, left.elbow), _within(rng, right.elbow)),
        elbow_inwards=(_within(rng, left.inwards), _within(rng, right.inwards)),
    )


def _arms(rng: np.random.Generator) -> tuple[_Arm, _Arm]:
    """The habits of the left and the right arm; half of all people do the same with both."""
    shares = [arm.share for arm in _ARMS]
    first, second = (int(place) for place in rng.choice(len(_ARMS), 2, p=shares))
    return _ARMS[first], _ARMS[first if rng.random() < 0.5 else second]


def _legs(rng: np.random.Generator, kind: Kind) -> tuple[Pair, Pair, Pair]:
    """Flexion and abduction of the hips, and flexion of the knees."""
    if kind == "sitting":
        spread = rng.uniform(0.0, 0.4)
        flexion = (_within(rng, (1.3, 1.65)), _within(rng, (1.3, 1.65)))
        knee = (_within(rng, (1.1, 1.75)), _within(rng, (1.1, 1.75)))
        return flexion, (_about(rng, spread), _about(rng, spread)), knee
    if kind == "crouching":
        low = rng.uniform(0.7, 1.7)
        flexion = (low + float(rng.normal(0, 0.1)), low + float(rng.normal(0, 0.1)))
        spread = rng.uniform(0.1, 0.4)
        return flexion, (_about(rng, spread), _about(rng, spread)), (flexion[0] + low * 0.5, flexion[1] + low * 0.5)
    if kind == "walking":
        stride, forward = rng.uniform(0.2, 0.75), 1 if rng.random() < 0.5 else -1
        flexion = (float(forward * stride), float(-forward * stride * 0.7))
        front, back = _within(rng, (0.05, 0.4)), _within(rng, (0.2, 1.0))
        knee = (front, back) if forward > 0 else (back, front)
        return flexion, (_about(rng, 0.05), _about(rng, 0.05)), knee
    spread = rng.uniform(0.02, 0.3)
    knee = (_within(rng, (0.0, 0.15)), _within(rng, (0.0, 0.15)))
    if rng.random() < 0.2:
        # The weight on one leg: the other is bent.
        knee = (knee[0], 0.6) if rng.random() < 0.5 else (0.6, knee[1])
    flexion = (0.45 * knee[0] + float(rng.normal(0, 0.06)), 0.45 * knee[1] + float(rng.normal(0, 0.06)))
    return flexion, (_about(rng, spread), _about(rng, spread)), knee


def _within(rng: np.random.Generator, bounds: Pair) -> float:
    return float(rng.uniform(*bounds))


def _about(rng: np.random.Generator, middle: float) -> float:
    return float(middle + rng.normal(0, 0.04))
