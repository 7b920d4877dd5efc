"""Finds COCO's annotation files and the images of their entries, as COCO and other tools lay them out.

A root is an annotation file, a data file whose key `coco` names one (or one a split), or a folder with files as COCO
(`annotations/instances_<split>*.json`), Roboflow (`<split>/_annotations.coco.json`), FiftyOne (`labels.json`),
Supervisely (`annotations/instances.json` beside `images/`) or CVAT (`annotations/instances_default.json`,
`images/default/`) write them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from densecast.datasets import _coco_annotations
from densecast.datasets._contents import require_folder
from densecast.datasets.pairs import data_file
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import BadConfigError, BadDatasetError, DensecastError, MissingFileError
from densecast.spec.data_options import DataOptions, Reading
from densecast.spec.sample import Sample, Split

LABELS = ("instances", "stuff", "panoptic")
"""What names of files with outlines begin with."""
KEYPOINTS = ("person_keypoints", "keypoints")
"""What names of files with key points begin with."""
VALIDATION_SHARE = 0.1

_BESIDE = "_annotations.coco.json"
_ALONE = (_BESIDE, "labels.json", "annotations.json", "instances.json", "coco.json", "result.json")
_SPLITS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val"}
# A list of objects under one of these keys is in no other file that describes data.
_LISTS = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[\s*[{\]]')
_LOOKED_AT_BYTES = 1 << 16
# Missing files beside which a similar name is looked for.
_LOOKED_AT = 8
# What a data file may say beside `coco`; all else is of masks.
_BESIDE_COCO = frozenset(("coco", "images", "remap", "ignore", "subset", "metric"))


@dataclass(frozen=True, slots=True)
class CocoFile:
    """An annotation file, its split if it names one, and folders that its images may lie in, the likeliest first."""

    path: Path
    split: Split | None
    folders: tuple[Path, ...]

    def image(self, file_name: str) -> Path:
        """Where an image lies, or should lie."""
        return _coco_annotations.image_path(self.folders, file_name)


def files(root: Path, kinds: tuple[str, ...], example: str) -> tuple[CocoFile, ...]:
    """The annotation files of `root`, sorted; `kinds` are what their names begin with, `example` is for messages.

    Raises:
        MissingFileError: no such folder or file.
        BadConfigError: a data file that is wrong.
        BadDatasetError: none, or several for one split.
    """
    described = _described(root)
    if described is not None:
        found = _of_data_file(described)
        missing = next((file.path for file in found if not file.path.is_file()), None)
        if missing is not None:
            raise MissingFileError(f"{described.file} names {missing}, which does not exist.")
        return found
    if root.is_file():
        named = _named(root, kinds)
        word = named if named is not None else root.parent.name if root.name == _BESIDE else ""
        top = root.parent.parent if root.parent.name == "annotations" else root.parent
        return (_file(root, top, word),)
    require_folder(root)
    found = _found(root, kinds)
    if not found:
        raise BadDatasetError(
            f"{root} holds no annotations/{example} or <split>/{_BESIDE}. Name the file: --data FILE.json, or "
            'coco = "FILE.json" in a data.toml.'
        )
    splits = [file.split for file in found]
    if len(set(splits)) != len(splits) or (None in splits and len(found) > 1):
        names = ", ".join(file.path.relative_to(root).as_posix() for file in found)
        raise BadDatasetError(f"{root} holds {names}: which is meant cannot be known. Name one: --data FILE.json.")
    return found


def looks_like(root: Path, kinds: tuple[str, ...]) -> bool:
    """Whether this is an annotation file of COCO, a data file that names one, or a folder that holds some."""
    try:
        if _described(root) is not None:
            return True
    except DensecastError:  # said by whoever reads it
        return False
    if root.is_file():
        return _is_annotation_file(root)
    return root.is_dir() and any(_is_annotation_file(file.path) for file in _found(root, kinds))


def described(root: Path, reading: Reading) -> Reading:
    """The reading with what the data file of `root` says, where options do not say something else."""
    return with_file(reading, _described(root))


def with_file(reading: Reading, file: DataFile | None) -> Reading:
    """The reading with what a data file says of classes, where options do not say something else."""
    if file is None:
        return reading
    options = reading.options
    told = DataOptions(remap=tuple(f"{left}={right}" for left, right in file.remap.items()))
    return replace(
        reading,
        options=replace(
            options,
            remap=options.remap or told.remap,
            ignore=options.ignore or file.ignore,
            subset=options.subset or file.subset,
        ),
    )


def chosen(
    samples: Sequence[Sample], of_split: dict[str, Split | None], split: Split, seed: int
) -> tuple[tuple[Sample, ...], str]:
    """The samples of a split, and in words how they were drawn where files name no split (else an empty text).

    A tenth is for validation, drawn by numpy's PCG64 with `seed` from the sorted samples.
    """
    if split == "all" or None not in of_split.values():
        return tuple(samples), ""
    count = max(1, int(len(samples) * VALIDATION_SHARE + 1e-9)) if len(samples) > 1 else 0
    validation = set(np.random.default_rng(seed).permutation(len(samples))[:count].tolist())
    picked = tuple(each for place, each in enumerate(samples) if (place in validation) == (split == "val"))
    return picked, f"no split is named: {count} of {len(samples)} drawn for val with seed {seed}"


def trained_on(count: int, of: int) -> tuple[str, ...]:
    """The remark that so many pictures of val are in train as well; empty where none is."""
    if not count:
        return ()
    return (
        f"{count} of {of} pictures of val are in train as well: a score of what the network was trained on says little "
        "about new pictures",
    )


def prefixes(numbers: Sequence[tuple[CocoFile, Sequence[int]]]) -> list[str]:
    """What ids of each file's images begin with: nothing, or the split where files count their images separately."""
    every = [number for _, own in numbers for number in set(own)]
    is_apart = len(set(every)) == len(every)
    return ["" if is_apart else f"{file.split}/" for file, _ in numbers]


