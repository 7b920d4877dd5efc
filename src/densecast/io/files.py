"""Atomic file and folder writing, and hashing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from densecast.errors import DensecastError, UsageError, WriteError
from densecast.io import system, temporaries
from densecast.io.system import exchange, flush

# How a file system says that a file cannot be written, often without a word on which.
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_OWN_DESCRIPTORS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
# Others may put a folder there, or take it away, between two calls of ours.
_TRIES = 20
_SHOWN = 80


def given(path: str | Path) -> Path:
    """A path as somebody gives it to a function: the text `~/x` is in the home folder, where anybody knows it.

    A folder whose name is a tilde is `./~`, or a `Path`, which is what it says.

    Raises:
        UsageError: it is no path.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"a path is needed, got {path!r:.{_SHOWN}}.")
    is_home = isinstance(path, str) and path.startswith("~/")
    # `Path.expanduser` raises where nobody knows the home; here the text stays as it is.
    return Path(os.path.expanduser(path)) if is_home else Path(path)  # noqa: PTH111


def several(paths: Any, field: str, or_a: type = Path) -> tuple[Any, ...]:
    """What is given where several paths may be: each of them, or a single path, which is no sequence of letters.

    Raises:
        UsageError: neither.
    """
    kinds = (str, os.PathLike, or_a)
    if isinstance(paths, kinds):
        return (paths,)
    found = tuple(paths) if isinstance(paths, Iterable) else (paths,)
    wrong = [each for each in found if not isinstance(each, kinds)]
    if wrong:
        raise UsageError(f"{field} must be paths, got {wrong[0]!r:.{_SHOWN}}.", field=field)
    return found


def real(path: Path) -> Path:
    """The absolute path with links followed; links that go round in circles stay as they are, and open nothing."""
    return Path(os.path.realpath(path))


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """Hex digest of a text's UTF-8 bytes; file names that are not UTF-8 count as their own bytes."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def sha256_bytes(data: bytes) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def stamp(status: os.stat_result) -> str:
    """A file system's word on a file's last change: where it is the same, so are the contents; a copy has another.

    Beside the time of the contents it tells that of the entry, which no program can set: a file that was replaced by
    one of the same time has another.
    """
    return f"{status.st_mtime_ns}/{status.st_ctime_ns}"


def tree_state(root: Path) -> str:
    """Hash over names, sizes and times of change of a file, or of all files below a folder: another where one changed.

    Nothing is read. Hidden files do not count.
    """
    if not root.is_dir():
        paths = [root] if root.exists() else []
    else:
        walked = os.walk(root, followlinks=False)
        paths = [Path(folder) / name for folder, _, names in walked for name in names if not name.startswith(".")]
    stats = [(os.fsencode(os.path.relpath(path, root)), path.stat()) for path in paths if path.exists()]
    return sha256_text(repr(sorted((name, each.st_size, each.st_mtime_ns) for name, each in stats)))


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """The bytes of a file, and one more than `most_bytes` of a longer one.

    A pipe is read only where it is one of this process's own descriptors, as of `<(…)` in a shell: one that lies in a
    folder may have nobody at its other end.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    handle = os.open(path, system.READING | system.NO_WAIT)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        if stat.S_ISDIR(mode) or not str(path).startswith(_OWN_DESCRIPTORS):
            os.close(handle)
            raise OSError(errno.EINVAL, "is no file", str(path))
        os.set_blocking(handle, True)
    with os.fdopen(handle, "rb") as stream:
        return stream.read(most_bytes + 1)


