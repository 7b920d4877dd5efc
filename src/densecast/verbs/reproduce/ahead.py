"""Starts ahead what a measurement would otherwise wait for: its process, and the compiling of kernels."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator, Sequence
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
from densecast.spec.options import CalibrationMethod
from densecast.spec.precision import Precision
from densecast.verbs import measuring, warm_up
from densecast.verbs.builder.compile_plan import INT8

# Methods of calibration that count values, by compiled loops.
_COUNTED: frozenset[CalibrationMethod] = frozenset({"histogram", "percentile"})


class NextWorker:
    """The process of the next measurement, which imports what it needs while its model is being built.

    Leaving the block ends one that was not taken.
    """

    def __init__(self) -> None:
        self._waiting: tuple[str, WorkerPool] | None = None
        self._ending: threading.Thread | None = None

    def __enter__(self) -> Self:
        """The place for it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process that nobody took, and wait for the end of the last one that was."""
        if self._waiting is not None:
            pool, self._waiting = self._waiting[1], None
            pool.__exit__(kind, error, trace)
        self._until_ended()

    def start(self, name: str, backend: str, task: str) -> None:
        """Start the process that is going to measure the model in the folder `name`."""
        if self._waiting is None:
            pool = WorkerPool(1, f"measures {name}").__enter__()
            self._waiting = (name, pool)
            pool.submit(measuring.get_ready, backend, task)

    @contextlib.contextmanager
    def taken(self, name: str) -> Iterator[WorkerPool]:
        """The process for this model: the one that waits for it, or else a new one.

        It ends after the block, beside the next build: what an engine takes to go away is half a second.
        """
        if self._waiting is not None and self._waiting[0] != name:
            self.__exit__(None, None, None)
        self._until_ended()
        waiting, self._waiting = self._waiting, None
        pool = waiting[1] if waiting is not None else WorkerPool(1, f"measures {name}").__enter__()
        with contextlib.ExitStack() as killing:
            killing.push(pool)
            yield pool
            killing.pop_all()
        self._ending = _closed_beside(pool)

    def _until_ended(self) -> None:
        if self._ending is not None:
            self._ending.join()
            self._ending = None


class Kernels:
    """The compiling of kernels, which goes on beside other work."""

    def __init__(self, futures: Sequence[Future[None]] = ()) -> None:
        self._futures = futures

    def wait(self) -> None:
        """Wait for its end; whatever went wrong is said by who calls a kernel."""
        for future in self._futures:
            future.exception()


@contextlib.contextmanager
def compiling_kernels(
    spec: ModelSpec | None, place: Data, seed: int, measured: Path, builds: Collection[tuple[str, Precision]] = ()
) -> Iterator[Kernels]:
    """Compile the kernels that a model's images need, and those that the `builds` of int8 do, beside the block.

    There is nothing to gain on one CPU, for images that are not known yet, and where `measured` holds measurements.
    Whoever measures waits first: on a machine where nothing was compiled before it takes some seconds, and else as
    long as a process takes to start.
    """
    is_new = not any(measured.glob("*.json"))
    image = _an_image(spec, place, seed) if is_new and len(system.usable_cpus()) > 1 else None
    if spec is None or image is None:
        yield Kernels()
        return
    calibrated = {backend for backend, precision in builds if precision == INT8}
    counts = any(_COUNTED & set(BACKENDS.load_trusted(each).traits.calibration_methods) for each in calibrated)
    with WorkerPool(3 if counts else 2, "compiles kernels") as pool:
        futures = [
            pool.submit(warm_up.compile_decoding, spec, image),
            pool.submit(warm_up.compile_reading, spec, image),
        ]
        futures += [pool.submit(warm_up.compile_counts, _COUNTED)] if counts else []
        ending = _closed_beside(pool, after=futures)
        yield Kernels(futures)
    ending.join()


def _closed_beside(pool: WorkerPool, after: Sequence[Future[None]] = ()) -> threading.Thread:
    """A thread that ends a pool's processes once there are these results."""

    def close() -> None:
        for future in after:
            with contextlib.suppress(Exception):  # it was never begun
                future.exception()
        pool.__exit__(None, None, None)

    thread = threading.Thread(target=close, name="densecast ends processes")
    thread.start()
    return thread


def _an_image(spec: ModelSpec | None, place: Data, seed: int) -> Path | None:
    if spec is None or place.path is None:
        return None
    try:
        return find(spec, place).open("all", seed).samples[0].image
    except DensecastError:  # it is said where the data is read
        return None
