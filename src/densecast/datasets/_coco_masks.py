"""Rasterises COCO's outlines: polygons, run lengths compressed or not, and the ids of panoptic PNGs.

Polygons are rasterised by pycocotools, whose rule of which pixels lie inside is COCO's. Run lengths count pixels by
columns, those outside first; compressed they are numbers of five bits a character, each from the third on as the
difference from the one two before (cocoapi, `common/maskApi.c`).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.datasets._unusual_masks import decoded
from densecast.errors import BadDatasetError, BadImageError, MissingExtraError
from densecast.imaging import read

Mask = npt.NDArray[np.bool_]

_FIRST_CHARACTER = 48
_MORE, _SIGN, _BITS = 0x20, 0x10, 0x1F
# No number of a run takes more characters.
_MOST_CHARACTERS = 8


def require_pycocotools() -> None:
    """Check that polygons can be rasterised.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    if importlib.util.find_spec("pycocotools") is None:
        raise MissingExtraError.of("coco", "reading COCO's polygons")


def mask_of(outline: Any, size_hw: tuple[int, int]) -> Mask:
    """A valid outline -> (H, W) bool.

    Raises:
        BadDatasetError: run lengths of another size, or that do not fill it.
        MissingExtraError: a polygon, and pycocotools is not installed.
    """
    height, width = size_hw
    if isinstance(outline, list):
        require_pycocotools()
        from pycocotools import mask

        merged = mask.merge(mask.frPyObjects(outline, height, width))
        # pycocotools' own decoder warns under NumPy 2.
        outline = {"size": size_hw, "counts": merged["counts"].decode("ascii")}
    if tuple(outline["size"]) != size_hw:
        raise BadDatasetError(
            f"its run lengths are of {outline['size'][1]}×{outline['size'][0]} pixels, its image is {width}×{height}"
        )
    counts = outline["counts"]
    runs = counts if isinstance(counts, list) else _runs(counts)
    if any(run < 0 for run in runs) or sum(runs) != height * width:
        raise BadDatasetError(f"its run lengths do not fill {width}×{height} pixels")
    inside = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, runs).reshape(width, height).T)


def panoptic_ids(path: Path) -> npt.NDArray[np.int64]:
    """A panoptic PNG -> (H, W) ids of segments, R + 256 G + 65536 B.

    Raises:
        BadImageError: it cannot be read, holds several pages, or is no image of three channels of 8 bits.
    """
    with decoded(path) as (image, facts):
        mode, pixels = image.mode, read.as_stored(np.asarray(image), facts)
    if mode not in ("RGB", "RGBA"):
        raise BadImageError(f"{path}: a panoptic PNG has three channels, R + 256 G + 65536 B; this is of mode {mode}.")
    return np.asarray(pixels[..., :3].astype(np.int64) @ np.array([1, 1 << 8, 1 << 16]))


def _runs(text: str) -> list[int]:
    """Decompress run lengths."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - _FIRST_CHARACTER
        if not 0 <= bits < 2 * _MORE or shift >= _MOST_CHARACTERS:
            raise BadDatasetError("its compressed run lengths are damaged")
        value |= (bits & _BITS) << 5 * shift
        shift += 1
        if not bits & _MORE:
            if bits & _SIGN:
                value -= 1 << 5 * shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise BadDatasetError("its compressed run lengths are cut off")
    return runs
