"""Precisions by name or alias, and timings by percentile."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.results.timing import StageSummary
from densecast.spec import precision
from densecast.spec.precision import PrecisionRan


@pytest.mark.parametrize("full", precision.PRECISIONS)
def test_precisions_have_a_short_name(full: precision.Precision) -> None:
    assert precision.parse(full) == precision.parse(precision.short(full)) == full


def test_what_ran_is_the_majority_and_shows_the_rest() -> None:
    ran = PrecisionRan.from_counts({"int8": 19, "float32": 4}, "engine")
    assert (ran.compute, str(ran)) == ("int8", "int8 (19 of 23 layers)")
    assert str(PrecisionRan.from_counts({"float32": 4}, "engine")) == "float32"
    assert PrecisionRan.from_counts({}, "engine").compute == "none"


def test_percentiles_are_numpys() -> None:
    samples = tuple(np.random.default_rng(0).gamma(2.0, size=101).tolist())
    summary = StageSummary.of(samples)
    ordered = sorted(samples)
    # With 101 samples the percentiles are samples themselves.
    assert (summary.p50_ms, summary.p90_ms) == (ordered[50], ordered[90])
    assert summary.p99_ms == pytest.approx(ordered[99])
    assert summary.mean_ms == pytest.approx(sum(samples) / 101)
