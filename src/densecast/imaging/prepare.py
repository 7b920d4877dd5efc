"""Applies a declared `Preprocess`: resizes and normalises an image into a network input.

Kernels are imported where they are called: a compiler comes with them, which is set up while an engine loads its model.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError
from densecast.spec.geometry import Placement
from densecast.spec.pose_geometry import PosePlacement
from densecast.spec.preprocess import FitCentre, Interpolation, PoseAffine, Preprocess, ToMultiple, spread

Image = npt.NDArray[np.uint8]
Plane = TypeVar("Plane", npt.NDArray[np.uint8 | np.uint16], npt.NDArray[np.float32])
Pixels = TypeVar("Pixels", npt.NDArray[np.uint8], npt.NDArray[Any])
Nearest = Literal["pillow", "opencv"]
# Top, left, height and width.
_Rectangle = tuple[int, int, int, int]


def prepare(
    image: npt.NDArray[Any],
    preprocess: Preprocess,
    *,
    dtype: str = "float32",
    out: npt.NDArray[np.generic] | None = None,
) -> tuple[npt.NDArray[np.generic], Placement]:
    """(H, W, C) uint8, RGB if C is 3, -> (C, h, w) of `dtype`, and where the image landed.

    With `dtype` "uint8" the values stay 0..255: the network normalises them itself. `out` receives the
    result where it is given; its shape must be the one `preprocess` leads to. Its channels are the network's: for one
    channel the image becomes grey. With a `value_range` the image may be of any number type, and is mapped in float32.

    Raises:
        BadShapeError: another shape or type, or another number of channels than the network's.
    """
    channels = out.shape[0] if out is not None else _channels(image, preprocess)
    resized, preprocess, placement = resized_for(image, preprocess, channels)
    if out is None:
        out = np.empty((channels, *placement.model_hw), dtype=dtype)
    elif out.shape[1:] != placement.model_hw:
        raise BadShapeError(f"the input is {placement.model_hw} pixels, out is {out.shape[1:]}.")
    fill_part(resized, preprocess, placement, 0, 0, out)
    return out, placement


def resized_for(
    image: npt.NDArray[Any], preprocess: Preprocess, channels: int
) -> tuple[npt.NDArray[Any], Preprocess, Placement]:
    """The image resized for the network, (h, w, channels) and not normalised yet; its preprocessing for that number of
    channels; and where it lands in the network's input, which `fill_part` makes of the three.

    Raises:
        BadShapeError: another shape or type, or another number of channels than the network's.
    """
    image = _banded(image, channels, preprocess)
    preprocess = preprocess.for_channels(channels)
    image_hw = (image.shape[0], image.shape[1])
    if isinstance(preprocess.resize, PoseAffine):
        from densecast.kernels import affine_cv4

        geometry = preprocess.resize.geometry(image_hw)
        placement = geometry.placement
        if isinstance(geometry, PosePlacement):
            matrix = affine_cv4.three_point_matrix(*geometry.triangles())
        else:
            matrix = geometry.matrix()
        return affine_cv4.warp_affine(image, matrix, placement.model_hw), preprocess, placement
    placement = preprocess.place(image_hw)
    ranged = _ranged(image, preprocess)
    if isinstance(preprocess.resize, ToMultiple):
        ranged = resize(ranged, preprocess.resize.first_hw(image_hw), preprocess.interpolation)
    return resize(ranged, placement.content_hw, preprocess.interpolation), preprocess, placement


def fill_part(
    resized: npt.NDArray[Any],
    preprocess: Preprocess,
    placement: Placement,
    top: int,
    left: int,
    out: npt.NDArray[np.generic],
    *,
    mirrored: bool = False,
) -> None:
    """Fill `out` (C, h, w) with the part of the network's input from row `top` and column `left` on.

    `mirrored` is of the input whose image is mirrored where it lies; the padding around it stays.
    """
    if not placement.is_padded or isinstance(preprocess.resize, PoseAffine):
        content = (0, 0, *placement.model_hw)
    else:
        offset_x, offset_y = (int(offset) for offset in placement.offset_xy)
        content = (offset_y, offset_x, *placement.content_hw)
        for rectangle, colour in _layers(preprocess, placement, out):
            _cut(out, rectangle, top, left)[...] = colour
    part = _cut(out, content, top, left)
    if 0 in part.shape:
        return
    first_row, first_col = max(top - content[0], 0), max(left - content[1], 0)
    last_col = first_col + part.shape[2]
    rows = resized[first_row : first_row + part.shape[1]]
    if mirrored:
        width = content[3]
        _normalise(rows[:, width - last_col : width - first_col][:, ::-1], preprocess, part)
    else:
        _normalise(rows[:, first_col:last_col], preprocess, part)


def displayable(image: npt.NDArray[Any], preprocess: Preprocess) -> Image:
    """An image as read for a network -> (H, W, 3) uint8 RGB to draw on; of many bands the first three.

    Values are mapped by the `value_range`, and cut to 0..255.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    if image.dtype != np.uint8 or preprocess.value_range is not None:
        image = np.rint(np.clip(_ranged(image, preprocess), 0, 255)).astype(np.uint8)
    if image.shape[2] == 3:
        return image
    return np.ascontiguousarray(image[:, :, :3] if image.shape[2] > 3 else np.repeat(image[:, :, :1], 3, axis=2))


