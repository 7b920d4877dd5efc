"""Reads and writes the `.info` lists of Ascend's benchmark tool: `<index> <path> <width> <height>` on each line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from densecast.errors import BadInputError

JPEG_SUFFIXES = (".jpg", ".jpeg", ".JPG", ".JPEG")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: the file's name as listed, and its height and width in pixels."""

    path: str
    size_hw: tuple[int, int]


def lines(entries: Iterable[Entry]) -> Iterator[str]:
    r"""Format the list: indices from 0, single spaces, no header, each line terminated.

    >>> "".join(lines([Entry("./bin_save/000000184384.bin", (512, 512))]))
    '0 ./bin_save/000000184384.bin 512 512\n'
    """
    for index, entry in enumerate(entries):
        yield f"{index} {entry.path} {entry.size_hw[1]} {entry.size_hw[0]}\n"


def image_lines(entries: Iterable[Entry]) -> Iterator[str]:
    """List photographs as `get_info.py jpg` does: by suffix jpg, jpeg, JPG, JPEG, numbered from 0 within each.

    Other endings, which that script does not know, come last.
    """
    groups: dict[str, list[Entry]] = {suffix: [] for suffix in JPEG_SUFFIXES}
    for entry in entries:
        groups.setdefault(Path(entry.path).suffix, []).append(entry)
    for group in groups.values():
        yield from lines(group)


def read(path: Path) -> Iterator[Entry]:
    """Read the lines of a list, one at a time.

    Raises:
        BadInputError: missing, or a line of another form.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                parts = line.split()
                if len(parts) != 4 or not all(parts[i].isascii() and parts[i].isdigit() for i in (0, 2, 3)):
                    raise BadInputError(f"{path}:{number}: not `<index> <path> <width> <height>`: {line[:80]!r}.")
                yield Entry(parts[1], (int(parts[3]), int(parts[2])))
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise BadInputError(f"{path}: not a text.") from None
