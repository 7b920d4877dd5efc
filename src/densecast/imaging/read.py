"""Reads image and mask files that may be corrupt, malicious or very large."""

from __future__ import annotations

import io
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError
from densecast.imaging import deep_values, header, jpeg_check, pages
from densecast.imaging.header import FORMATS as FORMATS
from densecast.imaging.header import MAX_FILE_BYTES as MAX_FILE_BYTES
from densecast.imaging.header import MAX_PIXELS as MAX_PIXELS
from densecast.imaging.header import Facts
from densecast.io import files
from densecast.spec.model import ModelSpec

Pixels = npt.NDArray[Any]
_PNG_START, _PNG_END = b"\x89PNG", b"IEND\xaeB`\x82"
_JPEG_START = b"\xff\xd8"


def size_hw(path: Path, *, use_exif: bool = False) -> tuple[int, int]:
    """Read height and width from the file's header, without decoding.

    With `use_exif` they are those of the upright picture, as `read_image` gives it with the same argument; else those
    that are stored.

    Raises:
        BadImageError: missing, empty, no file, of no known format, zero-sized or enormous.
    """
    return _facts(path, use_exif=use_exif).size_hw(use_exif)


def orientation(path: Path) -> int:
    """The file's orientation tag, 1 where it has none.

    Raises:
        BadImageError: as `size_hw`.
    """
    return _facts(path, use_exif=True).orientation


def _facts(path: Path, *, use_exif: bool) -> Facts:
    _check_file(path)
    try:
        with path.open("rb") as file:
            return header.facts(file, str(path), use_exif=use_exif)
    except OSError as error:
        raise BadImageError(f"{path}: cannot be read ({error.strerror or error}).") from None


def read_image(path: Path | str, *, use_exif: bool = False) -> npt.NDArray[np.uint8]:
    """Read an image file as (H, W, 3) uint8 RGB; grey and palette images are expanded, transparency is dropped.

    Values of 16 bits become their upper 8, in every format. Of an animated or many-paged file it is the first picture.
    Pixels are OpenCV's, and Pillow's; what is not decoded whole goes to Pillow, which says what is wrong.

    Raises:
        BadImageError: see `size_hw`; the pixel data is damaged or cut off; or values of 32 bits or floats, of which
            nobody has said what they mean.
    """
    path = files.given(path)
    return _rgb(decode(contents(path), str(path), use_exif=use_exif), str(path))


def read_for(path: Path | str, spec: ModelSpec) -> Pixels:
    """Read an image file as a model's preprocessing requires: upright or as stored, with its bands and values.

    For networks of three channels or one, (H, W, 3) uint8 RGB; of other counts (H, W, channels). Where the model has a
    `value_range`, the values are the file's own.

    Raises:
        BadImageError: see `read_image`; or the file has another number of bands.
    """
    path = Path(path)
    return decode_for(contents(path), str(path), spec)


def decode_for(data: bytes, where: str, spec: ModelSpec) -> Pixels:
    """`read_for` of a file's bytes; `where` names them in messages."""
    rule = spec.preprocess
    channels = spec.input.shape[1] if len(spec.input.shape) == 4 else 3
    if channels in (1, 3) and rule.value_range is None:
        return _rgb(decode(data, where, use_exif=rule.use_exif), where)
    pixels = decode(data, where, use_exif=rule.use_exif, every_band=True, full_depth=rule.value_range is not None)
    bands = pixels.shape[2]
    if channels in (1, 3):
        return _rgb(pixels, where)
    if bands != channels:
        raise BadImageError(f"{where}: {bands} bands, the network takes {channels}. Use files of {channels} bands.")
    return pixels


