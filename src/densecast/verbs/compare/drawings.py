"""Draws where two predictions of one image differ, as small JPEG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from densecast.imaging.prepare import resize
from densecast.pipeline import Image
from densecast.results.compare import Comparison
from densecast.tasks._base import DrawsChanges
from densecast.verbs.compare.forward import forward, postprocessed
from densecast.verbs.compare.stage import ChainStage

_LONG_SIDE_PX = 640
_JPEG_QUALITY = 85


def worst_images(
    reference: ChainStage,
    candidates: Sequence[ChainStage],
    comparisons: Sequence[Comparison],
    images: Mapping[str, Path],
) -> dict[str, dict[str, bytes]]:
    """Draw, for each stage that differs, the image with the largest difference; `images` by name, see `image_names`."""
    drawings = {}
    for stage, comparison in zip(candidates, comparisons, strict=True):
        if comparison.worst and comparison.difference:
            name = comparison.worst[0]
            drawings[f"{stage.title}: {name}"] = draw(reference, stage, images[name])
    return drawings


def draw(reference: ChainStage, candidate: ChainStage, path: Path) -> dict[str, bytes]:
    """JPEG files by title: both predictions over the image and, if the task can draw them, the changes."""
    image = reference.pipeline.read(path)
    drawings, predictions = {}, []
    for stage in (reference, candidate):
        pipeline = stage.pipeline
        prediction = postprocessed(pipeline, forward(pipeline, path), "image")
        drawings[stage.title] = pipeline.task.draw(image, prediction, pipeline.spec)
        predictions.append(prediction)
    task = reference.pipeline.task
    if isinstance(task, DrawsChanges):
        drawings["changed"] = task.draw_changes(image, *predictions)
    return {title: _jpeg(drawing) for title, drawing in drawings.items()}


def _jpeg(image: Image) -> bytes:
    import cv2

    height, width = image.shape[:2]
    ratio = min(1.0, _LONG_SIDE_PX / max(height, width))
    small = resize(image, (max(1, round(height * ratio)), max(1, round(width * ratio))), "bilinear_opencv")
    done, data = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done, "an image of bytes always encodes"
    return bytes(data)
