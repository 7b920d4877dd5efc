"""Warns that only the first of several pictures in a file is read: once for each file, however often it is read."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Sequence
from pathlib import Path

_LOG = logging.getLogger(__name__)
# Name, size and beginning of a file.
Told = tuple[str, int, int]
_HEAD_BYTES = 1 << 16
_MOST = 10_000
"""Files that are remembered; a process that reads more says it of those again."""
_told: set[Told] = set()


def remark(where: str, data: bytes) -> None:
    """Warn that of the file of these bytes, called `where`, only the first picture is read."""
    if _is_new((where, len(data), zlib.crc32(data[:_HEAD_BYTES]))):
        _LOG.warning("%s holds several pictures; the first is taken.", where)


def remark_files(paths: Sequence[Path]) -> None:
    """The same of several files before they are read, in one line."""
    found = [path for path in paths if _is_new(_facts(path))]
    if len(found) == 1:
        _LOG.warning("%s holds several pictures; the first is taken.", found[0])
    elif found:
        _LOG.warning("%d files hold several pictures, of which the first is taken; one is %s.", len(found), found[0])


def _facts(path: Path) -> Told:
    try:
        with path.open("rb") as file:
            return (str(path), path.stat().st_size, zlib.crc32(file.read(_HEAD_BYTES)))
    except OSError:  # it is reported when the image is read
        return (str(path), 0, 0)


def _is_new(told: Told) -> bool:
    if told in _told:
        return False
    if len(_told) >= _MOST:
        _told.clear()
    _told.add(told)
    return True
