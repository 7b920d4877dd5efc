"""How far a difference between two models on the same images may be chance: the paired bootstrap."""

from __future__ import annotations

import numpy as np

from densecast.metrics._base import Resamples
from densecast.spec.score import Interval

RESAMPLES = 1000
COVERAGE = 0.95
_SEED = 0


def paired_drop(reference: Resamples, candidate: Resamples, images: int, resamples: int = RESAMPLES) -> Interval:
    """The reference's score less the candidate's, over the same `images` in the same order, in the score's own unit.

    Images are drawn with replacement, the same ones for both (Efron and Tibshirani, An Introduction to the Bootstrap,
    1993, chapter 13: percentile interval): what makes an image easy or hard for both cancels out, so the interval is
    far narrower than that of either score. With no image, all three are NaN.
    """
    rng = np.random.default_rng(_SEED)
    drawn = rng.multinomial(images, np.full(images, 1 / images), size=resamples) if images else np.zeros((1, 0), int)
    weights = np.concatenate([np.ones((1, images), np.int64), drawn.astype(np.int64)])
    drops = reference.resampled(weights) - candidate.resampled(weights)
    outside = (1 - COVERAGE) / 2
    low, high = np.nanquantile(drops[1:], [outside, 1 - outside]) if images else (np.nan, np.nan)
    return Interval(float(drops[0]), float(low), float(high))
