"""Draws people on an image, joints and limbs coloured by side, and writes them to JSON files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError
from densecast.io import files
from densecast.tasks.pose import Poses
from densecast.tasks.pose.skeleton import COCO, Skeleton

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


def draw(image: Image, people: Poses, min_score: float = 0.3, *, skeleton: Skeleton | None = None) -> Image:
    """Draw limbs and joints of all people over a copy of an (H, W, 3) uint8 RGB image.

    Joints that score less than `min_score` are left out, and limbs that end in one. People found first are drawn
    last, on top. Limbs and sides are those of the skeleton, or COCO's; of any other number of joints, they are drawn
    in one colour.

    Raises:
        BadImageError: not an (H, W, 3) uint8 image.
    """
    import cv2

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise BadImageError(f"an (H, W, 3) uint8 image is needed to draw on, got {image.shape} {image.dtype}.")
    canvas = np.ascontiguousarray(image).copy()
    thickness = max(1, round(min(image.shape[:2]) * _THICKNESS))
    joints = people.xy_px.shape[1]
    known = skeleton or COCO
    names, limbs = (known.joints, known.limbs) if joints == len(known.joints) else (("",) * joints, ())
    for xy_px, score in zip(people.xy_px[::-1], people.score[::-1], strict=True):
        visible = (score >= min_score) & (np.abs(xy_px) < _FURTHEST_PX).all(axis=1)
        # Our points have the first pixel's centre at 0.5, OpenCV's at 0.
        points = np.round((np.where(visible[:, None], xy_px, 0) - 0.5) * 2**_SHIFT).astype(int).tolist()
        for start, end in limbs:
            if visible[start] and visible[end]:
                colour = _colour(names[start], names[end])
                cv2.line(canvas, points[start], points[end], colour, thickness, cv2.LINE_AA, _SHIFT)
        for joint in np.flatnonzero(visible).tolist():
            for radius, colour in ((thickness * 1.5, _OUTLINE), (thickness, _colour(names[joint]))):
                radius_fixed = max(1, round(radius * 2**_SHIFT))
                cv2.circle(canvas, points[joint], radius_fixed, colour, -1, cv2.LINE_AA, _SHIFT)
    return canvas


def save(path_without_suffix: Path, prediction: Poses) -> Path:
    """Write `<path>.json`: one line per person with `keypoints`, [x, y, score] of each joint, and `score`.

    Joints are in the model's order (COCO's: `coco_person.JOINTS`), in pixels of the image; one that was not found has
    score 0.
    """
    joints = np.concatenate([prediction.xy_px, prediction.score[..., None]], axis=-1)
    scores = prediction.person_score
    people = [
        json.dumps({"keypoints": person.tolist(), "score": float(score)})
        for person, score in zip(joints, scores, strict=True)
    ]
    path = path_without_suffix.with_name(f"{path_without_suffix.name}.json")
    files.write_text(path, "[" + ",\n ".join(people) + "]\n")
    return path


def _colour(*joints: str) -> tuple[int, int, int]:
    sides = {joint.split("_")[0] for joint in joints}
    if "left" in sides and "right" not in sides:
        return LEFT
    if "right" in sides and "left" not in sides:
        return RIGHT
    return MIDDLE
