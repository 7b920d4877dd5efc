"""COCO keypoint average precision and recall, computed by COCO's own evaluation code.

The protocol is that of MMPose 0.29 (`BottomUpCocoDataset.evaluate`): object keypoint similarity from 0.50 to 0.95 in
steps of 0.05, the twenty highest-scoring people of an image, nobody suppressed for being alike
(https://cocodataset.org/#keypoints-eval).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError, MissingExtraError, UsageError
from densecast.metrics import _coco_tables
from densecast.metrics._base import Metric, in_order, require_tensors
from densecast.metrics._coco_resampled import average_precisions
from densecast.metrics._coco_tables import NAMES
from densecast.spec.model import ModelSpec
from densecast.spec.score import Score
from densecast.tasks.pose import AnnotatedPoses, PoseDecode, Poses
from densecast.tasks.pose.similarity import greedy_pairs
from densecast.tasks.pose.skeleton import COCO, Skeleton

_PERSON = 1
_MAX_PEOPLE = 20
_UNDEFINED = -1.0


@dataclass(frozen=True, slots=True)
class PeopleCount:
    """One image's people as entries of COCO's files, without ids: those annotated, and those detected."""

    sample_id: str
    image_id: int
    annotations: tuple[dict[str, Any], ...]
    detections: tuple[dict[str, Any], ...]


class CocoKeypoints:
    """AP over all images, with COCO's nine other numbers.

    Everybody in the ground truth counts whose joints are marked; crowd annotations are ignored, as is
    whoever is found in them. A found person none of whose joints scores above 0 is dropped, as by the original's
    evaluation code (xtcocotools). `per_image` is the mean similarity of an image's people with whoever was found in
    their place, 0 for those who were missed; images without people have none. It ranks images: AP is no mean of it.
    """

    name = NAMES[0]
    table_styles = _coco_tables.STYLES

    def check(self, spec: ModelSpec) -> None:
        """Whether the model's predictions are poses with known sigmas, and COCO's code is installed.

        Raises:
            UsageError: they are not.
            MissingExtraError: pycocotools is not installed.
        """
        require_tensors("coco_keypoints", frozenset({"xy_px", "score", "person_score"}), spec)
        if not _skeleton(spec).sigmas:
            raise UsageError(
                f"{spec.name}: nobody says how precisely its joints are marked, which COCO's metric needs: give "
                "decode.skeleton its sigmas.",
                field="metric",
            )
        if importlib.util.find_spec("pycocotools") is None:
            raise MissingExtraError.of("coco", "COCO's average precision")

    def count(self, sample_id: str, prediction: Poses, target: AnnotatedPoses, spec: ModelSpec) -> PeopleCount:
        """One image's people.

        Raises:
            BadShapeError: another number of joints than the model's.
        """
        joints = len(_skeleton(spec).joints)
        for people in (prediction, target):
            if people.xy_px.shape[1:] != (joints, 2):
                raise BadShapeError(f"COCO's metric is for {joints} joints, got {people.xy_px.shape}.")
        return PeopleCount(sample_id, target.image_id, _annotations(target), _detections(prediction, target.image_id))

    def score(self, counts: Sequence[PeopleCount], spec: ModelSpec) -> Score:
        """`AP` as a fraction; what the data set says nothing about (no large people, say) is NaN."""
        stats = dict.fromkeys(NAMES, float("nan"))
        per_image: dict[str, float] = {}
        if counts:
            evaluation = _evaluated(counts, _skeleton(spec))
            values = (float(value) for value in evaluation.stats)
            stats = {
                name: float("nan") if value == _UNDEFINED else value for name, value in zip(NAMES, values, strict=True)
            }
            per_image = _mean_similarities(evaluation, counts)
        return Score(
            name=NAMES[0],
            value=stats[NAMES[0]],
            unit="fraction",
            better="higher",
            count=len(counts),
            others={name: stats[name] for name in NAMES[1:]},
            per_image=per_image,
        )

    def resampled(
        self, counts: Sequence[PeopleCount], weights: npt.NDArray[np.int64], spec: ModelSpec
    ) -> npt.NDArray[np.float64]:
        """(B, N) times that each image counts -> (B,) AP."""
        if not counts:
            return np.full(len(weights), np.nan)
        return average_precisions(_evaluated(counts, _skeleton(spec)), _image_numbers(counts), weights)

    def results(self, counts: Sequence[PeopleCount]) -> list[dict[str, Any]]:
        """All detected people, in the format of COCO's evaluation server (https://cocodataset.org/#format-results)."""
        keys = ("image_id", "category_id", "keypoints", "score")
        return [{key: person[key] for key in keys} for count in in_order(counts) for person in count.detections]

    def table(self, score: Score, style: str) -> str:
        """COCO's ten numbers, as MMPose prints them."""
        return _coco_tables.tables(score, style)


