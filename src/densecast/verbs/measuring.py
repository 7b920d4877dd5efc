"""Measures a built model's accuracy, or without ground truth its agreement, and its speed.

A run does that in processes of its own: nothing is imported here that they do not need, neither exports nor builds.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densecast.backends._base import BACKENDS
from densecast.kernels.jit_warm_up import jit_warming_up
from densecast.measure import loop
from densecast.measure.confusion import Confusion, Matrix
from densecast.measure.ground_truth import GroundTruth
from densecast.measure.other_reading import OtherReading
from densecast.pipeline import Pipeline
from densecast.results.timing import Timing
from densecast.spec.data_options import Data
from densecast.spec.precision import PrecisionRan
from densecast.spec.sample import Sample
from densecast.spec.score import Interval, Score
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions
from densecast.tasks._base import TASKS
from densecast.verbs import agreement
from densecast.verbs.benchmark import benchmark

Agreeing = tuple[Path, tuple[Sample, ...]]
"""What is agreed with, and on which images."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's accuracy and speed; `key` identifies artifact, data and options.

    `change` is its score less the baseline's on the same images, with the paired bootstrap's interval; `baseline` is
    the key of the baseline's measurement. `confusion` is pixels by class, there (rows) and predicted (columns).
    """

    key: str
    score: Score
    timing: Timing
    ran: PrecisionRan
    change: Interval | None = None
    baseline: str = ""
    confusion: Matrix = ()


def get_ready(backend: str, task: str) -> None:
    """Import what measuring a model of this engine and task takes."""
    with jit_warming_up():
        BACKENDS.load_trusted(backend)
        TASKS.load_trusted(task)
        importlib.import_module("densecast.imaging.views")  # which a pipeline imports with its first image


def measure(
    folder: Path,
    agreeing: Agreeing | None,
    data: Data,
    images: tuple[Path, ...],
    score: EvaluateOptions,
    speed: BenchmarkOptions,
    device: str,
    key: str,
) -> tuple[Measured, list[Any] | None]:
    """Measure the artifact in `folder`: its speed on `images`, and its score on the data; or what it is agreed with.

    Returns the measurement, and one count an image where there is ground truth.

    Raises:
        DensecastError: whatever opening the artifact, the benchmark or the evaluation raises.
    """
    # The benchmark comes first: the peak of memory is its own.
    with Pipeline.open(folder, device=device) as pipeline:
        timing = benchmark(pipeline, images, speed).timing
        ran = pipeline.precision
    if agreeing is not None:
        return Measured(key, agreement.score(folder, *agreeing, device), timing, ran), None
    scored, counts, confusion = count(folder, data, score, device)
    return Measured(key, scored, timing, ran, confusion=confusion), counts


def count(folder: Path, data: Data, options: EvaluateOptions, device: str) -> tuple[Score, list[Any], Matrix]:
    """The score as `evaluate` gives it, what it is made of: one count an image; and what was taken for what."""
    with Pipeline.open(folder, mode="throughput", device=device) as pipeline:
        truth = GroundTruth.open(
            pipeline.spec,
            data,
            split=options.split,
            seed=options.seed,
            limit=options.limit,
            protocol=options.protocol,
        )
        confusion, reading = Confusion(truth.spec), OtherReading(truth.spec)
        counts = list(loop.counts(truth, pipeline, batch=options.batch, observe=(confusion, reading)))
        return truth.score(counts, reading.remarks()), counts, confusion.matrix()
