"""Paired bootstrap: a confidence interval for the metric difference of two models on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.metrics._base import Metric, Resamples
from densecast.spec.model import ModelSpec
from densecast.spec.score import Interval

RESAMPLES = 1000
COVERAGE = 0.95
_MOST_WEIGHTS = 1 << 27
_SEED = 0

Floats = npt.NDArray[np.float64]


def values_of(
    metric: Metric[Any, Any, Any], counts: Sequence[Any], weights: npt.NDArray[np.int64], spec: ModelSpec
) -> Floats:
    """(B, N) times that each of the N counted images counts -> (B,) values of the metric."""
    if isinstance(metric, Resamples):
        return metric.resampled(counts, weights, spec)
    resamples = (
        [count for count, times in zip(counts, row, strict=True) for _ in range(times)] for row in weights.tolist()
    )
    return np.array([metric.score(resample, spec).value for resample in resamples])


def paired_drop(
    metric: Metric[Any, Any, Any],
    spec: ModelSpec,
    reference: Sequence[Any],
    candidate: Sequence[Any],
    resamples: int = RESAMPLES,
) -> Interval:
    """The reference's score minus the candidate's on the same images, both counted in the same order.

    In the score's own unit; for a metric of which less is better, the candidate's less the reference's, so that a
    positive drop is a loss. See `bootstrap`.
    """
    sign = 1.0 if metric.score([], spec).better == "higher" else -1.0

    def lost(weights: npt.NDArray[np.int64]) -> Floats:
        left, right = (values_of(metric, counts, weights, spec) for counts in (reference, candidate))
        return np.asarray(sign * (left - right), dtype=np.float64)

    return bootstrap(len(reference), lost, resamples)


def bootstrap(images: int, drops_of: Any, resamples: int = RESAMPLES) -> Interval:
    """The drop over `images`, and its percentile interval.

    `drops_of` takes (B, N) times that each image counts and gives the (B,) drops. Images are drawn with replacement,
    the same ones for both models (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13: percentile
    interval): what makes an image easy or hard for both cancels out, so the interval is far narrower than that of
    either score. With no image, all three are NaN.
    """
    rng = np.random.default_rng(_SEED)
    if not images:
        return Interval(float(drops_of(np.ones((1, 0), np.int64))[0]), np.nan, np.nan)
    own, share = np.ones((1, images), np.int64), np.full(images, 1 / images)
    # Of very many images, some resamples at a time: the table of weights would fill the memory.
    block = max(1, min(resamples, _MOST_WEIGHTS // images))
    found = []
    for start in range(0, resamples, block):
        drawn = rng.multinomial(images, share, size=min(block, resamples - start)).astype(np.int64)
        found.append(drops_of(drawn if start else np.concatenate([own, drawn])))
    drops = np.concatenate(found)
    outside = (1 - COVERAGE) / 2
    low, high = np.nanquantile(drops[1:], [outside, 1 - outside])
    return Interval(float(drops[0]), float(low), float(high))
