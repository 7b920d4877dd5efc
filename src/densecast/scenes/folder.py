"""Fills a folder with generated files in parallel, and detects whether it already holds them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from densecast.errors import BadConfigError, BadDatasetError
from densecast.io import codec, files, system
from densecast.runtime.processes import WorkerPool

RECORD_NAME = "scene.json"
"""Written last: a folder that has it is finished."""

_CHUNK = 4

_MOST_PICTURES = 1_000_000
_SIDES_PX = (64, 4096)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """What a finished folder was made with.

    Raises:
        BadConfigError: an argument out of bounds.
    """

    generator: str
    version: int
    seed: int
    count: int

    def __post_init__(self) -> None:
        if not (1 <= self.count <= _MOST_PICTURES and self.seed >= 0):
            raise BadConfigError(
                f"{self.generator} pictures need a count of 1 to {_MOST_PICTURES} and a seed of 0 or more, "
                f"got count={self.count}, seed={self.seed}."
            )


@dataclass(frozen=True, slots=True)
class SizedRecord(Record):
    """The same, where all pictures have one size."""

    size_hw: tuple[int, int]

    def __post_init__(self) -> None:
        Record.__post_init__(self)
        least, most = _SIDES_PX
        if not all(least <= side <= most for side in self.size_hw):
            raise BadConfigError(
                f"{self.generator} pictures have sides of {least} to {most} pixels, got size_hw={self.size_hw}."
            )


def is_written(root: Path, wanted: Record) -> bool:
    """Whether `root` holds a finished set of exactly this record. Only the record is read."""
    path = root / RECORD_NAME
    try:
        return path.is_file() and codec.read(path, type(wanted)) == wanted
    except BadConfigError:
        return False


def refuse_foreign(folder: Path, known: set[str], what: str) -> None:
    """Make sure that `folder` has no files but the `known` ones; hidden ones do not count.

    Raises:
        BadDatasetError: it has others.

    """
    there = {path.name for path in folder.glob("*") if not path.name.startswith(".")}
    foreign = sorted(there - known)
    if foreign:
        raise BadDatasetError(
            f"{folder} must be empty or hold {what}, but it has {len(foreign)} other files, such as "
            f"{foreign[0]!r}. Name another folder, or delete this one."
        )


@contextmanager
def filling(root: Path, wanted: Record) -> Iterator[None]:
    """While pictures change, no record vouches for them; `wanted` is written once they are all there, and on disk."""
    (root / RECORD_NAME).unlink(missing_ok=True)
    yield
    os.sync()  # once, not for each of hundreds of pictures
    files.write_text(root / RECORD_NAME, codec.to_json(wanted))


def draw_all(draw: Callable[[int], T], count: int, workers: int | None) -> list[T]:
    """`draw(0)` to `draw(count - 1)`, spread over processes.

    Args:
        draw: Can be pickled.
        count: How often.
        workers: Processes; None takes one for each processor that this process may use, 1 draws in this one.
            More than one need, as all of Python's spawned processes do, a main module that is safe to import.

    Raises:
        WorkerError: a process died.

    """
    processes = workers if workers is not None else len(system.usable_cpus())
    if processes <= 1 or count <= _CHUNK:
        return [draw(index) for index in range(count)]
    chunks = [range(first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    with WorkerPool(processes, "draws pictures") as pool:
        return [drawn for chunk in pool.map(partial(_draw_chunk, draw), chunks) for drawn in chunk]


def _draw_chunk(draw: Callable[[int], T], indices: range) -> list[T]:
    return [draw(index) for index in indices]
