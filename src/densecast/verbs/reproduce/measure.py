"""Has built models measured, each in a process of its own, and keeps what was found.

A child process makes the peak memory the model's own, and keeps one engine's thread pools and caches out of the
next one's times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from densecast.artifact import CompiledArtifact
from densecast.errors import BadConfigError
from densecast.io import codec, files
from densecast.measure import change
from densecast.measure.data_source import find, metric_of
from densecast.spec.data_options import Data
from densecast.spec.score import Interval
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions
from densecast.verbs import agreement
from densecast.verbs._keys import measure_key
from densecast.verbs.measuring import Agreeing, Measured, count, measure
from densecast.verbs.reproduce.ahead import NextWorker
from densecast.verbs.reproduce.material import Material

# With fewer images there is nothing to draw from: the interval of one image would have no width at all.
FEWEST_FOR_INTERVAL = 5


class Measurements:
    """All measurements of a run, kept in files, each beside the first model that was measured."""

    def __init__(
        self,
        material: Material,
        score: EvaluateOptions,
        speed: BenchmarkOptions,
        folder: Path,
        *,
        device: str = "",
        fresh: bool,
    ) -> None:
        self._next = NextWorker()
        self._material, self._data = material, material.place
        self._images = material.images
        self._score, self._speed, self._device = score, speed, device
        self._folder, self._fresh = folder, fresh
        self._first: tuple[CompiledArtifact, Measured] | None = None
        self._first_counts: list[Any] | None = None

    def __enter__(self) -> Self:
        """All measurements."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End a process that was started ahead for nothing."""
        self._next.__exit__(kind, error, trace)

    def expect(self, name: str, backend: str, task: str) -> None:
        """Start the process that will measure the build `name`, which is made meanwhile, if none was measured there."""
        if self._fresh or not self._stored(name).is_file():
            self._next.start(name, backend, task)

    def of(self, artifact: CompiledArtifact) -> Measured:
        """A stored measurement with the same key, or a new one."""
        key = self._key(artifact)
        stored = self._stored(artifact.folder.name)
        measured = None if self._fresh else _stored(stored, key)
        counts: list[Any] | None = None
        if measured is None:
            measured, counts = self._in_child(
                artifact, measure, artifact.folder, self._agreeing(artifact), self._data, self._images, self._score,
                self._speed, self._device, key,
            )  # fmt: skip
        if self._first is None:
            self._first, self._first_counts = (artifact, measured), counts
        elif measured.baseline != self._first[1].key:
            measured = self._changed(artifact, measured, counts)
        if measured != _stored(stored, key):
            files.write_text(stored, codec.to_json(measured))
        return measured

    def _stored(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _in_child(self, artifact: CompiledArtifact, task: Callable[..., Any], *arguments: object) -> Any:
        """The task's result, from a process of its own.

        Raises:
            WorkerError: the engine's process died (out of memory, or a crash inside the engine).
            DensecastError: whatever the task itself raises.
        """
        with self._next.taken(artifact.folder.name) as pool:
            return pool.result(pool.submit(task, *arguments))

    def _key(self, artifact: CompiledArtifact) -> str:
        # Without ground truth, the pictures are the data.
        data = self._data if self._material.found is not None else Data(self._images[0].parent)
        key = measure_key(artifact, data, self._images, self._score, self._speed)
        first = self._first[0].meaning if self._first is not None and self._material.found is None else ""
        return files.sha256_text(repr((key, self._device, first))) if self._device or first else key

    def _agreeing(self, artifact: CompiledArtifact) -> Agreeing | None:
        """What is agreed with on which images, where there is no ground truth."""
        if self._material.found is not None:
            return None
        return self._first[0].folder if self._first is not None else artifact.folder, self._material.samples

    def _changed(self, artifact: CompiledArtifact, measured: Measured, counts: Sequence[Any] | None) -> Measured:
        """The measurement with its change from the baseline; whichever was not counted in this run is counted now."""
        assert self._first is not None
        first, baseline = self._first
        if measured.score.count < FEWEST_FOR_INTERVAL or baseline.score.count != measured.score.count:
            return replace(measured, change=None, baseline=baseline.key)
        if self._material.found is None:
            return replace(measured, change=agreement.change(measured.score), baseline=baseline.key)
        if self._first_counts is None:
            self._first_counts = self._in_child(first, count, first.folder, self._data, self._score, self._device)[1]
        if counts is None:
            counts = self._in_child(artifact, count, artifact.folder, self._data, self._score, self._device)[1]
        spec = find(artifact.spec, self._data).spec
        drop = change.paired_drop(metric_of(spec), spec, self._first_counts, counts)
        gained = Interval(-drop.value, -drop.high, -drop.low)
        higher = measured.score.better == "higher"
        return replace(measured, change=gained if higher else drop, baseline=baseline.key)


def _stored(path: Path, key: str) -> Measured | None:
    if not path.is_file():
        return None
    try:
        earlier = codec.read(path, Measured)
    except BadConfigError:
        return None
    return earlier if earlier.key == key else None
