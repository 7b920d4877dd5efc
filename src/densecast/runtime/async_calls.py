"""Awaitable calls in a few threads, for programs with an event loop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

from densecast.errors import UsageError

Result = TypeVar("Result")


class AsyncCalls:
    """Runs calls in up to `workers` threads of its own, which are started when the first call comes.

    The event loop's own pool is not used: calls that wait for an engine would keep it from everything else.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._opening = threading.Lock()
        self._threads: futures.ThreadPoolExecutor | None = None
        self._process = os.getpid()
        self._is_closed = False

    async def run(self, call: Callable[[], Result]) -> Result:
        """The result of the call. One that is cancelled before its turn never runs.

        Raises:
            UsageError: closed.
        """
        import asyncio

        with self._opening:
            if self._is_closed:
                raise UsageError("this pipeline is closed: open another one.")
            # A process that was forked from this one has its executor, but not the executor's threads.
            if self._threads is None or self._process != os.getpid():
                self._process = os.getpid()
                self._threads = futures.ThreadPoolExecutor(self._workers, "densecast async")
            job = self._threads.submit(call)
        return await asyncio.wrap_future(job)

    def close(self) -> None:
        """Wait for the calls in work; those that wait are cancelled."""
        with self._opening:
            self._is_closed = True
            threads = self._threads if self._process == os.getpid() else None
        if threads is not None:
            threads.shutdown(cancel_futures=True)