def require_place(path: Path, field: str | None = None) -> None:
    """Check, before any work, that a file can be written there.

    Raises:
        UsageError: a folder, or an address.
        WriteError: something above it is no folder, or may not be written to.
    """
    _refuse_url(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder. Name a file.", field=field)
    if _is_special(path):
        return
    above = next((each for each in real(path).parents if each.exists()), Path())
    if not above.is_dir() or not os.access(above, os.W_OK):
        what = "may not be written to" if above.is_dir() else "is no folder"
        raise WriteError(f"{path} cannot be written, as {above} {what}. Name another place.", field=field)


def write_bytes(path: Path, data: bytes, *, flushed: bool = True) -> None:
    """Write a file atomically: next to the target, flushed to disk, renamed, and the folder flushed.

    One of many that is not `flushed` may be lost with the power, until the writer of all calls `os.sync`. A link is
    followed. A device or a pipe, such as `/dev/stdout`, is written to and never replaced.

    Raises:
        OSError: it cannot be written; what was there before is there still.
    """
    _refuse_url(path)
    if path.is_symlink():
        path = real(path)
    if _is_special(path):
        try:
            path.write_bytes(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporaries.sweep_once(path)
    temporary = temporaries.beside(path)
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            if flushed:
                os.fsync(stream.fileno())
        temporary.replace(path)
        temporaries.forget(temporary)
    except BaseException as error:
        temporaries.remove(temporary)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            # Nobody knows the temporary name.
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        raise
    if flushed:
        flush(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; file names in it that are not UTF-8 keep their own bytes."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` if the block succeeds, and is removed if it does not.

    An existing `target` is replaced as a whole: both names are exchanged in one step where the system can, and the old
    folder is removed. A reader sees the old folder or the new one, never a mixture. Where the system cannot, the old
    one is moved aside first; a process killed just then leaves none, until `temporaries.recover` puts it back.
    """
    _refuse_url(target)
    if target.is_symlink():
        target = real(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporaries.sweep(target)
    scratch = temporaries.beside(target)
    try:
        scratch.mkdir()
        yield scratch
        for path in scratch.rglob("*"):
            if path.is_file():
                flush(path)
        for path in (scratch, *(each for each in scratch.rglob("*") if each.is_dir())):
            flush(path)
        _take_place(scratch, target)
        flush(target.parent)
    except BaseException as error:
        temporaries.remove(scratch)
        if isinstance(error, OSError) and error.errno in _DISK and _is_within(error.filename, scratch):
            raise OSError(error.errno, error.strerror or str(error), str(target)) from None
        raise
    finally:
        temporaries.forget(scratch)


@contextlib.contextmanager
def written_by_library(path: Path, subject: str) -> Iterator[None]:
    """Turn whatever a library raises while it writes to `path` into an error that says what may be wrong.

    Libraries of other languages report a full disk as an error of their own kind, if they say what it was at all.

    Raises:
        WriteError: the block failed.
    """
    try:
        yield
    except (DensecastError, MemoryError):
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else (lines or [type(error).__name__])[0]
        )
        raise WriteError(f"{subject} could not be written ({reason.rstrip('.')}). {_free_space(path)}") from None


def _refuse_url(path: Path) -> None:
    """Refuse to make a folder named `s3:` of a URL that was taken for a path.

    Raises:
        UsageError: it is one.
    """
    first = path.parts[0] if path.parts else ""
    if _SCHEME.fullmatch(first) and not Path(first).exists():
        raise UsageError(f"{path} is a URL, and results are written to this machine: only a --store may be behind one.")


def _take_place(scratch: Path, target: Path) -> None:
    """Rename `scratch` to `target`; what was there is removed."""
    for _ in range(_TRIES):
        if not os.path.lexists(target):
            try:
                scratch.rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
                continue
            return
        try:
            if exchange(scratch, target):
                temporaries.remove(scratch)
                return
            old = temporaries.beside_for_old(target)
            target.rename(old)
        except FileNotFoundError:
            continue
        try:
            scratch.rename(target)
        except BaseException:
            old.rename(target)
            raise
        temporaries.remove(old)
        return
    raise OSError(errno.EBUSY, "other processes write there at the same time", str(target))


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _is_within(name: object, scratch: Path) -> bool:
    """Whether an error's file name is below a temporary folder, or is not told."""
    return name is None or (isinstance(name, str) and Path(name).is_relative_to(scratch))


def _free_space(path: Path) -> str:
    if temporaries.is_temporary(path.name):  # gone by the time that somebody reads of it
        path = path.parent
    try:
        free = shutil.disk_usage(path if path.is_dir() else path.parent).free
    except OSError:
        return f"Is {path.parent} still there?"
    return f"{free / 1e6:.1f} MB are free in {path.parent if path.is_file() else path}."
