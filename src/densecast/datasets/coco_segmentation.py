"""COCO's instance, stuff and panoptic files as label maps: one's own, or COCO's.

The root is an annotation file, or a folder that holds files as COCO (`annotations/instances_<split>*.json`,
`panoptic_<split>*.json` with a folder of PNGs of that name), Roboflow (`<split>/_annotations.coco.json`) or FiftyOne
(`labels.json`) write them. Images lie beside the file, in the root, or in `images/`, `data/` or a folder of the split.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast.datasets import _coco_annotations, _coco_labels, _frames
from densecast.datasets._base import DatasetFormat, ModelFormat
from densecast.datasets._coco_annotations import ImageEntry
from densecast.datasets._coco_labels import Labels
from densecast.errors import BadDatasetError, DensecastError, MissingFileError
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, LabelMap, Sample, Split, SplitRecord, ids_sha256

VALIDATION_SHARE = 0.1
_NAMED = re.compile(r"(instances|stuff|panoptic)_(.+)\.json")
_BESIDE = "_annotations.coco.json"
_ALONE = (_BESIDE, "labels.json", "annotations.json", "instances.json", "coco.json", "result.json")
_SPLITS: dict[str, Split] = {"train": "train", "val": "val", "valid": "val", "validation": "val"}
# A list of objects under one of these keys is in no other file that describes data.
_LISTS = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[\s*[{\]]')
_LOOKED_AT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class _File:
    """An annotation file, its split if it names one, and the name that its folder of images may have."""

    path: Path
    split: Split | None
    word: str = ""


@dataclass(frozen=True, slots=True)
class CocoSegmentation:
    """One split; `entries` are the labels and image entry of each sample, `words` say how all was understood."""

    root: Path
    split: Split
    seed: int | None
    total: int
    samples: tuple[Sample, ...]
    entries: dict[str, tuple[Labels, ImageEntry]]
    words: str
    use_exif: bool = False
    name: str = "coco_segmentation"

    def read_target(self, sample: Sample) -> LabelMap:
        """(H, W): the model's class indices, 255 (65535 of over 255 classes) where nothing is evaluated.

        Raises:
            BadImageError: the image's header or the panoptic PNG cannot be read.
            BadDatasetError: the annotated size is not the image's, or an annotation cannot be used.
        """
        labels, image = self.entries[sample.id]
        found = labels.panoptic(image, sample.target) if labels.is_panoptic else labels.instances(image)
        return _frames.to_frame(found, sample.image, sample.target, use_exif=self.use_exif)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        some = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(some), self.total, self.seed, ids_sha256(some), self.words)


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = Reading()) -> CocoSegmentation:
    """The split's images by ascending id, which are COCO's: twelve digits.

    A file whose name tells no split is divided: a tenth, drawn by numpy's PCG64 with `seed` from the sorted ids, is for
    validation.

    Raises:
        MissingFileError: no such folder or file.
        BadDatasetError: no annotation file, several for one split, a wrong entry, an image that is not there, or a
            category that is none of the model's.
        MissingExtraError: there are polygons, and pycocotools is not installed.
    """
    files = _files(root)
    entries: dict[str, tuple[Labels, ImageEntry]] = {}
    of_split: dict[str, Split | None] = {}
    samples: list[Sample] = []
    words: list[str] = []
    for file in files:
        if file.split not in (split, None) and split != "all":
            continue
        labels, understood = _coco_labels.parse(_coco_annotations.load(file.path), file.path, reading)
        words += [f"{file.path.name} ({len(labels.images)} images)", *understood]
        for image in labels.images:
            sample = _sample(root, file, labels, image)
            if sample.id in entries:
                raise BadDatasetError(f"{root}: image {sample.id} is in two files.")
            samples.append(sample)
            entries[sample.id], of_split[sample.id] = (labels, image), file.split
    samples.sort(key=lambda sample: sample.id)
    chosen, drawn = tuple(samples), None
    if split != "all" and None in of_split.values():
        count = max(1, int(len(samples) * VALIDATION_SHARE + 1e-9)) if len(samples) > 1 else 0
        validation = set(np.random.default_rng(seed).permutation(len(samples))[:count].tolist())
        chosen = tuple(each for place, each in enumerate(samples) if (place in validation) == (split == "val"))
        drawn = seed
        words.append(f"no split is named: {count} of {len(samples)} drawn for val with seed {seed}")
    if not chosen:
        there = ", ".join(file.path.name for file in files)
        raise BadDatasetError(
            f"{root}: there are no images of the split {split!r} in {there}. Use the split 'all'.", field="split"
        )
    missing = [path for sample in chosen for path in (sample.image, sample.target) if not path.is_file()]
    if missing:
        raise BadDatasetError(f"{len(missing)} annotated images or masks are not there, the first is {missing[0]}.")
    understood_all = "; ".join(dict.fromkeys(words))
    return CocoSegmentation(root, split, drawn, len(samples), chosen, entries, understood_all, reading.use_exif)


def check(root: Path, reading: Reading = Reading()) -> CheckReport:
    """Every entry of the annotation files, and every image's size and outlines."""
    reports: list[str] = []
    count = 0
    for file in _files(root):
        try:
            document = _coco_annotations.load(file.path)
            wrong = [f"{file.path.name}: {each}" for each in _coco_labels.problems(document)]
            reports += wrong
            if wrong:
                continue
            labels, _ = _coco_labels.parse(document, file.path, reading)
        except DensecastError as error:
            reports.append(str(error))
            continue
        samples = tuple(_sample(root, file, labels, image) for image in labels.images)
        entries = {each.id: (labels, image) for each, image in zip(samples, labels.images, strict=True)}
        opened = CocoSegmentation(root, "all", None, len(samples), samples, entries, "", reading.use_exif)
        count += len(samples)
        for sample in samples:
            try:
                opened.read_target(sample)
            except DensecastError as error:
                reports.append(f"image {sample.id}: {error}")
    return CheckReport(root, {"images": count}, tuple(reports))


