"""Reads label maps (one class index per pixel) and checks their size and values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from densecast.datasets import _frames
from densecast.datasets._masks import MaskColours, read_values
from densecast.errors import BadDatasetError
from densecast.spec.sample import LabelMap, Sample

_SHOWN = 5
_LARGEST = 255


def read_label_map(
    sample: Sample, known: Sequence[int], colours: MaskColours = MaskColours(), *, use_exif: bool = False
) -> LabelMap:
    """Read a label map as (H, W) uint8 in the frame its image is seen in: indices, grey values, or by `colours`.

    Raises:
        BadImageError: not a readable file, or one of colours that nothing explains.
        BadDatasetError: its size is not its image's, or it holds a value not in `known`.
    """
    values, _ = read_values(sample.target, colours)
    largest, smallest = int(values.max()), int(values.min())
    if smallest < 0 or largest > _LARGEST:
        raise BadDatasetError(
            f"{sample.target}: holds the label {largest if largest > _LARGEST else smallest}; known are "
            f"{in_words(known)}."
        )
    counted = np.bincount(values.reshape(-1), minlength=_LARGEST + 1)
    foreign = [value for value in np.flatnonzero(counted).tolist() if value not in known]
    if foreign:
        shown = ", ".join(map(str, foreign[:_SHOWN])) + (", …" if len(foreign) > _SHOWN else "")
        share = counted[foreign].sum() / values.size
        raise BadDatasetError(
            f"{sample.target}: holds the label {shown}; known are {in_words(known)}. {share:.1%} of its pixels are so "
            "labelled."
        )
    return _frames.to_frame(values.astype(np.uint8), sample.image, sample.target, use_exif=use_exif)


def in_words(known: Sequence[int]) -> str:
    """`0..18, 255`."""
    runs: list[list[int]] = []
    for value in sorted(known):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(str(low) if low == high else f"{low}..{high}" for low, high in runs)
