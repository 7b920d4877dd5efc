"""What people say in words, boxes and plain values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import UsageError
from densecast.tasks._base import Image
from densecast.tasks._legend import Entry
from densecast.tasks._regions import Style
from densecast.tasks.pose import Poses, drawing


def joint_names(people: Poses) -> tuple[str, ...]:
    """The names of the joints, else their numbers."""
    skeleton = people.skeleton
    return skeleton.joints if skeleton is not None else tuple(map(str, range(people.xy_px.shape[1])))


def boxes_xyxy(people: Poses) -> npt.NDArray[np.float32]:
    """(n, 4): the box of each person's joints that were found; of all joints if none was."""
    found = people.score > 0
    found |= ~found.any(axis=1, keepdims=True)
    low = np.where(found[..., None], people.xy_px, np.inf).min(axis=1, initial=np.inf)
    high = np.where(found[..., None], people.xy_px, -np.inf).max(axis=1, initial=-np.inf)
    return np.concatenate([low, high], axis=1).astype(np.float32)


def draw(people: Poses, canvas: Image, style: Style) -> Image:
    """Joints and limbs of all people, blended with the image by the opacity.

    Raises:
        UsageError: contours, which people do not have.
    """
    if style.contours:
        raise UsageError("people have no regions that contours could be drawn around.", field="contours")
    drawn = drawing.draw(canvas, people, skeleton=people.skeleton)
    if style.opacity is None or style.opacity == 1:
        return drawn
    blended = canvas * (1 - style.opacity) + drawn * style.opacity
    return np.rint(blended).astype(np.uint8)


def entries(people: Poses) -> list[Entry]:
    """The colours of the sides, where the joints have any."""
    if people.skeleton is None or not len(people):
        return []
    return [Entry("left", drawing.LEFT), Entry("right", drawing.RIGHT), Entry("middle", drawing.MIDDLE)]


def plain(people: Poses) -> dict[str, Any]:
    """`joints`, their names, and `people`: `keypoints` [x, y, score] of each joint, `score`, and `box_xywh`."""
    joints = np.concatenate([people.xy_px, people.score[..., None]], axis=2)
    boxes = boxes_xyxy(people)
    return {
        "joints": list(joint_names(people)),
        "people": [
            {
                "keypoints": person.tolist(),
                "score": float(score),
                "box_xywh": [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()],
            }
            for person, score, box in zip(joints, people.person_score, boxes, strict=True)
        ],
    }
