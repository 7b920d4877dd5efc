"""Makes label maps of COCO's instance, stuff and panoptic annotations, with a model's classes by name.

Format: https://cocodataset.org/#format-data. Pixels of no annotation are the model's `background`; where it has none
they are not evaluated, nor are crowds and panoptic void. Where annotations overlap, the one of fewer pixels lies on
top, of equal ones the later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from densecast.datasets import _coco_annotations, _coco_masks, _coco_outlines
from densecast.datasets._categories import NOT_EVALUATED, UNLABELLED, Values, classes_by_name
from densecast.errors import BadDatasetError
from densecast.imaging import read
from densecast.spec.data_options import Reading
from densecast.spec.sample import LabelMap

_SEGMENTS = "segments_info"


@dataclass(frozen=True, slots=True)
class Labels:
    """A valid file: its images by ascending id, the annotations of each, and the value of each category.

    `lookup` gives the model's class of every value.
    """

    images: tuple[_coco_annotations.ImageEntry, ...]
    of_image: dict[int, tuple[dict[str, Any], ...]]
    values: dict[int, int]
    lookup: LabelMap
    is_panoptic: bool

    def png_of(self, image_id: int) -> str:
        """The name of a panoptic image's PNG."""
        return str(self.of_image[image_id][0]["file_name"])

    def instances(self, image: _coco_annotations.ImageEntry, *, is_turned: bool = False) -> LabelMap:
        """(H, W) classes of an image's instances, of the annotated size, or of that turned by a quarter.

        Raises:
            BadDatasetError: an outline that cannot be rasterised; names the annotation.
        """
        size_hw = image.size_hw[::-1] if is_turned else image.size_hw
        painted: Values = np.full(size_hw, UNLABELLED, np.uint16)
        masks: list[tuple[bool, int, int, _coco_masks.Mask]] = []
        for place, entry in enumerate(self.of_image[image.id]):
            try:
                _coco_outlines.require_inside(entry, size_hw)
                mask = _coco_masks.mask_of(entry["segmentation"], size_hw)
            except BadDatasetError as error:
                raise BadDatasetError(f"image {image.id:012d}, annotation {entry['id']}: {error}.") from None
            is_crowd = bool(entry.get("iscrowd", 0))
            masks.append((is_crowd, -int(np.count_nonzero(mask)), place, mask))
        # Crowds lie below everything.
        for is_crowd, _, place, mask in sorted(masks, key=lambda each: (not each[0], *each[1:3])):
            category = self.of_image[image.id][place]["category_id"]
            painted[mask] = NOT_EVALUATED if is_crowd else self.values[category]
        return self.lookup[painted]

    def panoptic(self, image: _coco_annotations.ImageEntry, png: Path) -> LabelMap:
        """(H, W) classes of an image's segments, of the PNG's size.

        Raises:
            BadImageError: the PNG cannot be read.
            BadDatasetError: its ids are not those that the file lists.
        """
        ids, places = np.unique(_coco_masks.panoptic_ids(png), return_inverse=True)
        segments = {each["id"]: each for each in self.of_image[image.id][0][_SEGMENTS]}
        there = set(ids.tolist())
        wrong = next(iter(sorted(there - set(segments) - {0}) + sorted(set(segments) - there)), None)
        if wrong is not None:
            where = "the PNG, and not in the file" if wrong in there else "the file, and not in the PNG"
            raise BadDatasetError(f"{png}: image {image.id:012d}: segment {wrong} is in {where}.")
        values = [
            NOT_EVALUATED if not key or segments[key].get("iscrowd") else self.values[segments[key]["category_id"]]
            for key in ids.tolist()
        ]
        shape = read.size_hw(png)
        return self.lookup[np.asarray(values, np.uint16)[places.reshape(shape)]]


