"""A small folder in COCO's layout, with the people of `seeded_people`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_images
import seeded_people

VAL = Path("annotations", "person_keypoints_val2017.json")


def folder(root: Path, splits: tuple[str, ...] = ("train", "val")) -> Path:
    """Eight images of 60 to 128 pixels a split, and their annotation files; ids differ between the splits."""
    for number, split in enumerate(splits):
        document, _ = seeded_people.images(number)
        for image in document["images"]:
            image["id"] += 1000 * number
            image["file_name"] = f"{image['id']:012d}.jpg"
            image["height"], image["width"] = image["height"] // 5, image["width"] // 5
            path = root / f"{split}2017" / image["file_name"]
            made_images.write_jpeg(path, (image["height"], image["width"]), image["id"])
        for annotation in document["annotations"]:
            annotation["image_id"] += 1000 * number
        path = root / "annotations" / f"person_keypoints_{split}2017.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document), encoding="utf-8")
    return root


def change(root: Path, edit: Callable[[dict[str, Any]], None], file: Path = VAL) -> None:
    """Let `edit` change an annotation file's contents."""
    document = json.loads((root / file).read_text(encoding="utf-8"))
    edit(document)
    (root / file).write_text(json.dumps(document), encoding="utf-8")
