"""Runs a function on a foreign file in a confined process, and takes only plain data back from it.

A model file is a program of somebody else's. Here it is read and run for the first time: in a process that can write
nothing outside a scratch folder, reach no network, start no program and see no variable of its parent's, with limits on
memory and time. The parent of it reads a reply of JSON, and survives whatever happens to it.

The process is forked from a server that was started for it, so that libraries are imported once, not for every file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import signal
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from densecast import errors
from densecast.errors import BadGraphError, DensecastError, UsageError
from densecast.io import files, system
from densecast.runtime import cell_pool, cell_server, confinement

log = logging.getLogger(__name__)

SECONDS = "DENSECAST_CELL_SECONDS"
"""Variable: CPU seconds that a foreign file may take."""
GIB = "DENSECAST_CELL_GIB"
"""Variable: memory that a foreign file may take, in GiB."""

_READING = system.READING | system.NO_LINKS | system.NO_WAIT
_TIME_OVER = tuple(getattr(signal, name, None) for name in ("SIGXCPU", "SIGALRM"))
_MAX_REPLY_BYTES = 16 << 20
_MAX_MESSAGE = 2000
_LOG_TAIL_BYTES = 4096
_MEMORY_SIGNS = ("alloc", "memoryerror", "cannot allocate memory", "not enough memory", "out of memory")
# OpenVINO's words for a tensor of more bytes than a number holds: nobody was asked for any.
_COUNTED = "cannot allocate memory for type"
_MOST_CROWDED = 32.0
_LONGEST_S = 1 << 30
# What the user says to densecast by the environment.
_OWN_VARIABLES = ("DENSECAST_PLUGINS", SECONDS, GIB)
_SYSTEM = (
    *("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/nix/store", "/gnu/store"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/nsswitch.conf"),
    *("/etc/passwd", "/etc/group", "/etc/os-release"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/self", "/proc/sys/kernel"),
    *("/proc/sys/vm", "/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm"),
    *("/dev/urandom", "/dev/random", "/dev/zero"),
)
_DEVICES = ("/dev/null",)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a confined process may use: memory in all, CPU time of all its threads, time that passes, bytes a file."""

    memory_bytes: int
    cpu_s: int
    wall_s: int
    file_bytes: int


