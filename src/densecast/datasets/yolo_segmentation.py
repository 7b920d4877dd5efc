"""Outlines in text files, one for each picture, as Ultralytics' tools and many annotation tools write them.

A line is a class's number and an outline's points, x and y as shares of the picture's width and height. A `data.yaml`
names the classes and the folders of pictures; the folder `labels` lies where `images` does, with the same folders and
names in it. Outlines are filled as Ultralytics fills them (`ultralytics.data.utils.polygons2masks_overlap`): points
are cut to whole pixels, borders belong to the outline (OpenCV's `fillPoly`), and the smaller outline lies on top.
Format: https://docs.ultralytics.com/datasets/segment/. Pictures without a file show background alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from densecast.datasets import _coco_files, _frames, _names, _outline_files
from densecast.datasets._base import DatasetFormat, ModelFormat
from densecast.datasets._categories import UNLABELLED, Values
from densecast.datasets._contents import require_folder
from densecast.datasets._lists import read_names, text_in
from densecast.datasets._outline_files import Found, OutlineFiles
from densecast.datasets.pairs import data_file
from densecast.datasets.pairs._split_names import SPLITS
from densecast.datasets.pairs.data_file import DataFile, Place
from densecast.errors import BadConfigError, BadDatasetError, DensecastError
from densecast.io import files
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, Sample, Split

_MAX_BYTES = 64 << 20
_LEAST_POINTS, _BOX_VALUES = 3, 4
# Tools round: what lies so far outside of the picture is taken as its border's.
_MARGIN = 0.01
_LOOKED_INTO = 20
_OWN_KEYS = frozenset(("path", "train", "val", "names", "nc", "ignore", "remap", "subset"))
_PLAIN_NAMES = ("classes.txt", "obj.names", "labels.txt")

# (points, 2): x and y as shares of the picture's width and height.
Outline = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of a root with their split, the classes' names, and what a data file adds to the options.

    Pictures of both splits have `all`; `missing` are places that the data file names and that do not exist.
    """

    splits: tuple[tuple[Path, Split | None], ...]
    names: tuple[str, ...]
    top: Path
    file: DataFile | None
    missing: tuple[tuple[Split, Path], ...] = ()


class YoloSegmentation:
    """Finds, reads and paints outlines in text files."""

    name = "yolo_segmentation"

    def find(self, root: Path, reading: Reading) -> Found:
        """All pictures with the files of their outlines, which need not exist."""
        pictures = _pictures(root)
        if not pictures.splits:
            raise BadDatasetError(f"{root}: there are no pictures where the data file says, or in images/.")
        if not pictures.names:
            raise BadDatasetError(
                f"{root}: nothing names the classes 0, 1, …: write a data.yaml with names: [first, second], or a "
                "classes.txt with one name a line."
            )
        samples, of_split = [], dict[str, Split | None]()
        for image, split in pictures.splits:
            base = pictures.top if image.is_relative_to(pictures.top) else image.parent
            sample = Sample(image.relative_to(base).with_suffix("").as_posix(), image, _outlines_of(image))
            if sample.id in of_split:
                raise BadDatasetError(f"{image}: another picture is called {sample.id}, too; give each its own name.")
            samples.append(sample)
            of_split[sample.id] = split
        if not any(sample.target.is_file() for sample in samples):
            raise BadDatasetError(f"{root}: none of {len(samples)} pictures has outlines, as {samples[0].target}.")
        empty = sum(not sample.target.is_file() for sample in samples)
        words = (f"{empty} pictures have no file of outlines, and show background alone",) if empty else ()
        samples.sort(key=lambda sample: sample.id)
        with_file = _coco_files.with_file(reading, pictures.file)
        return Found(tuple(samples), of_split, pictures.names, words, with_file, dict(pictures.missing))

    def labels_in(self, sample: Sample, names: Sequence[str], ignored: frozenset[str]) -> set[str]:
        """The names of the classes that outlines have."""
        return {names[number] for number, _ in _read(sample.target, len(names))}

    def paint(self, sample: Sample, value_of: Mapping[str, int]) -> Values:
        """(H, W): the values of the outlines, smaller ones on larger ones, in the upright picture's frame."""
        _, (height, width) = _frames.sizes_hw(sample.image)
        values = list(value_of.values())
        masks: list[tuple[int, int, npt.NDArray[np.uint8]]] = []
        for number, outline in _read(sample.target, len(values)):
            mask = np.zeros((height, width), np.uint8)
            cv2.fillPoly(mask, [(outline * np.array((width, height), np.float32)).astype(np.int32)], 1)
            masks.append((int(np.count_nonzero(mask)), values[number], mask))
        painted: Values = np.full((height, width), UNLABELLED, np.uint16)
        for _, value, mask in sorted(masks, key=lambda each: -each[0]):
            painted[mask > 0] = value
        return painted


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = Reading()) -> OutlineFiles:
    """The split's pictures by their paths.

    Raises:
        MissingFileError, BadDatasetError, BadConfigError, UsageError: see `_outline_files.open_with`.
    """
    return _outline_files.open_with(YoloSegmentation(), root, split, seed, reading)


