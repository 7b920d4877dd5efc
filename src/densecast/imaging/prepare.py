"""Applies a declared `Preprocess`: resizes and normalises an image into a network input."""

from __future__ import annotations

from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from densecast.kernels import affine_cv4, normalise
from densecast.spec.geometry import Placement
from densecast.spec.preprocess import FitCentre, Interpolation, PoseAffine, Preprocess

Image = npt.NDArray[np.uint8]
Plane = TypeVar("Plane", npt.NDArray[np.uint8], npt.NDArray[np.float32])
Nearest = Literal["pillow", "opencv"]


def prepare(
    image: Image,
    preprocess: Preprocess,
    *,
    dtype: str = "float32",
    out: npt.NDArray[np.generic] | None = None,
) -> tuple[npt.NDArray[np.generic], Placement]:
    """(H, W, 3) uint8 RGB -> (3, h, w) of `dtype`, and where the image landed.

    With `dtype` "uint8" the values stay 0..255: the network normalises them itself. `out` receives the
    result where it is given; its shape must be the one `preprocess` leads to.
    """
    image_hw = (image.shape[0], image.shape[1])
    if isinstance(preprocess.resize, PoseAffine):
        geometry = preprocess.resize.geometry(image_hw)
        placement = geometry.placement
        resized = affine_cv4.warp_affine(
            image, affine_cv4.three_point_matrix(*geometry.triangles()), placement.model_hw
        )
    else:
        placement = preprocess.resize.place(image_hw)
        resized = resize(image, placement.content_hw, preprocess.interpolation)
    if out is None:
        out = np.empty((3, *placement.model_hw), dtype=dtype)
    content = out
    surroundings = preprocess.surroundings()
    if surroundings is not None and placement.is_padded:
        (height, width), (left, top) = placement.content_hw, (int(offset) for offset in placement.offset_xy)
        content = out[:, top : top + height, left : left + width]
        _surround(out, preprocess, surroundings, (top, left, height, width))
    reverse = preprocess.colour == "BGR"
    if out.dtype == np.uint8:
        normalise.to_planes(resized, reverse, content)
    else:
        mean = np.asarray(preprocess.mean, dtype=np.float32)
        std = np.asarray(preprocess.std, dtype=np.float32)
        normalise.to_normalised_planes(resized, mean, std, reverse, content, preprocess.divisor)
    return out, placement


def _surround(
    out: npt.NDArray[np.generic],
    preprocess: Preprocess,
    surroundings: tuple[float, float, float],
    content: tuple[int, int, int, int],
) -> None:
    """Fill the part of `out` (3, h, w) outside the image with `surroundings` (RGB in 0..255), preprocessed.

    `content` is top, left, height and width of what shows it.
    """
    top, left, height, width = content
    fill = np.asarray(surroundings, dtype=np.float32)
    if preprocess.colour == "BGR":
        fill = fill[::-1]
    if out.dtype == np.uint8:
        preprocess.check_bytes()
    elif isinstance(preprocess.resize, FitCentre):
        fill = np.zeros(3, np.float32)
    else:
        mean, std = (np.asarray(values, dtype=np.float32) for values in (preprocess.mean, preprocess.std))
        fill = (fill / np.float32(preprocess.divisor) - mean) / std
    lines = fill.astype(out.dtype)[:, None, None]
    out[:, :top], out[:, top + height :] = lines, lines
    out[:, top : top + height, :left], out[:, top : top + height, left + width :] = lines, lines


def resize(image: Image, size_hw: tuple[int, int], interpolation: Interpolation) -> Image:
    """(H, W, 3) uint8 -> (*size_hw, 3) uint8; the image itself where the size is already right."""
    if image.shape[:2] == size_hw:
        return image
    height, width = size_hw
    if interpolation == "bicubic_pillow":
        from PIL import Image as Pillow

        resized = Pillow.fromarray(image).resize((width, height), Pillow.Resampling.BICUBIC)
        return np.asarray(resized)
    import cv2

    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def resize_labels(labels: Plane, size_hw: tuple[int, int], rule: Nearest = "pillow") -> Plane:
    """(H, W) of any type that needs no mixing, as class indices -> `size_hw`, each pixel the nearest one's value.

    Pillow reads at the centre of each target pixel, OpenCV at its upper left corner.
    """
    if labels.shape == size_hw:
        return labels
    height, width = size_hw
    if rule == "opencv":
        import cv2

        return np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST), dtype=labels.dtype)
    from PIL import Image as Pillow

    return np.asarray(Pillow.fromarray(labels).resize((width, height), Pillow.Resampling.NEAREST), dtype=labels.dtype)
