"""Upsamples logits and takes the argmax without materialising the upsampled logits.

The frameworks resize the logits bilinearly to the network's input size, again to the image's size, and take
the class of the largest. Most of that work decides nothing: see `label_uniform` for what is left out,
and why the labels stay the same to the last pixel.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from densecast.errors import BadInputError, BadShapeError, UsageError
from densecast.kernels import bilinear
from densecast.spec.sample import MAX_CLASSES, label_dtype

Logits = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8 | np.uint16]
Probability = npt.NDArray[np.float32]


# A tile's blended logits are two rows of about this many values (all classes): 64 KiB, which stay in the
# cache. Its columns are enough to fill vectors.
TILE_VALUES = 8192
TILE_COLUMNS_MIN = 64
TILE_COLUMNS_MAX = 512


def upsample_argmax(
    logits: Logits,
    sizes_hw: Sequence[tuple[int, int]],
    *,
    align_corners: bool = False,
    crop_hw: tuple[int, int] | None = None,
    out: Labels | None = None,
    threads: int = 1,
) -> Labels:
    """(C, h, w) or (N, C, h, w) float32 -> (H, W) or (N, H, W), the class of the largest resized logit.

    Labels are uint8, or uint16 of more than 256 classes.

    The logits are resized bilinearly to `sizes_hw[0]`, then to `sizes_hw[1]`, larger or smaller, without
    antialiasing; steps that change nothing do not count, and at most two may remain. The first of equal
    classes wins. The labels are those of `torch.nn.functional.interpolate` and `argmax` on a CPU, in every
    pixel, for contiguous tensors resized to height + width > 128; where torch rounds differently (`bilinear`
    says where), pixels may differ whose two best classes are equal up to rounding.

    Of what the first resize gives, only the upper left `crop_hw` is used, where it is given: the rest shows no image.

    Any strides are read without a copy; rows contiguous along x are the fast case. Each layout is compiled
    when it is first met (some seconds) and cached on disk. `out` receives the labels if given. `threads` is how
    many threads share the work.

    Raises:
        BadShapeError: logits, `out` or a size outside of the above, or more classes than 16 bits hold.
        BadInputError: a logit is NaN or infinite. Rows that no target pixel reads are not looked at.
        UsageError: fewer than one thread.
    """
    batch = _batch_of(logits)
    size_hw = _target_size(batch, sizes_hw, crop_hw)
    labels_shape = (batch.shape[0], *size_hw)
    dtype = label_dtype(batch.shape[1])
    result_shape = labels_shape if logits.ndim == 4 else size_hw
    if out is None:
        out = np.empty(result_shape, dtype)
    elif out.shape != result_shape or out.dtype != dtype or not out.flags.c_contiguous:
        raise BadShapeError(
            f"out must be a contiguous {result_shape} {dtype} array, got {out.shape} {out.dtype}. "
            f"Leave it out to get one."
        )
    _fill(batch, sizes_hw, align_corners, crop_hw, threads, out.reshape(labels_shape), None)
    return out


def upsample_scores(
    logits: Logits,
    sizes_hw: Sequence[tuple[int, int]],
    *,
    align_corners: bool = False,
    crop_hw: tuple[int, int] | None = None,
    threads: int = 1,
) -> tuple[Labels, Probability]:
    """`upsample_argmax`'s labels, and the winners' softmax probability in a float32 array of the same shape.

    Softmax is taken of the resized logits. The probability is within 1e-6 of torch's. Every pixel has to be
    computed, so this takes several times as long as the labels alone.

    Raises:
        BadShapeError, BadInputError, UsageError: as `upsample_argmax`.
    """
    batch = _batch_of(logits)
    shape = (batch.shape[0], *_target_size(batch, sizes_hw, crop_hw))
    labels = np.empty(shape, label_dtype(batch.shape[1]))
    probability = np.empty(shape, np.float32)
    _fill(batch, sizes_hw, align_corners, crop_hw, threads, labels, probability)
    return (labels, probability) if logits.ndim == 4 else (labels[0], probability[0])


def _batch_of(logits: Logits) -> Logits:
    """Check the logits, and return them as (N, C, h, w)."""
    if logits.ndim not in (3, 4) or logits.dtype != np.float32 or 0 in logits.shape[-3:]:
        raise BadShapeError(
            f"logits must be (C, h, w) or (N, C, h, w) float32, none of C, h, w zero, "
            f"got {logits.shape} {logits.dtype}."
        )
    if logits.shape[-3] > MAX_CLASSES:
        raise BadShapeError(f"labels are 16 bits: at most {MAX_CLASSES} classes, got {logits.shape[-3]}.")
    return logits if logits.ndim == 4 else logits[None]


def _target_size(
    batch: Logits, sizes_hw: Sequence[tuple[int, int]], crop_hw: tuple[int, int] | None
) -> tuple[int, int]:
    """Check all sizes, and return height and width after the last resize."""
    size_hw = (batch.shape[2], batch.shape[3])
    for index, target_hw in enumerate(sizes_hw):
        bilinear.check_size(target_hw)
        cropped_hw = crop_hw if index == 0 and crop_hw is not None else target_hw
        size_hw = (int(cropped_hw[0]), int(cropped_hw[1]))
    return size_hw


@lru_cache(maxsize=32)  # images of one size follow each other; a table a side long
def _stretches(
    source_hw: tuple[int, int],
    sizes_hw: tuple[tuple[int, int], ...],
    align_corners: bool,
    crop_hw: tuple[int, int] | None,
    columns: int,
) -> list[bilinear.Stretch] | None:
    """The tables for each block of `columns` target columns, read-only; None if nothing is resized."""
    plan = bilinear.plan(source_hw, sizes_hw, align_corners, crop_hw)
    if plan is None:
        return None
    width = plan.late.cols.first.size
    return [bilinear.stretch(plan, x, min(x + columns, width)) for x in range(0, width, columns)]


def column_blocks(
    source_hw: tuple[int, int], target_hw: tuple[int, int], align_corners: bool, channels: int, *, always: bool
) -> list[tuple[int, bilinear.Stretch]] | None:
    """The blocks of target columns that are labelled together, each with its first column and its tables.

    None where nothing is resized, unless tables are wanted `always`.
    """
    columns = min(max(TILE_VALUES // channels, TILE_COLUMNS_MIN), TILE_COLUMNS_MAX)
    stretches = _stretches(source_hw, (target_hw,), align_corners, None, columns)
    if stretches is None:
        if not always:
            return None
        unchanged = bilinear.unchanged(target_hw)
        stretches = [
            bilinear.stretch(unchanged, x, min(x + columns, target_hw[1])) for x in range(0, target_hw[1], columns)
        ]
    return list(zip(range(0, target_hw[1], columns), stretches, strict=True))


def _fill(
    batch: Logits,
    sizes_hw: Sequence[tuple[int, int]],
    align_corners: bool,
    crop_hw: tuple[int, int] | None,
    threads: int,
    labels: Labels,
    probability: Probability | None,
) -> None:
    """Write labels (N, H, W) and, where given, probabilities, tile by tile."""
    # Compiled code: loading it takes half a second, which importing this module shall not.
    from densecast.kernels.label_tile import label_tile, label_unresized

    if threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}.")
    count, channels, *source_hw = batch.shape
    _, height, width = labels.shape
    columns = min(max(TILE_VALUES // channels, TILE_COLUMNS_MIN), TILE_COLUMNS_MAX)
    starts = range(0, width, columns)
    targets_hw = tuple((int(target_hw[0]), int(target_hw[1])) for target_hw in sizes_hw)
    stretches = _stretches((source_hw[0], source_hw[1]), targets_hw, align_corners, crop_hw, columns)
    if stretches is None and probability is not None:
        unchanged = bilinear.unchanged((height, width))
        stretches = [bilinear.stretch(unchanged, x, min(x + columns, width)) for x in starts]

    def fill_band(image: int, begin: int, end: int) -> bool:
        logits = batch[image]
        bits = logits.view(np.int32)
        rows = np.uintp(begin), np.uintp(end)
        if stretches is None:
            return bool(label_unresized(logits, bits, *rows, labels[image]))
        scores = np.empty((0, 0), np.float32) if probability is None else probability[image]
        return all(
            label_tile(
                logits,
                bits,
                np.uintp(part.source_begin),
                np.uintp(part.source_end - part.source_begin),
                part.plan,
                *rows,
                np.uintp(x),
                labels[image],
                scores,
            )
            for x, part in zip(starts, stretches, strict=True)
        )

    edges = [height * i // threads for i in range(threads + 1)]
    bands = [(image, begin, end) for image in range(count) for begin, end in itertools.pairwise(edges) if begin < end]
    if threads == 1:
        finite = all(fill_band(*band) for band in bands)
    else:
        with ThreadPoolExecutor(threads) as pool:
            finite = all(pool.map(lambda band: fill_band(*band), bands))
    if not finite:
        raise BadInputError.not_finite("logits")
