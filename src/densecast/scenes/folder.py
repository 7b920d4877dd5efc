"""Filling a folder with drawn files, in parallel, and telling whether it already holds them."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

from densecast.core import codec
from densecast.core.errors import BadConfigError, BadDatasetError

RECORD_NAME = "scene.json"
"""Written last: a folder that has it is finished."""

_CHUNK = 4

T = TypeVar("T")


def is_written(root: Path, wanted: object) -> bool:
    """Whether `root` holds a finished set of exactly this record, a dataclass. Only the record is read."""
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


def draw_all(draw: Callable[[int], T], count: int, workers: int | None) -> list[T]:
    """`draw(0)` to `draw(count - 1)`, spread over processes.

    Args:
        draw: Can be pickled.
        count: How often.
        workers: Processes; None takes one for each processor that this process may use, 1 draws in this one.
            More than one need, as all of Python's spawned processes do, a main module that is safe to import.

    """
    processes = workers if workers is not None else len(os.sched_getaffinity(0))
    if processes <= 1 or count <= _CHUNK:
        return [draw(index) for index in range(count)]
    # Spawned, not forked: a fork would copy OpenCV's threads in whatever state they are.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        return list(pool.map(draw, range(count), chunksize=_CHUNK))
