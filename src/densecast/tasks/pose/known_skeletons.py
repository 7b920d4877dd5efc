"""Skeletons of public data sets, in the order of their annotation files: CrowdPose, AI Challenger, MHP, COCO-WholeBody.

Joints and sigmas are those that the data sets' own evaluations define.
"""

from __future__ import annotations

from densecast.tasks.pose.coco_person import JOINTS, LIMBS, SIGMAS
from densecast.tasks.pose.skeleton import COCO, Skeleton


def _mirrored(joints: tuple[str, ...]) -> tuple[int, ...]:
    """The place of each joint's counterpart, by the words left and right in its name."""
    swapped = {name: name.replace("left", "*").replace("right", "left").replace("*", "right") for name in joints}
    return tuple(joints.index(swapped[name]) for name in joints)


def _places(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split())


def _sigmas(text: str) -> tuple[float, ...]:
    return tuple(float(each) for each in text.split())


def _skeleton(joints: str, limbs: tuple[tuple[int, int], ...], sigmas: tuple[float, ...]) -> Skeleton:
    names = tuple(joints.split())
    return Skeleton(names, _mirrored(names), limbs, sigmas)


CROWDPOSE = _skeleton(
    "left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_hip right_hip left_knee "
    "right_knee left_ankle right_ankle top_head neck",
    (
        (10, 8),
        (8, 6),
        (11, 9),
        (9, 7),
        (6, 7),
        (0, 6),
        (1, 7),
        (0, 1),
        (0, 2),
        (1, 3),
        (2, 4),
        (3, 5),
        (12, 13),
        (1, 13),
        (0, 13),
    ),
    (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079),
)

AI_CHALLENGER = _skeleton(
    "right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee "
    "right_ankle left_hip left_knee left_ankle head_top neck",
    (
        (2, 1),
        (1, 0),
        (0, 13),
        (13, 3),
        (3, 4),
        (4, 5),
        (8, 7),
        (7, 6),
        (6, 9),
        (9, 10),
        (10, 11),
        (12, 13),
        (0, 6),
        (3, 9),
    ),
    (
        0.01388152,
        0.01515228,
        0.01057665,
        0.01417709,
        0.01497891,
        0.01402144,
        0.03909642,
        0.03686941,
        0.01981803,
        0.03843971,
        0.03412318,
        0.02415081,
        0.01291456,
        0.01236173,
    ),
)

MHP = _skeleton(
    "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax upper_neck head_top "
    "right_wrist right_elbow right_shoulder left_shoulder left_elbow left_wrist",
    (
        (0, 1),
        (1, 2),
        (2, 6),
        (6, 3),
        (3, 4),
        (4, 5),
        (6, 7),
        (7, 8),
        (8, 9),
        (8, 12),
        (12, 11),
        (11, 10),
        (8, 13),
        (13, 14),
        (14, 15),
    ),
    (0.089, 0.083, 0.107, 0.107, 0.083, 0.089, 0.026, 0.026, 0.026, 0.026, 0.062, 0.072, 0.179, 0.179, 0.072, 0.062),
)

_FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
_FOOT_SIGMAS = (0.068, 0.066, 0.066, 0.092, 0.094, 0.094)
_FOOT_LIMBS = ((15, 17), (15, 18), (15, 19), (16, 20), (16, 21), (16, 22))
_FACE = tuple(f"face-{index}" for index in range(68))
# The places that the 68 points of a face change to in a mirror.
_FACE_MIRRORED = _places(
    "16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 26 25 24 23 22 21 20 19 18 17 27 28 29 30 35 34 33 32 31 45 "
    "44 43 42 47 46 39 38 37 36 41 40 54 53 52 51 50 49 48 59 58 57 56 55 64 63 62 61 60 67 66 65"
)
_FACE_SIGMAS = _sigmas(
    "0.042 0.043 0.044 0.043 0.04 0.035 0.031 0.025 0.02 0.023 0.029 0.032 0.037 0.038 0.043 0.041 0.045 "
    "0.013 0.012 0.011 0.011 0.012 0.012 0.011 0.011 0.013 0.015 0.009 0.007 0.007 0.007 0.012 0.009 "
    "0.008 0.016 0.01 0.017 0.011 0.009 0.011 0.009 0.007 0.013 0.008 0.011 0.012 0.01 0.034 0.008 0.008 "
    "0.009 0.008 0.008 0.007 0.01 0.008 0.009 0.009 0.009 0.007 0.007 0.008 0.011 0.008 0.008 0.008 0.01 "
    "0.008"
)
_FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
_HAND_SIGMAS = _sigmas(
    "0.029 0.022 0.035 0.037 0.047 0.026 0.025 0.024 0.035 0.018 0.024 0.022 0.026 0.017 0.021 0.021 "
    "0.032 0.02 0.019 0.022 0.031"
)


def _hand(side: str) -> tuple[str, ...]:
    return (f"{side}_hand_root", *(f"{side}_{finger}{part}" for finger in _FINGERS for part in (1, 2, 3, 4)))


def _hand_limbs(root: int) -> tuple[tuple[int, int], ...]:
    return tuple(
        (root if part == 0 else root + 4 * finger + part, root + 4 * finger + part + 1)
        for finger in range(5)
        for part in range(4)
    )


def _whole_body() -> Skeleton:
    body = (*JOINTS, *_FEET)
    face = len(body)
    left, right = face + len(_FACE), face + len(_FACE) + len(_hand("left"))
    return Skeleton(
        (*body, *_FACE, *_hand("left"), *_hand("right")),
        (
            *_mirrored(body),
            *(face + place for place in _FACE_MIRRORED),
            *range(right, right + right - left),
            *range(left, right),
        ),
        (*LIMBS, *_FOOT_LIMBS, *_hand_limbs(left), *_hand_limbs(right)),
        (*SIGMAS, *_FOOT_SIGMAS, *_FACE_SIGMAS, *_HAND_SIGMAS, *_HAND_SIGMAS),
    )


COCO_WHOLE_BODY = _whole_body()

SKELETONS = {
    "coco": COCO,
    "crowdpose": CROWDPOSE,
    "aic": AI_CHALLENGER,
    "mhp": MHP,
    "coco_wholebody": COCO_WHOLE_BODY,
}
"""By the data set's usual name."""