METRIC: Metric[Poses, AnnotatedPoses, PeopleCount] = CocoKeypoints()


def _skeleton(spec: ModelSpec) -> Skeleton:
    return (spec.decode.skeleton if isinstance(spec.decode, PoseDecode) else None) or COCO


def _image_numbers(counts: Sequence[PeopleCount]) -> list[int]:
    """Image ids for `_evaluated`, one per count: from 1, by sample id, so that an image may count twice."""
    order = sorted(range(len(counts)), key=lambda index: counts[index].sample_id)
    numbers = [0] * len(counts)
    for number, index in enumerate(order, start=1):
        numbers[index] = number
    return numbers


def _evaluated(counts: Sequence[PeopleCount], skeleton: Skeleton) -> Any:
    """COCO's evaluation over images with the ids of `_image_numbers`; people's ids follow the same order."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    numbered = list(enumerate(in_order(counts), start=1))
    images = [{"id": number} for number, _ in numbered]
    truth, results = COCO(), COCO()
    # It prints its progress and its summary.
    with contextlib.redirect_stdout(io.StringIO()):
        for index, entries in (
            (truth, [(number, entry) for number, count in numbered for entry in count.annotations]),
            (results, [(number, entry) for number, count in numbered for entry in count.detections]),
        ):
            # Copies, as the evaluation writes into the entries.
            people = [
                {**entry, "id": place, "image_id": number} for place, (number, entry) in enumerate(entries, start=1)
            ]
            index.dataset = {"images": images, "annotations": people}
            index.dataset["categories"] = [{"id": _PERSON, "name": "person"}]
            index.createIndex()
        evaluation = COCOeval(truth, results, "keypoints")
        evaluation.params.imgIds = [number for number, _ in numbered]
        evaluation.params.maxDets = [_MAX_PEOPLE]
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _mean_similarities(evaluation: Any, counts: Sequence[PeopleCount]) -> dict[str, float]:
    """Each image's mean similarity over its people, by sample id, with greedy matching."""
    means = {}
    for number, count in enumerate(in_order(counts), start=1):
        counted = [entry["num_keypoints"] > 0 and not entry["iscrowd"] for entry in count.annotations]
        if any(counted):
            similarity = np.reshape(evaluation.ious[number, _PERSON], (-1, len(counted)))[:, np.array(counted)]
            total = 0.0
            for _, _, value in greedy_pairs(similarity):
                total += value
            means[count.sample_id] = float(total / similarity.shape[1])
    return means


def _annotations(people: AnnotatedPoses) -> tuple[dict[str, Any], ...]:
    joints = np.concatenate([people.xy_px, people.visibility[..., None]], axis=-1)
    return tuple(
        {
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
    )


def _detections(people: Poses, image_id: int) -> tuple[dict[str, Any], ...]:
    rows = np.flatnonzero((people.score > 0).any(axis=1))
    # In float64, as COCO's code computes from a file of results.
    joints = np.concatenate([people.xy_px, people.score[..., None]], axis=-1).astype(np.float64)
    extent = np.ptp(joints[..., :2], axis=1)
    return tuple(
        {
            "image_id": image_id,
            "category_id": _PERSON,
            "keypoints": joints[row].reshape(-1).tolist(),
            "score": float(people.person_score[row]),
            # Of the box around all joints, found or not: COCO's area of a detection.
            "area": float(extent[row, 0] * extent[row, 1]),
        }
        for row in rows.tolist()
    )
