"""Resolves the input shape of a build from the requested shape and the exported graph's.

Apart from the options themselves, which a command line reads before it has loaded numpy.
"""

from __future__ import annotations

from dataclasses import replace

from densecast.errors import BadShapeError
from densecast.spec.options import InputShape, Range
from densecast.spec.tensor import Dim, TensorSpec


def built_input(spec: TensorSpec, shape: InputShape, *, uint8: bool) -> TensorSpec:
    """The input spec of a model built for `shape` from a float artifact whose input is `spec`.

    Several listed batch sizes become an open dimension from the smallest to the largest.

    Raises:
        BadShapeError: a size the float graph does not take.
    """
    batch, channels, height, width = spec.shape
    if isinstance(shape.batch, Range):
        requested: int | Range = shape.batch
    elif len(shape.batch) == 1:
        requested = shape.batch[0]
    else:
        requested = Range(min(shape.batch), max(shape.batch))
    sizes = (
        _narrow("batch", batch, requested),
        channels,
        _narrow("height", height, shape.height),
        _narrow("width", width, shape.width),
    )
    return replace(spec, shape=sizes, dtype="uint8" if uint8 else spec.dtype)


def _narrow(axis: str, have: int | Dim, requested: int | Range | None) -> int | Dim:
    if requested is None:
        return have
    if isinstance(requested, int):
        fits = have == requested if isinstance(have, int) else have.admits(requested)
    elif isinstance(have, int):
        fits = requested.min == requested.max == have
    else:
        fits = have.min <= requested.min and requested.max <= have.max
    if not fits:
        raise BadShapeError(
            f"{axis} {requested} was requested, but the exported graph takes {have}. "
            "Export it again with another range."
        )
    if isinstance(requested, int) or isinstance(have, int):
        return have if isinstance(have, int) else int(requested) if isinstance(requested, int) else have
    if requested.min == requested.max:
        return requested.min
    return replace(have, min=requested.min, max=requested.max)
