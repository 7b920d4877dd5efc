"""Predicts images with ground truth and makes the record of each: its count, its files' hashes, its times."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from densecast.errors import BadImageError, BadInputError, MissingFileError
from densecast.io import codec, files
from densecast.measure.ground_truth import GroundTruth
from densecast.measure.in_memory import InMemory
from densecast.measure.other_reading import IMAGES, OtherReading
from densecast.measure.store.record import Failure, FileFacts, Maker, Record
from densecast.pipeline import Image, Pipeline, Predicted
from densecast.runtime import machine
from densecast.spec.model import ModelSpec
from densecast.spec.sample import Sample
from densecast.tasks._base import Task


def maker_of(pipeline: Pipeline) -> Maker:
    """Who makes records with this pipeline on this machine."""
    meaning = pipeline.artifact.meaning if pipeline.artifact else ""
    precision = json.dumps(codec.to_plain(pipeline.precision), sort_keys=True)
    return Maker(meaning, precision, own_version(), platform.node(), machine.describe().cpu)


def own_version() -> str:
    """Densecast's version; "" where it runs without being installed."""
    return machine.versions(("densecast",)).get("densecast", "")


def records(
    truth: GroundTruth,
    pipeline: Pipeline,
    samples: Sequence[Sample],
    *,
    batch: int | None = None,
    keep_predictions: bool = False,
) -> Generator[Record, None, None]:
    """Yield the record of each sample, in order; one that cannot be used has its failure in place of a count.

    Raises:
        DensecastError: what is not about one image, as a device that failed.
    """
    facts: dict[str, FileFacts] = {}
    stages = Stages()
    reading = OtherReading(truth.spec)
    first = {sample.id for sample in truth.samples[:IMAGES]}

    def read(sample: Sample) -> Image:
        with stages.of_image("decode"):
            image = _read(truth, sample, pipeline)
        in_file = None if is_in_program(truth, sample) else facts_of(sample.image)
        facts[sample.id] = in_file or facts_of_values(image)
        return image

    def counted(predicted: Predicted[Sample]) -> Record:
        sample = predicted.source
        own = facts.pop(sample.id, FileFacts())
        began = time.perf_counter_ns()
        told: list[FileFacts] = []
        seen = partial(_note, told) if isinstance(truth.dataset, InMemory) else None
        shown: list[list[float]] = []
        observe = partial(_show, reading, shown) if sample.id in first else None
        try:
            count = truth.count(sample, predicted.prediction, predicted.placement, seen=seen, observe=observe)
            in_file = facts_of(sample.target) if sample.target != sample.image else None
            target = in_file or next(iter(told), FileFacts())
        except (BadInputError, MissingFileError) as error:
            return _failed(sample, error, own)
        kept = saved(truth.task, predicted.prediction, truth.spec) if keep_predictions else (None, None)
        return Record(
            sample.id,
            image=own,
            target=target,
            size_hw=(predicted.image.shape[0], predicted.image.shape[1]),
            count=count,
            prediction=kept[0],
            prediction_suffix=kept[1],
            shown=next(iter(shown), None),
            stages_ms=stages.shares((time.perf_counter_ns() - began) / 1e6),
            finished=datetime.now(UTC),
        )

    def failed(sample: Sample, error: BadInputError) -> Record:
        own = facts.pop(sample.id) if sample.id in facts else facts_of(sample.image)
        return _failed(sample, error, own or FileFacts())

    stream = pipeline.stream(samples, read, counted, batch=batch, frame=truth.frame, clock=stages, failed=failed)
    with contextlib.closing(stream) as made:
        yield from made


def saved(task: Task[Any, Any], prediction: Any, spec: ModelSpec) -> tuple[bytes, str]:
    """A prediction as the bytes of the task's own file format, with its suffix."""
    with tempfile.TemporaryDirectory(prefix="densecast-") as folder:
        file = task.save(Path(folder) / "p", prediction, spec)
        return file.read_bytes(), file.suffix


def facts_of(path: Path) -> FileFacts | None:
    """Hash and size of a file; None where there is none. Files that many images share are read once."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _facts(path, status.st_size, files.stamp(status)) if path.is_file() else None


@lru_cache(maxsize=32)
def _facts(path: Path, size: int, stamp: str) -> FileFacts | None:
    del size
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
            return FileFacts(digest.hexdigest(), stream.tell(), stamp)
    except OSError:
        return None


def is_in_program(truth: GroundTruth, sample: Sample) -> bool:
    """Whether a sample's image is held by a Python program, and is no file."""
    return isinstance(truth.dataset, InMemory) and sample.id not in truth.dataset.in_files


def facts_of_values(values: Any) -> FileFacts:
    """Of an image, or labels, in no file: hash and size of its values."""
    array = np.ascontiguousarray(values)
    return FileFacts(hashlib.sha256(array.data).hexdigest(), array.nbytes)


def _note(told: list[FileFacts], target: Any) -> None:
    """Note the facts of ground truth that is an array."""
    if isinstance(target, np.ndarray):
        told.append(facts_of_values(target))


def _show(reading: OtherReading, shown: list[list[float]], sample: Sample, prediction: Any, target: Any) -> None:
    """Note what an image shows of another reading."""
    shown.append(reading.shown(sample, prediction, target))


def _read(truth: GroundTruth, sample: Sample, pipeline: Pipeline) -> Image:
    try:
        return truth.read(sample, pipeline.read)
    except MissingFileError as error:  # a pipeline goes over what it takes for a bad image alone
        raise BadImageError(str(error)) from error


def _failed(sample: Sample, error: BaseException, image: FileFacts) -> Record:
    return Record(sample.id, Failure.of(error.__cause__ or error), image=image, finished=datetime.now(UTC))


class Stages:
    """A pipeline's clock that keeps, for each thread, what the images in its hands have cost."""

    def __init__(self) -> None:
        self._own = threading.local()

    def __call__(self, stage: str) -> AbstractContextManager[object]:
        """Time a stage of a batch."""
        if stage == "end_to_end":
            self._own.ms, self._own.images = {}, 0
            return contextlib.nullcontext()
        # Decoding is timed where the image is known, without what a pipeline adds.
        return contextlib.nullcontext() if stage == "decode" else _Lap(self._own.ms, stage)

    def of_image(self, stage: str) -> AbstractContextManager[object]:
        """Time a stage of one image, which is one more of the batch."""
        self._own.images += 1
        return _Lap(self._own.ms, stage)

    def shares(self, counting_ms: float) -> dict[str, float]:
        """One image's share of its batch, by stage; `total` is their sum, with its own counting."""
        shares = {stage: ms / max(1, self._own.images) for stage, ms in self._own.ms.items()}
        return {**shares, "total": sum(shares.values()) + counting_ms}


class _Lap:
    __slots__ = ("_began", "_ms", "_stage")

    def __init__(self, ms: dict[str, float], stage: str) -> None:
        self._ms, self._stage = ms, stage

    def __enter__(self) -> None:
        self._began = time.perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        self._ms[self._stage] = self._ms.get(self._stage, 0.0) + (time.perf_counter_ns() - self._began) / 1e6
