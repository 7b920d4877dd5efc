"""Resolves the input shape of a build from the requested shape and the exported graph's.

Apart from the options themselves, which a command line reads before it has loaded numpy.
"""

from __future__ import annotations

from dataclasses import replace

from densecast.errors import BadShapeError
from densecast.spec.options import InputShape, Range
from densecast.spec.tensor import Dim, TensorSpec


def built_input(spec: TensorSpec, shape: InputShape, *, uint8: bool) -> TensorSpec:
    """The input of a model built for `shape` from a float artifact whose input is `spec`.

    Several listed batch sizes become an open dimension from the smallest to the largest.

    Raises:
        BadShapeError: a size the float graph does not take.
    """
    batch, channels, height, width = spec.shape
    if isinstance(shape.batch, Range):
        asked: int | Range = shape.batch
    elif len(shape.batch) == 1:
        asked = shape.batch[0]
    else:
        asked = Range(min(shape.batch), max(shape.batch))
    sizes = (
        _narrow("batch", batch, asked),
        channels,
        _narrow("height", height, shape.height),
        _narrow("width", width, shape.width),
    )
    return replace(spec, shape=sizes, dtype="uint8" if uint8 else spec.dtype)


def _narrow(axis: str, have: int | Dim, asked: int | Range | None) -> int | Dim:
    if asked is None:
        return have
    if isinstance(asked, int):
        fits = have == asked if isinstance(have, int) else have.admits(asked)
    elif isinstance(have, int):
        fits = asked.min == asked.max == have
    else:
        fits = have.min <= asked.min and asked.max <= have.max
    if not fits:
        raise BadShapeError(
            f"{axis} {asked} was asked, but the exported graph takes {have}. Export it again with another range."
        )
    if isinstance(asked, int) or isinstance(have, int):
        return have if isinstance(have, int) else int(asked) if isinstance(asked, int) else have
    if asked.min == asked.max:
        return asked.min
    return replace(have, min=asked.min, max=asked.max)
