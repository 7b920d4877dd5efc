"""Starts ahead what a measurement would otherwise wait for: its process, and the compiling of kernels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from densecast.backends._base import BACKENDS
from densecast.errors import DensecastError
from densecast.io import system
from densecast.measure.data_source import find
from densecast.runtime.processes import WorkerPool
from densecast.spec.data_options import Data
from densecast.spec.model import ModelSpec
from densecast.tasks._base import TASKS
from densecast.verbs import warm_up


class NextWorker:
    """The process of the next measurement, which imports what it needs while its model is being built.

    Leaving the block ends one that was not taken.
    """

    def __init__(self) -> None:
        self._waiting: tuple[str, WorkerPool] | None = None

    def __enter__(self) -> Self:
        """The place for it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process that nobody took."""
        if self._waiting is not None:
            pool, self._waiting = self._waiting[1], None
            pool.__exit__(kind, error, trace)

    def start(self, name: str, backend: str, task: str) -> None:
        """Start the process that is going to measure the model in the folder `name`."""
        if self._waiting is None:
            pool = WorkerPool(1, f"measures {name}").__enter__()
            self._waiting = (name, pool)
            pool.submit(_import, backend, task)

    @contextlib.contextmanager
    def taken(self, name: str) -> Iterator[WorkerPool]:
        """The process for this model: the one that waits for it, or else a new one. It ends with the block."""
        if self._waiting is not None and self._waiting[0] != name:
            self.__exit__(None, None, None)
        waiting, self._waiting = self._waiting, None
        with waiting[1] if waiting is not None else WorkerPool(1, f"measures {name}") as pool:
            yield pool


@contextlib.contextmanager
def compiling_kernels(spec: ModelSpec | None, place: Data, seed: int, measured: Path) -> Iterator[Future[None] | None]:
    """Compile the kernels that a model's images need, in a process beside the block; None where that gains nothing.

    There is nothing to gain on one CPU, for images that are not known yet, and where `measured` holds measurements.
    Whoever measures waits for the future first: on a machine where nothing was compiled before it takes some seconds,
    and else as long as a process takes to start.
    """
    is_new = not any(measured.glob("*.json"))
    image = _an_image(spec, place, seed) if is_new and len(system.usable_cpus()) > 1 else None
    if spec is None or image is None:
        yield None
        return
    with WorkerPool(1, "compiles kernels") as pool:
        yield pool.submit(_compile, spec, image)


def _an_image(spec: ModelSpec | None, place: Data, seed: int) -> Path | None:
    if spec is None or place.path is None:
        return None
    try:
        return find(spec, place).open("all", seed).samples[0].image
    except DensecastError:  # it is said where the data is read
        return None


def _import(backend: str, task: str) -> None:
    from densecast.imaging import views

    BACKENDS.load_trusted(backend)
    TASKS.load_trusted(task)
    assert views


def _compile(spec: ModelSpec, image: Path) -> None:
    warm_up.compile_kernels(spec, image)
