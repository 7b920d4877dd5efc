"""Where two predictions of one image differ, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from densecast.imaging.prepare import resize
from densecast.pipeline import Image
from densecast.spec.prediction import Prediction, SegmentationMap
from densecast.verbs.compare.difference import Comparison
from densecast.verbs.compare.ladder import decoded, see
from densecast.verbs.compare.rung import Rung

_LONG_SIDE_PX = 640
_CHANGED = np.array((228, 26, 28), np.uint8)
_JPEG_QUALITY = 85


def worst(
    reference: Rung, candidates: Sequence[Rung], found: Sequence[Comparison], images: Sequence[Path]
) -> dict[str, dict[str, bytes]]:
    """For each rung that changes anything, the image that differs most, as `draw` shows it."""
    by_name = {path.name: path for path in images}
    drawn = {}
    for rung, comparison in zip(candidates, found, strict=True):
        changes = bool(comparison.labels_changed) or (comparison.mean_oks is not None and comparison.mean_oks < 1)
        if comparison.worst and changes:
            name = comparison.worst[0]
            drawn[f"{rung.title}: {name}"] = draw(reference, rung, by_name[name])
    return drawn


def draw(reference: Rung, candidate: Rung, path: Path) -> dict[str, bytes]:
    """JPEG files by title: either prediction over the image, and what has changed in red."""
    image = reference.pipeline.read(path)
    left = decoded(reference.pipeline, see(reference.pipeline, path), "image")
    right = decoded(candidate.pipeline, see(candidate.pipeline, path), "image")
    found = {
        reference.title: reference.pipeline.draw(image, left),
        candidate.title: candidate.pipeline.draw(image, right),
    }
    if (changed := _changed(image, left, right)) is not None:
        found["changed"] = changed
    return {title: _jpeg(picture) for title, picture in found.items()}


def _changed(image: Image, left: Prediction, right: Prediction) -> Image | None:
    """The image in grey, with the pixels of another class in red; None for people, whose drawings show it."""
    if not (isinstance(left, SegmentationMap) and isinstance(right, SegmentationMap)):
        return None
    grey = np.repeat(image.mean(axis=2, keepdims=True) * 0.6 + 80, 3, axis=2).astype(np.uint8)
    grey[left.class_id != right.class_id] = _CHANGED
    return grey


def _jpeg(picture: Image) -> bytes:
    import cv2

    height, width = picture.shape[:2]
    ratio = min(1.0, _LONG_SIDE_PX / max(height, width))
    small = resize(picture, (max(1, round(height * ratio)), max(1, round(width * ratio))), "bilinear_opencv")
    done, data = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done, "a picture of bytes always encodes"
    return bytes(data)
