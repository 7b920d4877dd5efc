"""Small folders in the layouts of Cityscapes and PASCAL VOC, with labels of every kind in them."""

from __future__ import annotations

from pathlib import Path

import made_images
import numpy as np
import numpy.typing as npt
from PIL import Image

from densecast.tasks.segmentation.palettes import voc

Labels = npt.NDArray[np.uint8]

CITIES = {"train": ("ulm", "aachen"), "val": ("munster", "lindau")}
VOC_IDS = {"train": ("2007_000032", "2008_000008", "2011_003276"), "val": ("2007_000033", "2009_000001", "2010_000002")}


def write_grey(path: Path, labels: Labels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels).save(path, "PNG")
    return path


def write_palette(path: Path, labels: Labels) -> Path:
    """As VOC's: each pixel an index, its colour in the palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(labels).convert("P")
    image.putdata(labels.reshape(-1))
    image.putpalette([channel for colour in voc(256) for channel in colour])
    image.save(path, "PNG")
    return path


def striped(size_hw: tuple[int, int], classes: int) -> Labels:
    """All classes side by side, and 255 in the first row."""
    columns = np.arange(size_hw[1]) * classes // size_hw[1]
    labels = np.broadcast_to(columns, size_hw).astype(np.uint8)
    labels[0] = 255
    return labels


def cityscapes(root: Path, size_hw: tuple[int, int] = (24, 48)) -> Path:
    """Two cities a split, two images a city, with train ids."""
    for split, cities in CITIES.items():
        for city in cities:
            for index in range(2):
                name = f"{city}_{index:06d}_000019"
                image = root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png"
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(made_images.picture(size_hw, seed=index)).save(image)
                write_grey(root / "gtFine" / split / city / f"{name}_gtFine_labelTrainIds.png", striped(size_hw, 19))
    return root


def voc2012(root: Path, below: str = "VOCdevkit/VOC2012", classes: int = 21) -> Path:
    """Three images a split, of differing sizes, with the first `classes` of VOC."""
    home = root / below
    lists = home / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, names in VOC_IDS.items():
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        for index, name in enumerate(names):
            size_hw = (40 + index, 63 - index)
            made_images.write_jpeg(home / "JPEGImages" / f"{name}.jpg", size_hw, seed=index)
            write_palette(home / "SegmentationClass" / f"{name}.png", striped(size_hw, classes))
    return root
