"""LabelMe's JSON files, one beside each picture, as label maps.

Shapes are drawn as LabelMe's own converters draw them (`labelme.utils.shapes_to_label`): in the order of the file, so
that a later shape lies on an earlier one, with Pillow's polygons, rectangles and ellipses, whose border belongs to
them; a mask is a PNG in the box of its two points. `_background_` is no label, `__ignore__` is not evaluated.
X-AnyLabeling writes the same form, with rectangles of four points.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from densecast.datasets import _coco_annotations, _frames, _names, _outline_files
from densecast.datasets._base import DatasetFormat, ModelFormat
from densecast.datasets._categories import NOT_EVALUATED, UNLABELLED, Values
from densecast.datasets._coco_joints import fold
from densecast.datasets._contents import require_folder
from densecast.datasets._outline_files import Found, OutlineFiles
from densecast.datasets.pairs._split_names import SPLITS
from densecast.errors import BadDatasetError
from densecast.imaging import read
from densecast.io import files
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, Sample, Split

# Files may hold their picture in base64, as text.
_MAX_BYTES = 256 << 20
_MAX_PX = 1e6
_LOOKED_AT_BYTES, _LOOKED_INTO = 1 << 16, 20
_BACKGROUND, _IGNORED = "_background_", "__ignore__"
# How many points a shape has that covers an area: exactly, or at least.
_EXACTLY = {"circle": (2,), "rectangle": (2, 4), "oriented_rectangle": (4,), "rotation": (4,), "mask": (2,)}
_AT_LEAST = {"polygon": 3}
_WITHOUT_AREA = ("point", "points", "line", "linestrip")


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: its label, its kind, and its points as x and y in pixels; of a mask its PNG."""

    label: str
    kind: str
    points: tuple[tuple[float, float], ...]
    png: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A file's shapes, the name of its picture, and the height and width that was drawn on, where it is told."""

    image_name: str
    size_hw: tuple[int, int] | None
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is kept of a file once it was read: its labels, its shapes without an area, or what is wrong with it."""

    labels: frozenset[str] = frozenset()
    without_area: tuple[tuple[int, Shape], ...] = ()
    problem: str = ""


class LabelMe:
    """Finds, reads and paints LabelMe's files."""

    name = "labelme"

    def __init__(self) -> None:
        self._facts: dict[str, Facts] = {}

    def find(self, root: Path, reading: Reading) -> Found:
        """All files below the root with their pictures; folders `train`, `val` and their like tell splits."""
        require_folder(root)
        samples: list[Sample] = []
        of_split: dict[str, Split | None] = {}
        for path in _files(root):
            if not _is_own(path):
                continue
            image_name, facts = _facts(path)
            sample = Sample(path.relative_to(root).with_suffix("").as_posix(), _image_of(path, image_name, root), path)
            samples.append(sample)
            of_split[sample.id], self._facts[sample.id] = _split_of(path.relative_to(root)), facts
        if not samples:
            raise BadDatasetError(f"{root} holds no file of LabelMe: JSON with 'shapes' and 'imagePath'.")
        samples.sort(key=lambda sample: sample.id)
        return Found(tuple(samples), of_split, (), (), reading)

    def labels_in(self, sample: Sample, names: Sequence[str], ignored: frozenset[str]) -> set[str]:
        """The labels of a file's shapes."""
        if not sample.image.is_file():
            raise BadDatasetError(
                f"{sample.target}: its picture {sample.image.name} is neither beside it nor in a folder images/."
            )
        facts = self._facts[sample.id]
        if facts.problem:
            raise BadDatasetError(facts.problem)
        for place, shape in facts.without_area:
            if fold(shape.label) not in ignored:
                raise BadDatasetError(
                    f"{sample.target}: shape {place} ({shape.label[:80]}) is a {shape.kind}, which covers no area. "
                    f"Draw a polygon, or leave the label out: --ignore {shape.label[:80]}."
                )
        return set(facts.labels)

    def paint(self, sample: Sample, value_of: Mapping[str, int]) -> Values:
        """(H, W): the values of the shapes, later ones on earlier ones."""
        drawing = _read(sample.target)
        stored, upright = _frames.sizes_hw(sample.image)
        size_hw = drawing.size_hw or upright
        if size_hw not in (stored, upright):
            raise BadDatasetError(
                f"{sample.target}: was drawn on {size_hw[1]}×{size_hw[0]} pixels, its picture {sample.image.name} has "
                f"{stored[1]}×{stored[0]}. The file belongs to another picture, or to this one before it was resized."
            )
        special = {_BACKGROUND: UNLABELLED, _IGNORED: NOT_EVALUATED}
        canvas = Image.new("I", size_hw[::-1], UNLABELLED)
        for shape in drawing.shapes:
            if shape.kind not in _WITHOUT_AREA:
                _draw(canvas, shape, special.get(shape.label, value_of.get(shape.label, NOT_EVALUATED)), sample.target)
        return np.asarray(canvas, np.int32).astype(np.uint16)


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = Reading()) -> OutlineFiles:
    """The split's pictures by their files' paths from the root.

    Raises:
        MissingFileError, BadDatasetError, UsageError: see `_outline_files.open_with`.
    """
    return _outline_files.open_with(LabelMe(), root, split, seed, reading)


