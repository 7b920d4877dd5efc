"""What a layer costs in 16 bits, from an engine's counters: disturbed rounds change nothing, noise is never a gain."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("openvino")
from densecast.backends._openvino_int8 import extra_ms


def rounds(**ms: float) -> list[dict[str, float]]:
    return [dict(ms) for _ in range(8)]


def test_costs_are_differences_summed_over_operators() -> None:
    assert extra_ms(rounds(a=3.0, b=2.0, c=9.0), rounds(a=1.0, b=1.5), ("a", "b")) == pytest.approx(2.5)
    assert extra_ms(rounds(a=1.0), rounds(a=3.0), ("a",)) == pytest.approx(-2.0)
    # Fused away in int8.
    assert extra_ms(rounds(a=1.0), rounds(), ("a",)) == pytest.approx(1.0)


def test_disturbances_of_some_rounds_change_nothing() -> None:
    half, int8 = rounds(a=3.0), rounds(a=1.0)
    for place in (0, 3, 4, 7):
        half[place]["a"] += 50.0
        int8[place]["a"] += 5.0
    assert extra_ms(half, int8, ("a",)) == pytest.approx(2.0)


def test_what_noise_exceeds_is_no_gain_of_either() -> None:
    rng = np.random.default_rng(0)
    free = 0
    for _ in range(200):
        # No difference at all: times of 1 ms with noise that only ever adds.
        half, int8 = ([{"a": 1.0 + float(rng.exponential(0.2))} for _ in range(8)] for _ in range(2))
        free += extra_ms(half, int8, ("a",)) <= 0
    assert free < 100  # by plain differences half of them
    half, int8 = rounds(a=1.0), rounds(a=1.0)
    for place in range(0, 8, 2):
        half[place]["a"] = 1.3  # every other round
    assert extra_ms(half, int8, ("a",)) == pytest.approx(0.3)
