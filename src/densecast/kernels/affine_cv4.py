"""Affine warp that is bit-exact with OpenCV 4 under any OpenCV version.

`cv2.warpAffine` changed in OpenCV 5: about 7 % of the samples of a bilinear warp differ from those of OpenCV 4,
by up to 4 grey levels. Networks trained and evaluated with 4 keep their numbers only with the older rule: source
coordinates in whole 1/1024 pixels (each term rounded half to even), plus 16, then cut to 1/32 pixels. `cv2.remap`
takes such coordinates, and interpolates them alike in both versions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from densecast.errors import BadShapeError

Image = npt.NDArray[np.uint8]

_SCALE = 1024.0
# Half a unit of the 1/32 pixels that coordinates are rounded to.
_HALF_UNIT = 16
# OpenCV's remap addresses pixels by 16-bit signed integers, and keeps their largest to itself.
_MAX_SIDE = 32766
# Below it a pivot counts as 0.
_SINGULAR = 100 * np.finfo(np.float64).eps
_INT32 = (-2147483648.0, 2147483647.0)


def three_point_matrix(
    source_xy: npt.NDArray[np.float32], target_xy: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """The (2, 3) matrix that maps three points (3, 2) to three others, to the bits of OpenCV's on x86; 0 for none.

    OpenCV's own is compiled with fused products on ARM, whose last bits are others. Six equations are solved by
    elimination with the largest pivots, one product after the other in 64 bits, which Python does alike everywhere.
    """
    rows: list[list[float]] = []
    # Of equal pivots the first is taken, so the order counts: of each point first x, then y.
    for place in range(3):
        for offset in (0, 3):
            row = [0.0] * 6
            row[offset : offset + 3] = [float(source_xy[place, 0]), float(source_xy[place, 1]), 1.0]
            rows.append([*row, float(target_xy[place, offset // 3])])
    for column in range(6):
        pivot = max(range(column, 6), key=lambda row: abs(rows[row][column]))
        if abs(rows[pivot][column]) < _SINGULAR:
            return np.zeros((2, 3))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        share = -1 / rows[column][column]
        for below in rows[column + 1 :]:
            factor = below[column] * share
            for place in range(column + 1, 7):
                below[place] += factor * rows[column][place]
    found = [0.0] * 6
    for column in reversed(range(6)):
        rest = rows[column][6]
        for place in range(column + 1, 6):
            rest -= rows[column][place] * found[place]
        found[column] = rest / rows[column][column]
    return np.array(found).reshape(2, 3)


def warp_affine(image: Image, matrix: npt.NDArray[np.float64], size_hw: tuple[int, int]) -> Image:
    """(H, W) or (H, W, C) uint8 -> `size_hw`: bilinear, 0 outside the image.

    `matrix` (2, 3) leads from source to target. Equal to OpenCV 4's `cv2.warpAffine(image, matrix, size_wh)`.

    Raises:
        BadShapeError: an image or target that is empty or has a side above 32766, or a matrix of another shape.
    """
    import cv2

    sides = (*image.shape[:2], *size_hw)
    if image.ndim not in (2, 3) or image.dtype != np.uint8 or not 1 <= min(sides) <= max(sides) <= _MAX_SIDE:
        raise BadShapeError(
            f"an (H, W) or (H, W, C) uint8 image and a target with sides from 1 to {_MAX_SIDE} are needed, got "
            f"{image.shape} {image.dtype} and {size_hw}."
        )
    if matrix.shape != (2, 3):
        raise BadShapeError(f"an affine matrix is (2, 3), got {matrix.shape}.")
    whole = np.empty((*size_hw, 2), np.int16)
    fraction = np.empty(size_hw, np.uint16)
    _fill_coordinates(_inverse(matrix.astype(np.float64)), whole, fraction)
    warped = cv2.remap(image, whole, fraction, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(warped, dtype=np.uint8)


@njit(cache=True, nogil=True)
def _inverse(m):  # type: ignore[no-untyped-def]
    """The inverse of an affine matrix in OpenCV's order of operations; zeros if it is singular."""
    determinant = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
    factor = 1.0 / determinant if determinant != 0 else 0.0
    inverse = np.empty((2, 3))
    inverse[0, 0], inverse[1, 1] = m[1, 1] * factor, m[0, 0] * factor
    inverse[0, 1], inverse[1, 0] = m[0, 1] * -factor, m[1, 0] * -factor
    inverse[0, 2] = -inverse[0, 0] * m[0, 2] - inverse[0, 1] * m[1, 2]
    inverse[1, 2] = -inverse[1, 0] * m[0, 2] - inverse[1, 1] * m[1, 2]
    return inverse


@njit(cache=True, nogil=True)
def _rounded(value):  # type: ignore[no-untyped-def]
    """The nearest integer, halves to even, within 32 bits."""
    return np.int64(min(max(np.rint(value), _INT32[0]), _INT32[1]))


@njit(cache=True, nogil=True)
def _fill_coordinates(inverse, whole, fraction):  # type: ignore[no-untyped-def]
    """Fill each target pixel's source pixel, (H, W, 2) x and y, and its fraction, (H, W) 32 y + x in 1/32 pixels."""
    height, width = fraction.shape
    step_x, step_y = np.empty(width, np.int64), np.empty(width, np.int64)
    for x in range(width):
        step_x[x] = _rounded(inverse[0, 0] * x * _SCALE)
        step_y[x] = _rounded(inverse[1, 0] * x * _SCALE)
    for y in range(height):
        start_x = _rounded((inverse[0, 1] * y + inverse[0, 2]) * _SCALE) + _HALF_UNIT
        start_y = _rounded((inverse[1, 1] * y + inverse[1, 2]) * _SCALE) + _HALF_UNIT
        for x in range(width):
            at_x, at_y = (start_x + step_x[x]) >> 5, (start_y + step_y[x]) >> 5
            whole[y, x, 0] = min(max(at_x >> 5, -32768), 32767)
            whole[y, x, 1] = min(max(at_y >> 5, -32768), 32767)
            fraction[y, x] = ((at_y & 31) << 5) | (at_x & 31)
