"""Joins masks that hold one class, or one object, each to label maps.

A folder, a file or a Label Studio tag for each class: `masks/<class>/<name>.png`, `masks/<name>_<class>.png`, and Label
Studio's `task-1-annotation-2-by-3-tag-car-0.png`, of which the project's JSON tells the picture. Or a folder for each
picture with a mask for each object, as the nuclei of the Data Science Bowl of 2018: `<picture>/images/<picture>.png`,
`<picture>/masks/*.png`; the objects are of the second of two classes. What no mask covers is `background`; where two
masks overlap the one of fewer pixels lies on top, as in COCO's files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from densecast.datasets import _names
from densecast.datasets._masks import MaskColours, read_values
from densecast.datasets.pairs._folders import Part
from densecast.datasets.pairs._matching import Matched
from densecast.datasets.pairs.classes import folded
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import BadDatasetError, BadImageError
from densecast.spec.data_options import Reading
from densecast.spec.sample import Sample

BACKGROUND = "background"
_OBJECT, _TWO = "object", 2
_TAGGED = re.compile(r"task-(?P<task>\d+)-annotation-(?P<annotation>\d+)(?:-by-\d+)?-tag-(?P<label>.+)-\d+")
# Label Studio puts this before the names of files that were uploaded.
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")
_MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Layers:
    """The masks of each picture, by its id, with the place of their class in `names` (0 is the background)."""

    of_sample: Mapping[str, tuple[tuple[int, Path], ...]]
    names: tuple[str, ...]

    def values(self, sample: Sample, soft: bool = False) -> npt.NDArray[np.uint8]:
        """(H, W): 0 where no mask is, else the place of its class.

        Raises:
            BadImageError: a mask holds more than two values, or cannot be read.
            BadDatasetError: the masks of a picture are of several sizes.
        """
        read: list[tuple[int, int, npt.NDArray[np.bool_]]] = []
        for place, path in self.of_sample[sample.id]:
            inside = _inside(path, soft)
            if read and read[0][2].shape != inside.shape:
                raise BadDatasetError(f"{path}: its size is not that of {self.of_sample[sample.id][0][1].name}.")
            read.append((int(np.count_nonzero(inside)), place, inside))
        values = np.zeros(read[0][2].shape, np.uint8)
        for _, place, inside in sorted(read, key=lambda each: (-each[0], each[1])):
            values[inside] = place
        return values


def find(parts: Sequence[Part], root: Path, labels: Sequence[str]) -> tuple[list[Matched], Layers] | None:
    """The pictures of all parts with their masks of one class each; None where masks are not of that kind.

    Raises:
        BadDatasetError: Label Studio's masks without the JSON that tells their pictures, or several annotations of one.
    """
    for search in (_tagged, _folders, _endings, _objects):
        found = []
        for part in parts:
            images, masks = _names.images_of(part.images, below=True), _names.masks_of(part.masks, below=True)
            owned = search(part, root, images, masks, labels) if images and masks else None
            if owned is None or part.images == part.masks:
                break
            found.append((part, images, masks, owned))
        if found and len(found) == len(parts):
            return _joined(found, labels[0] if search is _objects and labels else BACKGROUND)
    return None


def with_names(file: DataFile, layers: Layers, reading: Reading) -> DataFile:
    """The data file with the classes of the masks.

    Pixels of none are not evaluated where the model has no background, unless something is said of them.
    """
    ignore = file.ignore
    moved = {folded(entry.partition("=")[0]) for entry in (*reading.options.remap, *file.remap)}
    known = {folded(label) for label in reading.labels} | moved
    background = layers.names[0]
    if reading.labels and folded(background) not in known:
        ignore = (*ignore, background)
    return replace(file, names=layers.names, ignore=ignore, colours={}, model_colours=False)


Owned = tuple[dict[Path, list[tuple[str, Path]]], str]
"""The masks of each picture with the name of their class, and the rule in words."""


def _joined(found: list[tuple[Part, list[Path], list[Path], Owned]], background: str) -> tuple[list[Matched], Layers]:
    given = [label for *_, (owned, _) in found for own in owned.values() for label, _ in own]
    shown = {folded(label): label for label in sorted(given)}
    shown.pop(folded(background), None)
    names = (background, *(shown[each] for each in sorted(shown)))
    places = {folded(name): place for place, name in enumerate(names)}
    of_sample: dict[str, tuple[tuple[int, Path], ...]] = {}
    matched = []
    for part, images, masks, (owned, rule) in found:
        samples = []
        for image in (each for each in images if each in owned):
            name = part.prefix + image.relative_to(part.images).with_suffix("").as_posix()
            own = sorted(owned[image], key=lambda each: str(each[1]))
            samples.append(Sample(name, image, own[0][1]))
            of_sample[name] = tuple((places[folded(label)], path) for label, path in own)
        used = {path for own in owned.values() for _, path in own}
        matched.append(
            Matched(
                tuple(sorted(samples, key=lambda sample: sample.id)),
                tuple(image for image in images if image not in owned),
                tuple(mask for mask in masks if mask not in used),
                rule,
            )
        )
    return matched, Layers(of_sample, names)


def _folders(part: Part, root: Path, images: list[Path], masks: list[Path], labels: Sequence[str]) -> Owned | None:
    """`<class>/<name>.png`: every folder is called as a class, or most are."""
    known = {folded(label) for label in labels}
    by_name = _by_name(part, images)
    owned: dict[Path, list[tuple[str, Path]]] = {}
    classes = set()
    for mask in masks:
        folder, *inner = mask.relative_to(part.masks).parts
        image = by_name.get(_names.nfc(Path(*inner).with_suffix("").as_posix())) if inner else None
        if image is None:
            return None
        classes.add(folded(folder))
        owned.setdefault(image, []).append((folder, mask))
    if not classes & known:
        return None
    return owned, "masks are in a folder for each class"


def _endings(part: Part, root: Path, images: list[Path], masks: list[Path], labels: Sequence[str]) -> Owned | None:
    """`<name>_<class>.png`: every mask is a picture's name and a class's."""
    known = {folded(label): label for label in labels}
    by_name = _by_name(part, images)
    owned: dict[Path, list[tuple[str, Path]]] = {}
    for mask in masks:
        stem = _names.nfc(mask.relative_to(part.masks).with_suffix("").as_posix())
        found = None
        for cut in (place for place, letter in enumerate(stem) if letter in "_-. "):
            label = known.get(folded(stem[cut + 1 :]))
            if label is not None and stem[:cut] in by_name:
                found = (by_name[stem[:cut]], label)
        if found is None:
            return None
        owned.setdefault(found[0], []).append((found[1], mask))
    return owned, "masks are named as their pictures and a class"


def _objects(part: Part, root: Path, images: list[Path], masks: list[Path], labels: Sequence[str]) -> Owned | None:
    """One picture with the masks of its objects; None of several pictures, or of a model of several classes of them."""
    if not part.prefix or len(images) != 1 or len(labels) not in (0, _TWO):
        return None
    label = labels[1] if labels else _OBJECT
    return {images[0]: [(label, mask) for mask in masks]}, f"masks are of one object each, all of them {label}"


def _tagged(part: Part, root: Path, images: list[Path], masks: list[Path], labels: Sequence[str]) -> Owned | None:
    """Label Studio's export of brushes: the task's picture is told by the project's JSON."""
    found = [(mask, _TAGGED.fullmatch(mask.stem)) for mask in masks]
    tags = [(mask, each) for mask, each in found if each is not None]
    if len(tags) < len(masks):
        return None
    pictures = _tasks(root, images)
    owned: dict[Path, list[tuple[str, Path]]] = {}
    annotation_of: dict[str, str] = {}
    for mask, tag in tags:
        if annotation_of.setdefault(tag["task"], tag["annotation"]) != tag["annotation"]:
            raise BadDatasetError(
                f"{mask.parent}: task {tag['task']} has annotations {annotation_of[tag['task']]} and "
                f"{tag['annotation']}: keep the masks of one of them."
            )
        if tag["task"] not in pictures:
            raise BadDatasetError(
                f"{mask}: which picture is task {tag['task']}? Export the project of Label Studio as JSON as well, and "
                f"lay the file into {root}; it has to name the pictures as they are called here, as {images[0].name}."
            )
        owned.setdefault(pictures[tag["task"]], []).append((tag["label"], mask))
    return owned, "Label Studio's masks of one label each, by the tasks of its JSON"


