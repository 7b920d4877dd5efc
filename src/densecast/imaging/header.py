"""Reads what an image file's header says: size, orientation, bands, depth and number of pictures."""

from __future__ import annotations

import contextlib
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from densecast.errors import BadImageError, TooManyPixelsError
from densecast.imaging import other_files, tiff
from densecast.runtime.process_settings import warnings_ignored

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# Where Pillow stops too: 537 MB in RGB, beyond any camera, below what would exhaust a small machine.
MAX_PIXELS = 178_956_970
MAX_FILE_BYTES = 1 << 30
MAX_BANDS = 64
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM")

_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)
# Of these modes the values have more than 8 bits; "I" is also how Pillow opens a PGM of 16.
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_TIFF_STARTS = (b"II*\0", b"MM\0*")

_STARTS = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF.{4}WEBP|BM.{4}\0{4}|II\*\0|MM\0\*|P[1-6]\s+(#.*\n)*\d+\s+\d+\s",
    re.DOTALL,
)


def is_picture(data: bytes) -> bool:
    r"""Whether bytes begin as a file of one of these formats does, and not as a text.

    >>> is_picture(b"\xff\xd8\xff\xe0"), is_picture(b"BMW.jpg\nb.jpg"), is_picture(b"P5\n4 4\n255\n")
    (True, False, True)
    """
    return _STARTS.match(data[:4096]) is not None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a header says; `is_deep` if values have more than 8 bits, `tiff` for TIFF files alone.

    `is_own`: bands of 8 bits that Pillow does not know together, as three of grey.
    """

    stored_hw: tuple[int, int]
    orientation: int
    bands: int
    is_deep: bool
    is_many: bool
    tiff: tiff.Header | None = None
    is_own: bool = False

    def size_hw(self, use_exif: bool) -> tuple[int, int]:
        """Height and width, upright or as stored."""
        height, width = self.stored_hw
        return (width, height) if use_exif and self.orientation in _QUARTER_TURNS else (height, width)


def facts(file: IO[bytes], where: str, *, use_exif: bool = True) -> Facts:
    """Read the header of an open file; `where` names it in messages. Without `use_exif` the orientation is 1.

    Raises:
        BadImageError: of no known format, zero-sized or enormous.
    """
    start = file.read(32)
    file.seek(0)
    found = tiff.header(_all_of(file)) if start[:4] in _TIFF_STARTS else None
    if found is not None and found.dtype is not None and (found.bits > 8 or found.bands > 4):
        # Pillow knows few of these; what they hold is in the tags.
        own = Facts(found.size_hw, found.orientation, found.bands, found.bits > 8, False, found)
    else:
        own = _by_pillow(file, where, start, found, use_exif)
    height, width = own.stored_hw
    if width < 1 or height < 1:
        raise BadImageError(f"{where}: {width}×{height} pixels; an image needs at least one.")
    if width * height > MAX_PIXELS:
        raise TooManyPixelsError(
            f"{where}: {width}×{height} pixels; up to {MAX_PIXELS:,} are read. Scale it down, or read it "
            "in tiles: densecast infer --large."
        )
    if not 1 <= own.bands <= MAX_BANDS:
        raise BadImageError(f"{where}: {own.bands} bands; 1 to {MAX_BANDS} are read.")
    return own


def _by_pillow(file: IO[bytes], where: str, start: bytes, found: tiff.Header | None, use_exif: bool) -> Facts:
    from PIL import Image, UnidentifiedImageError

    try:
        with opened(file) as image:
            is_deep = image.mode in _DEEP_MODES or _is_wide(start, file)
            size_hw, bands = (int(image.size[1]), int(image.size[0])), len(image.getbands())
            orientation = _orientation(image) if use_exif else 1
            if image.format == "TIFF":
                # Pillow turns these unasked, and says the upright size.
                orientation = 1 if found is None else found.orientation
                size_hw = size_hw if found is None else found.size_hw
            return Facts(size_hw, orientation, bands, is_deep, _is_many(image), found)
    except Image.DecompressionBombError:
        raise TooManyPixelsError(
            f"{where}: the header claims more than the {MAX_PIXELS:,} pixels that are read. "
            "A picture that is really so large is read in tiles: densecast infer --large."
        ) from None
    except UnidentifiedImageError:
        if found is not None and found.are_bands:
            return Facts(found.size_hw, found.orientation, found.bands, False, False, found, is_own=True)
        file.seek(0)
        raise BadImageError(f"{where}: {other_files.told(file.read(other_files.LOOKED_AT), FORMATS)}") from None
    except OSError as error:
        raise BadImageError(f"{where}: cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # Pillow raises whatever the damage leads to
        raise BadImageError(f"{where}: not a usable image ({error}).") from None


@contextlib.contextmanager
def opened(file: IO[bytes]) -> Iterator[PillowImage]:
    """Open an image of a supported format and read its header; Pillow's warnings are suppressed."""
    from PIL import Image

    with warnings_ignored(), Image.open(file, formats=FORMATS) as image:
        yield image


def _orientation(image: PillowImage) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises whatever the damage leads to; a damaged tag turns nothing
        return 1


def _is_many(image: PillowImage) -> bool:
    """Whether there is a second picture in the file; the second ones of a JPEG are previews and depth maps."""
    try:
        return image.format in ("GIF", "TIFF", "WEBP", "PNG") and bool(getattr(image, "is_animated", False))
    except Exception:  # as above: only the first picture is used
        return False


def _all_of(file: IO[bytes]) -> bytes | mmap.mmap:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # in memory, or empty
        data = file.read()
        file.seek(0)
        return data


def _is_wide(start: bytes, file: IO[bytes]) -> bool:
    """Whether a PNG has 16 bits, or the largest value of a PGM or PPM, the third number of its header, is above 255."""
    if start.startswith(b"\x89PNG"):
        return start[24:25] == b"\x10"
    if start[:2] not in (b"P2", b"P3", b"P5", b"P6"):
        return False
    file.seek(0)
    lines = file.read(1024).split(b"\n")
    numbers = b" ".join(line.partition(b"#")[0] for line in lines).split()
    return len(numbers) > 3 and numbers[3].isdigit() and int(numbers[3]) > 255
