"""Object keypoint similarity, and the suppression of people who are found twice.

The similarity is COCO's (https://cocodataset.org/#keypoints-eval) with every joint counted; suppression follows
MMPose 0.29.0 (`mmpose.core.post_processing.nms`), which applies it in its inference API but not in evaluation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from densecast.errors import UsageError
from densecast.spec.prediction import Poses
from densecast.tasks.pose.coco_person import SIGMAS

_EPSILON = float(np.spacing(1))


def oks(
    a_xy: npt.NDArray[np.float32],
    b_xy: npt.NDArray[np.float32],
    area: npt.NDArray[np.float32] | float,
    sigmas: tuple[float, ...] = SIGMAS,
) -> npt.NDArray[np.float32]:
    """(..., K, 2) and (..., K, 2) joints -> (...) float32 similarity in 0..1.

    The mean over the joints of `exp(-d**2 / (2 * area * (2 * sigma)**2))`, d the distance in pixels and `area` (...)
    the person's area in square pixels; shapes broadcast. Squares are summed in the joints' own precision.
    """
    difference = np.asarray(b_xy) - np.asarray(a_xy)
    squared = difference[..., 0] ** 2 + difference[..., 1] ** 2
    variances = (np.asarray(sigmas, dtype=np.float64) * 2) ** 2
    extent = np.asarray(area, dtype=np.float64)[..., None] + _EPSILON
    return np.asarray(np.exp(-(squared / variances / extent / 2)).mean(axis=-1), dtype=np.float32)


def areas(xy_px: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(P, K, 2) joints -> (P,) areas of the boxes around all of them, found or not."""
    if len(xy_px) == 0:
        return np.zeros(0, np.float32)
    width, height = np.moveaxis(xy_px.max(axis=1) - xy_px.min(axis=1), -1, 0)
    return np.asarray(width * height, dtype=np.float32)


def oks_nms(people: Poses, threshold: float = 0.9) -> npt.NDArray[np.int64]:
    """The people to keep, by falling score: each one suppresses later ones more similar than `threshold`.

    Similarities use the mean of both box areas. Of equal scores the later one comes first.

    Raises:
        UsageError: a threshold outside 0..1.
    """
    _check(threshold)
    order, area = _by_score(people.person_score), areas(people.xy_px)
    keep: list[np.int64] = []
    while len(order):
        first, rest = order[0], order[1:]
        keep.append(first)
        order = rest[_similarity(people, area, first, rest) <= threshold]
    return np.array(keep, dtype=np.int64)


def soft_oks_nms(people: Poses, threshold: float = 0.9, max_people: int = 20) -> npt.NDArray[np.int64]:
    """At most `max_people` people by falling score, where everyone kept lowers the scores of those alike.

    A score is multiplied by `exp(-similarity**2 / threshold)` for everyone kept before; scores only order.

    Raises:
        UsageError: a threshold outside 0..1, or 0.
    """
    _check(threshold)
    if threshold == 0:
        raise UsageError("soft suppression divides by its threshold, got 0.")
    order, area = _by_score(people.person_score), areas(people.xy_px)
    scores = people.person_score[order]
    keep: list[np.int64] = []
    while len(order) and len(keep) < max_people:
        first, rest = order[0], order[1:]
        keep.append(first)
        similarity = _similarity(people, area, first, rest)
        lowered = scores[1:] * np.exp(-(similarity**2) / np.float32(threshold))
        places = _by_score(lowered)
        order, scores = rest[places], lowered[places]
    return np.array(keep, dtype=np.int64)


def _check(threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise UsageError(f"a similarity threshold is between 0 and 1, got {threshold}.")


def _by_score(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    return np.argsort(scores, kind="stable")[::-1].astype(np.int64)


def _similarity(
    people: Poses, area: npt.NDArray[np.float32], one: np.int64, others: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    return oks(people.xy_px[one], people.xy_px[others], (area[one] + area[others]) / 2)
