"""Names of temporary files and folders that tell whose they are, so that those of dead processes can be removed.

A file is written beside its target and renamed, so a process that is killed leaves one behind. Its name holds the
process: the next one that writes there removes what no living process owns. What another machine, another container or
an earlier boot has left is removed when it is a week old, because nobody here can ask whether its owner lives.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from pathlib import Path

from densecast.io import system

_FOREIGN_AGE_S = 7 * 86400.0
_OLD = ".old"
_NAME = re.compile(r"\.densecast-([0-9a-f]{16})-([0-9a-f]{8})-(\d+)-(\d+)-[0-9a-f]{8}(\.old)?")

_swept: set[Path] = set()
_own: set[Path] = set()


def beside(target: Path) -> Path:
    """An unused hidden name in `target`'s folder, where the final rename stays on one file system.

    Its length does not depend on the target's: a name that is allowed has an allowed temporary one.
    """
    pid = os.getpid()
    owner = f"{_tag(target)}-{_place()}-{pid}-{system.process_started(pid) or 0}-{secrets.token_hex(4)}"
    name = target.with_name(f".densecast-{owner}").absolute()
    _own.add(name)
    return name


def beside_for_old(target: Path) -> Path:
    """The same for what was at `target`, to be put back there by `recover` if nothing takes its place."""
    name = beside(target)
    return name.with_name(name.name + _OLD)


def is_temporary(name: str) -> bool:
    """Whether a file name is that of a temporary file or folder of densecast."""
    return _NAME.fullmatch(name) is not None


def sweep(target: Path) -> None:
    """Remove from `target`'s folder what dead processes have left; what cannot be removed stays."""
    recover(target)
    tag = _tag(target)
    for path in _left_in(target.parent):
        match = _NAME.fullmatch(path.name)
        assert match is not None
        # What was moved aside may be the last copy of its target; it goes once that is there.
        if match[5] is None or (match[1] == tag and os.path.lexists(target)):
            remove(path)


def sweep_once(target: Path) -> None:
    """`sweep`, at the first call for each folder: a folder may hold a hundred thousand results."""
    folder = target.parent.absolute()
    if folder not in _swept:
        _swept.add(folder)
        sweep(target)


def recover(target: Path) -> None:
    """Put back what was at `target` before a process died between moving it away and putting the new one there."""
    if os.path.lexists(target):
        return
    moved = [path for path in _left_in(target.parent) if path.name.endswith(_OLD) and _tag(target) in path.name]
    if moved:
        with contextlib.suppress(OSError):
            max(moved, key=lambda path: path.stat().st_mtime).rename(target)


def remove(path: Path) -> None:
    """Remove a file, link or folder; what cannot be removed stays."""
    _own.discard(path)
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def remove_own() -> None:
    """Remove what this process is writing: for one that ends without unwinding."""
    for path in list(_own):
        if not path.name.endswith(_OLD):
            remove(path)


def forget(path: Path) -> None:
    """Count a name as no longer temporary: it was renamed."""
    _own.discard(path)


def _left_in(folder: Path) -> list[Path]:
    """The temporary files and folders in `folder` whose owner is dead."""
    try:
        return [path for path in folder.iterdir() if path.name.startswith(".densecast-") and _is_left(path)]
    except OSError:
        return []


def _is_left(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return False
    if match[2] != _place():
        with contextlib.suppress(OSError):
            return time.time() - path.lstat().st_mtime > _FOREIGN_AGE_S
        return False
    pid, started = int(match[3]), int(match[4])
    now = system.process_started(pid)
    if now is None:
        return not system.process_exists(pid)
    return now != started


@functools.cache
def _place() -> str:
    """What process ids are unique in: this boot of this machine, and this container."""
    return hashlib.sha256(system.where_processes_count().encode()).hexdigest()[:8]


def _tag(target: Path) -> str:
    return hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]
