"""People drawn on an image: joints and limbs, coloured by side."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError
from densecast.spec.prediction import Poses
from densecast.tasks.pose.coco_person import JOINTS, LIMBS

Image = npt.NDArray[np.uint8]

# RGB; three colours that colour-blind people tell apart (M. Okabe and K. Ito, "Color Universal Design", 2008).
LEFT = (0, 114, 178)
RIGHT = (230, 159, 0)
MIDDLE = (0, 158, 115)
_OUTLINE = (255, 255, 255)

# Limb thickness as a share of the image's shorter side.
_THICKNESS = 1 / 200
# Points are given to OpenCV in 1/16 pixels.
_SHIFT = 4
# OpenCV's drawing takes 32-bit coordinates; points further out than this are not drawn.
_FURTHEST_PX = 2.0**24


def draw(image: Image, people: Poses, min_score: float = 0.3) -> Image:
    """(H, W, 3) uint8 RGB -> a copy with everybody's limbs and joints.

    Joints that score less than `min_score` are left out, and limbs that end in one. People found first are drawn
    last, on top.

    Raises:
        BadImageError: not an (H, W, 3) uint8 image.
    """
    import cv2

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise BadImageError(f"an (H, W, 3) uint8 image is needed to draw on, got {image.shape} {image.dtype}.")
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(min(image.shape[:2]) * _THICKNESS))
    for xy_px, score in zip(people.xy_px[::-1], people.score[::-1], strict=True):
        seen = (score >= min_score) & (np.abs(xy_px) < _FURTHEST_PX).all(axis=1)
        # Our points have the first pixel's centre at 0.5, OpenCV's at 0.
        fixed = np.round((np.where(seen[:, None], xy_px, 0) - 0.5) * 2**_SHIFT).astype(int).tolist()
        for start, end in LIMBS:
            if seen[start] and seen[end]:
                colour = _colour(start, end)
                cv2.line(canvas, fixed[start], fixed[end], colour, thickness, cv2.LINE_AA, _SHIFT)
        for joint in np.flatnonzero(seen).tolist():
            for radius, colour in ((thickness * 1.5, _OUTLINE), (thickness, _colour(joint, joint))):
                radius_fixed = max(1, round(radius * 2**_SHIFT))
                cv2.circle(canvas, fixed[joint], radius_fixed, colour, -1, cv2.LINE_AA, _SHIFT)
    return canvas


def _colour(start: int, end: int) -> tuple[int, int, int]:
    sides = {JOINTS[joint].split("_")[0] for joint in (start, end)}
    if "left" in sides and "right" not in sides:
        return LEFT
    if "right" in sides and "left" not in sides:
        return RIGHT
    return MIDDLE
