"""Images in `images/` and their targets in another folder, matched by name: what the data sets of pairs share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar

import numpy as np

from densecast.datasets import _lists
from densecast.datasets._contents import of_folder, require_folder
from densecast.errors import BadDatasetError, DensecastError
from densecast.imaging.folder import images_in
from densecast.spec.sample import CheckReport, Sample, Split, SplitRecord, ids_sha256

T = TypeVar("T")

IMAGES = "images"
# What else the folder of the images is called, as in NYU's and TUM's data.
_IMAGES = (IMAGES, "image", "imgs", "img", "rgb")
VALIDATION_PERCENT = 10
_SPLITS: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True, slots=True)
class FolderPairs(Generic[T]):
    """One split of a folder of pairs; `read` reads a target."""

    name: str
    split: Split
    seed: int | None
    total: int
    samples: tuple[Sample, ...]
    read: Callable[[Sample], T] = field(compare=False)

    def read_target(self, sample: Sample) -> T:
        """The sample's ground truth in image pixels.

        Raises:
            BadDatasetError, BadImageError: it cannot be used.
        """
        return self.read(sample)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit`."""
        chosen = self.samples[:limit]
        return SplitRecord(self.name, self.split, len(chosen), self.total, self.seed, ids_sha256(chosen))


def open_pairs(
    name: str,
    root: Path,
    split: Split,
    seed: int,
    target_of: Callable[[Path, str], Path | None],
    read: Callable[[Sample], T],
    looked_for: str,
) -> FolderPairs[T]:
    """The split's samples, sorted by id, which is the image's stem.

    `target_of` finds the target of a stem below the root, None if there is none; `looked_for` says where. The folder's
    `train.txt` and `val.txt`, a stem, file name or path a line, say which images a split has; where one is there alone,
    the other split has the rest. Without lists, a tenth (at least one) is for validation, drawn by numpy's PCG64 with
    `seed` from the sorted ids.

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: no images, two of one stem, an image without a target, or an empty split.
    """
    samples = _all(root, target_of, looked_for)
    ids = {sample.id for sample in samples}
    lists = {each: path for each in _SPLITS if (path := root / f"{each}.txt").is_file()}
    chosen = samples
    if split != "all":
        if split in lists:
            wanted = _listed(lists[split], ids)
        elif lists:
            wanted = ids - _listed(next(iter(lists.values())), ids)
        else:
            order = np.random.default_rng(seed).permutation(len(samples))
            drawn = {samples[place].id for place in order[: max(1, len(samples) * VALIDATION_PERCENT // 100)]}
            wanted = drawn if split == "val" else ids - drawn
        chosen = tuple(sample for sample in samples if sample.id in wanted)
    if not chosen:
        raise BadDatasetError(
            f"{root}: its {len(samples)} images leave none for the split {split!r}. Use the split 'all'.", field="split"
        )
    return FolderPairs(name, split, None if lists else seed, len(samples), chosen, read)


def folder_of_images(root: Path) -> Path | None:
    """The folder of the images; None if there is none of a usual name."""
    return next((root / name for name in _IMAGES if (root / name).is_dir()), None)


def check_pairs(root: Path, target_of: Callable[[Path, str], Path | None], read: Callable[[Sample], T]) -> CheckReport:
    """Report every image without a target, and every target that cannot be used."""
    images = images_in(folder_of_images(root) or root / IMAGES)
    problems, pairs = [], 0
    for path in images:
        try:
            target = target_of(root, path.stem)
            if target is None:
                problems.append(f"{path} has no target")
                continue
            pairs += 1
            read(Sample(path.stem, path, target))
        except DensecastError as error:  # every broken file is reported, not only the first
            problems.append(str(error))
    return CheckReport(root, {"images": len(images), "pairs": pairs}, tuple(problems))


def _all(root: Path, target_of: Callable[[Path, str], Path | None], looked_for: str) -> tuple[Sample, ...]:
    require_folder(root)
    folder = folder_of_images(root)
    if folder is None:
        inside = next((path for path in sorted(root.glob("*/")) if folder_of_images(path)), None)
        cure = f" For those of {inside.name} name {inside} and the split 'all'." if inside else of_folder(root)
        raise BadDatasetError(f"{root} holds no folder {IMAGES}.{cure}")
    by_stem: dict[str, Path] = {}
    for path in images_in(folder):
        if path.stem in by_stem:
            raise BadDatasetError(f"{by_stem[path.stem]} and {path} would have one target. Rename one of them.")
        by_stem[path.stem] = path
    targets = {stem: target_of(root, stem) for stem in by_stem}
    missing = [stem for stem, target in targets.items() if target is None]
    if missing:
        raise BadDatasetError(
            f"{root}: {len(missing)} images have no target, the first is {by_stem[missing[0]]}; looked for "
            f"{looked_for}."
        )
    return tuple(Sample(stem, by_stem[stem], target) for stem, target in sorted(targets.items()) if target is not None)


def _listed(path: Path, ids: Collection[str]) -> set[str]:
    """The ids that a list names, by themselves or by names or paths of images."""
    found, absent = set(), []
    for line in _lists.read_names(path):
        name = PurePosixPath(line.replace("\\", "/")).name
        here = next((each for each in (line, name, PurePosixPath(name).stem) if each in ids), None)
        if here is None:
            absent.append(line)
        else:
            found.add(here)
    if absent:
        raise BadDatasetError(f"{path} names {len(absent)} images that are not there, the first is {min(absent)}.")
    return found
