"""Checks of a data set: stable order, unique ids, and ground truth of its image's size."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densecast.datasets._base import Dataset, DatasetFormat
from densecast.errors import DensecastError
from densecast.imaging.read import size_hw
from densecast.spec.sample import CheckReport, Split
from densecast.testing._require import contents, require

_SPLITS: tuple[Split, ...] = ("train", "val", "all")


def check_dataset(
    layout: DatasetFormat, root: Path, *, splits: Sequence[Split] = _SPLITS, targets: int | None = 20
) -> None:
    """Check a data set's layout on a valid folder, which may be small.

    `splits` are those that the folder has; of each, the first `targets` samples' ground truth is read (None: all).

    Checked are: samples come in the same order whenever the folder is opened, with ids of their own; training and
    validation share none, and make up the whole; ground truth that is an array has its image's height and width, and
    reads the same twice; the record says which images these are; and a folder that is none is refused.

    Raises:
        AssertionError: says in a sentence what is not as it has to be.
    """
    require(isinstance(layout, DatasetFormat), f"{layout!r} lacks members of densecast.datasets._base.DatasetFormat.")
    require(
        all(name.isidentifier() and name == name.upper() for name in layout.root_variables),
        f"{layout.root_variables} are no names of environment variables.",
    )
    ids: dict[str, set[str]] = {}
    for split in splits:
        dataset = layout.open(root, split)
        ids[split] = _check_samples(dataset, layout.open(root, split), split)
        _check_targets(dataset, targets)
        _check_record(dataset, split)
    if {"train", "val"} <= set(ids):
        shared = ids["train"] & ids["val"]
        require(not shared, f"training and validation share images, as {min(shared, default='')}.")
    if set(_SPLITS) <= set(ids):
        require(ids["train"] | ids["val"] == ids["all"], "training and validation do not make up the whole.")
    report = layout.check(root)
    require(isinstance(report, CheckReport) and report.root == root, f"the check of {root} is of {report.root}.")
    _check_refusals(layout)


def _check_samples(dataset: Dataset[Any], again: Dataset[Any], split: str) -> set[str]:
    name, ids = dataset.name, [sample.id for sample in dataset.samples]
    require(bool(ids), f"{name}: the split {split!r} has no samples.")
    require(len(set(ids)) == len(ids), f"{name}: ids of the split {split!r} name several images each.")
    require(again.samples == dataset.samples, f"{name}: the split {split!r} has another order when opened again.")
    return set(ids)


def _check_targets(dataset: Dataset[Any], limit: int | None) -> None:
    for sample in dataset.samples[:limit]:
        target = dataset.read_target(sample)
        require(
            contents(dataset.read_target(sample)) == contents(target),
            f"{dataset.name}: the ground truth of {sample.id} is another one when read again.",
        )
        if isinstance(target, np.ndarray):
            image_hw = size_hw(sample.image)
            require(
                target.shape[:2] == image_hw,
                f"{dataset.name}: the ground truth of {sample.id} is {target.shape}, its image {image_hw}.",
            )


def _check_record(dataset: Dataset[Any], split: str) -> None:
    for limit in (None, 1):
        record, chosen = dataset.record(limit), dataset.samples[:limit]
        digest = hashlib.sha256("\n".join(sample.id for sample in chosen).encode()).hexdigest()
        require(
            (record.dataset, record.split, record.count) == (dataset.name, split, len(chosen)),
            f"{dataset.name}: {len(chosen)} images of the split {split!r} are recorded as {record}.",
        )
        require(record.ids_sha256 == digest, f"{dataset.name}: the record's hash is not that of the ids, a line each.")
        require(record.total >= record.count, f"{dataset.name}: the record has more images than there are: {record}.")


def _check_refusals(layout: DatasetFormat) -> None:
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty"
        empty.mkdir()
        for root in (empty, Path(folder) / "absent"):
            try:
                layout.open(root, "val")
            except DensecastError as error:
                require(root.name in str(error), f"a folder that is none is refused without its name: {error}.")
            else:
                raise AssertionError(f"a folder that is {root.name} is opened as if it were a data set.")