def _channels(image: npt.NDArray[Any], preprocess: Preprocess) -> int:
    return 1 if preprocess.colour == "GRAY" or image.ndim == 2 else image.shape[2]


def _banded(image: npt.NDArray[Any], channels: int, preprocess: Preprocess) -> npt.NDArray[Any]:
    """The image as (H, W, channels); grey for one channel."""
    if image.dtype != np.uint8 and (preprocess.value_range is None or image.dtype.kind not in "uif"):
        raise BadShapeError(
            f"an image must be uint8 in 0..255, got {image.dtype}. Convert it, or declare the value_range of the model."
        )
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or 0 in image.shape or (image.shape[2] != channels and (channels, image.shape[2]) != (1, 3)):
        raise BadShapeError(f"an image must be (height, width, {channels}) for this network, got {image.shape}.")
    if channels == 1 and image.shape[2] == 3:
        import cv2

        image = image if image.dtype in (np.uint8, np.uint16, np.float32) else image.astype(np.float32)
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY))[:, :, None]
    return image


def _ranged(image: npt.NDArray[Any], preprocess: Preprocess) -> npt.NDArray[Any]:
    """Map the value range to 0..255, in float32."""
    if preprocess.value_range is None:
        return image
    low, high = preprocess.value_range
    # In float64 first: 32-bit integers do not fit into a float32.
    values: npt.NDArray[Any] = image.astype(np.float64 if image.dtype.itemsize > 2 else np.float32)
    return np.asarray((values - low) * (255.0 / (high - low)), dtype=np.float32)


def _normalise(resized: npt.NDArray[Any], preprocess: Preprocess, out: npt.NDArray[np.generic]) -> None:
    """(h, w, C) in 0..255 -> (C, h, w), in the network's colour order."""
    from densecast.kernels import normalise

    reverse = preprocess.colour == "BGR"
    if out.dtype == np.uint8:
        if preprocess.value_range is not None:
            preprocess.check_bytes()
        normalise.to_planes(resized, reverse, out)
        return
    mean = np.asarray(preprocess.mean, dtype=np.float32)
    std = np.asarray(preprocess.std, dtype=np.float32)
    if resized.dtype == np.uint8:
        normalise.to_normalised_planes(resized, mean, std, reverse, out, preprocess.divisor)
        return
    planes = (resized[:, :, ::-1] if reverse else resized).transpose(2, 0, 1)
    out[...] = (planes / np.float32(preprocess.divisor) - mean[:, None, None]) / std[:, None, None]


