"""Several processes that share a port: started, watched, started again when one dies, and ended together."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from densecast.errors import DensecastError, WorkerError
from densecast.io import system
from densecast.runtime import signals
from densecast.verbs.serve.metrics import MULTIPROCESS

# A worker that dies at once is started again, but not as fast as it can die.
_SHORTEST_LIFE_S = 2.0
_BEYOND_GRACE_S = 5.0

Work = Callable[..., None]


def run(work: Work, arguments: tuple[Any, ...], listening: socket.socket, *, count: int, grace_s: float,
        ready: Callable[[Any], None]) -> None:  # fmt: skip
    """Run `work(told, listening, *arguments)` in `count` processes until a signal asks this one to end.

    `told` is called in each process when it takes requests; what the first one tells goes to `ready`, once all do.

    Raises:
        DensecastError: what a worker raised before it took requests.
        WorkerError: a worker died before it took requests.
    """
    with _counts(), signals.told() as asked, contextlib.ExitStack() as ending:
        pool = _Pool(work, arguments, listening)
        ending.callback(pool.end, grace_s + _BEYOND_GRACE_S, asked)
        for _ in range(count):
            pool.start()
        told: list[Any] = []
        while True:
            event = wait([asked, *pool.connections, *pool.sentinels])
            if asked in event:
                return
            for message in pool.messages():
                if isinstance(message, Exception):
                    raise message
                if len(told) < count:
                    told.append(message)
                    if len(told) == count:
                        ready(told[0])
            if pool.bury() and len(told) < count:
                raise WorkerError("a process of the server died while it loaded its models: see the lines above.")
            pool.fill(count)


class _Pool:
    """The processes that live, each with a connection over which it tells once that it is ready."""

    def __init__(self, work: Work, arguments: tuple[Any, ...], listening: socket.socket) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._work, self._arguments, self._listening = work, arguments, listening
        self._living: dict[SpawnProcess, Connection] = {}
        self._open: set[Connection] = set()
        self._last_start = 0.0

    @property
    def connections(self) -> list[Connection]:
        """Those over which something may still come."""
        return list(self._open)

    @property
    def sentinels(self) -> list[int]:
        """What becomes readable when a process ends."""
        return [process.sentinel for process in self._living]

    def start(self) -> None:
        """Start one more process."""
        here, there = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_in_worker, args=(os.getpid(), self._work, there, self._listening, self._arguments), daemon=False
        )
        process.start()
        there.close()
        self._last_start = time.monotonic()
        self._living[process] = here
        self._open.add(here)

    def messages(self) -> Iterator[Any]:
        """What processes have told, or the error that each ended with."""
        for connection in wait(list(self._open), 0):
            assert isinstance(connection, Connection)
            self._open.discard(connection)
            with contextlib.suppress(EOFError, OSError):
                yield connection.recv()

    def bury(self) -> int:
        """Forget processes that have ended; returns how many."""
        dead = [process for process in self._living if not process.is_alive()]
        for process in dead:
            connection = self._living.pop(process)
            self._open.discard(connection)
            connection.close()
            _forget_counts(process.pid or 0)
        return len(dead)

    def fill(self, count: int) -> None:
        """Start as many as are missing."""
        while len(self._living) < count:
            time.sleep(max(0.0, min(_SHORTEST_LIFE_S, self._last_start + _SHORTEST_LIFE_S - time.monotonic())))
            self.start()

    def end(self, timeout_s: float, asked: int) -> None:
        """Ask all processes to end, and kill what is left after the time or another signal."""
        for process in self._living:
            with contextlib.suppress(OSError):
                process.terminate()
        os.set_blocking(asked, False)
        with contextlib.suppress(OSError):
            os.read(asked, 4096)
        end = time.monotonic() + timeout_s
        while any(process.is_alive() for process in self._living) and time.monotonic() < end:
            if asked in wait([asked, *self.sentinels], 0.2):
                break
        for process in self._living:
            process.kill()
            process.join()


def _in_worker(
    parent: int, work: Work, connection: Connection, listening: socket.socket, arguments: tuple[Any, ...]
) -> None:
    system.die_with_parent(parent)
    try:
        work(connection.send, listening, *arguments)
    except DensecastError as error:
        with contextlib.suppress(OSError):
            connection.send(error)
        raise SystemExit(error.exit_code) from None


@contextlib.contextmanager
def _counts() -> Iterator[None]:
    """A folder in which the processes keep their counts, so that each can tell those of all."""
    folder = tempfile.mkdtemp(prefix="densecast-serve-")
    before = os.environ.get(MULTIPROCESS)
    os.environ[MULTIPROCESS] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[MULTIPROCESS]
        else:
            os.environ[MULTIPROCESS] = before
        shutil.rmtree(folder, ignore_errors=True)


def _forget_counts(pid: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]
