"""Brings the bands of strips to what a model's network takes, as `read.read_for` does with whole files."""

from __future__ import annotations

import itertools
from collections.abc import Generator

import numpy as np

from densecast.errors import BadImageError
from densecast.imaging.strips import Pixels, Strips
from densecast.spec.model import ModelSpec


def for_model(strips: Strips, where: str, spec: ModelSpec) -> Strips:
    """The same picture with 8-bit RGB for networks of three channels or one, else with the file's own bands.

    Where the model has a `value_range`, the values are the file's own.

    Raises:
        BadImageError: another number of bands, or values of which nobody has said what they mean.
    """
    channels = spec.input.shape[1] if len(spec.input.shape) == 4 else 3
    is_picture, keeps_values = channels in (1, 3), spec.preprocess.value_range is not None
    first = next(strips.chunks)
    bands = first.shape[2]
    if is_picture and bands > 4:
        raise BadImageError(f"{where}: {bands} bands, a picture has one (grey), three (RGB), or transparency more.")
    if not is_picture and bands != channels:
        raise BadImageError(f"{where}: {bands} bands, the network takes {channels}. Use files of {channels} bands.")
    if not keeps_values and first.dtype not in (np.uint8, np.uint16):
        raise BadImageError(
            f"{where}: its values are {first.dtype}, and nothing says which are black and white. Convert it to 8 bits, "
            "or declare value_range = [black, white] in the model's preprocessing."
        )

    def converted() -> Generator[Pixels, None, None]:
        for chunk in itertools.chain([first], strips.chunks):
            pixels = chunk
            if not keeps_values and pixels.dtype == np.uint16:
                pixels = (pixels >> 8).astype(np.uint8)
            yield _rgb(pixels) if is_picture else pixels

    return Strips(
        strips.size_hw,
        _closing(converted(), strips),
        is_many=strips.is_many,
        georeference=strips.georeference,
        tags=strips.tags,
    )


def _closing(chunks: Generator[Pixels, None, None], strips: Strips) -> Generator[Pixels, None, None]:
    try:
        yield from chunks
    finally:
        strips.close()


def _rgb(pixels: Pixels) -> Pixels:
    """(n, W, bands) -> (n, W, 3): grey is repeated, transparency is dropped."""
    bands = pixels.shape[2]
    if bands == 3:
        return pixels
    return np.repeat(pixels[:, :, :1], 3, axis=2) if bands < 3 else np.ascontiguousarray(pixels[:, :, :3])