def contents(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        BadImageError: missing, a folder, a device, empty, too large, or it cannot be read.
    """
    _check_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadImageError(f"{path}: cannot be read ({error.strerror or error}).") from None


def decode(
    data: bytes, where: str, *, use_exif: bool = False, every_band: bool = False, full_depth: bool = False
) -> Pixels:
    """A file's bytes -> (H, W, 3) uint8 RGB.

    With `every_band` it is (H, W, bands) as stored, and with `full_depth` the values are those of the file.

    Raises:
        BadImageError: see `read_image`.
    """
    from densecast.imaging import rgb_decode

    found = header.facts(io.BytesIO(data), where, use_exif=use_exif)
    if found.is_many:
        pages.remark(where, data)
    wanted = every_band or full_depth
    if not wanted and not found.is_deep and not found.is_own and _is_whole(data, where):
        image = rgb_decode.decode(data, found, use_exif=use_exif)
        if image is not None and image.shape[:2] == found.size_hw(use_exif):
            return image
    if not found.is_deep and not found.is_own and not (wanted and found.bands > 4):
        return _by_pillow(data, where, found, use_exif=use_exif, every_band=wanted)
    if data.startswith(_PNG_START) and not _is_whole(data, where):
        _by_pillow(data, where, found, use_exif=use_exif, every_band=wanted)  # says what is wrong
    if found.is_own and not wanted and found.bands == 2:
        raise BadImageError(f"{where}: 2 bands, and none is transparency; a picture has one (grey) or three (RGB).")
    pixels = deep_values.read(data, where, found)
    if use_exif:
        pixels = _upright(pixels, found.orientation)
    return pixels if full_depth else deep_values.upper_byte(pixels, where)


def as_stored(pixels: Pixels, found: Facts) -> Pixels:
    """Pixels as Pillow decodes a file, (H, W) or (H, W, bands) -> as the file stores them.

    By itself Pillow turns pictures by their orientation tag in TIFF files alone.
    """
    if found.tiff is None or found.tiff.orientation == 1:
        return pixels
    return _upright(pixels, {6: 8, 8: 6}.get(found.tiff.orientation, found.tiff.orientation))


def has_more_pages(path: Path) -> bool:
    """Whether a file holds more pictures than the first, which alone is read; False for what cannot be read."""
    try:
        with path.open("rb") as file:
            return header.facts(file, str(path), use_exif=False).is_many
    except (OSError, BadImageError):  # it is reported when the image is read
        return False


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        # A `Path` makes one slash of two.
        if url := re.match(r"(https?|s3|gs|ftp|rtsp):/+", str(path)):
            raise BadImageError(
                f"{url[1]}://{str(path)[url.end() :]}: an address, where a file is needed. `densecast infer` and "
                "`densecast.predict` fetch pictures with allow_url (--allow-url)."
            ) from None
        raise BadImageError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except ValueError as error:
        raise BadImageError(f"{path}: no possible name of a file ({error}).") from None
    if stat.S_ISDIR(status.st_mode):
        raise BadImageError(f"{path}: a folder, where an image file is needed.")
    if not stat.S_ISREG(status.st_mode):
        raise BadImageError(f"{path}: a pipe or device, where an image file is needed. Save it to a file first.")
    if status.st_size == 0:
        raise BadImageError(f"{path}: the file is empty.")
    if status.st_size > MAX_FILE_BYTES:
        raise BadImageError(f"{path}: {status.st_size >> 20} MiB; images up to {MAX_FILE_BYTES >> 20} MiB are read.")


def _is_whole(data: bytes, where: str) -> bool:
    """Whether a JPEG or PNG is complete; other formats are left to Pillow.

    Decoders fill what a file lacks with grey and call it a success.

    Raises:
        BadImageError: a JPEG that is damaged inside.
    """
    if data.startswith(_JPEG_START):
        state = jpeg_check.check(data)
        if state.damage:
            raise BadImageError(f"{where}: the JPEG is damaged ({state.damage}). Get it again from its source.")
        return state.is_whole
    # Editors append padding or metadata, so the end is looked for in the last bytes only.
    return data.startswith(_PNG_START) and _PNG_END in data[-64:]


def _rgb(pixels: Pixels, where: str) -> Pixels:
    """(H, W, bands) -> (H, W, 3): grey is repeated, transparency is dropped."""
    bands = pixels.shape[2]
    if bands == 3:
        return pixels
    if bands > 4:
        raise BadImageError(f"{where}: {bands} bands, a picture has one (grey), three (RGB), or transparency more.")
    return np.repeat(pixels[:, :, :1], 3, axis=2) if bands < 3 else np.ascontiguousarray(pixels[:, :, :3])


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turn by the orientation tag (EXIF 2.3, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    flip_y, flip_x = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _by_pillow(data: bytes, where: str, found: Facts, *, use_exif: bool, every_band: bool) -> Pixels:
    from PIL import ImageOps

    try:
        with header.opened(io.BytesIO(data)) as image:
            upright = ImageOps.exif_transpose(image) if use_exif else image
            mode = upright.mode if every_band and upright.mode in ("L", "RGB", "RGBA", "CMYK") else "RGB"
            pixels = np.atleast_3d(np.array(upright.convert(mode), dtype=np.uint8))
            return pixels if use_exif else as_stored(pixels, found)
    except Exception as error:  # Pillow raises whatever the damage leads to
        raise BadImageError(f"{where}: the pixel data is damaged or cut off ({error}).") from None
