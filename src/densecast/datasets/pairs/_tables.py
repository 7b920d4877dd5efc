"""Reads tables (CSV, TSV) that list pictures, with their masks, their split, or both, a picture a line.

The first line names the columns (`image,mask`, `img_path;label_path;split`), or is itself a picture with its mask.
Paths are seen from the table's folder, are absolute, or begin on another machine.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from densecast.datasets import _lists, _mask_arrays, _names
from densecast.datasets.pairs._folders import Found, Part
from densecast.datasets.pairs._matching import Matched
from densecast.datasets.pairs._split_names import SPLITS, TABLES, split_in
from densecast.errors import BadDatasetError
from densecast.spec.sample import Sample, Split

_MAX_BYTES, _SHOWN = 64 << 20, 200
# Heads of columns, without case, blanks and signs; the usual first.
_IMAGES = (
    "image", "images", "img", "imagepath", "imgpath", "imagefile", "imagefilename", "imagename", "imgname", "filename",
    "file", "filepath", "path", "picture", "photo", "rgb", "input", "imageid", "name", "id", "x",
)  # fmt: skip
_MASKS = (
    "mask", "masks", "maskpath", "maskfile", "maskfilename", "maskname", "label", "labels", "labelpath", "labelfile",
    "annotation", "annotationpath", "segmentation", "segmentationpath", "seg", "segpath", "target", "targetpath", "gt",
    "groundtruth", "y",
)  # fmt: skip
_SPLIT = ("split", "set", "subset", "partition", "phase", "usage", "fold")
_TEST = frozenset(("test", "testing", "unused", "holdout"))


@dataclass(frozen=True, slots=True)
class Row:
    """A picture, its mask where the table names it, and its split where it has such a column."""

    image: str
    mask: str | None
    split: Split | None


def rows_of(path: Path) -> list[Row]:
    """The pictures of a table; empty for a table of something else. Lines of a test split are left out.

    Raises:
        BadDatasetError: too large.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise BadDatasetError(f"{path}: larger than {_MAX_BYTES >> 20} MiB; this is no list of images.")
    text = _lists.text_of(path, old=True)
    try:
        lines = _fields(text) if text is not None else []
    except csv.Error:  # a field beyond all bounds
        return []
    if not lines:
        return []
    heads = [re.sub(r"[\W_]", "", head.casefold()) for head in lines[0]]
    image, mask, split = (_place(heads, words) for words in (_IMAGES, _MASKS, _SPLIT))
    if image is None:
        image, mask, split = (0, 1, None) if _is_file(lines[0][0]) else (None, None, None)
    else:
        lines = lines[1:]
    if image is None or not lines:
        return []
    masks = [_at(line, mask) for line in lines]
    if not all(text is not None and _is_file(text) for text in masks):
        masks = [None] * len(lines)
    words = [(_at(line, split) or "").casefold() for line in lines]
    has_splits = split is not None and all(word in SPLITS or word in _TEST for word in words)
    found = [
        Row(line[image], own, SPLITS[word] if has_splits else None)
        for line, own, word in zip(lines, masks, words, strict=True)
        if image < len(line) and line[image] and not (has_splits and word in _TEST)
    ]
    return found if all(row.mask or _is_name(row.image) for row in found) else []


def lone(root: Path) -> dict[Path, Split | None]:
    """The tables of pictures with their masks that lie in a folder: of each split one, or one alone; else empty."""
    tables = [path for path in _in(root) if (rows := rows_of(path)) and all(row.mask for row in rows)]
    told = _by_split(tables)
    if told:
        return {path: split for split, path in told.items()}
    return dict.fromkeys(tables) if len(tables) == 1 else {}


def lists(root: Path) -> dict[Split, tuple[Path, ...]]:
    """The tables that tell the splits of the pictures of a folder: one of each split, or one with a column of it."""
    tables = {path: rows for path in _in(root) if (rows := rows_of(path))}
    told = _by_split([*tables])
    if told:
        return {split: (path,) for split, path in told.items()}
    with_column = [path for path, rows in tables.items() if {row.split for row in rows} >= {"train", "val"}]
    return {"train": (with_column[0],), "val": (with_column[0],)} if len(with_column) == 1 else {}


