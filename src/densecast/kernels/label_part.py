"""Labels of a rectangle of the target, from those rows and columns of the map that it reads."""

from __future__ import annotations

import numpy as np

from densecast.errors import BadInputError
from densecast.kernels import bilinear
from densecast.kernels.bilinear import Plan, Resize, Taps
from densecast.kernels.labels import TILE_COLUMNS_MAX, TILE_COLUMNS_MIN, TILE_VALUES, Labels, Logits, Probability
from densecast.spec.sample import label_dtype


def cut(taps: Taps, begin: int, end: int, origin: int) -> Taps:
    """The taps of the targets from `begin` to `end`, whose sources count from `origin`."""
    return Taps(
        taps.first[begin:end] - np.uint32(origin),
        taps.second[begin:end] - np.uint32(origin),
        taps.first_weight[begin:end],
        taps.second_weight[begin:end],
    )


def label_part(planes: Logits, rows: Taps, columns: Taps, *, scored: bool = False) -> tuple[Labels, Probability | None]:
    """(C, h, w) contiguous float32 -> labels (H, W) of the targets of `rows` and `columns`, and their probability.

    The labels are those of `labels.upsample_argmax` of the whole map, whose taps these are parts of.

    Raises:
        BadInputError: a value is NaN or infinite.
    """
    from densecast.kernels.label_tile import label_tile, label_unresized

    height, width, channels = rows.first.size, columns.first.size, len(planes)
    labels = np.empty((height, width), label_dtype(channels))
    probability = np.empty((height, width) if scored else (0, 0), np.float32)
    bits, whole = planes.view(np.int32), (np.uintp(0), np.uintp(height))
    if not scored and _is_identity(rows, planes.shape[1]) and _is_identity(columns, planes.shape[2]):
        finite = bool(label_unresized(planes, bits, *whole, labels))
    else:
        nothing = bilinear.taps(0, 0, False)
        plan = Plan(Resize(nothing, nothing), Resize(rows, columns))
        step = min(max(TILE_VALUES // channels, TILE_COLUMNS_MIN), TILE_COLUMNS_MAX)
        finite = True
        for x in range(0, width, step):
            part = bilinear.stretch(plan, x, min(x + step, width))
            begin, count = np.uintp(part.source_begin), np.uintp(part.source_end - part.source_begin)
            finite &= bool(label_tile(planes, bits, begin, count, part.plan, *whole, np.uintp(x), labels, probability))
    if not finite:
        raise BadInputError.not_finite("logits")
    return labels, probability if scored else None


def _is_identity(taps: Taps, source: int) -> bool:
    return taps.first.size == source and not taps.second_weight.any() and bool((taps.first == np.arange(source)).all())
