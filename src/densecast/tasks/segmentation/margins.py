"""Logit margins: the gap between the two largest logits at each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from densecast.spec.augment import View
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Feeds
from densecast.tasks._windows import WindowMean
from densecast.tasks.segmentation import SegmentationMap, decode_options, forms

F64 = npt.NDArray[np.float64]

# Margins are looked up at so many of an image's changed pixels, evenly spread, and at every so many of all logits.
_MOST_MARGINS = 20_000
_EVERY = 97


def of_changes(logits: F64, left: SegmentationMap, right: SegmentationMap, align_corners: bool) -> tuple[F64, F64]:
    """Margins of the (C, h, w) logits behind `left`: where the classes differ, and at a sample of all pixels."""
    differs = left.class_id != right.class_id
    places = np.argwhere(differs)[:: max(1, np.count_nonzero(differs) // _MOST_MARGINS)]
    everywhere = np.sort(logits.reshape(len(logits), -1)[:, ::_EVERY], axis=0)
    sample = everywhere[-1] - everywhere[-2] if len(logits) > 1 else everywhere[-1]
    return margins(logits, places, differs.shape, align_corners=align_corners), sample


def of_windows(
    outputs: Sequence[Feeds], views: Sequence[View], left: SegmentationMap, right: SegmentationMap, spec: ModelSpec
) -> tuple[F64, F64]:
    """`of_changes` of the mean of sliding windows' outputs, of the first view, without ever holding it as a whole."""
    options = decode_options(spec)
    first = (views[0].placement, views[0].mirrored, views[0].ratio)
    own = [(each, view) for each, view in zip(outputs, views, strict=True) if _whole(view) == first]
    mean = WindowMean([view for _, view in own], spec, align_corners=options.align_corners)
    parts: list[tuple[F64, F64]] = [(np.zeros(0), np.zeros(0))]
    row = 0
    for each, _ in own:
        for band in mean.add(each):
            rows = slice(row, row + band.planes.shape[1])
            planes = np.asarray(forms.planes(np.asarray(band.planes, np.float64), options), np.float64)
            one, other = SegmentationMap(left.class_id[rows]), SegmentationMap(right.class_id[rows])
            parts.append(of_changes(planes, one, other, options.align_corners))
            row = rows.stop
    return np.concatenate([changed for changed, _ in parts]), np.concatenate([everywhere for _, everywhere in parts])


def _whole(view: View) -> tuple[object, ...]:
    return view.placement, view.mirrored, view.ratio


def margins(
    logits: F64, places: npt.NDArray[np.int64], size_hw: tuple[int, ...], *, align_corners: bool
) -> npt.NDArray[np.float64]:
    """(n,) gaps between the two largest logits at `places` (n, 2), upsampled bilinearly to `size_hw`."""
    if not len(places) or len(logits) < 2:
        return np.zeros(0)
    lows, shares = [], []
    for axis, size in enumerate(size_hw):
        own = logits.shape[axis + 1]
        if align_corners:
            at = places[:, axis] * ((own - 1) / (size - 1) if size > 1 else 0.0)
        else:
            at = np.clip((places[:, axis] + 0.5) * (own / size) - 0.5, 0, None)
        low = np.minimum(at.astype(np.int64), own - 1)
        lows.append((low, np.minimum(low + 1, own - 1)))
        shares.append(at - low)
    (top, bottom), (left, right) = lows
    y, x = shares
    upper = logits[:, top, left] * (1 - x) + logits[:, top, right] * x
    lower = logits[:, bottom, left] * (1 - x) + logits[:, bottom, right] * x
    best = np.sort(upper * (1 - y) + lower * y, axis=0)
    return np.asarray(best[-1] - best[-2], dtype=np.float64)
