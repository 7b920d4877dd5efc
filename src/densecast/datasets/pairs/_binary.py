"""Tells masks of 0 and 255 alone, which are the two classes of a binary model, from indices with 255 not evaluated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from densecast.datasets._masks import MaskColours, read_values
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import DensecastError
from densecast.spec.data_options import Reading
from densecast.spec.sample import Sample

# Masks that are read to tell 0/255 from indices; a later one that contradicts them is refused by its own name.
_LOOKED_AT = 32


def is_binary(samples: Sequence[Sample], file: DataFile, reading: Reading) -> bool:
    """Whether masks of two classes hold 0 and 255 alone, and nothing that was said gives 255 a meaning."""
    options = reading.options
    count = len(reading.labels) or len(file.names)
    said = file.colours or file.remap or file.ignore or options.colours or options.remap or options.ignore
    if count not in (0, 2) or said or file.model_colours or file.reduce_zero_label:
        return False
    colours = MaskColours(classes=count or None, nearest=options.soft_masks or file.soft_masks)
    step = max(1, len(samples) // _LOOKED_AT)
    present: set[int] = set()
    for sample in samples[::step]:
        try:
            values, how = read_values(sample.target, colours)
        except DensecastError:  # it is named when it is needed
            continue
        if how != "colours":
            present |= {int(value) for value in np.unique(values)}
    return 255 in present and present <= {0, 255}
