"""Reads masks that numpy saved: `.npy`, and `.npz` with one array, or with one that is called as masks are."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError
from densecast.imaging import read

SUFFIXES = frozenset((".npy", ".npz"))
"""Suffixes of numpy's files, in lower case."""

_USUAL = frozenset(
    ("mask", "masks", "label", "labels", "seg", "segmentation", "annotation", "gt", "target", "y", "class_id")
)
_WIDEST_BYTES, _HEAD_BYTES = 8, 1 << 16
_COLOURS, _SHOWN = 3, 8


def is_array(path: Path) -> bool:
    """Whether the file's name says that numpy saved it."""
    return path.suffix.lower() in SUFFIXES


def size_hw(path: Path) -> tuple[int, int]:
    """Height and width of a mask as it is stored, of an image from its header.

    Raises:
        BadImageError: see `plane`, or no image that is known.
    """
    if not is_array(path):
        return read.size_hw(path)
    height, width = plane(path).shape[:2]
    return int(height), int(width)


def plane(path: Path) -> npt.NDArray[Any]:
    """(H, W) whole numbers, or (H, W, 3) uint8 of colours; an axis of one is left out, whole floats become int64.

    Raises:
        BadImageError: missing, damaged, too large, several arrays of which none is called as masks are, fractions, or
            another shape.
    """
    values = _loaded(path)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values.reshape(values.shape[1:] if values.shape[0] == 1 else values.shape[:2])
    # Three planes of 0 and 1 are a plane a class, and no colours.
    are_colours = values.ndim == 3 and values.shape[2] == _COLOURS and values.dtype == np.uint8
    if are_colours and int(values.max(initial=0)) > 1:
        return np.ascontiguousarray(values)
    if values.ndim != 2 or values.dtype.kind not in "buif" or not values.size:
        planes = " Of a plane a class, save its argmax." if values.ndim == 3 and values.size else ""
        raise BadImageError(
            f"{path}: a mask is (H, W), one class a pixel; this array is {values.shape} {values.dtype}.{planes}"
        )
    if values.shape[0] * values.shape[1] > read.MAX_PIXELS:
        raise BadImageError(f"{path}: {values.shape[1]}×{values.shape[0]} pixels; up to {read.MAX_PIXELS:,} are read.")
    if values.dtype.kind == "f":
        if not np.array_equal(values, np.floor(values)) or not np.isfinite(values).all():
            raise BadImageError(f"{path}: a mask must hold one whole number a pixel, this one holds fractions.")
        return np.asarray(values, np.int64)
    return np.asarray(values, np.uint8 if values.dtype == np.bool_ else values.dtype)


def _loaded(path: Path) -> npt.NDArray[Any]:
    data = read.contents(path)
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
        with found:
            name = _name_of(path, found.files)
            _refuse_large(path, found.zip, name)
            return np.asarray(found[name])
    except BadImageError:
        raise
    except Exception as error:  # numpy and zipfile raise whatever the damage leads to
        raise BadImageError(f"{path}: no array that can be read ({' '.join(str(error).split())[:200]}).") from None


def _name_of(path: Path, names: list[str]) -> str:
    """The array that is the mask: the only one, else the only one that is called as masks are."""
    usual = [name for name in names if name.lower() in _USUAL]
    found = names if len(names) == 1 else usual
    if len(found) != 1:
        shown = ", ".join(names[:_SHOWN]) or "nothing"
        raise BadImageError(f"{path}: which array is the mask? It holds {shown}. Save it alone, or call it 'mask'.")
    return found[0]


def _refuse_large(path: Path, archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an array that becomes larger than any mask when it is unpacked."""
    size = next(each.file_size for each in archive.infolist() if each.filename in (name, f"{name}.npy"))
    if size > read.MAX_PIXELS * _WIDEST_BYTES + _HEAD_BYTES:
        raise BadImageError(f"{path}: {name} has {size >> 20} MiB; masks of up to {read.MAX_PIXELS:,} pixels are read.")
