"""Reads COCO keypoint annotation files and validates every entry.

Format: https://cocodataset.org/#format-data. Outlines (`segmentation`) are not used here, and only checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np

from densecast.datasets import _names
from densecast.datasets._coco_joints import JointOrder, joint_order
from densecast.errors import BadDatasetError, MissingFileError
from densecast.tasks.pose import AnnotatedPoses
from densecast.tasks.pose.coco_person import JOINTS

# COCO's largest file (train2017) has 238 MB.
MAX_BYTES = 1 << 30
# Ids are printed with twelve digits, as in COCO's file names.
_MAX_ID = 10**12 - 1
# No coordinate, width or height in pixels is larger; areas are bounded by its square.
_MAX_PX = 1e6
_MAX_SIDE = 1_000_000
# How a path or an address begins that is not seen from the folder of images.
_ELSEWHERE = re.compile(r"/+|[A-Za-z]:/+|[A-Za-z][A-Za-z0-9+.-]+://[^/]*/+")


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image of an annotation file."""

    id: int
    file_name: str
    size_hw: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Annotations:
    """A valid annotation file: its images by ascending id, the people of each image, and remarks on its joints."""

    images: tuple[ImageEntry, ...]
    people: dict[int, AnnotatedPoses]
    remarks: tuple[str, ...] = ()


def load(path: Path) -> dict[str, Any]:
    """Load the file's JSON, checking only that it holds lists of images and annotations.

    Raises:
        MissingFileError: no such file.
        BadDatasetError: too large, no JSON, or without these lists.
    """
    if not path.is_file():
        raise MissingFileError.at(path, "annotation file")
    if path.stat().st_size > MAX_BYTES:
        raise BadDatasetError(f"{path}: larger than {MAX_BYTES >> 30} GiB; COCO's own files have up to 238 MB.")
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadDatasetError(f"{path}: not valid JSON ({error}).") from None
    lists = [document.get(name) if isinstance(document, dict) else None for name in ("images", "annotations")]
    if not all(isinstance(each, list) for each in lists):
        raise BadDatasetError(f"{path}: holds no lists 'images' and 'annotations'; this is no annotation file of COCO.")
    return dict(document)


def read(path: Path, joints: tuple[str, ...] = JOINTS) -> Annotations:
    """Read and validate an annotation file; `joints` are the model's.

    Raises:
        MissingFileError: no such file.
        BadDatasetError: as `load`; or an entry is wrong, the message names the first one.
    """
    document = load(path)
    first = next(problems(document, joints), None)
    if first is not None:
        raise BadDatasetError(f"{path}: {first}.")
    return parse(document, joints)


def parse(document: dict[str, Any], joints: tuple[str, ...] = JOINTS) -> Annotations:
    """Parse a document that has no `problems`; joints are in the model's order."""
    order = joint_order(document, joints)
    entries = sorted(document["images"], key=lambda entry: int(entry["id"]))
    of_image: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in entries}
    used = [each for each in document["annotations"] if each["category_id"] == order.category]
    for annotation in used:
        of_image[annotation["image_id"]].append(annotation)
    images = tuple(ImageEntry(each["id"], each["file_name"], (each["height"], each["width"])) for each in entries)
    people = {key: _people(key, entries_of_image, order) for key, entries_of_image in of_image.items()}
    remarks = list(order.remarks)
    if used and not any(annotation["area"] for annotation in used):
        remarks.append("every 'area' is 0, with which COCO's AP is 0 whatever is found: write the people's areas")
    return Annotations(images, people, tuple(remarks))


def problems(document: dict[str, Any], joints: tuple[str, ...] = JOINTS) -> Iterator[str]:
    """Problems of the entries that are used, each named by its id; annotations of other categories are not."""
    try:
        order = joint_order(document, joints)
    except BadDatasetError as error:
        yield str(error)
        return
    known: set[int] = set()
    yield from image_problems(document, known)
    seen: set[int] = set()
    for place, annotation in enumerate(document["annotations"]):
        if _is_left_out(annotation, order):
            continue
        problem = _annotation_problem(annotation, known, seen, order)
        if problem:
            yield f"{named('annotation', annotation, place)}: {problem}"
        else:
            seen.add(annotation["id"])


def image_problems(document: dict[str, Any], known: set[int]) -> Iterator[str]:
    """Problems of the entries of images; the ids of sound ones are added to `known`."""
    for place, image in enumerate(document["images"]):
        problem = _image_problem(image, known)
        if problem:
            yield f"{named('image', image, place)}: {problem}"
        else:
            known.add(image["id"])


def remarks(document: dict[str, Any], joints: tuple[str, ...] = JOINTS) -> Iterator[str]:
    """Problems of fields that are not used: outlines, and the number of marked joints; and which joints there are."""
    try:
        order = joint_order(document, joints)
    except BadDatasetError:  # one of the problems
        return
    yield from order.remarks
    for place, annotation in enumerate(document["annotations"]):
        if not isinstance(annotation, dict) or _is_left_out(annotation, order):
            continue
        name = named("annotation", annotation, place)
        if "segmentation" in annotation and not is_outline(annotation["segmentation"]):
            yield (
                f"{name}: segmentation must be polygons of at least three points, x y x y …, or run lengths with "
                "counts and size"
            )
        points: Any = annotation.get("keypoints")
        if is_numbers(points, 3 * order.count) and "num_keypoints" in annotation:
            marked = sum(value > 0 for value in points[2::3])
            if annotation["num_keypoints"] != marked:
                yield f"{name}: num_keypoints is {annotation['num_keypoints']!r}, but {marked} joints are marked"


