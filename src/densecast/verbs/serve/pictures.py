"""Checks encoded pictures and arrays of pixels before they are queued: their headers, and whether the network fits."""

from __future__ import annotations

import io
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from densecast.errors import BadInputError
from densecast.imaging import header
from densecast.imaging.views import check_size
from densecast.pipeline import Pipeline
from densecast.spec.augment import Augment
from densecast.spec.model import ModelSpec
from densecast.verbs.serve.refusals import Refused, bad

Source = Any
"""A file's bytes, or an array (H, W, C)."""


def checked(sources: Sequence[Source], pipeline: Pipeline, max_pixels: float, field: str) -> Hashable:
    """Check pictures by their headers alone; returns what tells whether they can share a batch with others.

    Raises:
        Refused: no picture, too large, or not of a size that the network takes; says which.
    """
    sizes = set()
    for place, source in enumerate(sources):
        which = field if len(sources) == 1 else f"{field}[{place}]"
        try:
            size_hw = _size_hw(source, pipeline.spec, which)
            height, width = size_hw
            if height * width > max_pixels:
                raise Refused(
                    413, f"{which}: {width}×{height} pixels; up to {max_pixels / 1e6:g} million are read.", field=which
                )
            check_size(size_hw, pipeline.spec, pipeline.augment)
        except BadInputError as error:
            raise bad(str(error), which) from None
        sizes.add(_model_hw(size_hw, pipeline.spec, pipeline.augment))
    return frozenset(sizes)


def _size_hw(source: Source, spec: ModelSpec, which: str) -> tuple[int, int]:
    if isinstance(source, np.ndarray):
        return source.shape[0], source.shape[1]
    if not source:
        raise bad(f"{which} is empty: send an image file.", which)
    use_exif = spec.preprocess.use_exif
    found = header.facts(io.BytesIO(source), which, use_exif=use_exif)
    if found.is_many:  # a command line says that it takes the first; a client would not hear it
        raise bad(f"{which} holds several pictures: send the one that is meant, or each by itself.", which)
    return found.size_hw(use_exif)


def _model_hw(size_hw: tuple[int, int], spec: ModelSpec, augment: Augment) -> tuple[tuple[int, int], ...]:
    return tuple(each.place(size_hw).model_hw for each in spec.preprocess.at_ratios(augment.ratios))
