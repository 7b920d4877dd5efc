"""Folders of pictures and masks in the layouts that people and tools make, with labels that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Labels = npt.NDArray[np.uint8]
COLOURS = ((0, 0, 0), (200, 40, 30), (20, 160, 60), (40, 60, 210))


def labels_of(index: int, classes: int = 3, size_hw: tuple[int, int] = (16, 24)) -> Labels:
    """Stripes of all classes, shifted by the index: every picture holds every class."""
    columns = (np.arange(size_hw[1]) * classes // size_hw[1] + index) % classes
    return np.ascontiguousarray(np.broadcast_to(columns, size_hw)).astype(np.uint8)


def painted(labels: Labels) -> npt.NDArray[np.uint8]:
    """(H, W) -> (H, W, 3): each pixel in its class's colour."""
    return np.asarray(COLOURS, np.uint8)[labels]


def write(path: Path, array: npt.NDArray[np.generic], **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def pairs(
    root: Path,
    count: int = 10,
    images: str = "images",
    masks: str = "masks",
    picture: str = "{}.png",
    mask: str = "{}.png",
    classes: int = 3,
) -> Path:
    """Pictures painted in their classes' colours, masks of indices."""
    for index in range(count):
        labels = labels_of(index, classes)
        write(root / images / picture.format(f"p{index:02d}"), painted(labels))
        write(root / masks / mask.format(f"p{index:02d}"), labels)
    return root