def missing(samples: Sequence[Sample], file: CocoFile) -> BadDatasetError | None:
    """An error for annotated files that are not there; None if all are."""
    absent = [path for each in samples for path in (each.image, each.target) if not path.is_file()]
    if not absent:
        return None
    other_case = next((name for path in absent[:_LOOKED_AT] if (name := _in_other_case(path)) is not None), None)
    if other_case is not None:
        return BadDatasetError(
            f"{len(absent)} annotated images or masks are not there, the first is {absent[0]}. There is {other_case}: "
            "upper and lower case have to be the same. Rename the files, or the entries of the annotations."
        )
    looked = ", ".join(str(folder) for folder in file.folders if folder.is_dir())
    return BadDatasetError(
        f"{len(absent)} annotated images or masks are not there, the first is {absent[0]} (looked for in {looked}). "
        'Say where they are: images = "FOLDER" in a data.toml that has coco = "FILE.json".'
    )


def _in_other_case(path: Path) -> str | None:
    """A file beside where this one is looked for, whose name differs by upper and lower case alone."""
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    return next((each.name for each in beside if each.name.lower() == path.name.lower()), None)


def shared(samples: Sequence[Sample]) -> BadDatasetError | None:
    """An error for two entries of one picture, of which each would be measured with half of what is annotated."""
    owner: dict[Path, Sample] = {}
    for sample in samples:
        other = owner.setdefault(sample.image, sample)
        if other is not sample:
            return BadDatasetError(
                f"images {other.id} and {sample.id} of the annotations are one file, {sample.image}: give each its "
                "own, or join their annotations under one id."
            )
    return None


def _described(root: Path) -> DataFile | None:
    """The data file that `root` is or holds, if it names an annotation file.

    Raises:
        BadConfigError: it is wrong, or says something of masks beside.
    """
    path = root if root.is_file() else data_file.find(root)
    if path is None or path.suffix.lower() == ".json" or not data_file.is_data_file(path):
        return None
    file = data_file.read(path)
    if not file.coco:
        return None
    idle = sorted(file.given - _BESIDE_COCO - {"path", "train", "val", "names", "nc"}) or (
        [key for key in ("train", "val") if key in file.given]
    )
    if idle:
        raise BadConfigError(
            f"{path}: {idle[0]!r} has no effect beside 'coco', whose file says it. Splits: coco = {{ train = "
            '"a.json", val = "b.json" }.'
        )
    return file


def _of_data_file(file: DataFile) -> tuple[CocoFile, ...]:
    assert file.coco is not None
    found = []
    for word, name in file.coco.items():
        path = file.root / name
        beside = _file(path, file.root, word or _named(path, (*LABELS, *KEYPOINTS)) or "")
        split = _SPLITS.get(word) if word else beside.split if len(file.coco) > 1 else None
        own = (file.root / file.images,) if file.images else beside.folders
        within = (own[0] / word, own[0] / f"{word}2017") if word else ()
        found.append(CocoFile(path, split, (*own, *within) if file.images else own))
    return tuple(found)


def _named(path: Path, kinds: tuple[str, ...]) -> str | None:
    """`val2017` of `instances_val2017.json`; an empty text for `instances.json`."""
    found = re.fullmatch(rf"(?:{'|'.join(kinds)})(?:_(.+))?\.json", path.name)
    return None if found is None else found[1] or ""


def _found(root: Path, kinds: tuple[str, ...]) -> tuple[CocoFile, ...]:
    for folder in (root / "annotations", root):
        words = [(path, _named(path, kinds)) for path in sorted(folder.glob("*.json")) if not path.name.startswith(".")]
        # Files of test images have no annotations.
        found = [_file(path, root, word) for path, word in words if word is not None and not _is_of_tests(word)]
        if found:
            return tuple(found)
    below = [(root / word / _BESIDE, word) for word in _SPLITS]
    found = [_file(path, root, word) for path, word in below if path.is_file()]
    alone = (folder / name for folder in (root, root / "annotations") for name in _ALONE)
    return tuple(found) or tuple(_file(path, root, "") for path in alone if path.is_file())[:1]


def _is_of_tests(word: str) -> bool:
    return word.startswith(("test", "image_info", "unlabeled"))


def _file(path: Path, top: Path, word: str) -> CocoFile:
    bare = re.match(r"[a-z]*", word.lower())
    split = _SPLITS.get(bare[0]) if bare else None
    names = dict.fromkeys((word, split or "", f"{split}2017" if split else "", ""))
    places = [place / each for each in names for place in (top, top / "images")]
    beside = (path.parent, path.parent / "images", path.parent.parent / "images")
    return CocoFile(path, split, tuple(dict.fromkeys((*places, top / "data", top / "img", *beside))))


def _is_annotation_file(path: Path) -> bool:
    """Whether a file has COCO's lists, by its beginning and end."""
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT_BYTES)
        file.seek(max(0, path.stat().st_size - _LOOKED_AT_BYTES))
        return bool(_LISTS.search(head) or _LISTS.search(file.read()))