def parse(document: dict[str, Any], path: Path, reading: Reading) -> tuple[Labels, tuple[str, ...]]:
    """A file's labels for a model, and in words how categories became classes.

    Raises:
        BadDatasetError: an entry is wrong (the message names the first one), or a category that is used is none of the
            model's.
        UsageError: an option that names no category, or no class.
        MissingExtraError: a polygon, and pycocotools is not installed.
    """
    first = next(problems(document), None)
    if first is not None:
        raise BadDatasetError(f"{path}: {first}.")
    is_panoptic = _is_panoptic(document)
    of_image: dict[int, list[dict[str, Any]]] = {entry["id"]: [] for entry in document["images"]}
    used: set[int] = set()
    for annotation in document["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
        parts = annotation[_SEGMENTS] if is_panoptic else (annotation,)
        used.update(part["category_id"] for part in parts if not part.get("iscrowd"))
        if not is_panoptic and isinstance(annotation["segmentation"], list):
            _coco_masks.require_pycocotools()
    categories = sorted(document["categories"], key=lambda each: int(each["id"]))
    values = {each["id"]: place for place, each in enumerate(categories, start=1)}
    lookup, words = classes_by_name(categories, used, reading, path)
    images = tuple(
        _coco_annotations.ImageEntry(each["id"], each["file_name"], (each["height"], each["width"]))
        for each in sorted(document["images"], key=lambda entry: int(entry["id"]))
    )
    entries = {key: tuple(each) for key, each in of_image.items()}
    return Labels(images, entries, values, lookup, is_panoptic), words


def problems(document: dict[str, Any]) -> Iterator[str]:
    """Problems of the entries, each named by its id."""
    categories = document.get("categories")
    if not isinstance(categories, list) or not categories:
        yield "holds no list 'categories' with the names of the classes"
        return
    ids = [each.get("id") if isinstance(each, dict) else None for each in categories]
    if not all(
        type(key) is int and isinstance(each.get("name"), str) for key, each in zip(ids, categories, strict=True)
    ):
        yield "categories must be objects with a whole number as id, and a name"
        return
    if len(set(ids)) != len(ids) or len(ids) >= NOT_EVALUATED:
        yield "two categories have one id"
        return
    known: set[int] = set()
    yield from _coco_annotations.image_problems(document, known)
    is_panoptic, seen = _is_panoptic(document), set[int]()
    for place, annotation in enumerate(document["annotations"]):
        name = _coco_annotations.named("annotation", annotation, place)
        if not isinstance(annotation, dict):
            yield f"{name}: not an object"
        elif annotation.get("image_id") not in known if _coco_annotations.is_id(annotation.get("image_id")) else True:
            yield f"{name}: image_id {annotation.get('image_id')!r:.20} is no image of the file"
        elif is_panoptic:
            yield from (f"{name}: {problem}" for problem in _segments_problems(annotation, set(ids)))
            if annotation["image_id"] in seen:
                yield f"{name}: there is another annotation of this image"
            seen.add(annotation["image_id"])
        else:
            yield from (f"{name}: {problem}" for problem in _instance_problems(annotation, set(ids)))
    if is_panoptic:
        yield from (f"image {key}: there is no annotation of it" for key in sorted(known - seen))


def _instance_problems(entry: dict[str, Any], categories: set[Any]) -> Iterator[str]:
    yield from _part_problems(entry, categories)
    outline = entry.get("segmentation")
    if outline in (None, [], {}):
        yield "has no segmentation: a box alone says nothing about pixels"
    elif not _coco_annotations.is_outline(outline):
        yield "segmentation must be polygons of at least three points, x y x y …, or run lengths with counts and size"


def _segments_problems(entry: dict[str, Any], categories: set[Any]) -> Iterator[str]:
    name, segments = entry.get("file_name"), entry.get(_SEGMENTS)
    if not isinstance(name, str) or not _coco_annotations.is_below(name):
        yield f"file_name {str(name)[:80]!r} is no name of a PNG in or below the folder of masks"
    if not isinstance(segments, list) or not all(isinstance(each, dict) for each in segments):
        yield f"{_SEGMENTS} must be a list of objects"
        return
    ids = [each.get("id") for each in segments]
    if not all(type(key) is int and 0 < key < 1 << 24 for key in ids) or len(set(ids)) != len(ids):
        yield f"ids in {_SEGMENTS} must be whole numbers from 1 to 16777215, each once"
    for each in segments:
        yield from _part_problems(each, categories)


def _part_problems(entry: dict[str, Any], categories: set[Any]) -> Iterator[str]:
    category = entry.get("category_id")
    if type(category) is not int or category not in categories:
        yield f"category_id {str(category)[:20]} is no category of the file"
    if entry.get("iscrowd", 0) not in (0, 1):
        yield "iscrowd must be 0 or 1"


def _is_panoptic(document: dict[str, Any]) -> bool:
    return any(isinstance(each, dict) and _SEGMENTS in each for each in document["annotations"])