def limits(file_bytes: int, pixels: int) -> Limits:
    """The limits for a model file of this size that is run on so many pixels.

    They grow with both: a network's weights are in memory several times while it is exported, and a layer of 64 maps at
    full size takes 256 bytes a pixel. Time on the clock grows with the machine's load, as beside others' work a process
    has only its share of the CPUs. `DENSECAST_CELL_SECONDS` and `DENSECAST_CELL_GIB` take their place. Memory ends at
    three quarters of the machine's in any case.

    Raises:
        UsageError: a variable is not a positive number.
    """
    mib = math.ceil(file_bytes / 2**20)
    machine = system.memory_bytes() or 1 << 40
    own_gib, own_seconds = _number(GIB), _number(SECONDS)
    memory = 1536 * 2**20 + 8 * file_bytes + 2048 * pixels if own_gib is None else int(own_gib * 2**30)
    cpu_s = 45 + 3 * mib + 20 * pixels // 10**6 if own_seconds is None else math.ceil(own_seconds)
    wall_s = int((60 + 4 * cpu_s) * _crowded())
    return Limits(min(memory, machine * 3 // 4), cpu_s, wall_s, 2**30 + 4 * file_bytes)


def _crowded() -> float:
    """How many processes want each CPU, at least 1."""
    with contextlib.suppress(OSError):
        return min(max((system.load_average() or 0.0) / (os.cpu_count() or 1), 1.0), _MOST_CROWDED)
    return 1.0


def narrow(file_bytes: int, pixels: int) -> None:
    """Inside a cell, lower its limits to those of `limits`; elsewhere nothing happens."""
    narrowed = limits(file_bytes, pixels)
    # The time on the clock stays: in here nobody knows what else runs.
    cell_server.narrow(memory_bytes=narrowed.memory_bytes, cpu_s=narrowed.cpu_s, wall_s=_LONGEST_S)


def run_in_cell(
    function: str,
    payload: dict[str, Any],
    folder: Path,
    *,
    subject: str,
    bounds: Limits,
    readable: Sequence[Path] = (),
    preload: Sequence[str] = (),
    libraries: Sequence[str] = (),
) -> Any:
    """Run `function` ("package.module:name") as `function(payload, folder)` in a confined process; returns its result.

    Payload and result are JSON; larger things are files in `folder`, an empty folder of the caller's and the only one
    that can be written to. `readable` are the files and folders that may be read besides Python's own and the system's.
    `preload` are the user's own modules that are imported before the process is confined; `libraries` are imported
    once, for all runs that name the same. `subject` is the file, as messages name it.

    Raises:
        BadGraphError: it took too much memory or time, crashed, or a library failed on the file.
        DensecastError: as the function raises it; or the process could not be confined.
    """
    if not system.can_confine():
        raise DensecastError(
            f"{subject} is read in a confined process, as any file may be hostile, and that needs Linux. Do it there, "
            "or in a container; built models run on this system."
        )
    job = {
        "function": function,
        "payload": payload,
        "folder": str(files.real(folder)),
        "readable": [*_SYSTEM, *_python_folders(), *_kernels(), *(str(files.real(path)) for path in readable)],
        "writable": list(_DEVICES),
        "preload": list(preload),
        "memory_bytes": bounds.memory_bytes,
        "cpu_s": bounds.cpu_s,
        "wall_s": bounds.wall_s,
        "file_bytes": bounds.file_bytes,
        "environment": {name: os.environ[name] for name in _OWN_VARIABLES if name in os.environ},
        "log_level": logging.getLogger("densecast").getEffectiveLevel(),
    }
    log.info("%s is read in a process of its own. %s", subject, confinement.describe())
    status = _status(job, tuple(libraries), bounds)
    in_force = _narrowed(folder, bounds)
    if status or status is None:
        _explain(status, folder, subject, in_force)
    return _result(folder / "reply.json", subject, in_force)


def _status(job: dict[str, Any], libraries: tuple[str, ...], bounds: Limits) -> int | None:
    for is_last in (False, True):
        server = cell_pool.take(libraries)
        try:
            status = server.run(job, bounds.wall_s)
        except BrokenPipeError:  # it was idle for too long a moment ago
            server.close()
            if is_last:
                raise DensecastError("the process that reads foreign files could not be started.") from None
        except BaseException:
            server.close()
            raise
        else:
            cell_pool.give_back(server)
            return status
    raise AssertionError("one of two ends it")


def _narrowed(folder: Path, bounds: Limits) -> Limits:
    """The limits that the process last set itself, which are no more than `bounds`; for messages only."""
    try:
        with os.fdopen(os.open(folder / cell_server.LIMITS, _READING)) as stream:
            memory, cpu_s, wall_s = (int(each) for each in json.loads(stream.read(200)))
    except (OSError, ValueError, TypeError, RecursionError):
        return bounds
    return replace(bounds, memory_bytes=memory, cpu_s=cpu_s, wall_s=wall_s)


def _explain(status: int | None, folder: Path, subject: str, bounds: Limits) -> NoReturn:
    said = _tail(folder / "log")
    number = -status if status is not None and status < 0 else 0
    if status is None or number in _TIME_OVER:
        raise BadGraphError(
            f"{subject} did not finish in {bounds.cpu_s} s of CPU time or {bounds.wall_s} s in all, so it was ended. "
            f"If it is a network that needs longer, set {SECONDS}."
        )
    if status == 70:
        if "ConfinementError" in said:
            raise DensecastError(f"{subject} cannot be read: its process could not be confined ({said}).")
        if is_about_memory(said):
            _no_memory(subject, bounds)
        raise BadGraphError(f"{subject} cannot be read ({said}).")
    if number == signal.SIGABRT and is_about_memory(said):
        _no_memory(subject, bounds)
    if number == 0:
        raise BadGraphError(f"{subject}: the process that read it ended with {status} ({said}).")
    remark = " The system may be out of memory." if number == system.KILL else ""
    name = signal.Signals(number).name if number in set(signal.Signals) else "unknown"
    raise BadGraphError(f"{subject}: the process that read it was ended by signal {number}, {name} ({said}).{remark}")


def _result(path: Path, subject: str, bounds: Limits) -> Any:
    """The reply, of which nothing is believed but its form."""
    try:
        handle = os.open(path, _READING)
        with os.fdopen(handle, "rb") as stream:
            is_plain = stat.S_ISREG(os.fstat(handle).st_mode)
            reply = json.loads(stream.read(_MAX_REPLY_BYTES)) if is_plain else None
    except (OSError, ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        raise BadGraphError(f"{subject}: the process that read it gave no answer.")
    for record in reply.get("log") or ():
        with contextlib.suppress(TypeError, ValueError):
            name, level, text = record
            if str(name).startswith("densecast"):
                logging.getLogger(name).log(level, "%s", str(text)[:_MAX_MESSAGE])
    kind = reply.get("error")
    if kind is None:
        return reply.get("result")
    message = str(reply.get("message"))[:_MAX_MESSAGE]
    if is_about_memory(f"{message} {reply.get('detail', '')}"):
        _no_memory(subject, bounds)
    if kind == "untyped":
        log.debug("%s", reply.get("traceback"))
        if reply.get("is_own"):
            raise RuntimeError(f"{message}\n{reply.get('traceback')}")
        raise BadGraphError(f"{subject} cannot be used ({message.rstrip('.')}).")
    known = getattr(errors, str(kind), None)
    error_type = known if isinstance(known, type) and issubclass(known, DensecastError) else BadGraphError
    field, hint = (None if reply.get(key) is None else str(reply[key])[:_MAX_MESSAGE] for key in ("field", "hint"))
    raise error_type(message, field=field, hint=hint)


def _no_memory(subject: str, bounds: Limits) -> NoReturn:
    raise BadGraphError(
        f"{subject} needs more memory than a network of its size may take, {bounds.memory_bytes / 2**30:.1f} GiB at "
        f"most. If it is a network that needs as much, set {GIB}."
    )


def is_about_memory(text: str) -> bool:
    """Whether a library's words for an error mean that it got no memory."""
    lowered = text.lower().replace(_COUNTED, "")
    return any(sign in lowered for sign in _MEMORY_SIGNS)


def _tail(path: Path) -> str:
    """The last line that the process wrote before it ended."""
    try:
        with os.fdopen(os.open(path, _READING), "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            lines = stream.read().decode(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    printable = "".join(each for each in (lines or ["nothing said"])[-1] if each.isprintable())
    return printable[:300]


def _number(variable: str) -> float | None:
    text = os.environ.get(variable)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1e6:
        raise UsageError(f"{variable} must be a positive number, got {text!r}.")
    return value


def _kernels() -> list[str]:
    """Where compiled kernels are kept, if not beside the package."""
    return [os.environ["NUMBA_CACHE_DIR"]] if os.environ.get("NUMBA_CACHE_DIR") else []


def _python_folders() -> list[str]:
    """Where Python and the installed packages are; never the home folder itself."""
    home = Path.home() if "HOME" in os.environ else Path("/root")
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    from_path = {each for each in (*sys.path, *os.environ.get("LD_LIBRARY_PATH", "").split(":")) if each}
    found = {files.real(Path(each)) for each in prefixes | from_path}
    return sorted(str(each) for each in found if each.exists() and not files.real(home).is_relative_to(each))
