"""Tells whether masks lie beside their pictures, in one folder."""

from __future__ import annotations

from pathlib import Path

from densecast.datasets import _mask_arrays, _names
from densecast.errors import BadImageError
from densecast.imaging import read


def side_by_side(folder: Path) -> bool:
    """Whether at least half of the images in the folder are pictures and masks of one name.

    Arrays count where the first of them has the size of the picture of its name.
    """
    files = _names.images_of(folder)
    arrays = {_names.nfc(path.stem): path for path in _names.arrays_of(folder)}
    beside = [path for path in files if _names.nfc(path.stem) in arrays]
    if 2 * len(beside) >= len(files) > 0 and _is_mask_of(arrays[_names.nfc(beside[0].stem)], beside[0]):
        return True
    stems = {_names.nfc(path.stem) for path in files}
    equal = len(files) - len(stems)
    marked = sum(stem.endswith(("_mask", "-mask", "_masks", "_label", "_gt")) for stem in stems)
    return bool(files) and 4 * max(equal, marked) >= len(files)


def _is_mask_of(array: Path, picture: Path) -> bool:
    try:
        size_hw = _mask_arrays.size_hw(array)
        return size_hw in (read.size_hw(picture), read.size_hw(picture)[::-1])
    except BadImageError:
        return False
