"""Keeps idle servers of confined processes, for each set of libraries one, and asks them to run a job."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from densecast.runtime import cell_server

# What the libraries need of the environment.
_PASSED_ON = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "TZ", "VIRTUAL_ENV"),
    *("PYTHONDONTWRITEBYTECODE", "NUMBA_CACHE_DIR", "DENSECAST_CACHE"),
)


idle_s = 30.0
"""After how long without a job a server ends."""
most_idle = 1
"""So many servers with the same libraries wait for a job; as many as there are threads that ask for one."""


class Server:
    """A running `cell_server`, in the hands of one thread at a time."""

    def __init__(self, libraries: tuple[str, ...]) -> None:
        self.libraries, self.search_path, self.owner = libraries, _search_path(), os.getpid()
        self._received = b""
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # One thread of numpy's, so that the server can be forked; no look-up of engines' makers.
        environment |= {"OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1", "PYTHONUTF8": "1"}
        environment |= {"HOME": "/nonexistent", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [sys.executable, "-P", cell_server.__file__, "\n".join(self.search_path), ",".join(libraries), str(idle_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def run(self, job: dict[str, Any], wall_s: float) -> int | None:
        """The exit status of one job; None if it was ended because it took too long.

        Raises:
            BrokenPipeError: the server is gone.
        """
        self._send(json.dumps(job).encode())
        deadline = time.monotonic() + wall_s + 30  # the process has a clock of its own; this is for one that is stuck
        if self._answer(deadline + 60) is not None:
            answer = self._answer(deadline)
            if answer is not None:
                return int(answer["status"])
            self._send(b"kill")
            if self._answer(time.monotonic() + 30) is not None:
                return None
        # What it has yet to say would be taken for the answer to the next job.
        self._process.kill()
        self._process.wait()
        return None

    def close(self) -> None:
        """End the server and whatever it runs."""
        with contextlib.suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    @property
    def is_usable(self) -> bool:
        """Whether it runs, and was started by this process."""
        return self.owner == os.getpid() and self._process.poll() is None

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def _answer(self, deadline: float) -> dict[str, Any] | None:
        """The next line of the server's; None if there is none at the deadline.

        What is there is read however late it is: this process may have been stopped meanwhile.
        """
        assert self._process.stdout is not None
        handle = self._process.stdout.fileno()
        while b"\n" not in self._received:
            if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            data = os.read(handle, 1 << 16)
            if not data:
                raise BrokenPipeError("the server of confined processes is gone")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _search_path() -> tuple[str, ...]:
    """Where modules are found, in absolute paths."""
    return tuple(str(Path(each).absolute()) for each in sys.path if each)


_guard = threading.Lock()
_idle: list[Server] = []


def take(libraries: tuple[str, ...]) -> Server:
    """An idle server with these libraries, or a new one."""
    with _guard:
        usable = [each for each in _idle if each.is_usable]
        gone = [each for each in _idle if each not in usable and each.owner == os.getpid()]
        # A user's plug-in may have come onto the search path after a server was started.
        wanted = (libraries, _search_path())
        fitting = next((each for each in usable if (each.libraries, each.search_path) == wanted), None)
        _idle[:] = [each for each in usable if each is not fitting]
    for each in gone:
        each.close()
    return fitting or Server(libraries)


def give_back(server: Server) -> None:
    """Keep a server for the next run that names the same libraries; surplus ones, the oldest first, end."""
    with _guard:
        alike = [*(each for each in _idle if each.libraries == server.libraries), server]
        surplus = alike[: max(len(alike) - most_idle, 0)]
        _idle[:] = [each for each in (*_idle, server) if each not in surplus]
    for each in surplus:
        each.close()


@atexit.register
def _close_all() -> None:
    with _guard:
        servers, _idle[:] = list(_idle), []
    for each in servers:
        if each.owner == os.getpid():
            each.close()
