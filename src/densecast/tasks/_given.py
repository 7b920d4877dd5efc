"""What is given to a prediction: a picture to be drawn on, in any form that a pipeline takes, or another prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError
from densecast.imaging import read


def canvas(given: Any, size_hw: tuple[int, int] | None, *, use_exif: bool) -> npt.NDArray[np.uint8]:
    """An array, a path, a file's bytes or a Pillow image -> (H, W, 3) uint8 RGB, upright with `use_exif`.

    Raises:
        BadShapeError: of another size than `size_hw`, or no RGB bytes.
        BadImageError: a file that cannot be read.
    """
    image = _pixels(given, use_exif=use_exif)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise BadShapeError(
            f"an image to draw on must be (height, width, 3) uint8 RGB, got {image.shape} {image.dtype}."
        )
    if size_hw is not None and image.shape[:2] != size_hw:
        raise BadShapeError(
            f"the prediction is {size_hw[0]} high and {size_hw[1]} wide, the image {image.shape[0]} and "
            f"{image.shape[1]}. Pass the image that was predicted."
        )
    return image


def _pixels(given: Any, *, use_exif: bool) -> npt.NDArray[Any]:
    if isinstance(given, (str, Path)):
        return read.read_image(given, use_exif=use_exif)
    if isinstance(given, (bytes, bytearray, memoryview)):
        return read.decode(bytes(given), "the image's bytes", use_exif=use_exif)
    if type(given).__module__.partition(".")[0] == "PIL":
        from PIL import ImageOps

        return np.asarray((ImageOps.exif_transpose(given) if use_exif else given).convert("RGB"))
    return np.asarray(given)


def equal(left: Any, right: Any) -> bool:
    """Of arrays: type, shape and all values, NaN being equal to itself; of anything else, what `==` says."""
    if not (isinstance(left, np.ndarray) and isinstance(right, np.ndarray)):
        return bool(left is right or (type(left) is type(right) and left == right))
    return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
