"""Reads label maps (one class index per pixel) and checks their size and values."""

from __future__ import annotations

import numpy as np

from densecast.errors import BadDatasetError
from densecast.imaging import read
from densecast.spec.sample import LabelMap, Sample

_SHOWN = 5


def read_label_map(sample: Sample, known: tuple[int, ...]) -> LabelMap:
    """Read a label map as (H, W) uint8: palette indices or grey values.

    Raises:
        BadImageError: not a readable file, or one of colours.
        BadDatasetError: its size is not its image's, or it holds a value not in `known`.
    """
    labels = read.read_mask(sample.target)
    image_hw = read.size_hw(sample.image)
    if labels.shape != image_hw:
        raise BadDatasetError(
            f"{sample.target}: the labels are {labels.shape[1]}×{labels.shape[0]} pixels, their image "
            f"{image_hw[1]}×{image_hw[0]}. They must be of one size."
        )
    present = np.flatnonzero(np.bincount(labels.reshape(-1), minlength=256))
    foreign = [str(value) for value in present.tolist() if value not in known]
    if foreign:
        shown = ", ".join(foreign[:_SHOWN]) + (", …" if len(foreign) > _SHOWN else "")
        raise BadDatasetError(f"{sample.target}: holds the label {shown}; known are {_in_words(known)}.")
    return labels


def _in_words(known: tuple[int, ...]) -> str:
    """`0..18, 255`."""
    runs: list[list[int]] = []
    for value in sorted(known):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(str(low) if low == high else f"{low}..{high}" for low, high in runs)
