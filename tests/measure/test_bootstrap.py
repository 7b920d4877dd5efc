"""The paired bootstrap equals scipy's on means, and pairing is what makes it narrow."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from densecast.measure.bootstrap import paired_drop


class Means:
    """Values of images; the score is their mean."""

    def __init__(self, values: npt.NDArray[np.float64]) -> None:
        self.values = values

    def resampled(self, weights: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.asarray(weights @ self.values / weights.sum(axis=1))


def test_the_interval_equals_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    reference = rng.normal(0.8, 0.1, 60)
    candidate = reference - rng.normal(0.01, 0.02, 60)
    ours = paired_drop(Means(reference), Means(candidate), 60, resamples=20000)
    theirs = stats.bootstrap(
        (reference, candidate),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True,
        method="percentile",
        n_resamples=20000,
        vectorized=True,
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert ours.value == pytest.approx(reference.mean() - candidate.mean(), rel=1e-12)
    # Both draw 20000 times: a quantile's own error is about 2 % of the interval's width.
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.05 * width)


def test_what_both_find_hard_cancels_out() -> None:
    hard = np.random.default_rng(0).uniform(0, 1, 50)
    found = paired_drop(Means(hard), Means(hard - 0.01), 50)
    assert found.low == pytest.approx(0.01) and found.high == pytest.approx(0.01)
