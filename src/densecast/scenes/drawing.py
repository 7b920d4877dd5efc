"""Draws antialiased polygons and strokes on float images, where OpenCV supports only bytes."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from densecast.scenes.mesh import Array

_SUBPIXEL_BITS = 4


def polygon(picture: Array, xy_px: npt.ArrayLike, colour: npt.ArrayLike) -> None:
    """Fill a polygon, in place.

    Args:
        picture: (H, W, 3) float32.
        xy_px: (n, 2) corners; pixel (0, 0) covers [0, 1).
        colour: (3,)

    """
    import cv2

    points = np.asarray(xy_px, dtype=np.float32)
    box = _box(points, picture.shape, margin_px=2)
    if box is None:
        return
    left, top, right, bottom = box
    cover = np.zeros((bottom - top, right - left), dtype=np.uint8)
    cv2.fillPoly(cover, [_fixed(points - _corner(left, top))], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    _blend(picture[top:bottom, left:right], cover, colour)


def strokes(picture: Array, lines: Sequence[npt.ArrayLike], colour: npt.ArrayLike, thickness_px: int) -> None:
    """Draw open polylines of one colour, in place; where they cross they do not add up.

    Args:
        picture: (H, W, 3) float32.
        lines: Each (n, 2), in pixels.
        colour: (3,)
        thickness_px: At least 1.

    """
    points = [np.asarray(line, dtype=np.float32) for line in lines]
    box = _box(np.concatenate(points), picture.shape, margin_px=thickness_px + 2)
    if box is None:
        return
    left, top, right, bottom = box
    cover = stroke_cover([line - _corner(left, top) for line in points], (bottom - top, right - left), thickness_px)
    _blend(picture[top:bottom, left:right], cover, colour)


def stroke_cover(lines: Sequence[Array], size_hw: tuple[int, int], thickness_px: int) -> npt.NDArray[np.uint8]:
    """(H, W) how far polylines cover each pixel, 0..255."""
    import cv2

    cover = np.zeros(size_hw, dtype=np.uint8)
    cv2.polylines(cover, [_fixed(line) for line in lines], False, 255, thickness_px, cv2.LINE_AA, _SUBPIXEL_BITS)
    return cover


def _corner(left: int, top: int) -> Array:
    return np.array([left, top], dtype=np.float32)


def _fixed(points: Array) -> npt.NDArray[np.int32]:
    # Things far outside the picture would overflow OpenCV's fixed point; no visible edge is moved by this.
    near = np.clip(points, -8000, 8000)
    # -0.5: OpenCV puts the centre of pixel (0, 0) at (0, 0).
    fixed: npt.NDArray[np.int32] = np.rint((near - np.float32(0.5)) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    return fixed


def _box(points: Array, shape: tuple[int, ...], margin_px: int) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) of the part inside the picture; None where there is none."""
    low, high = points.min(axis=0) - margin_px, points.max(axis=0) + margin_px + 1
    left, top = max(int(low[0]), 0), max(int(low[1]), 0)
    right, bottom = min(int(high[0]), shape[1]), min(int(high[1]), shape[0])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _blend(picture: Array, cover: npt.NDArray[np.uint8], colour: npt.ArrayLike) -> None:
    share = cover.astype(np.float32)[..., None] * np.float32(1 / 255)
    picture += (np.asarray(colour, dtype=np.float32) - picture) * share
