"""One raw file: an array's values in C order, little-endian, without a header."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from densecast.spec.tensor import Array


def write(path: Path, array: Array) -> None:
    """The array's own memory goes to the system, without another copy, and from there to the disk when it likes.

    An interrupted call leaves a shorter file. Who lists the files, lists this one afterwards; who needs them on the
    disk, waits for that once, after the last: a file beside that is renamed, or a flush for each, cost more than the
    smaller of these files.
    """
    values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    rest = values.data.cast("B")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        # The system may take less than it is given, as before the disk is full or beyond two gigabytes.
        while rest:
            rest = rest[os.write(handle, rest) :]
    finally:
        os.close(handle)
