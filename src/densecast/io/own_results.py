"""The record of the results that were written to a folder, by which densecast knows its own files again.

`.densecast-results.jsonl` lies in the folder of results and has a line of JSON for each file that was written below it:
its name, size and SHA-256, the image it was made of and the model. A line is appended before its file appears, so the
record of a run that was stopped is whole; it moves and is copied with the folder. A file that has been edited since is
not what was written: it belongs to its editor. Bytes of names that are not UTF-8 are escaped as Python's
`surrogateescape` has them, and `os.fsencode` gives them back.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densecast.io import files

RECORD = ".densecast-results.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file that was written: `file` is its path below the folder, with slashes; `model` and `image` made it.

    `state` tells these as they were then from what they may have become; records of before have none.
    """

    file: str
    size: int
    sha256: str
    image: str
    model: str
    state: str = ""


@dataclass(slots=True)
class OwnResults:
    """The files that were written below `root`; safe to use from several threads."""

    root: Path
    _entries: dict[str, list[Entry]]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, root: Path) -> OwnResults:
        """Read the folder's record; there need not be one. Lines that were cut off are passed over."""
        entries: dict[str, list[Entry]] = {}
        try:
            lines = (root / RECORD).read_bytes().split(b"\n")
        except OSError:
            lines = []
        for line in lines:
            entry = _parsed(line)
            if entry is not None:
                entries.setdefault(entry.file, []).append(entry)
        return cls(root, entries)

    def __len__(self) -> int:
        """The number of files that were ever written."""
        return len(self._entries)

    def find(self, path: Path) -> Entry | None:
        """What is known of a file below the folder, if it is a file that was written here and not changed since."""
        known = self._entries.get(self._name(path), [])
        if not known or path.is_symlink() or not path.is_file():
            return None
        size = path.stat().st_size
        known = [entry for entry in known if entry.size == size]
        if not known:
            return None
        digest = files.sha256(path)
        return next((entry for entry in reversed(known) if entry.sha256 == digest), None)

    def note(self, path: Path, written: Path, image: str, model: str, state: str = "") -> None:
        """Append that `written`, a file elsewhere, is about to become `path`.

        Raises:
            OSError: the record cannot be written.
        """
        entry = Entry(self._name(path), written.stat().st_size, files.sha256(written), image, model, state)
        with self._lock:
            if entry in self._entries.get(entry.file, []):
                return
            _append(self.root / RECORD, json.dumps({name: getattr(entry, name) for name in entry.__slots__}))
            self._entries.setdefault(entry.file, []).append(entry)

    def _name(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.root)).as_posix()


def state_of(*paths: Path) -> str:
    """Sizes and times of files as they are now; of what is no file, nothing."""
    states = []
    for path in paths:
        try:
            status = path.stat()
            states.append(f"{status.st_size} {status.st_mtime_ns}")
        except OSError:
            states.append("-")
    return ", ".join(states)


def _append(record: Path, line: str) -> None:
    """One write at the end of the file, so that lines of two runs do not mix; ends a line that was cut off first.

    Raises:
        OSError: not all of it could be written.
    """
    handle = os.open(record, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        end = os.lseek(handle, 0, os.SEEK_END)
        if end:
            os.lseek(handle, end - 1, os.SEEK_SET)
        torn = bool(end) and os.read(handle, 1) != b"\n"
        rest = (b"\n" if torn else b"") + line.encode() + b"\n"
        while rest:  # a disk that is nearly full takes a part, and says what is wrong at the next write
            rest = rest[os.write(handle, rest) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(record)) from None
    finally:
        os.close(handle)


def _parsed(line: bytes) -> Entry | None:
    try:
        data: Any = json.loads(line)
        return Entry(**data) if isinstance(data, dict) and isinstance(data.get("file"), str) else None
    except (ValueError, TypeError):
        return None