def of_split(path: Path, split: Split) -> list[Row]:
    """The rows of a split in a table that lists it, which may have a column of splits."""
    return [row for row in rows_of(path) if row.split in (None, split)]


def pairs_of(tables: Mapping[Path, Split | None], root: Path) -> tuple[Found, list[Matched]]:
    """The parts and pairs of tables, a part for each split that they tell.

    Raises:
        BadDatasetError: a table without masks, a file that is not there, or two pictures of one name.
    """
    found: list[tuple[Split | None, Path, Path]] = []
    for table, split in tables.items():
        rows = rows_of(table)
        if not rows or not all(row.mask for row in rows):
            raise BadDatasetError(
                f"{table}: a table of data has a picture and its mask in each line, in columns called image and mask "
                "(and split, where it tells that)."
            )
        for row in rows:
            image, mask = (
                _file_of(name or "", table, what) for name, what in ((row.image, "picture"), (row.mask, "mask"))
            )
            found.append((split or row.split, image, mask))
    images, masks = _common(image for _, image, _mask in found), _common(mask for _, _image, mask in found)
    ids: dict[str, Path] = {}
    for _, image, _mask in found:
        name = image.relative_to(images).with_suffix("").as_posix()
        if ids.setdefault(name, image) != image:
            raise BadDatasetError(f"{ids[name]} and {image.name} are pictures of one name: give each its own.")
    splits = dict.fromkeys(each[0] for each in found)
    parts, matched = [], []
    for split in splits:
        own = {
            image: Sample(image.relative_to(images).with_suffix("").as_posix(), image, mask)
            for each, image, mask in found
            if each == split
        }
        parts.append(Part(images, masks, split))
        matched.append(Matched(tuple(sorted(own.values(), key=lambda one: one.id)), (), (), "masks are those it names"))
    names = " and ".join(table.name for table in tables)
    return Found(tuple(parts), f"pictures and masks by {names}", told_by=names), matched


def _common(paths: Iterable[Path]) -> Path:
    """The folder that all files are below."""
    return Path(os.path.commonpath([path.parent for path in paths]))


def _file_of(name: str, table: Path, what: str) -> Path:
    """The file that a table names: seen from its folder, absolute, or by the end of a path of another machine.

    Raises:
        BadDatasetError: there is none.
    """
    plain = name.replace("\\", "/")
    parts = plain.split("/")
    for tail in (plain, *("/".join(parts[k:]) for k in range(1, len(parts)))):
        path = _names.in_folder(table.parent, tail) if tail else table
        if path != table and path.is_file():
            return path
    raise BadDatasetError(f"{table}: names the {what} {name[:_SHOWN]!r}, which does not exist.")


def _in(root: Path) -> list[Path]:
    """The tables directly in a folder, without those that are too large to be lists."""
    found = [path for path in sorted(root.iterdir()) if path.suffix.lower() in TABLES] if root.is_dir() else []
    found = [path for path in found if path.is_file() and not _names.is_hidden(path)]
    return [path for path in found if path.stat().st_size <= _MAX_BYTES]


def _by_split(tables: Sequence[Path]) -> dict[Split, Path]:
    """The table of each split by their names, where both are there and each is one."""
    told = [(split, path) for path in tables if (split := split_in(path.stem)) is not None]
    by_split = dict(told)
    return by_split if len(told) == len(by_split) == len(set(SPLITS.values())) else {}


def _fields(text: str) -> list[list[str]]:
    first = text.partition("\n")[0]
    delimiter = next((each for each in ("\t", ";", ",") if each in first), ",")
    read = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    return [[field.strip() for field in line] for line in read if any(field.strip() for field in line)]


def _place(heads: Sequence[str], words: Sequence[str]) -> int | None:
    return next((heads.index(word) for word in words if word in heads), None)


def _at(line: Sequence[str], place: int | None) -> str | None:
    return line[place] if place is not None and place < len(line) and line[place] else None


def _is_file(name: str) -> bool:
    """Whether a field names a file of an image, or of an array."""
    suffix = PurePosixPath(name.replace("\\", "/")).suffix.lower()
    return suffix in _names.SUFFIXES or suffix in _mask_arrays.SUFFIXES


def _is_name(name: str) -> bool:
    """Whether a field may be the name of a picture, with or without its ending."""
    return 0 < len(name) <= 1024 and "\0" not in name
