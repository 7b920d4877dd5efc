"""Images of people as COCO annotates them, and people found there: some well, some badly, some twice, some not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from densecast.tasks.pose import Poses
from densecast.tasks.pose.coco_person import JOINTS, LIMBS

# A standing person, 100 pixels high.
_STANDING = np.array(
    [
        [0, -40], [4, -44], [-4, -44], [9, -42], [-9, -42], [16, -28], [-16, -28], [22, -10], [-22, -10],
        [24, 6], [-24, 6], [10, 8], [-10, 8], [12, 30], [-12, 30], [13, 50], [-13, 50],
    ],
    np.float64,
)  # fmt: skip
# People an image; 24 of them are more than COCO looks at.
_PEOPLE = (0, 1, 3, 24, 2, 5, 1, 4)


@dataclass(frozen=True)
class Found:
    """One image's id and who was found in it."""

    image_id: int
    people: Poses


def images(seed: int = 0) -> tuple[dict[str, Any], list[Found]]:
    """An annotation file's contents and the people found in each image, in the order of the file."""
    rng = np.random.default_rng(seed)
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    found = []
    for index, count in enumerate(_PEOPLE):
        image_id, (width, height) = 100 + 7 * index, (int(side) for side in rng.integers(300, 640, 2))
        entries.append({"id": image_id, "file_name": f"{image_id:012d}.jpg", "width": width, "height": height})
        here: list[np.ndarray] = []
        for person in range(count):
            scale = rng.uniform(0.3, 3.0)
            xy = rng.uniform(0.2, 0.8, 2) * (width, height) + _STANDING * scale + rng.normal(0, 1, (17, 2))
            unmarked = index == 1 or (index == 5 and person == 0)
            is_crowd = index == 2 and person == 2
            annotations.append(_annotation(rng, len(annotations) + 1, image_id, xy, unmarked, is_crowd))
            here += [_detection(rng, xy, scale) for _ in range(rng.choice([0, 1, 1, 1, 2]))]
        here += [
            _detection(rng, rng.uniform(0, 1, 2) * (width, height) + _STANDING, 1.0) for _ in range(rng.integers(0, 3))
        ]
        if here and index % 3 == 2:
            here[0][:, 2] = 0
        joints = np.array(here, np.float32).reshape(-1, len(JOINTS), 3)
        scores = joints[..., 2].mean(axis=1).astype(np.float32)
        found.append(Found(image_id, Poses(joints[..., :2].copy(), joints[..., 2].copy(), scores)))
    return {"images": entries, "annotations": annotations, "categories": [_PERSON]}, found


def _annotation(
    rng: np.random.Generator, key: int, image_id: int, xy: np.ndarray, unmarked: bool, is_crowd: bool
) -> dict[str, Any]:
    visibility = np.zeros(17) if unmarked else rng.choice([0.0, 1.0, 2.0], 17, p=[0.2, 0.2, 0.6])
    marked = np.round(xy, 2) * (visibility > 0)[:, None]
    (left, top), (width, height) = xy.min(axis=0) - 4, np.ptp(xy, axis=0) + 8
    corners = [left, top, left + width, top, left + width, top + height, left, top + height]
    return {
        "id": key,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": int(is_crowd),
        "area": float(width * height * 0.53),
        "bbox": [float(value) for value in (left, top, width, height)],
        "num_keypoints": int((visibility > 0).sum()),
        "keypoints": [float(value) for value in np.column_stack([marked, visibility]).reshape(-1)],
        "segmentation": {"counts": [100], "size": [10, 10]} if is_crowd else [[float(value) for value in corners]],
    }


def _detection(rng: np.random.Generator, xy: np.ndarray, scale: float) -> np.ndarray:
    off = xy + rng.normal(0, rng.choice([1, 3, 8]) * scale, (17, 2))
    score = np.clip(rng.normal(0.6, 0.2, 17), 0.1, 1) * (rng.random(17) > 0.1)
    return np.column_stack([off, score])


_PERSON = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": list(JOINTS),
    "skeleton": [[first + 1, second + 1] for first, second in LIMBS],
}
