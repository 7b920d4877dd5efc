"""Reads lists of image names, one a line, and finds the images that they name."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePath

from densecast.errors import BadInputError, MissingFileError
from densecast.imaging.header import MAX_FILE_BYTES, is_picture

STDIN = "-"
# A hundred thousand paths of 160 letters.
_MAX_LIST_BYTES = 16 << 20
_WIDE = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_names(path: Path) -> list[str]:
    """Read a text of one name a line; `-` is standard input. Blanks belong to names, empty lines do not count.

    A byte order mark, UTF-16 (as PowerShell writes) and line ends of any system are understood. Bytes that are not
    UTF-8 are kept as file names have them. A text with NUL bytes is divided at these, as `find -print0` writes it.

    Raises:
        MissingFileError: it cannot be read.
        BadInputError: too large to be a list, or empty.
    """
    return names_in(read_data(path), path)


def names_in(data: bytes, path: Path) -> list[str]:
    """`read_names` of a list's bytes."""
    if len(data) > _MAX_LIST_BYTES:
        raise BadInputError(f"{path}: larger than {_MAX_LIST_BYTES >> 20} MiB; this is no list of images.")
    wide = next((codec for mark, codec in _WIDE.items() if data.startswith(mark)), None)
    try:
        text = data.decode(wide) if wide else os.fsdecode(data.removeprefix(codecs.BOM_UTF8))
    except ValueError:
        raise BadInputError(f"{path}: not a text of one name a line.") from None
    # Not `splitlines`: it also divides at letters that names may have.
    lines = text.split("\0") if "\0" in text else text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    names = [name for name in lines if name.strip()]
    if not names:
        raise BadInputError(f"list {path} names no images: it is empty. It has to hold one name a line.")
    return names


def choose(paths: Sequence[tuple[Path, PurePath]], names: Iterable[str], listed_in: Path) -> list[int]:
    """The places in `paths` of the images that a list names, in its order.

    Each of `paths` is a file, and its path below the folder that was given. A name is a path, a path below the given
    folder, a file name or a stem, looked for in that order. Letters that look alike but are composed otherwise, as
    macOS writes them, are found if nothing is spelled exactly so.

    Raises:
        MissingFileError: a name that no image has.
        BadInputError: a name that several images have.
    """
    ways: list[Callable[[Path, PurePath], str]] = [
        lambda path, below: os.path.normpath(path),
        lambda path, below: str(below),
        lambda path, below: str(below.with_suffix("")),
        lambda path, below: path.name,
        lambda path, below: path.stem,
    ]
    tables = []
    for fold in (str, _composed):
        for way in ways:
            table: dict[str, list[int]] = {}
            for place, (path, below) in enumerate(paths):
                table.setdefault(fold(way(path, below)), []).append(place)
            tables.append((fold, table))
    chosen, absent = [], []
    for name in names:
        found = _found(name, tables)
        if not found:
            absent.append(name)
        elif len(found) > 1:
            first, second = (paths[place][0] for place in found[:2])
            raise BadInputError(
                f"{listed_in} names {name}, which may be {first} or {second}. Write the file's name with its ending, "
                "and its folder where there are several."
            )
        else:
            chosen.append(found[0])
    if absent:
        raise MissingFileError(
            f"{listed_in} names {len(absent)} images that are not given, the first is {absent[0]}. "
            "A line is one name, with its blanks."
        )
    return chosen


def _found(name: str, tables: Sequence[tuple[Callable[[str], str], dict[str, list[int]]]]) -> list[int]:
    for spelling in dict.fromkeys((name, name.strip())):
        for fold, table in tables:
            for wanted in dict.fromkeys((spelling, os.path.normpath(spelling))):
                if fold(wanted) in table:
                    return table[fold(wanted)]
    return []


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def read_data(path: Path) -> bytes:
    """The bytes of a list, or what is on standard input, up to a limit and one more.

    Raises:
        MissingFileError: it cannot be read.
    """
    try:
        if str(path) == STDIN:
            data = sys.stdin.buffer.read(_MAX_LIST_BYTES + 1)
            return data + sys.stdin.buffer.read(MAX_FILE_BYTES + 1 - len(data)) if is_picture(data) else data
        with path.open("rb") as stream:
            return stream.read(_MAX_LIST_BYTES + 1)
    except OSError as error:
        raise MissingFileError(f"list {path} cannot be read ({error.strerror}).") from None
