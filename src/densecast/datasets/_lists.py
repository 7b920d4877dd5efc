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
_NUMBERED = re.compile(r"(\d+)\s*[:,;=.)\s]\s*(\S.*)")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# VOC's lists of one class tell with each name whether the class is there: 1, 0 (difficult) or -1.
_FLAGGED = re.compile(r"(.*\S)\s+(-1|0|1)")


def text_of(path: Path, *, old: bool = False) -> str | None:
    """A text in UTF-8, or in UTF-16 with its byte order mark, as Windows' tools write; None for anything else.

    With `old` also one in Windows' Western letters (cp1252), in which spreadsheets wrote tables for decades: every byte
    is a letter there, so that what holds control characters is no text. Names of files are not read so, as they may
    have other letters.
    """
    return text_in(path.read_bytes(), old=old)


def text_in(contents: bytes, *, old: bool = False) -> str | None:
    """As `text_of`, of a file's bytes."""
    is_wide = contents.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = contents.decode("utf-16" if is_wide else "utf-8-sig")
    except ValueError:
        if not old or is_wide or _CONTROL.search(contents):
            return None
        text = contents.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def by_numbers(names: list[str]) -> list[str]:
    """Names of classes in the order of the numbers before them (`0: road`, `1 car`), where these are 0, 1, 2, …

    Names as they are where one has no number, or the numbers are others.
    """
    numbered = [each for each in map(_NUMBERED.fullmatch, names) if each is not None]
    ordered = {int(each[1]): each[2] for each in numbered}
    if len(numbered) < len(names) or sorted(ordered) != list(range(len(names))):
        return names
    return [ordered[value] for value in range(len(names))]


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
