"""Predictions as `supervision.Detections`, for its annotators, trackers and zones."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from densecast.errors import MissingError

if TYPE_CHECKING:
    from densecast.tasks._regions import Region


def of_regions(regions: Sequence[Region]) -> Any:
    """One detection for each class that was found: box, mask, class, and the mean probability if it is known."""
    boxes = np.array([each.box_xywh for each in regions], np.float32).reshape(-1, 4)
    known = [each.confidence for each in regions if each.confidence is not None]
    return _library().Detections(
        xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        mask=np.stack([each.mask for each in regions]) if regions else None,
        confidence=np.array(known, np.float32) if known else None,
        class_id=np.array([each.class_id for each in regions], int),
        data={"class_name": np.array([each.name for each in regions], str)},
    )


def of_people(
    boxes_xyxy: npt.NDArray[np.float32],
    confidence: npt.NDArray[np.float32],
    keypoints: npt.NDArray[np.float32],
    name: str,
) -> Any:
    """One detection for each person; `data["keypoints"]` (n, K, 3) are x, y and score of each joint."""
    count = len(confidence)
    return _library().Detections(
        xyxy=np.asarray(boxes_xyxy, np.float32).reshape(-1, 4),
        confidence=np.asarray(confidence, np.float32),
        class_id=np.zeros(count, int),
        data={"class_name": np.array([name] * count, str), "keypoints": keypoints},
    )


def _library() -> Any:
    if importlib.util.find_spec("supervision") is None:
        raise MissingError("supervision.Detections needs supervision: pip install supervision.")
    return importlib.import_module("supervision")
