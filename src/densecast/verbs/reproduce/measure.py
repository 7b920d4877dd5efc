"""Measures a built model's accuracy and speed in a subprocess.

A child process makes the peak memory the model's own, and keeps one engine's thread pools and caches out of the
next one's times.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from densecast.artifact import CompiledArtifact
from densecast.pipeline import Pipeline
from densecast.results.timing import Timing
from densecast.runtime.processes import WorkerPool
from densecast.spec.precision import PrecisionRan
from densecast.spec.score import Score
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions
from densecast.verbs.benchmark import benchmark
from densecast.verbs.evaluate import evaluate


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's accuracy and speed; `key` identifies artifact, data and options."""

    key: str
    score: Score
    timing: Timing
    ran: PrecisionRan


def measure(
    artifact: CompiledArtifact,
    data: Path,
    images: tuple[Path, ...],
    score: EvaluateOptions,
    speed: BenchmarkOptions,
    key: str,
) -> Measured:
    """Evaluate on `data` and benchmark on `images`, in a new process.

    Raises:
        WorkerError: the engine's process died (out of memory, or a crash inside the engine).
        DensecastError: whatever the evaluation itself raises.
    """
    with WorkerPool(1, f"measures {artifact.folder.name}") as pool:
        return pool.result(pool.submit(_measure, artifact.folder, data, images, score, speed, key))


def _measure(
    folder: Path,
    data: Path,
    images: tuple[Path, ...],
    score: EvaluateOptions,
    speed: BenchmarkOptions,
    key: str,
) -> Measured:
    # The benchmark comes first: the peak of memory is its own.
    with Pipeline.open(folder) as pipeline:
        timing = benchmark(pipeline, images, speed).timing
        ran = pipeline.precision
    return Measured(key, evaluate(folder, data, score).score, timing, ran)
