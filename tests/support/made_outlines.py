"""Small folders of pictures with a file of outlines each: LabelMe's JSON, and Ultralytics' text files."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from made_mask_folders import write

SIZE_HW = (24, 32)
RED = [[3.2, 4.1], [20.7, 5.0], [18.3, 19.6], [5.5, 17.0]]
GREEN = [[8.0, 8.0], [14.0, 8.0], [14.0, 13.0], [8.0, 13.0]]


def picture(path: Path) -> Path:
    """A picture that no other one is like."""
    seed = zlib.crc32("/".join(path.parts[-3:]).encode())
    write(path, np.random.default_rng(seed).integers(0, 256, (*SIZE_HW, 3), np.uint8))
    return path


def shape(label: str, points: list[list[float]], kind: str = "polygon", **more: Any) -> dict[str, Any]:
    """A shape as LabelMe writes it."""
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **more}


def labelme_file(path: Path, shapes: list[dict[str, Any]], image: str | None = None, **more: Any) -> Path:
    """A file of LabelMe's for the picture of its name beside it, or for `image`."""
    document = {
        "version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image or f"{path.stem}.png", "imageData": None,
        "imageHeight": SIZE_HW[0], "imageWidth": SIZE_HW[1], **more,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def labelme(root: Path, splits: tuple[str, ...] = ("train", "val"), count: int = 3) -> Path:
    """`count` pictures a split with a red polygon, and a green one on it."""
    for split in splits:
        for index in range(count):
            picture(root / split / f"{index}.png")
            labelme_file(root / split / f"{index}.json", [shape("red", RED), shape("Green", GREEN)])
    return root


def line(number: int, points: list[list[float]]) -> str:
    """A class and its outline as shares of the picture's sides."""
    return " ".join([str(number), *(f"{x / SIZE_HW[1]:.6f} {y / SIZE_HW[0]:.6f}" for x, y in points)])


def yolo(root: Path, splits: tuple[str, ...] = ("train", "val"), count: int = 3) -> Path:
    """As `labelme`, in text files with a data.yaml; green is listed first, red is larger."""
    for split in splits:
        for index in range(count):
            picture(root / "images" / split / f"{split}{index}.png")
            labels = root / "labels" / split / f"{split}{index}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text(f"{line(0, GREEN)}\n{line(1, RED)}\n", encoding="utf-8")
    places = "".join(f"{split}: images/{split}\n" for split in splits)
    (root / "data.yaml").write_text(f"path: .\n{places}names:\n  0: Green\n  1: red\n", encoding="utf-8")
    return root
