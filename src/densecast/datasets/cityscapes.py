"""Cityscapes: street scenes with 19 evaluated classes.

`leftImg8bit/<split>/<city>/<id>_leftImg8bit.png` with `gtFine/<split>/<city>/<id>_gtFine_labelTrainIds.png`, or, where
those were never made, `_labelIds.png` as the archive has them (https://www.cityscapes-dataset.com).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast.datasets._base import DatasetFormat, ModelFormat
from densecast.datasets._contents import require_folder
from densecast.datasets._label_map import read_label_map
from densecast.datasets._masks import Values, read_values
from densecast.datasets._names import is_hidden
from densecast.datasets._survey import NOT_EVALUATED, Survey
from densecast.errors import BadDatasetError, DensecastError
from densecast.imaging.read import size_hw
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, LabelMap, Sample, Split, SplitRecord, ids_sha256
from densecast.tasks.segmentation.palettes import CITYSCAPES, CITYSCAPES_IDS, IGNORED

IMAGES: dict[Split, int] = {"train": 2975, "val": 500}

_IMAGE_SUFFIX = "_leftImg8bit.png"
_TRAIN_IDS, _IDS = "_gtFine_labelTrainIds.png", "_gtFine_labelIds.png"
_OTHER_FORMS = ("polygons.json", "color.png", "instanceIds.png")
_KNOWN_TRAIN_IDS = (*range(len(CITYSCAPES)), IGNORED)
# Ids 0 to 33 of the official label table; the licence plate's -1 is 255 in a byte.
_KNOWN_IDS = (*range(34), IGNORED)


@dataclass(frozen=True, slots=True)
class Cityscapes:
    """One split of a Cityscapes folder."""

    root: Path
    split: Split
    total: int
    samples: tuple[Sample, ...]
    reading: Reading = Reading()
    name: str = "cityscapes"

    def read_target(self, sample: Sample) -> LabelMap:
        """(H, W) uint8: train ids 0 to 18, 255 where nothing is evaluated.

        Raises:
            BadImageError: the labels cannot be read.
            BadDatasetError: their size is not their image's, or there are unknown labels among them.
        """
        if sample.target.name.endswith(_TRAIN_IDS):
            return read_label_map(sample, _KNOWN_TRAIN_IDS, use_exif=self.reading.use_exif)
        train_id = np.full(256, IGNORED, np.uint8)
        train_id[list(CITYSCAPES_IDS)] = np.arange(len(CITYSCAPES_IDS))
        return train_id[read_label_map(sample, _KNOWN_IDS, use_exif=self.reading.use_exif)]

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        chosen = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(chosen), self.total, None, ids_sha256(chosen))


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = Reading()) -> Cityscapes:
    """The split's samples, sorted by id. The splits are the publisher's: there is nothing for `seed` to draw.

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: no images of this split, or an image without labels.
    """
    require_folder(root)
    images = {each: _images(root, each) for each in IMAGES}
    chosen = [path for each in IMAGES if split in (each, "all") for path in images[each]]
    if not chosen:
        raise BadDatasetError(
            _no_images(root, split, {each: len(paths) for each, paths in images.items()}), field="split"
        )
    samples = tuple(sorted((_sample(root, path) for path in chosen), key=lambda sample: sample.id))
    missing = [sample.target for sample in samples if not sample.target.is_file()]
    if missing:
        raise BadDatasetError(_no_labels(missing))
    return Cityscapes(root, split, sum(map(len, images.values())), samples, reading)


def check(root: Path, reading: Reading = Reading()) -> CheckReport:
    """Pairs, sizes and values of every image; counts by split and city, and by size."""
    problems: list[str] = []
    counts: Counter[str] = Counter()
    for split in IMAGES:
        samples = tuple(_sample(root, path) for path in _images(root, split))
        counts[f"{split} images"] = len(samples)
        opened = Cityscapes(root, split, len(samples), samples, reading)
        for sample in samples:
            counts[f"{split} {sample.image.parent.name}"] += 1
            if not sample.target.is_file():
                problems.append(f"{sample.image} has no labels")
                continue
            try:
                height, width = size_hw(sample.image)
                counts[f"{width}×{height} pixels"] += 1
                opened.read_target(sample)
            except DensecastError as error:
                problems.append(str(error))
        problems += _without_image(root, split)
    if any(counts[f"{split} images"] != published for split, published in IMAGES.items()):
        present = " and ".join(f"{counts[f'{split} images']} {split}" for split in IMAGES)
        problems.append(f"{present} images; the whole data set has {' and '.join(map(str, IMAGES.values()))}")
    return CheckReport(root, dict(counts), tuple(problems))


def survey(root: Path, reading: Reading = Reading()) -> Survey:
    """All pairs by split, and pictures and labels that have no partner."""
    by_split = {split: tuple(_sample(root, path) for path in _images(root, split)) for split in IMAGES}
    everything = tuple(sorted((each for some in by_split.values() for each in some), key=lambda sample: sample.id))
    if not everything:
        open(root, "all", 0, reading)  # says what is missing
    samples = tuple(sample for sample in everything if sample.target.is_file())
    opened = Cityscapes(root, "all", len(samples), samples, reading)
    train_ids = {**{index: index for index in range(len(CITYSCAPES))}, IGNORED: NOT_EVALUATED}
    ids = {**dict.fromkeys(_KNOWN_IDS, NOT_EVALUATED), **{each: index for index, each in enumerate(CITYSCAPES_IDS)}}

    def values(sample: Sample) -> tuple[Values, dict[int, int]]:
        return read_values(sample.target)[0], train_ids if sample.target.name.endswith(_TRAIN_IDS) else ids

    counts = {split: len(some) for split, some in by_split.items()}
    told = " and ".join(f"{count} {split}" for split, count in counts.items())
    whole = " and ".join(map(str, IMAGES.values()))
    return Survey(
        samples,
        opened.read_target,
        {split: frozenset(sample.id for sample in some) for split, some in by_split.items() if some},
        values,
        reading.labels or tuple(CITYSCAPES),
        tuple(sample.image for sample in everything if not sample.target.is_file()),
        problems=tuple(text for split in IMAGES for text in _without_image(root, split)),
        remarks=() if counts == IMAGES else (f"{told} images; the whole data set has {whole}",),
        words="leftImg8bit with gtFine, splits by folder",
    )


def _images(root: Path, split: str) -> list[Path]:
    return sorted(path for path in (root / "leftImg8bit" / split).glob(f"*/*{_IMAGE_SUFFIX}") if not is_hidden(path))


def _sample(root: Path, image: Path) -> Sample:
    """The image with its labels: train ids where they are, else ids."""
    name, city = image.name.removesuffix(_IMAGE_SUFFIX), image.parent
    folder = root / "gtFine" / city.parent.name / city.name
    train_ids = folder / f"{name}{_TRAIN_IDS}"
    return Sample(name, image, train_ids if train_ids.is_file() else folder / f"{name}{_IDS}")


def _without_image(root: Path, split: str) -> list[str]:
    """Labels whose image is not there."""
    problems = []
    for suffix in (_TRAIN_IDS, _IDS):
        for labels in sorted((root / "gtFine" / split).glob(f"*/*{suffix}")):
            if is_hidden(labels):
                continue
            name = labels.name.removesuffix(suffix)
            if not (root / "leftImg8bit" / split / labels.parent.name / f"{name}{_IMAGE_SUFFIX}").is_file():
                problems.append(f"{labels} has no image")
    return problems


def _no_labels(missing: list[Path]) -> str:
    """Which labels are missing, and how to make them of what is there."""
    said = f"{len(missing)} images have no labels, the first lacks {missing[0]} (or …{_TRAIN_IDS})."
    stem = missing[0].name.removesuffix(_IDS)
    others = [kind for kind in _OTHER_FORMS if missing[0].with_name(f"{stem}_gtFine_{kind}").is_file()]
    if not others:
        return said
    return (
        f"{said} There is only {' and '.join(others)}, which holds no ids: cityscapesScripts makes them of the "
        "polygons (pip install cityscapesscripts; CITYSCAPES_DATASET=ROOT csCreateTrainIdLabelImgs)."
    )


def _no_images(root: Path, split: str, counts: dict[str, int]) -> str:
    there = {each: count for each, count in counts.items() if count}
    if not there:
        layout = f"leftImg8bit/<split>/<city>/*{_IMAGE_SUFFIX}"
        return f"{root} holds no {layout}. Name the folder above leftImg8bit and gtFine."
    listed = ", ".join(f"{each} ({count})" for each, count in there.items())
    return (
        f"{root} holds no images of the split {split!r}, only of {listed}. Use the split 'all', or "
        "a folder of images to calibrate with."
    )


DATASET: DatasetFormat = ModelFormat(
    open, check, lambda root: (root / "leftImg8bit").is_dir(), ("CITYSCAPES_DATASETS_PATH",), survey_for=survey
)