def _tasks(root: Path, images: list[Path]) -> dict[str, Path]:
    """The picture of each task, from the first JSON in the root that lists tasks."""
    by_file: dict[str, Path] = {}
    for image in images:
        for name in (image.name, _UPLOADED.sub("", image.name)):
            by_file.setdefault(_names.nfc(name), image)
    for path in sorted(root.glob("*.json")):
        if path.stat().st_size > _MAX_BYTES:
            continue
        try:
            tasks: Any = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            continue
        if not isinstance(tasks, list) or not all(isinstance(each, dict) and "id" in each for each in tasks):
            continue
        found: dict[str, Path] = {}
        for task in tasks:
            data = task.get("data")
            # The smaller of Label Studio's two JSON formats has no level of its own for the data.
            for value in (data if isinstance(data, dict) else task).values():
                name = _names.nfc(unquote(str(value)).replace("\\", "/").rpartition("/")[2].partition("?")[0])
                told = by_file.get(name) or by_file.get(_UPLOADED.sub("", name))
                if told is not None:
                    found[str(task["id"])] = told
        if found:
            return found
    return {}


def _by_name(part: Part, images: list[Path]) -> dict[str, Path]:
    return {_names.nfc(image.relative_to(part.images).with_suffix("").as_posix()): image for image in images}


def _inside(path: Path, soft: bool) -> npt.NDArray[np.bool_]:
    """Where a mask of one class is: its other value than 0."""
    values, _ = read_values(path, MaskColours(classes=2, nearest=soft))
    present = np.unique(values)
    if len(present) > 2 or (len(present) == 2 and int(present[0]) != 0):
        shown = ", ".join(str(int(value)) for value in present[:5])
        raise BadImageError(f"{path}: a mask of one class holds 0 and another value, this one {shown}.")
    return np.asarray(values != 0)
