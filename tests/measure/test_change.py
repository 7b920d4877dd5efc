"""The paired bootstrap equals scipy's on means, pairing is what makes it narrow, and any metric can be resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import tiny_artifacts

from densecast.measure.change import paired_drop
from densecast.spec.model import ModelSpec
from densecast.spec.score import Interval, Score

SPEC = tiny_artifacts.spec()
Floats = npt.NDArray[np.float64]
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Value:
    """One image's value."""

    sample_id: str
    value: float


class Mean:
    """The score is the mean of the images' values."""

    name = "mean"

    def __init__(self, better: Better = "higher") -> None:
        self._better: Better = better

    def check(self, spec: ModelSpec) -> None: ...

    def count(self, sample_id: str, prediction: float, target: None, spec: ModelSpec) -> Value:
        return Value(sample_id, prediction)

    def score(self, counts: Sequence[Value], spec: ModelSpec) -> Score:
        value = float(np.mean([count.value for count in counts])) if counts else float("nan")
        return Score(name=self.name, value=value, unit="fraction", better=self._better, count=len(counts))


class FastMean(Mean):
    """The same, resampled in one product."""

    def resampled(self, counts: Sequence[Value], weights: npt.NDArray[np.int64], spec: ModelSpec) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(weights @ np.array([count.value for count in counts]) / weights.sum(axis=1))


def counts(values: Floats) -> list[Value]:
    return [Value(str(index), value) for index, value in enumerate(values.tolist())]


def test_the_interval_equals_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    reference = rng.normal(0.8, 0.1, 60)
    candidate = reference - rng.normal(0.01, 0.02, 60)
    ours = paired_drop(FastMean(), SPEC, counts(reference), counts(candidate), resamples=20000)
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
    drop = paired_drop(FastMean(), SPEC, counts(hard), counts(hard - 0.01))
    assert drop.low == pytest.approx(0.01) and drop.high == pytest.approx(0.01)


def test_a_metric_that_cannot_resample_is_scored_again_and_again() -> None:
    rng = np.random.default_rng(3)
    reference, candidate = counts(rng.uniform(0, 1, 12)), counts(rng.uniform(0, 1, 12))
    slow, fast = (paired_drop(metric, SPEC, reference, candidate, resamples=50) for metric in (Mean(), FastMean()))
    np.testing.assert_allclose([slow.value, slow.low, slow.high], [fast.value, fast.low, fast.high], rtol=1e-12)


def test_a_loss_is_positive_where_less_is_better() -> None:
    drop = paired_drop(Mean("lower"), SPEC, counts(np.full(4, 0.1)), counts(np.full(4, 0.3)), resamples=5)
    assert drop.value == pytest.approx(0.2)


def test_no_image_has_no_drop() -> None:
    drop = paired_drop(FastMean(), SPEC, [], [])
    assert np.isnan([drop.value, drop.low, drop.high]).all()


def test_no_drop_has_no_sign() -> None:
    assert str(Interval(-0.0, -0.0, 0.0)) == "0 [0, 0]"