def looks_like(root: Path) -> bool:
    """Whether this is an annotation file of COCO, or a folder that holds some; people's key points are none."""
    if root.is_file():
        return _is_annotation_file(root)
    return root.is_dir() and any(_is_annotation_file(file.path) for file in _found(root))


def _is_annotation_file(path: Path) -> bool:
    """Whether a file has COCO's lists, by its beginning and end."""
    if path.suffix.lower() != ".json":
        return False
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT_BYTES)
        file.seek(max(0, path.stat().st_size - _LOOKED_AT_BYTES))
        return bool(_LISTS.search(head) or _LISTS.search(file.read()))


def _files(root: Path) -> tuple[_File, ...]:
    """The annotation files.

    Raises:
        MissingFileError: no such folder or file.
        BadDatasetError: none, or several kinds or several for one split.
    """
    if root.is_file():
        named = _NAMED.fullmatch(root.name)
        word = named[2] if named else root.parent.name if root.name == _BESIDE else ""
        return (_File(root, _split_of(word), word),)
    if not root.is_dir():
        raise MissingFileError(f"data set folder {root} does not exist.")
    files = _found(root)
    if not files:
        raise BadDatasetError(
            f"{root} holds no annotations/instances_<split>.json, panoptic_<split>.json or <split>/{_BESIDE}. Name the "
            "file: --data FILE.json."
        )
    splits = [file.split for file in files]
    if len(set(splits)) != len(splits) or (None in splits and len(files) > 1):
        names = ", ".join(file.path.relative_to(root).as_posix() for file in files)
        raise BadDatasetError(f"{root} holds {names}: which is meant cannot be known. Name one: --data FILE.json.")
    return files


def _found(root: Path) -> tuple[_File, ...]:
    for folder in (root / "annotations", root):
        named = [(path, _NAMED.fullmatch(path.name)) for path in sorted(folder.glob("*.json"))]
        files = tuple(_File(path, _split_of(each[2]), each[2]) for path, each in named if each)
        # Files of test images have no annotations.
        files = tuple(file for file in files if not file.word.startswith(("test", "image_info", "unlabeled")))
        if files:
            return files
    below = [(root / word / _BESIDE, split, word) for word, split in _SPLITS.items()]
    files = tuple(_File(path, split, word) for path, split, word in below if path.is_file())
    alone = (root / name for name in _ALONE)
    return files or tuple(_File(path, None) for path in alone if path.is_file())[:1]


def _split_of(word: str) -> Split | None:
    bare = re.match(r"[a-z]*", word.lower())
    return _SPLITS.get(bare[0]) if bare else None


def _sample(root: Path, file: _File, labels: Labels, image: ImageEntry) -> Sample:
    top = (
        (file.path.parent.parent if file.path.parent.name == "annotations" else file.path.parent)
        if root.is_file()
        else root
    )
    words = dict.fromkeys((file.word, file.split or "", f"{file.split}2017", ""))
    places = [place / word for word in words for place in (top, top / "images")]
    folders = (*places, top / "data", file.path.parent, file.path.parent / "images")
    target = file.path
    if labels.is_panoptic:
        target = _coco_annotations.image_path((file.path.with_suffix(""), file.path.parent), labels.png_of(image.id))
    return Sample(f"{image.id:012d}", _coco_annotations.image_path(folders, image.file_name), target)


DATASET: DatasetFormat = ModelFormat(
    open,
    check,
    looks_like,
    ("COCO_SEGMENTATION_DATASETS_PATH",),
    options=frozenset(("ignore", "remap", "subset")),
)
