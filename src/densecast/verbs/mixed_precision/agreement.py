"""How alike two models' predictions are, image by image: for want of ground truth, float32 is the truth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from densecast.metrics._oks import areas, oks
from densecast.spec.prediction import Poses, Prediction, SegmentationMap


class Agreement:
    """Mean over images of the share of pixels with one class, or of the similarity of the people found."""

    def __init__(self) -> None:
        self._values: list[float] = []

    def compare(self, expected: Prediction, found: Prediction) -> None:
        """Count one image."""
        if isinstance(expected, SegmentationMap) and isinstance(found, SegmentationMap):
            self._values.append(float(np.mean(expected.class_id == found.class_id)))
        elif isinstance(expected, Poses) and isinstance(found, Poses):
            self._values.append(people_alike(expected, found))

    def resampled(self, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """(B, N) times that each image counts -> (B,) means."""
        return np.asarray(weights @ np.array(self._values) / weights.sum(axis=1), dtype=np.float64)


def people_alike(expected: Poses, found: Poses) -> float:
    """The mean object keypoint similarity of pairs, those most alike first; whoever has no partner counts 0.

    Two empty images are wholly alike. The area is that of the box around the expected person's joints.
    """
    most = max(len(expected), len(found))
    if most == 0:
        return 1.0
    alike = np.array(
        [oks(person, found.xy_px, area) for person, area in zip(expected.xy_px, areas(expected.xy_px), strict=True)]
    )
    alike = alike.reshape(len(expected), len(found))
    total = 0.0
    for _ in range(min(alike.shape)):
        row, column = np.unravel_index(np.argmax(alike), alike.shape)
        total += float(alike[row, column])
        alike[row], alike[:, column] = -1, -1
    return total / most
