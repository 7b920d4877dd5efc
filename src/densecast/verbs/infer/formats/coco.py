"""COCO's JSON: images, categories, and an annotation for each class of an image or each person.

Masks are COCO's compressed run lengths. A category's id is the class index plus 1, for to much software 0 is none.
People have `keypoints` (x, y, 2 for a joint that was found, else three zeros), `keypoint_scores` and `score`.
Format: https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from densecast.imaging import run_lengths
from densecast.pipeline import Predicted
from densecast.spec.model import ModelSpec
from densecast.tasks.pose import PoseDecode, Poses, people, skeleton_of
from densecast.tasks.pose.skeleton import Skeleton
from densecast.verbs.infer.formats import name_of, prediction_of
from densecast.verbs.infer.sources import Source

Part = tuple[dict[str, Any], list[dict[str, Any]]]


class Coco:
    """`coco.json`, or another file of this form."""

    endings: tuple[str, ...] = ()
    shared: tuple[str, ...] = ("coco.json",)

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._parts = {"images": Path(), "annotations": Path()}
        self._counts = {"images": 0, "annotations": 0}
        self._skeleton: Skeleton | None = None
        self._joints: tuple[str, ...] = ()

    def begin(self, scratch: Path) -> None:
        """Entries are kept in two files, as they come one after the other in COCO's."""
        self._parts = {name: scratch / name for name in self._parts}
        for path in self._parts.values():
            path.touch()

    def placed(self, source: Source) -> tuple[PurePath, ...]:
        """None."""
        return ()

    def make(self, source: Source, predicted: Predicted[Path], stem: Path, top: Path) -> Part:
        """The image's entry and its annotations, still without ids."""
        height, width = predicted.image.shape[:2]
        image = {"file_name": name_of(source), "height": height, "width": width}
        prediction = prediction_of(predicted)
        if isinstance(prediction, Poses):
            self._skeleton, self._joints = prediction.skeleton, people.joint_names(prediction)
            return image, _people(prediction)
        found = []
        for region in prediction.regions():
            one = {
                "category_id": region.class_id + 1,
                "segmentation": run_lengths.encode(region.mask),
                "area": region.area_px,
                "bbox": list(region.box_xywh),
                "iscrowd": 0,
            }
            found.append(one if region.confidence is None else one | {"score": region.confidence})
        return image, found

    def take(self, part: Part) -> None:
        """Number the entries and keep them in files."""
        image, annotations = part
        number = self._append("images", [image])
        self._append("annotations", [{"image_id": number, **each} for each in annotations])

    def finish(self, top: Path) -> None:
        """Put the file together."""
        head = {
            "info": {"description": f"predictions of {self._spec.name}", "version": "1.0"},
            "licenses": [],
            "categories": self._categories(),
        }
        path = top / self.shared[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            file.write(json.dumps(head, ensure_ascii=False)[:-1])
            for name, part in self._parts.items():
                file.write(f',\n"{name}": [')
                with part.open(encoding="utf-8") as entries:
                    shutil.copyfileobj(entries, file)
                file.write("]")
            file.write("}\n")

    def _append(self, name: str, entries: list[dict[str, Any]]) -> int:
        """Number entries from 1 and keep them; gives the last number."""
        with self._parts[name].open("a", encoding="utf-8") as file:
            for entry in entries:
                self._counts[name] += 1
                text = json.dumps({"id": self._counts[name], **entry}, allow_nan=False, ensure_ascii=False)
                file.write(f"{',' if self._counts[name] > 1 else ''}\n{text}")
        return self._counts[name]

    def _categories(self) -> list[dict[str, Any]]:
        if isinstance(self._spec.decode, PoseDecode):
            skeleton = self._skeleton or skeleton_of(self._spec)
            joints = list(self._joints or skeleton.joints)
            limbs = (
                [[start + 1, end + 1] for start, end in skeleton.limbs] if len(skeleton.joints) == len(joints) else []
            )
            name = (*self._spec.labels, "person")[0]
            return [{"id": 1, "name": name, "supercategory": "", "keypoints": joints, "skeleton": limbs}]
        return [{"id": number + 1, "name": name, "supercategory": ""} for number, name in enumerate(self._spec.labels)]


def _people(poses: Poses) -> list[dict[str, Any]]:
    found = []
    for xy, score, person, box in zip(
        poses.xy_px, poses.score, poses.person_score, people.boxes_xyxy(poses), strict=True
    ):
        seen = score > 0
        points = np.where(seen[:, None], np.concatenate([xy, np.full((len(xy), 1), 2)], axis=1), 0)
        left, top, right, bottom = (float(side) for side in box)
        found.append(
            {
                "category_id": 1,
                "keypoints": [float(value) for value in points.ravel()],
                "num_keypoints": int(seen.sum()),
                "keypoint_scores": [float(value) for value in score],
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
                "score": float(person),
            }
        )
    return found


FORMAT = Coco