def check(root: Path, reading: Reading = Reading()) -> CheckReport:
    """Every file of outlines, and its picture's header."""
    return _outline_files.check_with(YoloSegmentation(), root, reading)


def looks_like(root: Path) -> bool:
    """Whether text files of numbers lie where outlines of a root's pictures should be; few files are looked at."""
    try:
        file, top = _described(root)
        homes = [top / "images", *(top / name / "images" for name in SPLITS)]
        if file is not None:
            homes += [_place(top, text) for text, _ in _places(file)]
    except DensecastError:  # said by whoever reads it
        return False
    folders = dict.fromkeys(_outlines_of(home / "x.png").parent for home in homes if home.is_dir())
    texts = (path for folder in folders if folder.is_dir() for path in folder.rglob("*.txt"))
    named = [path for path in itertools.islice(texts, _LOOKED_INTO) if path.name not in _PLAIN_NAMES]
    lists = [_place(top, text) for text, _ in _places(file)] if file is not None else []
    listed = (image for place in lists if place.is_file() for image in _at(top, place)[:_LOOKED_INTO])
    return any(_is_own(path) for path in named) or any(_is_own(_outlines_of(image)) for image in listed)


def _described(root: Path) -> tuple[DataFile | None, Path]:
    """The data file that a root is or holds, and the folder that its paths are seen from.

    Raises:
        MissingFileError: no such folder or file.
        BadConfigError: the data file is wrong, or says something of masks.
    """
    found = data_file.find(root)
    if found is None:
        require_folder(root)
        return None, root
    file = data_file.read(found)
    idle = sorted(file.given - _OWN_KEYS)
    if idle:
        raise BadConfigError(f"{found}: {idle[0]!r} has no effect on outlines in text files.")
    return file, file.root if file.root.is_dir() else found.parent


def _places(file: DataFile) -> list[tuple[str, Split]]:
    """The folders and lists that a data file names, with their splits."""
    named: tuple[tuple[Place, Split], ...] = ((file.train, "train"), (file.val, "val"))
    several = [((place,) if isinstance(place, str) else place, split) for place, split in named]
    return [(text, split) for texts, split in several if isinstance(texts, tuple) for text in texts]


def _pictures(root: Path) -> Pictures:
    """The pictures that a data file names, else those of `images/` or of the folders of splits.

    Raises:
        MissingFileError, BadConfigError: see `_described`.
        BadDatasetError: a list names a picture that does not exist.
    """
    file, top = _described(root)
    if file is None:
        return Pictures(_by_folders(top), _plain_names(top), top, None)
    places = [(_place(top, text), split) for text, split in _places(file)]
    once: dict[Path, Split | None] = {}
    for place, split in places:
        for image in _at(top, place):
            once[image] = split if once.get(image, split) == split else "all"
    missing = tuple((split, place) for place, split in places if not place.exists())
    return Pictures(tuple(once.items()) or _by_folders(top), file.names or _plain_names(top), top, file, missing)


