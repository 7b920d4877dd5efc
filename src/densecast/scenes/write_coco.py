"""Writes images of people as a folder in the layout of COCO keypoints."""

import functools
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from densecast.io import files
from densecast.scenes import folder, people
from densecast.scenes.folder import Record
from densecast.tasks.pose.coco_person import JOINTS, LIMBS

SPLITS = ("train2017", "val2017")
_VAL_EVERY = 10
_QUALITY = (80, 96)
_QUALITY_STREAM = 0xC0C0
_LEAST_POLYGON_PX = 4.0


def record(count: int, seed: int = 0) -> Record:
    """The record that `write` leaves behind for these arguments."""
    return Record(people.NAME, people.VERSION, seed, count)


def split_of(index: int) -> str:
    """Every tenth picture, from the first on, is for validation."""
    return SPLITS[index % _VAL_EVERY == 0]


def write(root: Path, count: int, seed: int = 0, workers: int | None = None) -> None:
    """Write `train2017/` and `val2017/<id>.jpg`, `annotations/person_keypoints_<split>.json` and `scene.json`.

    Equal arguments give the same files whatever the number of workers. The same call finishes a folder that
    was interrupted; one that already is what is wanted is left alone.

    Args:
        root: The data set's folder; made when missing.
        count: Number of pictures, at least 1; a tenth of them, rounded up, are for validation.
        seed: The world; other seeds show other people.
        workers: Processes; None takes one for each processor that this process may use, 1 draws in this one.
            More than one need, as all of Python's spawned processes do, a main module that is safe to import.

    Raises:
        BadConfigError: an argument out of bounds.
        BadDatasetError: `root` holds pictures of something else; nothing is changed then.

    """
    wanted = record(count, seed)
    if folder.is_written(root, wanted):
        return
    for split in SPLITS:
        known = {_file_name(index) for index in range(count) if split_of(index) == split}
        folder.refuse_foreign(root / split, known, f"pictures of people of seed {seed} and count {count}")
    with folder.filling(root, wanted):
        entries = folder.draw_all(functools.partial(_write_one, root, seed), count, workers)
        for split in SPLITS:
            chosen = [entry for index, entry in enumerate(entries) if split_of(index) == split]
            text = json.dumps(_annotation_file(chosen, wanted), separators=(",", ":"))
            files.write_text(root / "annotations" / f"person_keypoints_{split}.json", text + "\n")


def _write_one(root: Path, seed: int, index: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write one picture; its entry in `images`, and those of its people in `annotations`, still without ids."""
    from PIL import Image

    scene = people.render(seed, index)
    quality = np.random.default_rng([seed, _QUALITY_STREAM, index]).integers(*_QUALITY)
    picture = io.BytesIO()
    Image.fromarray(scene.image).save(picture, "JPEG", quality=int(quality))
    files.write_bytes(root / split_of(index) / _file_name(index), picture.getvalue(), flushed=False)
    height, width = scene.image.shape[:2]
    number = index + 1
    image = {
        "license": 1,
        "file_name": _file_name(index),
        "coco_url": "",
        "height": height,
        "width": width,
        "date_captured": "",
        "flickr_url": "",
        "id": number,
    }
    return image, [_annotation(person, number) for person in scene.people]


def _annotation(person: people.Person, image_id: int) -> dict[str, Any]:
    points = np.column_stack([np.round(person.xy_px.astype(np.float64), 2), person.visibility])
    rows, columns = np.flatnonzero(person.mask.any(axis=1)), np.flatnonzero(person.mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "segmentation": _polygons(person.mask),
        "num_keypoints": int((person.visibility > 0).sum()),
        "area": float(person.mask.sum()),
        "iscrowd": 0,
        "keypoints": [int(value) if value.is_integer() else float(value) for value in points.reshape(-1)],
        "image_id": image_id,
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "category_id": 1,
    }


def _polygons(mask: npt.NDArray[np.bool_]) -> list[list[float]]:
    """The outlines of a mask's parts, x y x y …; several where something in front divides a person.

    OpenCV's outlines join the middles of pixels, so that a part one pixel wide would be a line: they are taken
    from a mask of twice the size, a quarter of a pixel inside the true ones.
    """
    twice = np.kron(mask, np.ones((2, 2), dtype=np.uint8)).astype(np.uint8)
    outlines, _ = cv2.findContours(twice, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    kept = sorted(outlines, key=cv2.contourArea, reverse=True)
    polygons = [(outline.reshape(-1, 2) + 0.5) / 2 for outline in kept]
    large = [
        polygon
        for polygon, outline in zip(polygons, kept, strict=True)
        if len(polygon) >= 3 and cv2.contourArea(outline) / 4 >= _LEAST_POLYGON_PX
    ]
    return [[float(value) for value in polygon.reshape(-1)] for polygon in large or polygons[:1]]


def _annotation_file(entries: list[tuple[dict[str, Any], list[dict[str, Any]]]], wanted: Record) -> dict[str, Any]:
    # Ids follow from the picture's, so that no two are equal in the two files together.
    annotations = [
        annotation | {"id": image["id"] * 100 + place}
        for image, found in entries
        for place, annotation in enumerate(found)
    ]
    return {
        "info": {
            "description": f"densecast {wanted.generator} version {wanted.version}, seed {wanted.seed}",
            "url": "",
            "version": str(wanted.version),
            "year": 2017,
            "contributor": "densecast",
            "date_created": "",
        },
        "licenses": [{"url": "https://www.apache.org/licenses/LICENSE-2.0", "id": 1, "name": "Apache License 2.0"}],
        "images": [image for image, _ in entries],
        "annotations": annotations,
        "categories": [
            {
                "supercategory": "person",
                "id": 1,
                "name": "person",
                "keypoints": list(JOINTS),
                # COCO counts joints from 1.
                "skeleton": [[first + 1, second + 1] for first, second in LIMBS],
            }
        ],
    }


def _file_name(index: int) -> str:
    return f"{index + 1:012d}.jpg"
