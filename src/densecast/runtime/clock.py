"""Stopwatches for pipeline stages, on the monotonic nanosecond clock."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Protocol


class Clock(Protocol):
    """Times the stages of a pipeline: `with clock("infer"): …`."""

    def __call__(self, stage: str) -> AbstractContextManager[object]:
        """A context manager around the stage's work."""


def unclocked(stage: str) -> AbstractContextManager[object]:
    """A clock that measures nothing."""
    return nullcontext()


class StopWatch:
    """Records every stage's raw times in milliseconds: wall time and CPU time of the calling thread.

    Several threads may use it at a time.
    """

    def __init__(self) -> None:
        self.samples_ms: dict[str, list[float]] = {}
        self.cpu_ms: dict[str, list[float]] = {}

    def __call__(self, stage: str) -> _Lap:
        """A context manager whose duration is added to the stage's samples."""
        return _Lap(self.samples_ms.setdefault(stage, []), self.cpu_ms.setdefault(stage, []))


@contextlib.contextmanager
def summed(clock: Clock) -> Iterator[Clock]:
    """A clock for work that goes through its stages again and again: each stage is one sample in the end, their sum."""
    if not isinstance(clock, StopWatch):
        yield clock
        return
    own = StopWatch()
    yield own
    for every, parts in ((clock.samples_ms, own.samples_ms), (clock.cpu_ms, own.cpu_ms)):
        for stage, times in parts.items():
            every.setdefault(stage, []).append(sum(times))


class _Lap:
    __slots__ = ("_cpu_ms", "_cpu_start_ns", "_samples_ms", "_start_ns")

    def __init__(self, samples_ms: list[float], cpu_ms: list[float]) -> None:
        self._samples_ms, self._cpu_ms = samples_ms, cpu_ms

    def __enter__(self) -> None:
        self._cpu_start_ns = time.thread_time_ns()
        self._start_ns = time.perf_counter_ns()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._samples_ms.append((time.perf_counter_ns() - self._start_ns) / 1e6)
        self._cpu_ms.append((time.thread_time_ns() - self._cpu_start_ns) / 1e6)
