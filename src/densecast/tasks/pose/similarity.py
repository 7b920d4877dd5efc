"""Similarity of people that two models found in one image, and the matching that is made of it.

`found_joint_similarity` is COCO's object keypoint similarity (https://cocodataset.org/#keypoints-eval) with one
difference: people found by models may lack joints, so only joints that either model found count, and one that the other
model lacks counts 0. COCO's average precision computes its own, over the joints that annotators marked: see
`metrics.coco_keypoints`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

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


def found_joint_similarity(reference: Poses, candidate: Poses) -> F64:
    """(n, m) similarities in 0..1 of n people with m, over the joints that either of the two has (score above 0).

    The mean over these joints of `exp(-d**2 / (2 * area * (2 * sigma)**2))`, 0 for one that only one of them has: d is
    the distance in pixels, `area` that of the box around the reference person's found joints, in square pixels.
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
