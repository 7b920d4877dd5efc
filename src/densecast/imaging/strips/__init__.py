"""Reads pictures of any size from top to bottom, some rows at a time, so that memory holds no more than these.

TIFF, PNG and sequential JPEG allow it; other formats are decoded whole, up to the pixels that are read anywhere. Pixels
are those that `imaging.read` gives of the whole file.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError
from densecast.imaging import tiff_tags
from densecast.imaging.tiff_tags import Values
from densecast.spec.georeference import Georeference
from densecast.spec.model import ModelSpec

Pixels = npt.NDArray[Any]
# What one step of reading may hold: a row of blocks, or the lines of a PNG.
MAX_STEP_BYTES = 512 << 20
_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8\xff"


class Strips:
    """An open picture, read from its top; `read` gives the next rows as (n, W, bands) of its own number type."""

    def __init__(
        self,
        size_hw: tuple[int, int],
        chunks: Generator[Pixels, None, None],
        *,
        is_many: bool = False,
        georeference: Georeference | None = None,
        tags: dict[int, Values] | None = None,
    ) -> None:
        self.size_hw, self.is_many, self.georeference = size_hw, is_many, georeference
        self.tags = tags or {}
        self.chunks, self._left, self._done = chunks, np.empty((0, 0, 0), np.uint8), 0

    def read(self, count: int) -> Pixels:
        """The next `count` rows, or those that are left.

        Raises:
            BadImageError: the pixel data is damaged or cut off.
        """
        count = min(count, self.size_hw[0] - self._done)
        parts, have = [], 0
        while have < count:
            if not len(self._left):
                self._left = next(self.chunks)
            taken = self._left[: count - have]
            self._left = self._left[len(taken) :]
            parts.append(taken)
            have += len(taken)
        self._done += count
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """Close the file."""
        self.chunks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_strips(path: Path, spec: ModelSpec) -> Strips:
    """Open a picture for a model: the rows are what `read.read_for` gives of the whole file.

    Raises:
        BadImageError: missing, of a format that is not read in strips, damaged, turned by its orientation tag, or of
            another number of bands than the network's.
    """
    from densecast.imaging.strips import bands, jpeg, png, tiff, whole

    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise BadImageError(f"{path}: cannot be read ({error.strerror or error}).") from None
    if tiff_tags.is_tiff(start):
        found = tiff.open_tiff(path, use_exif=spec.preprocess.use_exif)
    elif start.startswith(_PNG_START):
        found = png.open_png(path, use_exif=spec.preprocess.use_exif)
    else:
        in_rows = None
        if start.startswith(_JPEG_START) and _is_picture(spec):
            in_rows = jpeg.open_jpeg(path, use_exif=spec.preprocess.use_exif)
        return in_rows or whole.open_whole(path, spec)
    return bands.for_model(found, str(path), spec)


def _is_picture(spec: ModelSpec) -> bool:
    """Whether the network takes RGB or grey as 8 bits, and not a file's own bands and values."""
    channels = spec.input.shape[1] if len(spec.input.shape) == 4 else 3
    return channels in (1, 3) and spec.preprocess.value_range is None