def _layers(
    preprocess: Preprocess, placement: Placement, out: npt.NDArray[np.generic]
) -> list[tuple[_Rectangle, npt.NDArray[np.generic]]]:
    """What surrounds the image, as rectangles of the network's input with their colours.

    What `pad_multiple` adds to the right and below has a colour of its own.
    """
    if out.dtype == np.uint8:
        preprocess.check_bytes()
    inner_hw = preprocess.resize.place(placement.image_hw).model_hw
    layers: list[tuple[_Rectangle, npt.NDArray[np.generic]]] = []
    if preprocess.pad_multiple > 1 and inner_hw != placement.model_hw:
        fill = _filling(preprocess, preprocess.pad_fill, out)
        layers += [(each, fill) for each in _around((0, 0, *inner_hw), placement.model_hw)]
    if inner_hw == placement.content_hw:
        return layers
    surroundings = preprocess.surroundings()
    fill = np.zeros((len(out), 1, 1), out.dtype)
    if surroundings is not None and (out.dtype == np.uint8 or not isinstance(preprocess.resize, FitCentre)):
        fill = _filling(preprocess, surroundings, out)
    left, top = (int(offset) for offset in placement.offset_xy)
    return [*layers, *((each, fill) for each in _around((top, left, *placement.content_hw), inner_hw))]


def _around(inner: _Rectangle, size_hw: tuple[int, int]) -> list[_Rectangle]:
    """What lies around a rectangle in an area of that size: above, below, left and right of it."""
    (top, left, height, width), (whole_height, whole_width) = inner, size_hw
    bottom, right = top + height, left + width
    sides = [
        (0, 0, top, whole_width),
        (bottom, 0, whole_height - bottom, whole_width),
        (top, 0, height, left),
        (top, right, height, whole_width - right),
    ]
    return [side for side in sides if side[2] > 0 and side[3] > 0]


def _cut(out: npt.NDArray[np.generic], rectangle: _Rectangle, top: int, left: int) -> npt.NDArray[np.generic]:
    """The part of `out`, which starts at (top, left), that lies in the rectangle; empty if none does."""
    y, x, height, width = rectangle
    rows = slice(max(y - top, 0), max(y + height - top, 0))
    return out[:, rows, max(x - left, 0) : max(x + width - left, 0)]


def _filling(
    preprocess: Preprocess, colour: tuple[float, ...], out: npt.NDArray[np.generic]
) -> npt.NDArray[np.generic]:
    """A colour in 0..255, in the image's channel order, as (C, 1, 1) network input."""
    fill = np.asarray(spread("fill", colour, len(out)), dtype=np.float32)
    if preprocess.colour == "BGR":
        fill = fill[::-1]
    if out.dtype != np.uint8:
        mean, std = (np.asarray(values, dtype=np.float32) for values in (preprocess.mean, preprocess.std))
        fill = (fill / np.float32(preprocess.divisor) - mean) / std
    return fill.astype(out.dtype)[:, None, None]


def resize(image: Pixels, size_hw: tuple[int, int], interpolation: Interpolation) -> Pixels:
    """(H, W, C) uint8, uint16 or float32 -> (*size_hw, C) of the same type; the image itself if the size is right.

    "nearest" reads at the centre of each target pixel, as Pillow does.
    """
    if image.shape[:2] == size_hw:
        return image
    height, width = size_hw
    if interpolation in ("bicubic_pillow", "bilinear_pillow"):
        from PIL import Image as Pillow

        rule = Pillow.Resampling.BICUBIC if interpolation == "bicubic_pillow" else Pillow.Resampling.BILINEAR
        if image.dtype == np.uint8 and image.shape[2] == 3:
            return np.asarray(Pillow.fromarray(image).resize((width, height), rule))
        planes = [np.ascontiguousarray(image[:, :, band]) for band in range(image.shape[2])]
        planes = [plane if plane.dtype == np.uint8 else plane.astype(np.float32) for plane in planes]
        resized = [np.asarray(Pillow.fromarray(plane).resize((width, height), rule)) for plane in planes]
        return np.stack(resized, axis=2).astype(image.dtype, copy=False)
    import cv2

    if interpolation == "bilinear_opencv" and image.dtype == np.uint8:
        from densecast.kernels import bilinear_cv

        if bilinear_cv.is_needed(image.shape[2]):
            return bilinear_cv.resize(image, size_hw)
    method = cv2.INTER_NEAREST_EXACT if interpolation == "nearest" else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=method), image.dtype).reshape(height, width, -1)


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
