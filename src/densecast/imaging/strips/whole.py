"""Reads files that cannot be decoded in rows, as progressive JPEG, whole: up to as many pixels as are read anywhere."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from densecast.errors import TooManyPixelsError
from densecast.imaging import read
from densecast.imaging.header import MAX_PIXELS
from densecast.imaging.strips import Pixels, Strips
from densecast.spec.model import ModelSpec


def open_whole(path: Path, spec: ModelSpec) -> Strips:
    """Open a file of any other format; it is decoded when its first rows are asked for.

    Raises:
        BadImageError: no image.
        TooManyPixelsError: more pixels than are decoded at once.
    """
    try:
        size_hw = read.size_hw(path, use_exif=spec.preprocess.use_exif)
    except TooManyPixelsError:
        raise TooManyPixelsError(
            f"{path}: more than {MAX_PIXELS:,} pixels are read in rows, from TIFF, PNG and upright sequential JPEG. "
            "Convert it: vips tiffsave, or gdal_translate -of GTiff -co TILED=YES."
        ) from None

    def pixels() -> Generator[Pixels, None, None]:
        yield read.read_for(path, spec)

    return Strips(size_hw, pixels(), is_many=read.has_more_pages(path))