def image_path(folders: tuple[Path, ...], file_name: str) -> Path:
    """Where an image lies: in the first of the folders that holds it, else where it should lie, in the first one.

    `file_name` may have folders before it, parted by slashes or backslashes, and be spelt in NFC or NFD. Of a path or
    address of another machine the ends are looked for, the longest first.
    """
    names = [*dict.fromkeys((file_name, file_name.replace("\\", "/")))]
    elsewhere = _ELSEWHERE.match(names[-1])
    if elsewhere:
        rest = names[-1][elsewhere.end() :]
        # What follows the path of an address, as a signature, and its escapes are not in the name of a file.
        plain = unquote(re.split("[?#]", rest)[0]) if "://" in elsewhere[0] else rest
        # Escapes may hide what leads out of the folder.
        plain = rest if "\0" in plain or "\\" in plain or ".." in plain.split("/") else plain.lstrip("/")
        names = ["/".join(path.split("/")[place:]) for path in (rest, plain) for place in range(path.count("/") + 1)]
    paths = [_names.in_folder(folder, name) for folder in folders for name in names]
    return next((path for path in paths if path.is_file()), paths[0])


def named(kind: str, entry: object, place: int) -> str:
    """What an entry is called in messages: by its id, else by its place."""
    key = entry.get("id") if isinstance(entry, dict) else None
    return f"{kind} {key}" if is_id(key) else f"{kind} at place {place} of the list"


def _image_problem(image: Any, known: set[int]) -> str | None:
    if not isinstance(image, dict):
        return "not an object"
    if not is_id(image.get("id")):
        return f"id must be a whole number from 0 to {_MAX_ID}"
    if image["id"] in known:
        return "there is another image of this id"
    name = image.get("file_name")
    if not isinstance(name, str) or not is_below(name):
        return (
            f"file_name {str(name)[:80]!r} is no name of a file in or below the folder of images: write it as "
            "seen from there"
        )
    for side in ("height", "width"):
        if type(image.get(side)) is not int or not 1 <= image[side] <= _MAX_SIDE:
            return f"{side} must be a whole number of at least one pixel"
    return None


def is_below(name: str) -> bool:
    """Whether a name, with folders before it or not, stays below any folder; backslashes part folders, too.

    Paths of other machines do, of which only ends are looked for.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    return bool(path.name) and ".." not in path.parts and "\0" not in name


def _is_left_out(annotation: Any, order: JointOrder) -> bool:
    category = annotation.get("category_id") if isinstance(annotation, dict) else None
    return type(category) is int and category in order.left_out


def _annotation_problem(annotation: Any, images: set[int], seen: set[int], order: JointOrder) -> str | None:
    if not isinstance(annotation, dict):
        return "not an object"
    if not is_id(annotation.get("id")):
        return f"id must be a whole number from 0 to {_MAX_ID}"
    if annotation["id"] in seen:
        return "there is another annotation of this id"
    if not is_id(annotation.get("image_id")) or annotation["image_id"] not in images:
        return f"image_id {annotation.get('image_id')!r:.20} is no image of the file"
    if annotation.get("category_id") != order.category:
        return f"category_id {str(annotation.get('category_id'))[:20]} is no category of the file"
    if annotation.get("iscrowd") not in (0, 1):
        return "iscrowd must be 0 or 1"
    area: Any = annotation.get("area")
    if not (type(area) in (int, float) and 0 <= area <= _MAX_PX**2):
        return "area must be a finite number of square pixels, not below 0"
    if not is_numbers(annotation.get("bbox"), 4):
        return "bbox must be four finite numbers of pixels"
    joints: Any = annotation.get("keypoints")
    if not is_numbers(joints, 3 * order.count):
        return f"keypoints must be {3 * order.count} finite numbers, x, y and visibility of {order.count} joints"
    if not set(joints[2::3]) <= {0, 1, 2}:
        return "the visibility of a joint must be 0, 1 or 2"
    return None


def is_id(value: object) -> bool:
    """Whether this can be an id."""
    return type(value) is int and 0 <= value <= _MAX_ID


def is_numbers(values: Any, count: int) -> bool:
    """Whether this is a list of `count` numbers in range; excludes booleans and NaN, which JSON readers accept."""
    is_list = isinstance(values, list) and len(values) == count and set(map(type, values)) <= {int, float}
    return is_list and all(-_MAX_PX <= value <= _MAX_PX for value in values)


def is_outline(outline: object) -> bool:
    """Whether this is what `segmentation` may be: polygons, or run lengths, compressed or not."""
    if isinstance(outline, list):
        return bool(outline) and all(
            isinstance(polygon, list)
            and len(polygon) >= 6
            and len(polygon) % 2 == 0
            and is_numbers(polygon, len(polygon))
            for polygon in outline
        )
    if not isinstance(outline, dict):
        return False
    size, counts = outline.get("size"), outline.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
        return False
    if isinstance(counts, list):
        return all(type(run) is int and run >= 0 for run in counts) and sum(counts) == size[0] * size[1]
    return isinstance(counts, str)


def _people(image_id: int, entries: list[dict[str, Any]], order: JointOrder) -> AnnotatedPoses:
    joints = order.of_model(np.array([each["keypoints"] for each in entries], np.float64).reshape(-1, order.count, 3))
    return AnnotatedPoses(
        image_id=image_id,
        xy_px=joints[..., :2],
        visibility=joints[..., 2].astype(np.uint8),
        area_px=np.array([each["area"] for each in entries], np.float64),
        box_xywh_px=np.array([each["bbox"] for each in entries], np.float64).reshape(-1, 4),
        is_crowd=np.array([each["iscrowd"] for each in entries], np.bool_),
    )
