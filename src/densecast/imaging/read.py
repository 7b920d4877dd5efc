"""Reads image and mask files that may be corrupt, malicious or very large."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError
from densecast.runtime.process_settings import warnings_ignored

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# Where Pillow stops too: 537 MB in RGB, beyond any camera, below what would exhaust a small machine.
MAX_PIXELS = 178_956_970
MAX_FILE_BYTES = 1 << 30
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM")

# The bytes a complete file ends with. Decoders fill what a cut-off file lacks with grey and call it a success.
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG", b"IEND\xaeB`\x82"


def size_hw(path: Path, *, use_exif: bool = False) -> tuple[int, int]:
    """Read height and width from the file's header, without decoding.

    With `use_exif` they are those of the upright picture, as `read_image` gives it with the same argument; else those
    that are stored.

    Raises:
        BadImageError: missing, empty, of no known format, zero-sized or enormous.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        length = path.stat().st_size
        if length == 0:
            raise BadImageError(f"{path}: the file is empty.")
        if length > MAX_FILE_BYTES:
            raise BadImageError(f"{path}: {length >> 20} MiB; images up to {MAX_FILE_BYTES >> 20} MiB are read.")
        with _opened(path) as image:
            width, height = (int(side) for side in image.size)
            if use_exif and image.getexif().get(_ORIENTATION, 1) in _QUARTER_TURNS:
                width, height = height, width
    except Image.DecompressionBombError:
        raise BadImageError(f"{path}: the header claims more than the {MAX_PIXELS:,} pixels that are read.") from None
    except OSError as error:
        if isinstance(error, UnidentifiedImageError):
            raise BadImageError(f"{path}: not an image of a known format ({', '.join(FORMATS)}).") from None
        raise BadImageError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except BadImageError:
        raise
    except Exception as error:  # Pillow raises whatever the damage leads to
        raise BadImageError(f"{path}: not a usable image ({error}).") from None
    if width < 1 or height < 1:
        raise BadImageError(f"{path}: {width}×{height} pixels; an image needs at least one.")
    if width * height > MAX_PIXELS:
        raise BadImageError(f"{path}: {width}×{height} pixels; up to {MAX_PIXELS:,} are read. Scale it down first.")
    return height, width


def read_image(path: Path | str, *, use_exif: bool = False) -> npt.NDArray[np.uint8]:
    """Read an image file as (H, W, 3) uint8 RGB; grey and palette images are expanded, transparency is dropped.

    Decodes with OpenCV, which is faster than Pillow and gives the same pixels (both use libjpeg-turbo);
    what OpenCV does not decode whole goes to Pillow, which says what is wrong.

    Raises:
        BadImageError: see `size_hw`; or the pixel data is damaged or cut off.
    """
    path = Path(path)
    expected_hw = size_hw(path, use_exif=use_exif)
    import cv2

    data = path.read_bytes()
    if _is_whole(data):
        flags = cv2.IMREAD_COLOR_RGB | (0 if use_exif else cv2.IMREAD_IGNORE_ORIENTATION)
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
        if image is not None and image.shape[:2] == expected_hw:
            return np.asarray(image, dtype=np.uint8)
    return _read_with_pillow(path, use_exif=use_exif)


def read_mask(path: Path) -> npt.NDArray[np.uint8]:
    """Read a label file as (H, W) uint8: palette indices or grey values, never colours.

    Raises:
        BadImageError: see `read_image`; or the file holds colours.
    """
    return read_mask_with_palette(path)[0]


def read_mask_with_palette(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None]:
    """Read a label file as (H, W) uint8, and the (n, 3) uint8 RGB colours of its palette; None if it has none.

    Tools sort palettes as they like: where there are colours, they say which class is meant, `palette[mask]`. Of an
    animated file it is the first picture.

    Raises:
        BadImageError: see `read_image`; or the file holds colours without a palette.
    """
    size_hw(path)
    try:
        with _opened(path) as image:
            if image.mode == "1":
                return np.asarray(image).astype(np.uint8), None
            if image.mode not in ("P", "L"):
                raise BadImageError(
                    f"{path}: a mask must hold one index a pixel (mode P or L), this one is {image.mode}."
                )
            mask = np.array(image, dtype=np.uint8)
            if image.mode == "L":
                return mask, None
            palette = np.asarray(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
            return mask, np.pad(palette, ((0, max(0, int(mask.max()) + 1 - len(palette))), (0, 0)))
    except BadImageError:
        raise
    except Exception as error:  # Pillow raises whatever the damage leads to
        raise BadImageError(f"{path}: the pixel data is damaged or cut off ({error}).") from None


def has_more_pages(path: Path) -> bool:
    """Whether a file holds more pictures than the first, which alone is read; False for what cannot be read."""
    try:
        with _opened(path) as image:
            return bool(getattr(image, "is_animated", False)) and image.format != "MPO"
    except Exception:  # Pillow raises whatever the damage leads to; it is reported when the image is read
        return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[PillowImage]:
    """Open an image of a supported format and read its header; Pillow's warnings are suppressed."""
    from PIL import Image

    with warnings_ignored(), Image.open(path, formats=FORMATS) as image:
        yield image


def _is_whole(data: bytes) -> bool:
    """Whether a JPEG or PNG has its end marker; other formats are left to Pillow."""
    # Cameras and editors append padding or metadata, so the end is looked for in the last bytes only.
    tail = data[-64:]
    return (data.startswith(_JPEG_START) and _JPEG_END in tail) or (data.startswith(_PNG_START) and _PNG_END in tail)


def _read_with_pillow(path: Path, *, use_exif: bool) -> npt.NDArray[np.uint8]:
    from PIL import ImageOps

    try:
        with _opened(path) as image:
            upright = ImageOps.exif_transpose(image) if use_exif else image
            return np.array(upright.convert("RGB"), dtype=np.uint8)
    except Exception as error:  # Pillow raises whatever the damage leads to
        raise BadImageError(f"{path}: the pixel data is damaged or cut off ({error}).") from None
