"""Draws label maps over images and writes them to PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from densecast.io import files
from densecast.spec.model import ModelSpec, Rgb
from densecast.spec.sample import LabelMap

if TYPE_CHECKING:
    from densecast.tasks.segmentation.label_map import SegmentationMap

Image = npt.NDArray[np.uint8]

OPACITY = 0.5
_BACKGROUND = "background"
_CHANGED = np.array((228, 26, 28), np.uint8)


def draw(image: npt.NDArray[np.uint8], prediction: SegmentationMap, spec: ModelSpec) -> npt.NDArray[np.uint8]:
    """Draw each class except the background over an (H, W, 3) RGB image, half transparent, outlined.

    What is no class, as ground truth that is not evaluated, is left as it is.
    """
    return draw_classes(image, prediction.class_id, spec.labels, spec.palette)


def draw_classes(
    image: Image,
    class_id: LabelMap,
    labels: Sequence[str],
    colours: Sequence[Rgb],
    *,
    opacity: float = OPACITY,
    contours: bool = True,
) -> Image:
    """As `draw`, with the names and colours of the classes by their index."""
    values = _values(class_id, len(colours))
    palette, shares = np.zeros((values, 3), np.float32), np.zeros(values, np.float32)
    palette[: len(colours)] = colours
    shares[1 if labels[0] == _BACKGROUND else 0 : len(labels)] = opacity
    shown = shares[class_id][..., None]
    blended = image * (1 - shown) + palette[class_id] * shown
    if contours:
        edge = np.zeros(class_id.shape, dtype=bool)
        edge[:, 1:] |= class_id[:, 1:] != class_id[:, :-1]
        edge[1:] |= class_id[1:] != class_id[:-1]
        blended[edge] = 255
    return blended.astype(np.uint8)


def save(path_without_suffix: Path, prediction: SegmentationMap) -> Path:
    """Write `<path>.png`: class indices of 8 bits, or of 16 where the map has them.

    Where the prediction has probabilities, `<path>_score.png` too: 16 bits a pixel, 65535 for 1.
    """
    if prediction.probability is not None:
        _write_png(
            path_without_suffix, "_score", np.rint(prediction.probability.astype(np.float64) * 65535).astype(np.uint16)
        )
    return _write_png(path_without_suffix, "", prediction.class_id)


def save_colour(path_without_suffix: Path, prediction: SegmentationMap, spec: ModelSpec) -> Path:
    """Write `<path>_colour.png`: 8-bit RGB, each class in its colour; other values are black."""
    palette = np.zeros((_values(prediction.class_id, len(spec.palette)), 3), np.uint8)
    palette[: len(spec.palette)] = spec.palette
    return _write_png(path_without_suffix, "_colour", palette[prediction.class_id][:, :, ::-1])


def draw_changes(image: Image, left: SegmentationMap, right: SegmentationMap) -> Image:
    """Draw the image in grey, with changed pixels in red."""
    grey = np.repeat(image.mean(axis=2, keepdims=True) * 0.6 + 80, 3, axis=2).astype(np.uint8)
    grey[left.class_id != right.class_id] = _CHANGED
    return grey


def _values(labels: LabelMap, classes: int) -> int:
    """How many values a pixel can have: those of the map's type, and all of the model's classes."""
    return max(1 << 8 * labels.dtype.itemsize, classes)


def _write_png(stem: Path, suffix: str, pixels: npt.NDArray[np.uint8 | np.uint16]) -> Path:
    import cv2

    path = stem.with_name(f"{stem.name}{suffix}.png")
    done, data = cv2.imencode(".png", pixels)
    assert done, "a plane of whole numbers always encodes"
    files.write_bytes(path, data.tobytes())
    return path
