"""Selects a split of a user's pairs: by folder, by list file, or by a seeded share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from densecast.datasets import _coco_files, _lists, _names
from densecast.datasets.pairs import _tables
from densecast.datasets.pairs._folders import Found, Part
from densecast.datasets.pairs._split_names import TABLES, is_list, unread_lists
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import BadDatasetError, MissingFileError
from densecast.spec.sample import Sample, Split

VALIDATION_SHARE = 0.1
_TWO_PATHS = re.compile(r"(\S+/[^\s,;]+)(?:\s*[,;]\s*|\s+)(\S+/\S+)")

Parts = Sequence[tuple[Split | None, tuple[Sample, ...]]]
_SPLITS: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True, slots=True)
class Selection:
    """A split's samples, the number of all, how it was chosen in words, and whether it was drawn.

    `trained` is the number of pictures of val that are in train as well.
    """

    samples: tuple[Sample, ...]
    total: int
    words: str
    drawn: bool = False
    trained: int = 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """That val holds what the network was trained on; empty where it does not."""
        return _coco_files.trained_on(self.trained, len(self.samples))


def named_parts(file: DataFile) -> Found | None:
    """The parts of a data file whose `train` or `val` is a folder; None if it names none.

    Masks are in the folder of the same place below `masks`, or where `masks_dir` stands for `images` in the path.

    Raises:
        MissingFileError: a named folder or list is not there.
    """
    parts: list[Part] = []
    for split in _SPLITS:
        place = file.train if split == "train" else file.val
        for name in (place,) if isinstance(place, str) else place if isinstance(place, tuple) else ():
            path = file.root / name
            if is_list(name) and not path.is_dir():
                if not path.is_file():
                    raise MissingFileError(f"{split}: list {path} does not exist.", field=split)
                continue
            if not path.is_dir():
                raise MissingFileError(f"{split}: folder {path} does not exist.", field=split)
            images = next((path / each for each in (file.images or "images",) if (path / each).is_dir()), path)
            parts.append(Part(images, _masks_of(images, file, split), split, f"{split}/"))
    if not parts:
        return None
    named = ", ".join(
        f"{part.split} {_below(file.root, part.images)} with {_below(file.root, part.masks)}" for part in parts
    )
    return Found(tuple(parts), named)


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _masks_of(images: Path, file: DataFile, split: Split) -> Path:
    """The folder of the masks of a folder of pictures."""
    words = (file.masks_dir,) if file.masks_dir else (file.masks, "masks", "labels", "annotations", "ann_dir")
    tried: list[Path] = []
    parts = images.parts
    for word in words:
        if word is None:
            continue
        usual = ("images", "imgs", "img_dir", "img")
        places = [k for k, part in enumerate(parts) if part.lower() in usual or part == file.images]
        tried += [Path(*parts[:k], word, *parts[k + 1 :]) for k in reversed(places)]
        tried += [file.root / word / images.name, images.parent / word, file.root / word / split, file.root / word]
    found = next((path for path in tried if path.is_dir() and path != images), None)
    if found is not None:
        return found
    if file.masks or file.masks_dir:
        raise MissingFileError(f"{split}: there is no folder of masks for {images}, as {tried[0]}.", field="masks_dir")
    return images


def chosen(root: Path, file: DataFile, found: Found, parts: Parts, split: Split, seed: int) -> Selection:
    """The samples of a split: lists over folders, folders over a drawn share.

    Raises:
        BadDatasetError: a list names pictures that are not there, or the split is empty.
    """
    everything = tuple(sorted((sample for _, samples in parts for sample in samples), key=lambda each: each.id))
    lists = _lists_of(root, file) or (
        _lists_beside(found, everything, root) if not any(each for each, _ in parts) else {}
    )
    if lists:
        listed = {
            each: _listed(paths, each, everything, found, root, file.image_suffix) for each, paths in lists.items()
        }
        # A split without a list may have a folder of its own.
        listed |= {each: list(samples) for each, samples in parts if each is not None and each not in lists}
        of_all = _unique([sample for samples in listed.values() for sample in samples])
        samples = tuple(listed.get(split, ())) if split != "all" else of_all
        names = ", ".join(f"{path.name} ({len(listed[each])})" for each, paths in lists.items() for path in paths)
        names += "".join(f", {each} by folder ({len(own)})" for each, own in listed.items() if each not in lists)
        shared = _shared(listed.get("train", ()), samples if split == "val" else ())
        return _not_empty(Selection(samples, len(of_all), f"splits by {names}", False, shared), root, split, names)
    splits = {each for each, _ in parts}
    if splits != {None}:
        samples = tuple(
            sorted((sample for each, own in parts for sample in own if split in (each, "all")), key=lambda one: one.id)
        )
        counts = ", ".join(f"{each or 'no split'} ({len(own)})" for each, own in parts)
        of_train = [sample for each, own in parts if each == "train" for sample in own]
        shared = _shared(of_train, samples if split == "val" else ())
        selection = Selection(samples, len(everything), f"splits by {found.told_by}: {counts}", False, shared)
        return _not_empty(selection, root, split, counts, found.words)
    return _drawn(everything, file, split, seed, root)


def _shared(train: Sequence[Sample], val: Sequence[Sample]) -> int:
    """How many pictures of val are in train as well."""
    trained = {sample.image for sample in train}
    return sum(sample.image in trained for sample in val)


def _drawn(everything: tuple[Sample, ...], file: DataFile, split: Split, seed: int, root: Path) -> Selection:
    share = VALIDATION_SHARE
    if isinstance(file.val, float):
        share = file.val
    elif isinstance(file.train, float):
        share = 1 - file.train
    count = int(len(everything) * share + 1e-9)
    if count == 0 and len(everything) > 1:
        count = 1
    validation = set(np.random.default_rng(seed).permutation(len(everything))[:count].tolist())
    samples = tuple(
        sample for index, sample in enumerate(everything) if split == "all" or (index in validation) == (split == "val")
    )
    words = "no split is named"
    if split != "all":
        words += f": {count} of {len(everything)} drawn for val with seed {seed}"
    if unread := unread_lists(root):
        words += f" ({', '.join(unread)} not read: lists of splits are train.txt and val.txt, a name a line, or tables)"
    return _not_empty(Selection(samples, len(everything), words, True), root, split, f"all ({len(everything)})")


def _not_empty(selection: Selection, root: Path, split: Split, there: str, understood: str = "") -> Selection:
    if not selection.samples:
        cure = "Use the split 'all'."
        if understood.endswith(" left out"):
            cure += f" Of {understood}: for these name the folder itself, with --images-dir and --masks-dir."
        raise BadDatasetError(
            f"{root}: there are no pictures of the split {split!r}; there is {there}. {cure}", field="split"
        )
    return selection


def _lists_of(root: Path, file: DataFile) -> dict[Split, tuple[Path, ...]]:
    """The list files that the data file names."""
    found: dict[Split, tuple[Path, ...]] = {}
    for split in _SPLITS:
        place = file.train if split == "train" else file.val
        names = (place,) if isinstance(place, str) else place if isinstance(place, tuple) else ()
        paths = tuple(root / name for name in names if is_list(name) and not (root / name).is_dir())
        if paths:
            found[split] = paths
    return found


def _lists_beside(found: Found, everything: tuple[Sample, ...], root: Path) -> dict[Split, tuple[Path, ...]]:
    """The lists that a convention finds, else tables that list pictures which are here; tables may be of anything."""
    if found.lists or found.told_by != "folder":
        return found.lists
    here = {name for sample in everything for name in (sample.id, sample.image.name, sample.image.stem)}
    tables = _tables.lists(root)
    names = [row.image for split, paths in tables.items() for path in paths for row in _tables.of_split(path, split)]
    return tables if any(PurePosixPath(name.replace("\\", "/")).name in here for name in names) else {}


def _listed(
    paths: tuple[Path, ...], split: Split, everything: tuple[Sample, ...], found: Found, root: Path, image_suffix: str
) -> list[Sample]:
    """The samples that lists name: by id, by file name, or by a path below the root or the list's folder.

    With an `image_suffix`, which all pictures' names end with, also without it.

    Raises:
        BadDatasetError: a name that is no picture with a mask, or that several are called.
    """
    by_name: dict[str, list[Sample]] = {}
    for sample in everything:
        image = sample.image
        names = {sample.id, image.name, image.stem, image.as_posix()}
        names |= {
            image.relative_to(part.images).as_posix() for part in found.parts if image.is_relative_to(part.images)
        }
        names |= {image.relative_to(root).as_posix()} if image.is_relative_to(root) else set()
        if image_suffix:
            plain = {name[: -len(image.suffix)] if name.endswith(image.suffix) else name for name in names}
            names |= {name.removesuffix(image_suffix) for name in plain}
        for name in {_names.nfc(each) for each in names}:
            by_name.setdefault(name, []).append(sample)
    samples: list[Sample] = []
    for path in paths:
        if path.suffix.lower() in TABLES:
            for row in _rows(path, split):
                sample = _one(_ways(row.image), by_name, row.image, path)
                samples.append(sample if row.mask is None else _with_mask(sample, row.mask, (root, path.parent), path))
            continue
        for name in _lists.read_names(path, is_there=lambda each: _names.nfc(each) in by_name):
            key = _key(name)
            # Lists of pictures with their masks, as CamVid's, name two paths; else a path has blanks.
            two = None if key in by_name else _TWO_PATHS.fullmatch(key)
            ways = (two[1], *_tails(two[1])) if two else ()
            is_image = two is not None and PurePosixPath(two[1]).suffix.lower() in _names.SUFFIXES
            if two is None or not (is_image or any(each in by_name for each in ways)):
                samples.append(_one(_ways(name), by_name, name, path))
            else:
                samples.append(_with_mask(_one(ways, by_name, name, path), two[2], (root, path.parent), path))
    return samples


def _rows(path: Path, split: Split) -> list[_tables.Row]:
    """The rows of a split.

    Raises:
        BadDatasetError: the table has no column of pictures, or names one twice.
    """
    rows = _tables.of_split(path, split)
    if not rows:
        raise BadDatasetError(f"{path}: no column of it is called image (or file, path, name, id).")
    names = [row.image for row in rows]
    if len(set(names)) != len(names):
        raise BadDatasetError(f"{path}: names {len(names) - len(set(names))} images twice.")
    return rows


def _key(name: str) -> str:
    return _names.nfc(name).replace("\\", "/").removeprefix("./").removeprefix("/")


def _ways(name: str) -> tuple[str, ...]:
    return (_key(name), *_tails(_key(name)))


def _one(ways: Sequence[str], by_name: Mapping[str, list[Sample]], name: str, path: Path) -> Sample:
    """The one sample that is called in one of these ways.

    Raises:
        BadDatasetError: there is none, or several are called so.
    """
    here = next((by_name[each] for each in ways if each in by_name), None)
    if here is None:
        raise BadDatasetError(f"{path}: names {name[:200]!r}, which is no picture with a mask here.")
    if len(here) > 1:
        raise BadDatasetError(f"{path}: {name[:200]!r} may be {here[0].image} or {here[1].image}: list the path.")
    return here[0]


def _with_mask(sample: Sample, name: str, folders: Sequence[Path], listed_in: Path) -> Sample:
    """The sample with the mask that its list names beside it, whose path may begin on another machine.

    Raises:
        BadDatasetError: there is no such file.
    """
    target = _names.nfc(sample.target.as_posix())
    for each in (name, *_tails(name)):
        found = next((path for folder in folders if (path := _names.in_folder(folder, each)).is_file()), None)
        if found is not None:
            return replace(sample, target=found)
        if target.endswith(f"/{each}"):
            return sample
    raise BadDatasetError(f"{listed_in}: names the mask {name[:200]!r} of {sample.image.name}, which is not here.")


def _tails(name: str) -> list[str]:
    """`a/b/c.jpg` -> `b/c.jpg`, `c.jpg`."""
    parts = name.split("/")
    return ["/".join(parts[k:]) for k in range(1, len(parts))]


def _unique(samples: list[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted({sample.id: sample for sample in samples}.values(), key=lambda sample: sample.id))
