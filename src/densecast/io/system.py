"""What only Linux has, or POSIX, in one place, each with what is done where it is missing.

Tried on Linux alone; a test takes away what other systems lack. Confined processes, which are Linux's through and
through, are `runtime.cell`'s, and it refuses where `can_confine` says no.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROC, SYS = Path("/proc"), Path("/sys")
# Bits that have an effect where they exist.
NO_LINKS: int = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT: int = getattr(os, "O_NONBLOCK", 0)
READING: int = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
KILL: int = getattr(signal, "SIGKILL", signal.SIGTERM)
HANG_UP: int | None = getattr(signal, "SIGHUP", None)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_PR_SET_PDEATHSIG = 1
_NAME_BYTES = 255
# Of 40 steps of niceness: a third of the time that another thread gets which wants all it can have.
_GIVES_WAY = 5
# What a kernel or a file system answers that cannot exchange two names, or has no folders to flush.
_CANNOT_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.EXDEV)
_CANNOT_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)


def _has(name: str) -> bool:
    """Whether Python's `os` has a function of that name on this system."""
    return getattr(os, name, None) is not None


def can_confine() -> bool:
    """Whether processes can be confined here: by Linux's calls, in a fork."""
    return sys.platform == "linux" and _has("fork")


def has_selectable_pipes() -> bool:
    """Whether a pipe can be waited for beside a clock, as POSIX's can."""
    return os.name == "posix" and _has("set_blocking")


def after_fork(work: Callable[[], None]) -> None:
    """Have `work` called in processes that are forked from this one, where such a thing can be."""
    if _has("register_at_fork"):
        os.register_at_fork(after_in_child=work)


def usable_cpus() -> frozenset[int]:
    """The CPUs that this process may run on; all of the machine's where nobody can say."""
    affinity = getattr(os, "sched_getaffinity", None)
    return frozenset(range(os.cpu_count() or 1) if affinity is None else affinity(0))


def keep_to_cpus(count: int) -> None:
    """Run this process on so many of its CPUs, where that can be said."""
    if _has("sched_setaffinity"):
        os.sched_setaffinity(0, sorted(usable_cpus())[:count])


def memory_bytes() -> int | None:
    """The machine's memory; None where nobody can say."""
    return None if (pages := _sysconf("SC_PHYS_PAGES")) is None else pages * (_sysconf("SC_PAGE_SIZE") or 4096)


def clock_ticks() -> int:
    """Ticks a second of the kernel's clock."""
    return _sysconf("SC_CLK_TCK") or 100


def load_average() -> float | None:
    """How many processes ran or waited for a CPU over the last minute; None where nobody can say."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def resident_bytes() -> int | None:
    """What this process holds in memory now; None where nobody can say."""
    try:
        return int((PROC / "self" / "statm").read_text().split()[1]) * (_sysconf("SC_PAGE_SIZE") or 4096)
    except (OSError, ValueError, IndexError):
        return None


def peak_bytes() -> int | None:
    """The most that this process has held in memory; None where nobody can say.

    From Linux's `VmHWM`: `getrusage`, which other systems have, counts what the parent held before it became this
    program, too.
    """
    try:
        for line in (PROC / "self" / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def user_id() -> str:
    """The user, as a part of a file's name."""
    effective = getattr(os, "geteuid", None)
    if effective is not None:
        return str(effective())
    name = os.environ.get("USERNAME", "user")
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def is_own_alone(path: Path) -> bool:
    """Whether a folder is this user's, and no other may write to it; so is every one where there are no such rights."""
    if not _has("geteuid"):
        return True
    found = path.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & 0o022


def longest_name(folder: Path) -> int:
    """The most bytes that a file name may have in a folder that exists."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return _NAME_BYTES


def flush(path: Path) -> None:
    """Flush a file, or a folder's list of names, to disk, where it can be opened and the system has such a thing.

    Raises:
        OSError: the disk failed.
    """
    try:
        handle = os.open(path, READING)
    except OSError:
        if path.is_dir():
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_FLUSH:
            raise
    finally:
        os.close(handle)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot.

    Raises:
        OSError: it can, and did not.
    """
    renameat2 = getattr(_libc(use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def process_exists(pid: int) -> bool:
    """Whether a process of that number is there; where asking would end it, it counts as there."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def process_started(pid: int) -> int | None:
    """When a process was started, in clock ticks since boot; None if there is none, or if it cannot be seen."""
    try:
        # The second field is the program's name in parentheses, which may hold anything.
        fields = (PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def where_processes_count() -> str:
    """What process ids are unique in: this boot of this machine, and this container; "" where nobody can say."""
    parts = []
    with contextlib.suppress(OSError):
        parts.append((PROC / "sys" / "kernel" / "random" / "boot_id").read_text())
    with contextlib.suppress(OSError):
        parts.append(str((PROC / "self" / "ns" / "pid").readlink()))
    return "".join(parts)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; `parent` is that process's id.

    Where the system has no such call, a worker ends when it next reads from its parent.
    """
    with contextlib.suppress(OSError, AttributeError):
        if sys.platform == "linux":
            _libc().prctl(_PR_SET_PDEATHSIG, KILL)
    if os.getppid() != parent:  # it died before
        os._exit(128 + KILL)


def give_way() -> None:
    """Have this thread, and those that it starts, leave CPUs to the other threads of its process, where that can be."""
    if sys.platform == "linux":  # elsewhere the number of a thread is not that of a process
        with contextlib.suppress(OSError):
            number = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, number, os.getpriority(os.PRIO_PROCESS, number) + _GIVES_WAY)


@contextlib.contextmanager
def interrupts_kept_for_later() -> Iterator[None]:
    """Block SIGINT: a process that is started meanwhile has it blocked for good, this one gets it at the end.

    Where signals cannot be blocked nothing is done.
    """
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is None:
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


def _libc(*, use_errno: bool = False) -> Any:
    return ctypes.CDLL(None, use_errno=use_errno)


def _sysconf(name: str) -> int | None:
    try:
        return os.sysconf(name)
    except (AttributeError, ValueError, OSError):
        return None
