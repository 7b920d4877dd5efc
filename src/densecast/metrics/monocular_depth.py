"""Errors of monocular depth as KITTI's and NYU's benchmarks have them: AbsRel, SqRel, RMSE, RMSE of logs, and accuracy.

Definitions of Eigen, Puhrsch and Fergus (NeurIPS 2014, arXiv 1406.2283, section 4.2), with d the prediction and d* the
ground truth, both in metres, over the pixels of an image whose ground truth is known and within the limits:

    AbsRel = mean(|d - d*| / d*)              RMSE     = sqrt(mean((d - d*)^2))
    SqRel  = mean((d - d*)^2 / d*)            RMSE_log = sqrt(mean((ln d - ln d*)^2))
    delta_k: the share of pixels where max(d / d*, d* / d) < 1.25^k

Each is computed for an image and then averaged over images, as evaluations on KITTI's and NYU's test images do. The
prediction is kept within the same limits first. Alignment, where the spec asks for it, is by the ratio of medians
(Zhou et al., CVPR 2017, arXiv 1704.07813, section 4.2), or for relative inverse depth by the scale and shift of least
squares in inverse depth (Ranftl et al., TPAMI 2020, arXiv 1907.01341, equation 4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.errors import UsageError
from densecast.metrics._base import CountBlock, Metric, require_one_size, require_tensors
from densecast.metrics._blocks import ValuesByImage, blocks_of
from densecast.spec.model import ModelSpec
from densecast.spec.score import Score
from densecast.tasks._base import F32
from densecast.tasks.monocular_depth import DepthMap, MonocularDepthDecode, decode_options

Floats = npt.NDArray[np.float64]

DELTA = 1.25
NAMES = ("SqRel", "RMSE", "RMSE_log", "delta1", "delta2", "delta3")


@dataclass(frozen=True, slots=True)
class DepthErrors:
    """One image's errors in the order of `NAMES`, AbsRel apart; all NaN where no pixel counts."""

    sample_id: str
    pixels: int
    abs_rel: float
    others: tuple[float, ...]


class MonocularDepth:
    """AbsRel, the mean over images; less is better. Beside it SqRel, RMSE, RMSE_log, and delta1 to delta3.

    An image without a pixel that counts is in no mean.
    """

    name = "AbsRel"

    def check(self, spec: ModelSpec) -> None:
        """Whether the model predicts depth that can be compared with metres.

        Raises:
            UsageError: it predicts something else, or relative depth that is not aligned.
        """
        options = spec.decode
        is_inverse = isinstance(options, MonocularDepthDecode) and options.form == "inverse"
        require_tensors("monocular_depth", frozenset({"inverse_depth" if is_inverse else "depth_m"}), spec)
        if is_inverse and decode_options(spec).align == "none":
            raise UsageError(
                f'{spec.name} predicts relative inverse depth, which is in no unit: set align = "least_squares" in '
                "[decode] to compare it with metres.",
                field="align",
            )

    def count(self, sample_id: str, prediction: DepthMap, target: F32, spec: ModelSpec) -> DepthErrors:
        """One image's errors.

        Raises:
            BadShapeError: prediction and target are not of one size.
        """
        require_one_size(sample_id, prediction.values.shape, target.shape)
        options = decode_options(spec)
        counted = np.isfinite(target) & (target > options.eval_min_m) & (target < options.eval_max_m)
        there = target[counted].astype(np.float64)
        if not there.size:
            return DepthErrors(sample_id, 0, math.nan, (math.nan,) * len(NAMES))
        found = aligned(prediction.values[counted].astype(np.float64), there, options)
        abs_rel, *others = errors(np.clip(found, options.eval_min_m, options.eval_max_m), there)
        return DepthErrors(sample_id, there.size, abs_rel, tuple(others))

    def score(self, counts: Sequence[DepthErrors], spec: ModelSpec) -> Score:
        """`AbsRel` as a fraction, with the other errors by name."""
        return self.score_blocks(blocks_of(counts, ("pixels", "abs_rel", "others")), spec)

    def score_blocks(self, blocks: Iterable[CountBlock], spec: ModelSpec) -> Score:
        """The same, of counts field by field."""
        images, values = 0, ValuesByImage()
        others: list[Floats] = [np.zeros((0, len(NAMES)))]
        for block in blocks:
            images += len(block.ids)
            counted = np.asarray(block.fields["pixels"]) > 0
            values.add(block.ids, np.asarray(block.fields["abs_rel"], np.float64), counted)
            others.append(np.array(block.fields["others"], np.float64).reshape(-1, len(NAMES))[counted])
        columns = np.concatenate(others).T
        ids, abs_rel = values.in_order()
        return Score(
            name=self.name,
            value=_mean(abs_rel.tolist()),
            unit="fraction",
            better="lower",
            count=images,
            others={name: _mean(column.tolist()) for name, column in zip(NAMES, columns, strict=True)},
            per_image=dict(zip(ids, abs_rel.tolist(), strict=True)),
        )

    def truth_of_block(self, block: CountBlock, spec: ModelSpec) -> None:
        """Counts tell nothing that makes a score a lie."""

    def resampled(self, counts: Sequence[DepthErrors], weights: npt.NDArray[np.int64], spec: ModelSpec) -> Floats:
        """(B, N) times that each image counts -> (B,) AbsRel."""
        places = [place for place, count in enumerate(counts) if count.pixels]
        values = np.array([counts[place].abs_rel for place in places], np.float64)
        chosen = np.asarray(weights)[:, places].astype(np.float64)
        with np.errstate(invalid="ignore"):
            return np.asarray((chosen * values).sum(axis=1) / chosen.sum(axis=1), dtype=np.float64)


def aligned(found: Floats, there: Floats, options: MonocularDepthDecode) -> Floats:
    """Predicted values of the pixels that count -> metres, brought to the scale of the ground truth as asked for."""
    if options.form == "metres":
        if options.align == "none":
            return found
        middle = float(np.median(found))
        return found * (float(np.median(there)) / middle) if middle > 0 else found
    design = np.stack([found, np.ones_like(found)], axis=1)
    (scale, shift), *_ = np.linalg.lstsq(design, 1 / there, rcond=None)
    # Nearer than nothing is farther than anything: the farthest that counts.
    return np.asarray(1 / np.maximum(found * scale + shift, 1 / options.eval_max_m), dtype=np.float64)


def errors(found: Floats, there: Floats) -> tuple[float, ...]:
    """Metres of the same pixels, all above 0 -> AbsRel, and the errors in the order of `NAMES`."""
    squared = (found - there) ** 2
    ratio = np.maximum(found / there, there / found)
    return (
        float(np.mean(np.abs(found - there) / there)),
        float(np.mean(squared / there)),
        math.sqrt(float(np.mean(squared))),
        math.sqrt(float(np.mean((np.log(found) - np.log(there)) ** 2))),
        *(float(np.mean(ratio < DELTA**k)) for k in (1, 2, 3)),
    )


METRIC: Metric[DepthMap, F32, DepthErrors] = MonocularDepth()


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
