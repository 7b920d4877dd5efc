"""Reads values of more than 8 bits, and brings them to the 8 that a model sees where nothing else is declared."""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError
from densecast.imaging import tiff
from densecast.imaging.header import Facts

Pixels = npt.NDArray[Any]
_LOG = logging.getLogger(__name__)
# What is white in files of 8, 10, 12 and 14 bits, and in satellites' reflectances.
_WHITES = (255, 1023, 4095, 10000, 16383)
_remarked: set[str] = set()


def read(data: bytes, where: str, found: Facts) -> Pixels:
    """All bands of a file in their own type -> (H, W, bands), RGB first.

    Raises:
        BadImageError: it is damaged, or compressed in a way that is not read.
    """
    if found.tiff is not None:
        pixels = tiff.read(data, found.tiff, where)
        if pixels is not None:
            return pixels
        if found.bands > 4 or found.is_own:
            raise BadImageError(
                f"{where}: {found.bands} bands are read uncompressed or deflated, this file is compressed in another "
                "way. Convert it: gdal_translate -co COMPRESS=DEFLATE."
            )
    import cv2

    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise BadImageError(f"{where}: the pixel data cannot be read ({error.err}).") from None
    if image is None or image.shape[:2] != found.size_hw(False):
        raise BadImageError(f"{where}: the pixel data is damaged or cut off, or of a kind that is not read.")
    image = np.atleast_3d(np.asarray(image))
    return np.ascontiguousarray(image[:, :, [2, 1, 0, 3][: image.shape[2]]] if image.shape[2] >= 3 else image)


def upper_byte(pixels: Pixels, where: str) -> Pixels:
    """Bytes as they are, and the upper 8 bits of values of 16; `where` names the file.

    Raises:
        BadImageError: other numbers, of which nobody has said what they mean.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        _remark_dark(int(pixels.max(initial=0)), where)
        return (pixels >> 8).astype(np.uint8)
    raise BadImageError(
        f"{where}: its values are {pixels.dtype}, and nothing says which are black and white. Convert it to 8 bits, or "
        "declare value_range = [black, white] in the model's preprocessing."
    )


def _remark_dark(largest: int, where: str) -> None:
    """Say once of a folder that files of 16 bits hold values of fewer, of which the upper byte leaves next to nothing.

    Cameras and scanners store 8 to 12 bits in 16 without shifting them.
    """
    folder = os.path.dirname(where)  # noqa: PTH120 - it may be no path
    if largest > _WHITES[-1] or largest == 0 or folder in _remarked:
        return
    _remarked.add(folder)
    white = next(each for each in _WHITES if largest <= each)
    _LOG.warning(
        "%s has 16 bits a value, and the largest is %s: of the upper 8 bits, which the model sees, it leaves 0 to %s "
        "of 255. If %s is white in these files, declare value_range = [0, %s] (--value-range 0:%s)",
        where, largest, largest >> 8, white, white, white,
    )  # fmt: skip
