"""Small folders with COCO's instances and panoptic PNGs, whose images are painted in their classes' colours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from made_mask_folders import COLOURS, write

SIZE_HW = (24, 32)
RED = [[3.2, 4.1, 20.7, 5.0, 18.3, 19.6, 5.5, 17.0]]
INSIDE = [[8.0, 8.0, 14.0, 8.0, 14.0, 13.0, 8.0, 13.0]]
CATEGORIES = [{"id": 40, "name": "Green"}, {"id": 7, "name": "red"}]


def column_runs(mask: np.ndarray) -> dict[str, Any]:
    """(H, W) bool as uncompressed run lengths."""
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat.astype(int))) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}


def crowd() -> np.ndarray:
    mask = np.zeros(SIZE_HW, bool)
    mask[0:10, 18:32] = True
    return mask


def instances(root: Path, splits: tuple[str, ...] = ("train", "val"), count: int = 3) -> Path:
    """`count` images a split with a red polygon, a green one on it that is listed first, and a red crowd."""
    for number, split in enumerate(splits):
        images, annotations = [], []
        for index in range(count):
            key = 100 * number + index + 1
            images.append({"id": key, "file_name": f"{key:012d}.png", "height": SIZE_HW[0], "width": SIZE_HW[1]})
            write(root / f"{split}2017" / f"{key:012d}.png", np.full((*SIZE_HW, 3), COLOURS[0], np.uint8))
            shapes = ((40, INSIDE, 0), (7, RED, 0), (7, column_runs(crowd()), 1))
            for category, outline, is_crowd in shapes:
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": key, "category_id": category, "segmentation": outline,
                     "iscrowd": is_crowd, "bbox": [0, 0, 1, 1], "area": 1}
                )  # fmt: skip
        document = {"images": images, "annotations": annotations, "categories": CATEGORIES}
        path = root / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document), encoding="utf-8")
    return root
