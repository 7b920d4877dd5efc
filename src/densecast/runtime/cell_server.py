"""Forks confined processes on request, one at a time: a clean process that has imported libraries and seen no file.

    python -P cell_server.py PATHS MODULES IDLE_S

reads a job a line from standard input, and writes to standard output `{"pid": …}` and, when it has ended,
`{"status": …}`. A line `kill` in between ends the job. It ends with its standard input, so with whoever started it, or
when idle for so long.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before anything of the package is imported; what is installed comes first
    sys.path.extend(each for each in sys.argv[1].split("\n") if each and each not in sys.path)

import contextlib
import ctypes
import gc
import importlib
import json
import logging
import os
import select
import signal
import tempfile
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from densecast.errors import DensecastError
from densecast.io import system
from densecast.runtime import confinement

LIMITS = "limits.json"
"""What was in force last, for the message of an error; in the scratch folder."""

_POLL_S = 0.02
_MAX_THREADS = 4
_MAX_RECORDS = 200
_MAX_DETAIL = 4000
_DEATH_SIGNAL = 1

_folder: Path | None = None
_bounds = (sys.maxsize, sys.maxsize, sys.maxsize)


def is_inside() -> bool:
    """Whether this process is confined: what it is given may be foreign."""
    return _folder is not None


def narrow(*, memory_bytes: int, cpu_s: int, wall_s: int) -> None:
    """Lower the limits of this process, once it knows how much work is before it; outside of a cell nothing happens.

    Memory and time that it has used do not count. Python's part in it is small; the engines' may ask for no more.
    What was set when the process was confined is never exceeded, whatever a file asks for.
    """
    if _folder is not None:
        memory_bytes, cpu_s, wall_s = (
            min(asked, bound) for asked, bound in zip((memory_bytes, cpu_s, wall_s), _bounds, strict=True)
        )
        confinement.limit_memory(memory_bytes)
        confinement.limit_cpu(cpu_s)
        signal.setitimer(signal.ITIMER_REAL, wall_s)
        (_folder / LIMITS).write_text(json.dumps([memory_bytes, cpu_s, wall_s]))


def serve() -> None:
    """Serve jobs until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in filter(None, sys.argv[2].split(",")):
        with contextlib.suppress(ImportError):  # an extra; the job will say what it misses
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    buffer, idle_s = b"", float(sys.argv[3])
    while True:
        line, buffer = _next_line(buffer, idle_s)
        if line is None:
            return
        pid = os.fork()
        if pid == 0:
            replies.close()
            os.dup2(null, 0)
            _run(json.loads(line))
        print(json.dumps({"pid": pid}), file=replies)
        status, buffer = _wait(pid, buffer)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        if status is None:
            return
        print(json.dumps({"status": status}), file=replies)


def _next_line(buffer: bytes, idle_s: float) -> tuple[bytes | None, bytes]:
    while b"\n" not in buffer:
        if not select.select([0], [], [], idle_s)[0]:
            return None, b""
        data = os.read(0, 1 << 16)
        if not data:
            return None, b""
        buffer += data
    line, _, rest = buffer.partition(b"\n")
    return (line, rest) if line != b"kill" else _next_line(rest, idle_s)


def _wait(pid: int, buffer: bytes) -> tuple[int | None, bytes]:
    """The exit status of the job; None if whoever asked is gone."""
    is_asked_for = True
    with _end_of(pid) as ended:
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return (os.waitstatus_to_exitcode(status) if is_asked_for else None), buffer
            watched = [*ended, *([0] if is_asked_for else [])]
            if 0 in select.select(watched, [], [], None if ended else _POLL_S)[0]:
                data = os.read(0, 1 << 16)
                is_asked_for = bool(data)
                if not data or b"kill\n" in buffer + data:
                    os.kill(pid, signal.SIGKILL)
                buffer = (buffer + data).replace(b"kill\n", b"")


@contextlib.contextmanager
def _end_of(pid: int) -> Iterator[list[int]]:
    """A descriptor that can be read once the process has ended; none where the kernel is older than 5.3."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        yield []
        return
    try:
        yield [descriptor]
    finally:
        os.close(descriptor)


def _run(job: dict[str, Any]) -> None:
    """Run one job in this forked process, and end it."""
    global _folder, _bounds
    code = 70
    try:
        folder = Path(job["folder"])
        # Nothing of the process that asked is inherited but this; it dies with the server.
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
        os.setpgid(0, 0)
        log = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME"):
            os.environ[name] = str(folder)
        os.environ.update(job["environment"])
        tempfile.tempdir = None
        os.chdir(folder)
        system.keep_to_cpus(_MAX_THREADS)
        records = _Records()
        logging.getLogger("densecast").addHandler(records)
        logging.getLogger("densecast").setLevel(job["log_level"])
        for name in job["preload"]:
            importlib.import_module(name)
        module, _, name = job["function"].partition(":")
        function = getattr(importlib.import_module(module), name)
        readable, writable = ([Path(each) for each in job[key]] for key in ("readable", "writable"))
        confinement.confine(readable, writable, folder, job["file_bytes"])
        _folder, _bounds = folder, (job["memory_bytes"], job["cpu_s"], job["wall_s"])
        if (caching := sys.modules.get("numba.core.caching")) is not None:
            # What is compiled here is kept nowhere; compiled before, it is read.
            caching.Cache.save_overload = lambda self, signature, data: None
        narrow(memory_bytes=job["memory_bytes"], cpu_s=job["cpu_s"], wall_s=job["wall_s"])
        reply = {"log": records.kept, **_answer(function, job["payload"], folder)}
        (folder / "reply.json").write_text(json.dumps(reply))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _answer(function: Any, payload: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the function returns, or the error it ends with; both as JSON holds them."""
    try:
        return {"result": function(payload, folder)}
    except DensecastError as error:
        fields = {"field": error.field, "hint": error.hint}
        return {"error": type(error).__name__, "message": str(error), **fields}
    except Exception as error:  # libraries raise whatever a foreign file leads them to
        frames = traceback.extract_tb(error.__traceback__)
        is_own = bool(frames) and f"{os.sep}densecast{os.sep}" in frames[-1].filename
        lines = str(error).strip().splitlines() or [""]
        return {
            "error": "untyped",
            "message": f"{type(error).__name__}: {lines[0]}",
            "detail": str(error)[-_MAX_DETAIL:],
            "is_own": is_own and not isinstance(error, MemoryError),
            "traceback": traceback.format_exc(),
        }


class _Records(logging.Handler):
    """Keeps what is logged, for the process that asked."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record as logger, level and text."""
        if len(self.kept) < _MAX_RECORDS:
            self.kept.append((record.name, record.levelno, record.getMessage()))


if __name__ == "__main__":
    # One module, whatever name it is asked for by: `is_inside` is read from the package.
    from densecast.runtime import cell_server

    assert threading.active_count() == 1, "a process with threads cannot be forked"
    cell_server.serve()
