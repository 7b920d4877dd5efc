"""Converts interleaved bytes to normalised planes in one pass over the image."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError


def to_normalised_planes(
    image: npt.NDArray[np.uint8],
    mean: npt.NDArray[np.float32],
    std: npt.NDArray[np.float32],
    reverse: bool,
    out: npt.NDArray[np.generic],
    divisor: float = 1.0,
) -> None:
    """(H, W, C) uint8 -> (C, H, W) float32 `(x / divisor - mean) / std`; `reverse` reverses the channels.

    Each byte value's result is computed once, in float32 with one subtraction and two divisions (by 1 exactly), which
    is bit for bit what numpy, torch, MMCV and torchvision give.

    Raises:
        BadShapeError: another type, or shapes that differ.
    """
    _check(image, out)
    if mean.shape != (image.shape[2],) or std.shape != mean.shape:
        raise BadShapeError(f"mean and std must be ({image.shape[2]},), got {mean.shape} and {std.shape}.")
    values = np.arange(256, dtype=np.float32) / np.float32(divisor)
    table = (values[None] - mean[:, None]) / std[:, None]
    _lookup(np.ascontiguousarray(image), table, reverse, out)


def to_planes(image: npt.NDArray[np.uint8], reverse: bool, out: npt.NDArray[np.generic]) -> None:
    """(H, W, C) uint8 -> (C, H, W) uint8; `reverse` reverses the channels.

    Raises:
        BadShapeError: another type, or shapes that differ.
    """
    _check(image, out)
    if image.shape[2] == 3:
        _deinterleave(np.ascontiguousarray(image), reverse, out)
    else:
        out[:] = (image[:, :, ::-1] if reverse else image).transpose(2, 0, 1)


def _check(image: npt.NDArray[np.uint8], out: npt.NDArray[np.generic]) -> None:
    """Compiled code does not check bounds: types and shapes are checked here."""
    if image.dtype != np.uint8 or image.ndim != 3:
        raise BadShapeError(f"an image must be (height, width, channels) uint8, got {image.shape} {image.dtype}.")
    if out.shape != (image.shape[2], image.shape[0], image.shape[1]):
        raise BadShapeError(f"planes of an image {image.shape} must be (C, H, W), got {out.shape}.")


@nb.njit(cache=True, nogil=True)
def _deinterleave(image, reverse, out):  # type: ignore[no-untyped-def]
    """Deinterleave line by line while in cache: a third of the time of three strided copies."""
    first, last = (2, 0) if reverse else (0, 2)
    for y in range(image.shape[0]):
        _deinterleave_line(image[y].ravel(), out[first, y], out[1, y], out[last, y])


@nb.njit(cache=True, nogil=True)
def _deinterleave_line(line, first, middle, last):  # type: ignore[no-untyped-def]
    for x in range(first.size):
        first[x] = line[3 * x]
        middle[x] = line[3 * x + 1]
        last[x] = line[3 * x + 2]


@nb.njit(cache=True, nogil=True)
def _lookup(image, table, reverse, out):  # type: ignore[no-untyped-def]
    height, width, channels = image.shape
    for y in range(height):
        for plane in range(channels):
            source = channels - 1 - plane if reverse else plane
            row = table[plane]
            for x in range(width):
                out[plane, y, x] = row[image[y, x, source]]
