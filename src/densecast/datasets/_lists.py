"""Reads lists of a split's images: exactly one name a line, as annotation tools and data sets write them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path

from densecast.errors import BadDatasetError

# A list of this size names every image of the largest public data sets.
MAX_BYTES = 64 << 20
_MAX_NAME = 1024
# VOC's lists of one class tell with each name whether the class is there: 1, 0 (difficult) or -1.
_FLAGGED = re.compile(r"(.*\S)\s+(-1|0|1)")


def text_of(path: Path) -> str | None:
    """A text in UTF-8, or in UTF-16 with its byte order mark, as Windows' tools write; None for anything else."""
    contents = path.read_bytes()
    is_wide = contents.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return contents.decode("utf-16" if is_wide else "utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except ValueError:
        return None


def read_names(
    path: Path, max_bytes: int = MAX_BYTES, is_there: Callable[[str], bool] = lambda name: False
) -> list[str]:
    """The names in a list, one a line; blanks inside belong to the name, those around it and empty lines do not.

    A byte order mark and CRLF are left out; so are flags, where every line has one (1, 0 or -1 after a blank, as in
    VOC's lists of one class) and no line is a name with its flag, as far as `is_there` knows: all names remain.

    Raises:
        BadDatasetError: too large, no text, or a name twice.
    """
    if path.stat().st_size > max_bytes:
        raise BadDatasetError(f"{path}: larger than {max_bytes >> 20} MiB; this is no list of images.")
    text = text_of(path)
    if text is None:
        raise BadDatasetError(f"{path}: not a text of one name a line.")
    names = [line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    flagged = [each[1] for each in map(_FLAGGED.fullmatch, names) if each is not None]
    if names and len(flagged) == len(names) and not any(map(is_there, names)):
        names = flagged
    for name in names:
        if "\0" in name or len(name) > _MAX_NAME:
            raise BadDatasetError(f"{path}: {name[:100]!r} is no file name.")
    if len(set(names)) != len(names):
        raise BadDatasetError(f"{path}: names {len(names) - len(set(names))} images twice.")
    return names