def check(root: Path, reading: Reading = Reading()) -> CheckReport:
    """Every file and its picture's size."""
    return _outline_files.check_with(LabelMe(), root, reading)


def looks_like(root: Path) -> bool:
    """Whether a folder holds LabelMe's files, by the first ones that are JSON."""
    return root.is_dir() and any(_is_own(path) for path in _files(root)[:_LOOKED_INTO])


def _files(root: Path) -> list[Path]:
    found = sorted(root.rglob("*.json"))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]


def _is_own(path: Path) -> bool:
    """Whether a file has LabelMe's keys, by its beginning and end."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        parts = [file.read(_LOOKED_AT_BYTES)]
        file.seek(max(0, path.stat().st_size - _LOOKED_AT_BYTES))
        parts.append(file.read())
    return all(any(key in part for part in parts) for key in (b'"shapes"', b'"imagePath"'))


def _split_of(below: Path) -> Split | None:
    return next((SPLITS[part.lower()] for part in below.parts[:-1] if part.lower() in SPLITS), None)


def _facts(path: Path) -> tuple[str, Facts]:
    """The name of a file's picture, and what is to be kept of the file."""
    try:
        drawing = _read(path)
    except BadDatasetError as error:
        return "", Facts(problem=str(error))
    labels = {each.label for each in drawing.shapes if each.label not in (_BACKGROUND, _IGNORED)}
    lines = tuple((place, each) for place, each in enumerate(drawing.shapes) if each.kind in _WITHOUT_AREA)
    return drawing.image_name, Facts(frozenset(labels), lines)


def _image_of(path: Path, name: str, root: Path) -> Path:
    """The picture that a file names, else the one of its own name; where it should lie if there is none."""
    plain = name.replace("\\", "/")
    last = plain.rpartition("/")[2]
    # Files and pictures may lie side by side in folders of their own, each with folders of splits.
    below = path.relative_to(root).parent
    homes = dict.fromkeys(
        (path.parent, path.parent.parent / "images", root / "images" / below, *(root / "images", root))
    )
    named = [_names.in_folder(home, last) for home in homes] if last else []
    if last and _coco_annotations.is_below(plain):
        named.insert(0, path.parent / plain)
    suffixes = [spelt for suffix in sorted(_names.SUFFIXES) for spelt in (suffix, suffix.upper())]
    own = (_names.in_folder(home, f"{path.stem}{suffix}") for home in homes for suffix in suffixes)
    found = next((each for each in (*named, *own) if each.is_file()), None)
    return found or path.parent / (last or f"{path.stem}.jpg")


