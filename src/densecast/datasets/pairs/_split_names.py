"""Tells which split a folder or a list file is of, by its name."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from densecast.spec.sample import Split

SPLITS: dict[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
}  # fmt: skip
# What is one of them only beside a folder for training.
_OTHERS: dict[str, Split] = {
    "trn": "train", "dev": "val", "eval": "val", "evaluation": "val", "validate": "val",
}  # fmt: skip
_WORD = re.compile(r"[a-z]+")
_LISTS = (".txt", ".lst")
TABLES = (".csv", ".tsv")
"""Endings of tables that may list pictures, and their masks."""

LISTS = (".txt", *TABLES)
"""Endings of lists that a data file may name."""

_MAYBE_LISTS = (*_LISTS, ".csv", ".tsv", ".json", ".yaml", ".yml", ".toml", ".xlsx", ".pkl", ".npy")
_SPLIT_WORD = re.compile(r"train|val|split|fold", re.I)


def lists(root: Path) -> dict[Split, tuple[Path, ...]]:
    """The lists of a split that lie where tools write them: of plain names, else `train_list.txt`, `Val.lst`."""
    for folder in (root / "ImageSets" / "Segmentation", root / "splits", root / "ImageSets", root):
        found: dict[Split, tuple[Path, ...]] = {}
        for name, split in SPLITS.items():
            path = folder / f"{name}.txt"
            if path.is_file():
                found.setdefault(split, (path,))
        if found:
            return found
        for path in sorted(folder.glob("*")) if folder.is_dir() else ():
            longer = split_in(path.stem) if path.suffix.lower() in _LISTS and path.is_file() else None
            if longer is not None:
                found[longer] = (*found.get(longer, ()), path)
        if len(found) == len(set(SPLITS.values())) and all(len(paths) == 1 for paths in found.values()):
            return found
    return {}


def is_list(name: str) -> bool:
    """Whether a data file's place is a list of pictures, by its name."""
    return PurePath(name).suffix.lower() in LISTS


def unread_lists(root: Path) -> list[str]:
    """Names of files beside the pictures, or below `ImageSets`, that may list a split, but are not read."""
    places = [*root.iterdir(), *root.glob("ImageSets/*/*")]
    return [
        path.relative_to(root).as_posix()
        for path in sorted(places)
        if path.suffix.lower() in _MAYBE_LISTS and path.is_file() and _SPLIT_WORD.search(path.stem)
    ]


def split_in(name: str) -> Split | None:
    """The split of which a folder's name has a word, if it is one alone."""
    words = _WORD.findall(name.lower())
    splits = {SPLITS.get(word) or _OTHERS.get(word) for word in words} - {None}
    return splits.pop() if len(splits) == 1 else None