def _by_folders(root: Path) -> tuple[tuple[Path, Split | None], ...]:
    """Pictures below `images/` or `<split>/images/`, with the split that a folder names."""
    homes = [root / "images", *(root / name / "images" for name in SPLITS)]
    images = [image for home in homes for image in _names.images_of(home, below=True)]
    return tuple((image, _split_of(image.relative_to(root))) for image in images)


def _split_of(below: Path) -> Split | None:
    return next((SPLITS[part.lower()] for part in below.parts[:-1] if part.lower() in SPLITS), None)


def _plain_names(root: Path) -> tuple[str, ...]:
    places = (folder / name for folder in (root, root / "labels") for name in _PLAIN_NAMES)
    path = next((place for place in places if place.is_file()), None)
    return () if path is None else tuple(read_names(path))


def _place(top: Path, text: str) -> Path:
    """A folder or list of a data file.

    Roboflow's files are seen from a folder beside them (`../train/images`), as Ultralytics reads them.
    """
    place = top / text
    return top / text[3:] if text.startswith("../") and not place.exists() else place


def _at(top: Path, place: Path) -> list[Path]:
    """The pictures of a place: a folder, or a list with a path a line."""
    if place.suffix.lower() != ".txt" or not place.is_file():
        return _names.images_of(place, below=True)
    named = [place.parent / name if name.startswith("./") else top / name for name in read_names(place)]
    missing = next((path for path in named if not path.is_file()), None)
    if missing is not None:
        raise BadDatasetError(f"{place} names {missing}, which does not exist.")
    return named


def _outlines_of(image: Path) -> Path:
    """Where a picture's outlines lie: in `labels` for the last folder `images`, else beside it."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
    return Path(*parts).with_suffix(".txt")


def _is_own(path: Path) -> bool:
    """Whether the first line is a number and an even count of shares."""
    try:
        first = next((line.split() for line in (_text(path)).splitlines() if line.strip()), [])
        return len(first) > _BOX_VALUES and first[0].isdigit() and all(-1 < float(each) < 2 for each in first[1:])
    except (BadDatasetError, ValueError):
        return False


def _text(path: Path) -> str:
    try:
        contents = files.read_bounded(path, _MAX_BYTES)
    except OSError as error:
        raise BadDatasetError(f"{path}: cannot be read ({error.strerror}).") from None
    text = text_in(contents) if len(contents) <= _MAX_BYTES else None
    if text is None:
        raise BadDatasetError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, or no text in UTF-8.")
    return text


def _read(path: Path, classes: int) -> list[tuple[int, Outline]]:
    """The class and outline of each line; none where there is no file.

    Raises:
        BadDatasetError: names the first line that is wrong.
    """
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            index, values = float(words[0]), np.array([float(each) for each in words[1:]], np.float32)
        except ValueError:
            raise BadDatasetError(f"{path}: line {number} holds something that is no number.") from None
        if not (0 <= index < classes and index == int(index)):
            raise BadDatasetError(f"{path}: line {number} has the class {words[0][:20]}; named are 0 to {classes - 1}.")
        if len(values) == _BOX_VALUES:
            raise BadDatasetError(
                f"{path}: line {number} is a box, which says nothing about pixels: outlines are needed."
            )
        if len(values) % 2 or len(values) < 2 * _LEAST_POINTS:
            raise BadDatasetError(f"{path}: line {number} is no outline of at least three points, x y x y ….")
        if not ((values >= -_MARGIN) & (values <= 1 + _MARGIN)).all():
            raise BadDatasetError(
                f"{path}: line {number} has points outside of the picture; they are shares of its sides."
            )
        found.append((int(index), values.reshape(-1, 2)))
    return found


DATASET: DatasetFormat = ModelFormat(
    open,
    check,
    looks_like,
    ("YOLO_SEGMENTATION_DATASETS_PATH",),
    options=frozenset(("ignore", "remap", "subset")),
)
