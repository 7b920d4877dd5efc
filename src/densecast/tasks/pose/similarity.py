"""Similarity of people: COCO's OKS, matching of people in one image, and non-maximum suppression.

Two similarities are in use. `oks` is COCO's (https://cocodataset.org/#keypoints-eval) with every joint counted, for
people all of whose joints have a place: suppression, which MMPose 0.29.0 has in its inference API
(`mmpose.core.post_processing.nms`) but not in evaluation. `found_joint_similarity` compares the people found by two
models, who may lack joints: only joints that either model found count, and one that the other model lacks counts 0.
COCO's average precision computes its own, over the joints that annotators marked: see `metrics.coco_keypoints`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from densecast.errors import UsageError
from densecast.tasks._base import Difference
from densecast.tasks.pose import Poses
from densecast.tasks.pose.coco_person import SIGMAS

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

# COCO's loosest threshold for having found a person.
_SAME_PERSON = 0.5
_EPSILON = float(np.spacing(1))


def sigmas_of(people: Poses) -> F64:
    """(K,) standard deviations of each joint's annotated position, as fractions of the root of the person's area.

    Those of the people's skeleton; where nobody measured them, the mean of COCO's.
    """
    skeleton = people.skeleton
    if skeleton is not None and skeleton.sigmas:
        return np.array(skeleton.sigmas)
    return np.full(people.xy_px.shape[1], np.mean(SIGMAS))


def oks(a_xy: F32, b_xy: F32, area: F32 | float, sigmas: tuple[float, ...] = SIGMAS) -> F32:
    """(..., K, 2) and (..., K, 2) joints -> (...) float32 similarity in 0..1, every joint counted.

    The mean over the joints of `exp(-d**2 / (2 * area * (2 * sigma)**2))`, d the distance in pixels and `area` (...)
    the person's area in square pixels; shapes broadcast. Squares are summed in the joints' own precision.
    """
    difference = np.asarray(b_xy) - np.asarray(a_xy)
    squared = difference[..., 0] ** 2 + difference[..., 1] ** 2
    variances = (np.asarray(sigmas, dtype=np.float64) * 2) ** 2
    extent = np.asarray(area, dtype=np.float64)[..., None] + _EPSILON
    return np.asarray(np.exp(-(squared / variances / extent / 2)).mean(axis=-1), dtype=np.float32)


def found_joint_similarity(reference: Poses, candidate: Poses) -> F64:
    """(n, m) similarities in 0..1 of n people with m, over the joints that either of the two has (score above 0).

    The terms are those of `oks`; the area is that of the box around the reference person's found joints.
    """
    has_left, has_right = reference.score > 0, candidate.score > 0
    centre = np.nan_to_num(reference.xy_px.mean(axis=1, keepdims=True))
    area = np.asarray(box_areas(np.where(has_left[..., None], reference.xy_px, centre)), dtype=np.float64)
    apart = reference.xy_px[:, None].astype(np.float64) - candidate.xy_px[None]
    squared = (apart**2).sum(axis=-1)
    variances = (2 * sigmas_of(reference)) ** 2
    each = np.exp(-squared / (2 * variances * (area[:, None, None] + _EPSILON)))
    both = has_left[:, None] & has_right[None]
    either = has_left[:, None] | has_right[None]
    return np.asarray((each * both).sum(axis=-1) / np.maximum(either.sum(axis=-1), 1), dtype=np.float64)


def box_areas(xy_px: F32) -> F32:
    """(P, K, 2) joints -> (P,) areas in square pixels of the bounding boxes of all joints, detected or not."""
    if len(xy_px) == 0:
        return np.zeros(0, np.float32)
    width, height = np.moveaxis(xy_px.max(axis=1) - xy_px.min(axis=1), -1, 0)
    return np.asarray(width * height, dtype=np.float32)


def greedy_pairs(similarity: F64, threshold: float = 0.0) -> Iterator[tuple[int, int, float]]:
    """Greedy matching: (n, m) similarities -> pairs (row, column, similarity), most similar first.

    Ends before the first pair below `threshold`.
    """
    remaining = similarity.copy()
    for _ in range(min(similarity.shape)):
        row, column = divmod(int(np.argmax(remaining)), similarity.shape[1])
        value = float(remaining[row, column])
        if value < threshold:
            return
        yield row, column, value
        remaining[row], remaining[:, column] = -1.0, -1.0


def difference(reference: Poses, candidate: Poses) -> Difference:
    """The summed `found_joint_similarity` of all people that either model detected; counts `vanished` and `appeared`.

    Pairs below COCO's loosest threshold (0.5) are none: the reference's person has vanished, and whoever of the
    candidate's is in no pair has appeared.
    """
    by_person = np.zeros(len(reference))
    pairs = 0
    for row, _, value in greedy_pairs(found_joint_similarity(reference, candidate), _SAME_PERSON):
        by_person[row] = value
        pairs += 1
    vanished, appeared = len(reference) - pairs, len(candidate) - pairs
    everybody = len(reference) + appeared
    counts: dict[str, float] = {"vanished": vanished, "appeared": appeared}
    return Difference(sum(by_person.tolist()), everybody, counts, is_similarity=True)


def oks_nms(people: Poses, threshold: float = 0.9) -> npt.NDArray[np.int64]:
    """OKS non-maximum suppression: indices to keep, by descending score; drops those more similar than `threshold`.

    Similarities use the mean of both box areas. Of equal scores the later one comes first.

    Raises:
        UsageError: a threshold outside 0..1.
    """
    _check(threshold)
    order, area = _by_score(people.person_score), box_areas(people.xy_px)
    keep: list[np.int64] = []
    while len(order):
        first, rest = order[0], order[1:]
        keep.append(first)
        order = rest[_oks_to_others(people, area, first, rest) <= threshold]
    return np.array(keep, dtype=np.int64)


def soft_oks_nms(people: Poses, threshold: float = 0.9, max_people: int = 20) -> npt.NDArray[np.int64]:
    """Soft OKS non-maximum suppression: at most `max_people` indices by descending score; similar people lose score.

    A score is multiplied by `exp(-similarity**2 / threshold)` for every person kept before it; scores only determine
    the order.

    Raises:
        UsageError: a threshold outside 0..1, or 0.
    """
    _check(threshold)
    if threshold == 0:
        raise UsageError("soft suppression divides by its threshold, got 0.", field="threshold")
    order, area = _by_score(people.person_score), box_areas(people.xy_px)
    scores = people.person_score[order]
    keep: list[np.int64] = []
    while len(order) and len(keep) < max_people:
        first, rest = order[0], order[1:]
        keep.append(first)
        similarity = _oks_to_others(people, area, first, rest)
        lowered = scores[1:] * np.exp(-(similarity**2) / np.float32(threshold))
        places = _by_score(lowered)
        order, scores = rest[places], lowered[places]
    return np.array(keep, dtype=np.int64)


def _check(threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise UsageError(f"a similarity threshold is between 0 and 1, got {threshold}.", field="threshold")


def _by_score(scores: F32) -> npt.NDArray[np.int64]:
    return np.argsort(scores, kind="stable")[::-1].astype(np.int64)


def _oks_to_others(people: Poses, area: F32, one: np.int64, others: npt.NDArray[np.int64]) -> F32:
    return oks(people.xy_px[one], people.xy_px[others], (area[one] + area[others]) / 2)
