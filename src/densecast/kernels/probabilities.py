"""Argmax of the mean probability over several outputs of one image, without full-size maps.

Each output's logits are resized as in `labels`, converted to probabilities by softmax, mirrored back where the network
saw the mirror image, added up in order, and divided by their number, all in float32, as MMSegmentation's `aug_test`
does. A few target rows are worked on at a time, so memory never holds a map of every class.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from densecast.errors import BadInputError, BadShapeError, UsageError
from densecast.kernels import bilinear
from densecast.kernels.labels import Labels, Logits, Probability
from densecast.spec.sample import MAX_CLASSES, label_dtype


def mean_argmax(
    logits: Sequence[Logits],
    sizes_hw: Sequence[Sequence[tuple[int, int]]],
    mirrored: Sequence[bool],
    *,
    align_corners: bool = False,
    crops_hw: Sequence[tuple[int, int] | None] | None = None,
    threads: int = 1,
) -> tuple[Labels, Probability]:
    """N outputs (C, h, w) float32 -> (H, W) labels, uint8 or uint16, and (H, W) float32, the winners' mean probability.

    Output i is resized bilinearly to each of `sizes_hw[i]` in turn, at most two; the last must be (H, W) for all.
    Of what the first of them leads to only the upper left `crops_hw[i]` is used, where one is given.
    The first of equal classes wins. Labels are those of `torch.nn.functional.interpolate`, `softmax` and `argmax` on a
    CPU except where two mean probabilities are equal up to rounding.

    Raises:
        BadShapeError: outputs that are not maps of one number of classes, or sizes outside of the above.
        BadInputError: a logit is NaN or infinite.
        UsageError: no outputs, lists of different lengths, or fewer than one thread.
    """
    from densecast.kernels.probability_rows import add_softmax, argmax_of_mean

    if not logits or not len(logits) == len(sizes_hw) == len(mirrored) or threads < 1:
        raise UsageError(
            f"outputs, lists of sizes and mirrorings must be equally many, at least one, and so must threads; got "
            f"{len(logits)}, {len(sizes_hw)}, {len(mirrored)} and {threads}."
        )
    crops = [None] * len(logits) if crops_hw is None else list(crops_hw)
    planes = [_checked(array, logits[0].shape[0]) for array in logits]
    targets = {
        tuple(crop if crop and len(sizes) == 1 else sizes[-1]) if sizes else array.shape[1:]
        for array, sizes, crop in zip(planes, sizes_hw, crops, strict=True)
    }
    if len(targets) != 1:
        raise BadShapeError(f"all outputs must be resized to one size in the end, got {sorted(targets)}.")
    height, width = (int(side) for side in targets.pop())
    plans = [
        bilinear.plan((array.shape[1], array.shape[2]), sizes, align_corners, crop)
        or bilinear.unchanged((height, width))
        for array, sizes, crop in zip(planes, sizes_hw, crops, strict=True)
    ]
    if not all(np.isfinite(array).all() for array in planes):
        raise BadInputError.not_finite("logits")
    labels = np.empty((height, width), label_dtype(planes[0].shape[0]))
    probability = np.empty((height, width), np.float32)

    def fill_rows(begin: int, end: int) -> None:
        total = np.empty((ROWS, planes[0].shape[0], width), np.float32)
        for start in range(begin, end, ROWS):
            stop = min(start + ROWS, end)
            band = total[: stop - start]
            band.fill(0)
            for array, plan, is_mirrored in zip(planes, plans, mirrored, strict=True):
                add_softmax(array, plan, start, bool(is_mirrored), band)
            argmax_of_mean(band, np.float32(len(planes)), labels[start:stop], probability[start:stop])

    edges = [height * i // threads for i in range(threads + 1)]
    if threads == 1:
        fill_rows(0, height)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda edge: fill_rows(*edge), pairwise(edges)))
    return labels, probability


# Rows that are summed up together: enough that resized rows are used again, few enough for a cache of a megabyte.
ROWS = 8


def _checked(array: Logits, classes: int) -> Logits:
    if array.ndim != 3 or array.dtype != np.float32 or 0 in array.shape or array.shape[0] != classes:
        raise BadShapeError(f"logits must be (C, h, w) float32 with one C, none zero, got {array.shape} {array.dtype}.")
    if classes > MAX_CLASSES:
        raise BadShapeError(f"labels are 16 bits: at most {MAX_CLASSES} classes, got {classes}.")
    return np.ascontiguousarray(array)
