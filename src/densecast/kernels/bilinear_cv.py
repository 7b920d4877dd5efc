"""Bilinear resizing of 8-bit pictures to the bits of OpenCV on x86, for CPUs on which OpenCV has other code.

OpenCV 5.0 on ARM rounds a quarter of the values one grey level otherwise. On x86 it works in whole numbers: weights of
11 bits, products along x summed first, 4 of their bits dropped, and the sum along y rounded once more. Whole numbers
are the same everywhere.
"""

from __future__ import annotations

import platform

import numpy as np
import numpy.typing as npt
from numba import njit

Image = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]

_ONE = np.float32(2048)
# Of other numbers of channels OpenCV halves pictures by another rule.
CHANNELS = (1, 3, 4)


def is_needed(channels: int) -> bool:
    """Whether OpenCV's own may give other values on this machine."""
    return platform.machine() not in ("x86_64", "AMD64") and channels in CHANNELS


def resize(image: Image, size_hw: tuple[int, int]) -> Image:
    """(H, W) or (H, W, C) uint8, C of 1, 3 or 4 -> `size_hw`; equal to `cv2.resize(…, INTER_LINEAR)` on x86."""
    planes = image[..., None] if image.ndim == 2 else image
    out = np.empty((*size_hw, planes.shape[2]), np.uint8)
    rows, cols = (
        _taps(planes.shape[0], size_hw[0], is_clamped=False),
        _taps(planes.shape[1], size_hw[1], is_clamped=True),
    )
    _blend(np.ascontiguousarray(planes), *rows, *cols, out)
    return out[..., 0] if image.ndim == 2 else out


def _taps(source: int, target: int, *, is_clamped: bool) -> tuple[Int32, Int32, Int32, Int32]:
    """The two source places of each target place, and their weights in 1/2048.

    At a border both places are the same one. With `is_clamped` it then has all the weight, as OpenCV has it along x;
    along y the two parts are rounded one by one.
    """
    where = ((np.arange(target) + 0.5) * (source / target) - 0.5).astype(np.float32)
    first = np.floor(where).astype(np.int32)
    share = (where - first.astype(np.float32)).astype(np.float32)
    if is_clamped:
        share[(first < 0) | (first >= source - 1)] = 0
    left, right = (np.rint(each * _ONE).astype(np.int32) for each in (np.float32(1) - share, share))
    last = np.int32(source - 1)
    return np.clip(first, 0, last), np.clip(first + 1, 0, last), left, right


@njit(cache=True, nogil=True)
def _blend(
    image: Image,
    upper: Int32,
    lower: Int32,
    upper_weight: Int32,
    lower_weight: Int32,
    left: Int32,
    right: Int32,
    left_weight: Int32,
    right_weight: Int32,
    out: Image,
) -> None:
    for y in range(out.shape[0]):
        above, below = image[upper[y]], image[lower[y]]
        for x in range(out.shape[1]):
            for channel in range(out.shape[2]):
                over = above[left[x], channel] * left_weight[x] + above[right[x], channel] * right_weight[x]
                under = below[left[x], channel] * left_weight[x] + below[right[x], channel] * right_weight[x]
                total = ((upper_weight[y] * (over >> 4)) >> 16) + ((lower_weight[y] * (under >> 4)) >> 16)
                out[y, x, channel] = min(max((total + 2) >> 2, 0), 255)
