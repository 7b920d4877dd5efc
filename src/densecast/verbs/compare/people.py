"""Two sets of people found in one image: who is whom, how alike, who vanished and who appeared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.metrics._oks import areas
from densecast.spec.prediction import Poses
from densecast.tasks.pose.coco_person import SIGMAS

# COCO's loosest threshold for having found a person.
_SAME_PERSON = 0.5


@dataclass(frozen=True, slots=True)
class PeopleDifference:
    """Over all images: `similarities` of the reference's people with whoever was found in their place.

    Those below COCO's loosest threshold (0.5) have vanished; the candidate's that are nobody's have appeared.
    """

    similarities: tuple[float, ...]
    vanished: int
    appeared: int

    @property
    def mean_oks(self) -> float:
        """The mean over everybody found by either, nobody's match counting 0; 1 where neither found anybody."""
        everybody = len(self.similarities) + self.appeared
        return sum(self.similarities) / everybody if everybody else 1.0

    def __add__(self, other: PeopleDifference) -> PeopleDifference:
        return PeopleDifference(
            self.similarities + other.similarities, self.vanished + other.vanished, self.appeared + other.appeared
        )


NOBODY = PeopleDifference((), 0, 0)


def difference(reference: Poses, candidate: Poses) -> PeopleDifference:
    """Pairs are made of those most alike first, each person once."""
    left = similarities(reference, candidate)
    found = np.zeros(len(reference))
    matched = 0
    for _ in range(min(left.shape)):
        one, other = divmod(int(np.argmax(left)), left.shape[1])
        if left[one, other] < _SAME_PERSON:
            break
        found[one] = left[one, other]
        left[one], left[:, other] = -1.0, -1.0
        matched += 1
    return PeopleDifference(tuple(found.tolist()), len(reference) - matched, len(candidate) - matched)


def similarities(reference: Poses, candidate: Poses) -> npt.NDArray[np.float64]:
    """(n, m) object keypoint similarity (https://cocodataset.org/#keypoints-eval) over the joints either has found.

    The area is that of the box around the reference's found joints. A joint that only one of them found counts 0.
    """
    has_left, has_right = reference.score > 0, candidate.score > 0
    centre = np.nan_to_num(reference.xy_px.mean(axis=1, keepdims=True))
    area = np.asarray(areas(np.where(has_left[..., None], reference.xy_px, centre)), dtype=np.float64)
    apart = reference.xy_px[:, None].astype(np.float64) - candidate.xy_px[None]
    squared = (apart**2).sum(axis=-1)
    variances = (2 * np.asarray(SIGMAS)) ** 2
    each = np.exp(-squared / (2 * variances * (area[:, None, None] + np.spacing(1.0))))
    both = has_left[:, None] & has_right[None]
    either = has_left[:, None] | has_right[None]
    return np.asarray((each * both).sum(axis=-1) / np.maximum(either.sum(axis=-1), 1), dtype=np.float64)
