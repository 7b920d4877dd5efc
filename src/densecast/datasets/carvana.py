"""Carvana image masking: photographs of cars on a turntable, one binary mask each.

`imgs/<id>.jpg` and `masks/<id>_mask.gif`, as Kaggle's `train_hq.zip` and `train_masks.zip` unpack. As in
milesial/Pytorch-UNet, pictures and masks may be of any image format, and masks may lack the `_mask`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast.datasets import _frames, _names
from densecast.datasets._base import DatasetFormat, ModelFormat
from densecast.datasets._contents import require_folder
from densecast.datasets._masks import lighter
from densecast.datasets._survey import Survey
from densecast.errors import BadDatasetError
from densecast.spec.data_options import Reading
from densecast.spec.sample import CheckReport, LabelMap, Sample, Split, SplitRecord, ids_sha256

IMAGES = 5088
VALIDATION_PERCENT = 10


@dataclass(frozen=True, slots=True)
class Carvana:
    """One split of a folder in Carvana's layout."""

    root: Path
    split: Split
    seed: int
    total: int
    samples: tuple[Sample, ...]
    reading: Reading = Reading()
    name: str = "carvana"

    def read_target(self, sample: Sample) -> LabelMap:
        """(H, W) uint8: 0 background, 1 car, which is the lighter of the mask's two colours.

        Raises:
            BadImageError: the mask cannot be read, or holds more than two values.
            BadDatasetError: the mask's size is not its image's.
        """
        mask = lighter(sample.target)
        return _frames.to_frame(mask, sample.image, sample.target, use_exif=self.reading.use_exif)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        chosen = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(chosen), self.total, self.seed, ids_sha256(chosen))


def open(root: Path, split: Split = "val", seed: int = 0, reading: Reading = Reading()) -> Carvana:
    """The split's samples in sorted order.

    `int(n * 10 / 100)` of all images are for validation, as in the original; which ones is drawn by numpy's
    PCG64 with `seed` from the sorted ids (the original draws from the order in which the file system lists
    them, which differs between machines).

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: no images, or an image without a mask.
    """
    everything = _all(root)
    order = np.random.default_rng(seed).permutation(len(everything))
    count = len(everything) * VALIDATION_PERCENT // 100
    validation = set(order[:count].tolist())
    chosen = tuple(
        sample for index, sample in enumerate(everything) if split == "all" or (index in validation) == (split == "val")
    )
    if not chosen:
        raise BadDatasetError(
            f"{root}: {len(everything)} images leave none for the split {split!r}. Use the split 'all'.", field="split"
        )
    return Carvana(root, split, seed, len(everything), chosen, reading)


def check(root: Path, reading: Reading = Reading()) -> CheckReport:
    """Pairs, sizes and values of the whole folder."""
    problems: list[str] = []
    images, masks = _images(root), _masks(root)
    problems += [f"{images[key]} has no mask" for key in sorted(images.keys() - masks.keys())]
    problems += [f"{masks[key]} has no image" for key in sorted(masks.keys() - images.keys())]
    paired = sorted(images.keys() & masks.keys())
    samples = tuple(Sample(key, images[key], masks[key]) for key in paired)
    opened = Carvana(root, "all", 0, len(samples), samples, reading)
    for sample in samples:
        try:
            opened.read_target(sample)
        except Exception as error:  # every broken file is reported, not only the first
            problems.append(str(error))
    if len(images) != IMAGES:
        problems.append(f"{len(images)} images; the whole data set has {IMAGES}")
    return CheckReport(root, {"images": len(images), "masks": len(masks), "pairs": len(paired)}, tuple(problems))


def survey(root: Path, reading: Reading = Reading()) -> Survey:
    """All pairs, and pictures and masks that have no partner."""
    images, masks = _images(root), _masks(root)
    if not images:
        _all(root)  # says what is missing
    samples = tuple(Sample(images[key].stem, images[key], masks[key]) for key in sorted(images.keys() & masks.keys()))
    opened = Carvana(root, "all", 0, len(samples), samples, reading)

    def values(sample: Sample) -> tuple[LabelMap, dict[int, int]]:
        return lighter(sample.target), {0: 0, 1: 1}

    return Survey(
        samples,
        opened.read_target,
        {},
        values,
        reading.labels or ("background", "car"),
        tuple(images[key] for key in sorted(images.keys() - masks.keys())),
        tuple(masks[key] for key in sorted(masks.keys() - images.keys())),
        remarks=() if len(images) == IMAGES else (f"{len(images)} images; the whole data set has {IMAGES}",),
        words="pictures in imgs, masks in masks; the lighter of a mask's two colours is the car",
    )


def _all(root: Path) -> tuple[Sample, ...]:
    require_folder(root)
    images, masks = _images(root), _masks(root)
    if not images:
        raise BadDatasetError(
            f"{root} holds no imgs/*.jpg (or pictures of another format). Carvana's layout is imgs/<id>.jpg and "
            "masks/<id>_mask.gif; for other "
            "folders of pictures and masks name the dataset pairs."
        )
    samples = tuple(
        Sample(path.stem, path, masks.get(name, root / "masks" / f"{path.stem}_mask.gif"))
        for name, path in sorted(images.items())
    )
    missing = [sample.target for sample in samples if not sample.target.is_file()]
    if missing:
        others = _names.images_of(root / "masks")
        example = f"; masks holds {len(others)} files as {others[0].name}" if others else ""
        raise BadDatasetError(
            f"{len(missing)} images have no mask, the first is {missing[0]} (or of another image format){example}."
        )
    return samples


def _images(root: Path) -> dict[str, Path]:
    return _names.by_stem(_names.images_of(root / "imgs"), "pictures")


def _masks(root: Path) -> dict[str, Path]:
    """The masks by their picture's stem."""
    found = _names.by_stem(_names.images_of(root / "masks"), "masks")
    plain = {name: path for name, path in found.items() if not name.endswith("_mask")}
    return plain | {name.removesuffix("_mask"): path for name, path in found.items() if name.endswith("_mask")}


DATASET: DatasetFormat = ModelFormat(
    open,
    check,
    lambda root: (root / "imgs").is_dir() and (root / "masks").is_dir(),
    ("CARVANA_DATASETS_PATH",),
    survey_for=survey,
)
