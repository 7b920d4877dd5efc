"""Worker processes that end with their parent, and whose death is an error in words."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from densecast.errors import WorkerError
from densecast.io.system import die_with_parent, interrupts_kept_for_later

_ENDING_S = 2.0

P = ParamSpec("P")
T = TypeVar("T")


class WorkerPool:
    """Spawned worker processes; leaving the block by an error kills them at once.

    `what` they do is named in the error if one dies. `start` is called first in each of them. Spawned, not forked: a
    fork would copy threads in whatever state they are. As all of Python's spawned processes, workers need a main module
    that is safe to import.
    """

    def __init__(self, processes: int, what: str, start: Callable[..., None] | None = None, *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._what = what
        # A pipe, and no event: what a process that ends in an error leaves of that would be complained of.
        self._told, self._telling = context.Pipe(duplex=False)
        self._started: dict[int, Any] = {}
        self._pool = ProcessPoolExecutor(
            processes, context, _start_worker, (self._telling, os.getpid(), start, arguments)
        )

    def __enter__(self) -> Self:
        """The pool itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what was submitted; after an error, kill all workers instead."""
        if error is not None:
            # In a copy: the pool's own thread takes dead ones out.
            for worker in list((getattr(self._pool, "_processes", None) or {}).values()):
                with contextlib.suppress(OSError, ValueError):
                    worker.kill()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._telling.close()
        self._told.close()

    def submit(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Hand out one piece of work; `result` waits for it.

        Raises:
            WorkerError: a worker has died.
        """
        try:
            # Ctrl-C reaches every process of a terminal. It is for the parent to end workers: they never see it.
            with interrupts_kept_for_later():
                future = self._pool.submit(work, *arguments, **named)
            # A broken pool forgets its workers, and with them how they ended.
            self._started.update(getattr(self._pool, "_processes", None) or {})
            return future
        except BrokenProcessPool:
            raise self._died() from None

    def result(self, future: Future[T]) -> T:
        """Wait for a result.

        Raises:
            WorkerError: a worker has died.
            Exception: whatever the work itself raised.
        """
        try:
            return future.result()
        except BrokenProcessPool:
            raise self._died() from None

    def map(self, work: Callable[[Any], T], items: Iterable[object]) -> Iterator[T]:
        """`work` of each item, in order; all items are handed out at once.

        Raises:
            WorkerError: a worker has died.
        """
        waiting = [self.submit(work, item) for item in items]
        for future in waiting:
            yield self.result(future)

    def _died(self) -> WorkerError:
        if not self._told.poll() and not any(map(_was_killed, list(self._started.values()))):
            return WorkerError(
                f"a process that {self._what} could not start: it imports the program's main script anew, and that "
                'failed. Call densecast from a function, or below `if __name__ == "__main__":`.'
            )
        return WorkerError(
            f"a process that {self._what} died: it was killed, as when memory runs out, or crashed inside a library. "
            "Run it again, with more memory or fewer processes."
        )


def _was_killed(worker: BaseProcess) -> bool:
    # Its pipe is closed a moment before it has an exit code, and the pool's own thread may be the one to collect it.
    until = time.monotonic() + _ENDING_S
    while worker.exitcode is None and time.monotonic() < until:
        time.sleep(0.01)
    # A broken pool ends its other workers by SIGTERM.
    return worker.exitcode is not None and worker.exitcode < 0 and worker.exitcode != -signal.SIGTERM


def _start_worker(
    telling: Connection, parent: int, start: Callable[..., None] | None, arguments: tuple[object, ...]
) -> None:
    die_with_parent(parent)
    # Whoever comes here has imported the main script; no worker that got here means that none could.
    with telling, contextlib.suppress(OSError):  # nobody listens any more
        telling.send_bytes(b"ready")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if start is not None:
        start(*arguments)
