"""Draws the classes of each pixel, and writes them to files: bit fields as PNG, or all classes as NPZ."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast.io import files
from densecast.spec.model import ModelSpec, Rgb
from densecast.tasks._base import Image
from densecast.tasks.multilabel import Bits, MultilabelMap

MAX_BITS = 16
OPACITY = 0.5
_CHANGED = np.array((228, 26, 28), np.uint8)


def draw(image: Image, prediction: MultilabelMap, spec: ModelSpec) -> Image:
    """Draw the mean colour of each pixel's classes over an (H, W, 3) RGB image, half transparent."""
    return draw_classes(image, prediction.classes, spec.palette)


def draw_classes(
    image: Image, classes: Bits, colours: Sequence[Rgb], *, opacity: float = OPACITY, contours: bool = False
) -> Image:
    """As `draw`, with the classes' colours; with contours each class is outlined in white."""
    total = np.zeros(image.shape, np.float32)
    count = np.zeros(image.shape[:2], np.float32)
    edge = np.zeros(image.shape[:2], dtype=bool)
    for plane, colour in zip(classes, colours, strict=False):
        total[plane] += np.asarray(colour, np.float32)
        count[plane] += 1
        if contours:
            edge[:, 1:] |= plane[:, 1:] != plane[:, :-1]
            edge[1:] |= plane[1:] != plane[:-1]
    there = count > 0
    drawn = image.copy()
    drawn[there] = image[there] * (1 - opacity) + total[there] / count[there][:, None] * opacity
    drawn[edge] = 255
    return drawn


def draw_changes(image: Image, left: MultilabelMap, right: MultilabelMap) -> Image:
    """Draw the image in grey, with pixels of which any class changed in red."""
    grey = np.repeat(image.mean(axis=2, keepdims=True) * 0.6 + 80, 3, axis=2).astype(np.uint8)
    grey[(left.classes != right.classes).any(axis=0)] = _CHANGED
    return grey


def save(path_without_suffix: Path, prediction: MultilabelMap, spec: ModelSpec) -> Path:
    """Write a bit field `<path>.png` of up to 16 classes, or `<path>.npz` with `classes` and `labels`.

    Where the prediction has probabilities, `<path>_score.npz` too: `probability` (C, H, W) uint16, 65535 for 1.
    """
    labels = np.array(spec.labels)
    if prediction.probability is not None:
        scores = np.rint(prediction.probability.astype(np.float64) * 65535).astype(np.uint16)
        _write_npz(path_without_suffix, "_score", probability=scores, labels=labels)
    if len(prediction.classes) > MAX_BITS:
        return _write_npz(path_without_suffix, "", classes=prediction.classes, labels=labels)
    import cv2

    path = path_without_suffix.with_name(f"{path_without_suffix.name}.png")
    done, data = cv2.imencode(".png", to_bit_field(prediction.classes))
    assert done, "a plane of whole numbers always encodes"
    files.write_bytes(path, data.tobytes())
    return path


def to_bit_field(classes: Bits) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """(C, H, W) bool, C up to 16 -> (H, W): bit i is class i; 8 bits a pixel up to 8 classes, else 16."""
    field = np.zeros(classes.shape[1:], np.uint8 if len(classes) <= 8 else np.uint16)
    for place, plane in enumerate(classes):
        field |= plane.astype(field.dtype) << field.dtype.type(place)
    return field


def from_bit_field(field: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Bits:
    """(H, W) of 8 or 16 bits -> (8 or 16, H, W) bool."""
    return np.stack([field & field.dtype.type(1 << place) != 0 for place in range(8 * field.dtype.itemsize)])


def _write_npz(stem: Path, ending: str, **arrays: npt.NDArray[np.generic]) -> Path:
    path, stream = stem.with_name(f"{stem.name}{ending}.npz"), io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    files.write_bytes(path, stream.getvalue())
    return path
