"""What a network's output means, in pixels of the original image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class SegmentationMap:
    """`class_id` (H, W) uint8: one class index a pixel; `probability` (H, W) float32 its softmax, where asked for."""

    class_id: npt.NDArray[np.uint8]
    probability: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Poses:
    """`xy_px` (n, 17, 2), `score` (n, 17) and `person_score` (n,), float32."""

    xy_px: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]
    person_score: npt.NDArray[np.float32]

    def __len__(self) -> int:
        """The number of people."""
        return len(self.person_score)


Prediction = SegmentationMap | Poses
