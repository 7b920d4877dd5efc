"""The data of a run with records: what tells them from others, and where each image and its ground truth lie now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from densecast.errors import UsageError
from densecast.measure.ground_truth import GroundTruth
from densecast.measure.in_memory import InMemory
from densecast.measure.store.record import FileFacts
from densecast.measure.store.recording import facts_of_values
from densecast.measure.store.unchanged import InProgram, LocalFile, Origin, Origins
from densecast.spec.data_options import Data
from densecast.spec.sample import Sample


def refuse_repeated(truth: GroundTruth) -> None:
    """Check that no two images have one id.

    Raises:
        UsageError: names one that two have.
    """
    seen: set[str] = set()
    for sample in truth.samples:
        if sample.id in seen:
            raise UsageError(f"the data have the id {sample.id!r} twice; records are kept by id.", field="store")
        seen.add(sample.id)


def data_key(truth: GroundTruth, data: object) -> dict[str, str]:
    """What tells the data of one run from those of another."""
    record = truth.record
    reading = Data.at(data).options if data is None or isinstance(data, (Path, Data)) else None
    return {
        "data set": record.dataset,
        "split": record.split,
        "images": str(record.count),
        "ids": record.ids_sha256,
        "protocol": truth.protocol or "none",
        "reading": "from Python" if reading is None else repr(reading),
        "layout": record.layout or "its own",
    }


def origins_of(truth: GroundTruth) -> Origins:
    """Where the image and the ground truth of each id lie now."""
    by_id = {sample.id: sample for sample in truth.samples}

    def found(sample_id: str) -> Sequence[Origin | None]:
        sample, data = by_id[sample_id], truth.dataset
        if not isinstance(data, InMemory):
            return LocalFile(sample.image), LocalFile(sample.target) if sample.target != sample.image else None
        target = InProgram(f"the target of {sample_id}", partial(_values, data.read_target, sample))
        if sample_id in data.in_files:
            return LocalFile(sample.image), target
        return InProgram(f"the image {sample_id}", partial(_values, data.image, sample)), target

    return found


def _values(read: Callable[[Sample], Any], sample: Sample) -> FileFacts | None:
    """Facts of what a Python program holds, where it is an array."""
    held = read(sample)
    return facts_of_values(held) if isinstance(held, np.ndarray) else None
