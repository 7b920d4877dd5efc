"""Carvana image masking: photographs of cars on a turntable, one binary mask each.

`imgs/<id>.jpg` and `masks/<id>_mask.gif`, as Kaggle's `train_hq.zip` and `train_masks.zip` unpack.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densecast.datasets._base import DatasetFormat, FolderFormat
from densecast.errors import BadDatasetError, MissingFileError
from densecast.imaging import read
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
    name: str = "carvana"

    def read_target(self, sample: Sample) -> LabelMap:
        """(H, W) uint8: 0 background, 1 car.

        Raises:
            BadDatasetError: the mask's size is not its image's, or it holds more than two values.
        """
        mask = read.read_mask(sample.target)
        image_hw = read.size_hw(sample.image)
        if mask.shape != image_hw:
            raise BadDatasetError(
                f"{sample.target}: the mask is {mask.shape[1]}×{mask.shape[0]} pixels, its image "
                f"{image_hw[1]}×{image_hw[0]}. They must be of one size."
            )
        values = np.unique(mask)
        if len(values) > 2:
            raise BadDatasetError(f"{sample.target}: a mask holds two values, this one {len(values)}.")
        return (mask > 0).astype(np.uint8)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        chosen = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(chosen), self.total, self.seed, ids_sha256(chosen))


def open(root: Path, split: Split = "val", seed: int = 0) -> Carvana:
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
    return Carvana(root, split, seed, len(everything), chosen)


def check(root: Path) -> CheckReport:
    """Pairs, sizes and values of the whole folder."""
    problems: list[str] = []
    images = {path.stem: path for path in sorted((root / "imgs").glob("*.jpg"))}
    masks = {path.stem.removesuffix("_mask"): path for path in sorted((root / "masks").glob("*_mask.gif"))}
    problems += [f"{images[key]} has no mask" for key in sorted(images.keys() - masks.keys())]
    problems += [f"{masks[key]} has no image" for key in sorted(masks.keys() - images.keys())]
    paired = sorted(images.keys() & masks.keys())
    samples = tuple(Sample(key, images[key], masks[key]) for key in paired)
    opened = Carvana(root, "all", 0, len(samples), samples)
    for sample in samples:
        try:
            opened.read_target(sample)
        except Exception as error:  # every broken file is reported, not only the first
            problems.append(str(error))
    if len(images) != IMAGES:
        problems.append(f"{len(images)} images; the whole data set has {IMAGES}")
    return CheckReport(root, {"images": len(images), "masks": len(masks), "pairs": len(paired)}, tuple(problems))


def _all(root: Path) -> tuple[Sample, ...]:
    if not root.is_dir():
        raise MissingFileError(f"data set folder {root} does not exist.")
    images = sorted((root / "imgs").glob("*.jpg"))
    if not images:
        raise BadDatasetError(f"{root} holds no imgs/*.jpg. Carvana's layout is imgs/<id>.jpg and masks/<id>_mask.gif.")
    samples = tuple(Sample(path.stem, path, root / "masks" / f"{path.stem}_mask.gif") for path in images)
    missing = [sample.target for sample in samples if not sample.target.is_file()]
    if missing:
        raise BadDatasetError(f"{len(missing)} images have no mask, the first is {missing[0]}.")
    return samples


DATASET: DatasetFormat = FolderFormat(open, check, ("CARVANA_DATASETS_PATH",))
