"""Decodes one compressed block of a TIFF as a picture of its own, by Pillow or OpenCV: LZW, JPEG, Zstandard, …"""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np

from densecast.imaging.strips import Pixels
from densecast.imaging.tiff_tags import Tags, Values
from densecast.runtime.process_settings import warnings_ignored

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _BANDS, _ROWS, _COUNTS, _PLANAR = (
    256, 257, 258, 259, 262, 273, 277, 278, 279, 284,
)  # fmt: skip
_PREDICTOR, _EXTRA, _FORMAT, _JPEG_TABLES, _SUBSAMPLING, _REFERENCE = 317, 338, 339, 347, 530, 532
_KEPT = (_PREDICTOR, _JPEG_TABLES, _SUBSAMPLING)
_GREY, _RGB, _YCBCR = 1, 2, 6
_SHORT, _LONG, _UNDEFINED = 3, 4, 7


def decode(data: bytes, tags: Tags, size_hw: tuple[int, int], bands: int, dtype: np.dtype[Any]) -> Pixels:
    """(rows, columns, bands) of a block's bytes, whose compression the file's tags say.

    Raises:
        ValueError: it cannot be decoded.
    """
    if bands > 4 or dtype.itemsize > 2 or dtype.kind != "u":
        raise ValueError(
            f"{bands} bands of {dtype} are read uncompressed or deflated: gdal_translate -co COMPRESS=DEFLATE"
        )
    file = _file(data, tags, size_hw, bands, dtype)
    pixels = _by_pillow(file) if dtype.itemsize == 1 else _by_opencv(file, bands)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[:2] != size_hw or pixels.shape[2] != bands:
        raise ValueError(f"a block of {pixels.shape} where {(*size_hw, bands)} is promised")
    return pixels


def _by_pillow(file: bytes) -> Pixels:
    from PIL import Image

    try:
        with warnings_ignored(), Image.open(io.BytesIO(file), formats=("TIFF",)) as image:
            return np.asarray(image)
    except Exception as error:  # Pillow raises whatever the damage leads to
        raise ValueError(f"{error}") from None


def _by_opencv(file: bytes, bands: int) -> Pixels:
    import cv2

    try:
        image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(error.err) from None
    if image is None:
        raise ValueError("a compression that is not known")
    image = np.atleast_3d(np.asarray(image))
    return image[:, :, [2, 1, 0, 3][:bands]] if bands >= 3 else image


def _file(data: bytes, tags: Tags, size_hw: tuple[int, int], bands: int, dtype: np.dtype[Any]) -> bytes:
    """A classic TIFF of one strip."""
    photometric = tags.one(_PHOTOMETRIC, _GREY)
    own: dict[int, Values] = {tag: tags.values[tag] for tag in _KEPT if tag in tags.values}
    if photometric != _YCBCR:
        photometric = _RGB if bands >= 3 else _GREY
    own |= {
        _WIDTH: (size_hw[1],),
        _HEIGHT: (size_hw[0],),
        _BITS: (8 * dtype.itemsize,) * bands,
        _COMPRESSION: (tags.one(_COMPRESSION, 1),),
        _PHOTOMETRIC: (photometric,),
        _OFFSETS: (8,),
        _BANDS: (bands,),
        _ROWS: (size_hw[0],),
        _COUNTS: (len(data),),
        _PLANAR: (1,),
    }
    if bands in (2, 4):
        own[_EXTRA] = (2,)
    order = tags.order
    at = 8 + len(data) + len(data) % 2
    body, extra_at = b"", at + 2 + 12 * len(own) + 4
    extra = b""
    for tag in sorted(own):
        value = own[tag]
        if isinstance(value, bytes):
            kind, count, packed = _UNDEFINED, len(value), value
        else:
            kind = _LONG if tag in (_WIDTH, _HEIGHT, _OFFSETS, _ROWS, _COUNTS) else _SHORT
            count = len(value)
            packed = struct.pack(f"{order}{count}{'I' if kind == _LONG else 'H'}", *(int(each) for each in value))
        if len(packed) > 4:
            place = struct.pack(f"{order}I", extra_at + len(extra))
            extra += packed + b"\0" * (len(packed) % 2)
        else:
            place = packed.ljust(4, b"\0")
        body += struct.pack(f"{order}HHI", tag, kind, count) + place
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, at)
    directory = struct.pack(f"{order}H", len(own)) + body + struct.pack(f"{order}I", 0)
    return start + data + b"\0" * (len(data) % 2) + directory + extra