def _read(path: Path) -> Drawing:
    """Read and validate a file.

    Raises:
        BadDatasetError: names the first thing that is wrong.
    """
    try:
        contents = files.read_bounded(path, _MAX_BYTES)
        if len(contents) > _MAX_BYTES:
            raise BadDatasetError(f"{path}: larger than {_MAX_BYTES >> 20} MiB.")
        document = json.loads(contents)
    except OSError as error:
        raise BadDatasetError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise BadDatasetError(f"{path}: not valid JSON ({error}).") from None
    shapes = document.get("shapes") if isinstance(document, dict) else None
    if not isinstance(shapes, list) or not isinstance(document.get("imagePath"), str):
        raise BadDatasetError(f"{path}: holds no list 'shapes' and no text 'imagePath'; this is no file of LabelMe.")
    sides = [document.get(key) for key in ("imageHeight", "imageWidth")]
    if sides != [None, None] and not all(type(side) is int and 1 <= side <= _MAX_PX for side in sides):
        raise BadDatasetError(f"{path}: imageHeight and imageWidth must be whole numbers of pixels, not {sides}.")
    size_hw = None if sides[0] is None else (int(sides[0]), int(sides[1]))
    return Drawing(document["imagePath"], size_hw, tuple(_shape(each, k, path) for k, each in enumerate(shapes)))


def _shape(given: Any, place: int, path: Path) -> Shape:
    if not isinstance(given, dict) or not isinstance(given.get("label"), (str, int)):
        raise BadDatasetError(f"{path}: shape {place} is no object with a label.")
    kind = given.get("shape_type") or "polygon"  # the oldest files have no kinds
    points = given.get("points")
    if not isinstance(points, list) or not all(_coco_annotations.is_numbers(each, 2) for each in points):
        raise BadDatasetError(f"{path}: the points of shape {place} must be pairs of finite numbers of pixels.")
    if kind not in (*_EXACTLY, *_AT_LEAST, *_WITHOUT_AREA):
        raise BadDatasetError(f"{path}: shape {place} is of the unknown kind {str(kind)[:40]!r}.")
    is_enough = len(points) in _EXACTLY.get(kind, (len(points),)) and len(points) >= _AT_LEAST.get(kind, 0)
    if not is_enough:
        raise BadDatasetError(f"{path}: shape {place}, a {kind}, has {len(points)} points.")
    png = given.get("mask") if kind == "mask" else ""
    if not isinstance(png, str):
        raise BadDatasetError(f"{path}: shape {place} is a mask without its PNG.")
    return Shape(str(given["label"]), kind, tuple((float(x), float(y)) for x, y in points), png)


def _draw(canvas: Image.Image, shape: Shape, value: int, path: Path) -> None:
    draw, points = ImageDraw.Draw(canvas), list(shape.points)
    if shape.kind == "circle":
        (x, y), on_it = points
        radius = math.dist((x, y), on_it)
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], outline=value, fill=value)
    elif shape.kind == "rectangle" and len(points) == 2:
        (left, right), (top, bottom) = (sorted(axis) for axis in zip(*points, strict=True))
        draw.rectangle([left, top, right, bottom], outline=value, fill=value)
    elif shape.kind == "mask":
        (left, top), (right, bottom) = ((int(x), int(y)) for x, y in points)
        mask = _mask(shape.png, path)
        if mask.shape != (bottom - top + 1, right - left + 1):
            raise BadDatasetError(f"{path}: a mask of {shape.label[:80]} has another size than its box.")
        canvas.paste(value, (left, top), Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)))
    else:
        draw.polygon(points, outline=value, fill=value)


def _mask(png: str, path: Path) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(H, W) of a mask's PNG.

    Raises:
        BadDatasetError: it is damaged.
    """
    try:
        contents = base64.b64decode(png, validate=True)
    except (ValueError, binascii.Error):
        raise BadDatasetError(f"{path}: a mask is no base64.") from None
    pixels = read.decode(contents, f"{path}: a mask")
    return np.asarray(pixels)[..., 0] > 0


DATASET: DatasetFormat = ModelFormat(
    open,
    check,
    looks_like,
    ("LABELME_DATASETS_PATH",),
    options=frozenset(("ignore", "remap", "subset")),
)
