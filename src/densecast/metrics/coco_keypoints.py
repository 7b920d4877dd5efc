"""COCO's average precision and recall of people's joints, counted by COCO's own evaluation code.

The protocol is that of MMPose 0.29 (`BottomUpCocoDataset.evaluate`): object keypoint similarity from 0.50 to 0.95 in
steps of 0.05, the twenty highest-scoring people of an image, nobody suppressed for being alike
(https://cocodataset.org/#keypoints-eval).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import MissingExtraError
from densecast.metrics._coco_resampled import average_precisions
from densecast.metrics._coco_tables import NAMES, STYLES, tables
from densecast.spec.model import ModelSpec
from densecast.spec.prediction import Poses, Prediction
from densecast.spec.sample import AnnotatedPoses, Target
from densecast.spec.score import Score
from densecast.tasks.pose.coco_person import SIGMAS

__all__ = ["NAMES", "STYLES", "Accumulator", "accumulator", "tables"]

_PERSON = 1
_MAX_PEOPLE = 20
_UNDEFINED = -1.0


class Accumulator:
    """AP over all images added; beside it COCO's nine other numbers.

    Everybody in the ground truth counts whose joints are marked; groups that are not told apart are ignored, as is
    whoever is found in them. A found person none of whose joints scores above 0 is dropped, as by the original's
    evaluation code (xtcocotools). `per_image` is the mean similarity of an image's people with whoever was found in
    their place, 0 for those who were missed; images without people have none. It ranks images: AP is no mean of it.
    """

    def __init__(self) -> None:
        self._images: list[int] = []
        self._names: dict[int, str] = {}
        self._annotated: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []
        self._matched: Any = None

    def add(self, sample_id: str, prediction: Prediction, target: Target) -> None:
        """Count one image: the people found in it, and those who are there."""
        assert isinstance(prediction, Poses) and isinstance(target, AnnotatedPoses)
        self._matched = None
        self._images.append(target.image_id)
        self._names[target.image_id] = sample_id
        self._annotated += _annotations(target, first_id=len(self._annotated) + 1)
        self._found += _detections(prediction, target.image_id, first_id=len(self._found) + 1)

    def score(self) -> Score:
        """`AP` as a fraction; what the data set says nothing about (no large people, say) is NaN."""
        stats = dict.fromkeys(NAMES, float("nan"))
        per_image: dict[str, float] = {}
        if self._images:
            evaluation = self._evaluated()
            values = (float(value) for value in evaluation.stats)
            stats = {
                name: float("nan") if value == _UNDEFINED else value for name, value in zip(NAMES, values, strict=True)
            }
            per_image = self._mean_similarities(evaluation)
        return Score(
            name=NAMES[0],
            value=stats[NAMES[0]],
            unit="fraction",
            better="higher",
            count=len(self._images),
            others={name: stats[name] for name in NAMES[1:]},
            per_image=per_image,
        )

    def resampled(self, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(B, N) times that each image counts -> (B,) AP."""
        if not self._images:
            return np.full(len(weights), np.nan)
        if self._matched is None:
            self._matched = self._evaluated()
        return average_precisions(self._matched, self._images, weights)

    def results(self) -> list[dict[str, Any]]:
        """Everybody found, in the format COCO's evaluation server takes (https://cocodataset.org/#format-results)."""
        keys = ("image_id", "category_id", "keypoints", "score")
        return [{key: person[key] for key in keys} for person in self._found]

    def _evaluated(self) -> Any:
        """COCO's evaluation, done."""
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        images = [{"id": image} for image in self._images]
        truth, found = COCO(), COCO()
        # It prints its progress and its summary.
        with contextlib.redirect_stdout(io.StringIO()):
            for index, entries in ((truth, self._annotated), (found, self._found)):
                # The evaluation writes into the entries.
                index.dataset = {"images": images, "annotations": [dict(entry) for entry in entries]}
                index.dataset["categories"] = [{"id": _PERSON, "name": "person"}]
                index.createIndex()
            evaluation = COCOeval(truth, found, "keypoints")
            evaluation.params.imgIds = sorted(self._images)
            evaluation.params.maxDets = [_MAX_PEOPLE]
            evaluation.params.kpt_oks_sigmas = np.array(SIGMAS)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return evaluation

    def _mean_similarities(self, evaluation: Any) -> dict[str, float]:
        """Each image's mean similarity, in the order the images were added."""
        counted: dict[int, list[bool]] = {}
        for entry in self._annotated:
            counted.setdefault(entry["image_id"], []).append(entry["num_keypoints"] > 0 and not entry["iscrowd"])
        means = {}
        for image in self._images:
            people = np.array(counted.get(image, []), np.bool_)
            if people.any():
                similarity = np.reshape(evaluation.ious[image, _PERSON], (-1, len(people)))[:, people]
                means[self._names[image]] = _matched(similarity)
        return means


def accumulator(spec: ModelSpec) -> Accumulator:
    """A new, empty one.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    if importlib.util.find_spec("pycocotools") is None:
        raise MissingExtraError.of("coco", "COCO's average precision")
    return Accumulator()


def _annotations(people: AnnotatedPoses, first_id: int) -> list[dict[str, Any]]:
    joints = np.concatenate([people.xy_px, people.visibility[..., None]], axis=-1)
    return [
        {
            "id": first_id + row,
            "image_id": people.image_id,
            "category_id": _PERSON,
            "iscrowd": int(people.is_crowd[row]),
            "area": float(people.area_px[row]),
            "bbox": people.box_xywh_px[row].tolist(),
            "keypoints": joints[row].reshape(-1).tolist(),
            # Counted, as the original does, where COCO's code would believe the file.
            "num_keypoints": int(np.count_nonzero(people.visibility[row])),
        }
        for row in range(len(people))
    ]


def _detections(people: Poses, image_id: int, first_id: int) -> list[dict[str, Any]]:
    kept = np.flatnonzero((people.score > 0).any(axis=1))
    # In float64, as COCO's code computes from a file of results.
    joints = np.concatenate([people.xy_px, people.score[..., None]], axis=-1).astype(np.float64)
    extent = np.ptp(joints[..., :2], axis=1)
    return [
        {
            "id": first_id + place,
            "image_id": image_id,
            "category_id": _PERSON,
            "keypoints": joints[row].reshape(-1).tolist(),
            "score": float(people.person_score[row]),
            # Of the box around all joints, found or not: COCO's area of a detection.
            "area": float(extent[row, 0] * extent[row, 1]),
        }
        for place, row in enumerate(kept.tolist())
    ]


def _matched(similarity: npt.NDArray[np.float64]) -> float:
    """(detections, people) -> the mean similarity over people; pairs are made of those most alike first."""
    people = similarity.shape[1]
    left = similarity.copy()
    total = 0.0
    for _ in range(min(similarity.shape)):
        detection, person = divmod(int(np.argmax(left)), people)
        total += float(left[detection, person])
        left[detection], left[:, person] = -1.0, -1.0
    return float(total / people)
