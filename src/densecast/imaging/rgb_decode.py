"""Decodes a whole file of 8 bits a value into RGB, by the fastest library whose pixels are OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from densecast.imaging.header import Facts

_JPEG_START = b"\xff\xd8"
_CMYK_BANDS = 4


def decode(data: bytes, found: Facts, *, use_exif: bool) -> npt.NDArray[np.uint8] | None:
    """(H, W, 3) uint8 RGB; None if the libraries do not decode it.

    simplejpeg takes two thirds of OpenCV's time (`benchmarks/decoders.py`). Both are built on libjpeg-turbo, whose
    exact integer transform and upsampling give the same pixels; the tests hold them together for every form of JPEG.
    It knows no orientation, and leaves to OpenCV what it calls damaged, too.
    """
    is_stored_upright = not use_exif or found.orientation == 1
    if data.startswith(_JPEG_START) and found.bands != _CMYK_BANDS and is_stored_upright:
        try:
            return np.asarray(simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False))
        except ValueError:
            pass
    flags = cv2.IMREAD_COLOR_RGB | (0 if use_exif else cv2.IMREAD_IGNORE_ORIENTATION)
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    return None if image is None else np.asarray(image, dtype=np.uint8)
