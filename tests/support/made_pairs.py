"""Small data sets of several classes a pixel, and of depth, with images from which both can be computed exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

LABELS = ("red", "green", "blue")
UNITS_PER_M = 1000
NEAREST_M, SPAN_M = 1.0, 8.0


def scene(index: int, size_hw: tuple[int, int] = (32, 40)) -> npt.NDArray[np.uint8]:
    """(H, W, 3): smooth colours, other in each channel and image."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    planes = [np.sin(x / (5 + index + channel) + y / (9 - channel) + index * 2 + channel) for channel in range(3)]
    return np.rint((np.stack(planes, axis=-1) + 1) * 127.5).astype(np.uint8)


def bits_of(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """(3, H, W): where red, green and blue are in the upper half."""
    return image.transpose(2, 0, 1) > 127


def depth_of(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """(H, W) metres: the brighter, the farther."""
    return NEAREST_M + SPAN_M * image.astype(np.float64).mean(axis=2) / 255


def multilabel(root: Path, count: int = 12) -> Path:
    """Bit fields of 8 bits."""
    for index in range(count):
        image = _write_image(root, index)
        field = sum(plane.astype(np.uint8) << place for place, plane in enumerate(bits_of(image)))
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.asarray(field, np.uint8)).save(root / "masks" / f"{index:02}.png")
    return root


def depth(root: Path, count: int = 12) -> Path:
    """Millimetres in 16 bits, of which the first line is unknown."""
    for index in range(count):
        image = _write_image(root, index)
        steps = np.rint(depth_of(image) * UNITS_PER_M).astype(np.uint16)
        steps[0] = 0
        (root / "depth").mkdir(exist_ok=True)
        Image.fromarray(steps).save(root / "depth" / f"{index:02}.png")
    (root / "depth.toml").write_text(f"units_per_m = {UNITS_PER_M}\n", encoding="utf-8")
    return root


def _write_image(root: Path, index: int) -> npt.NDArray[np.uint8]:
    image = scene(index)
    (root / "images").mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(root / "images" / f"{index:02}.png")
    return image
