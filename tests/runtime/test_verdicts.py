"""Rounds decide where their spread is smaller than the difference, on a machine left alone; else nothing does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from densecast.backends import _openvino_half_type
from densecast.runtime.ab_timing import Ratio, cpu_noted, cpu_ratio, decide, median_ratio
from densecast.runtime.cpu_load import CpuLoad

QUIET, BUSY = CpuLoad(0.02, 0.1, 0.9), CpuLoad(0.9, 5.0, 5.0)
ROUNDS = 15


def series(mean_ms: float, kind: str, seed: int) -> np.ndarray:
    """Times as machines give them: 1 % apart; now and then doubled or worse; or all slower and slower."""
    rng = np.random.default_rng(seed)
    times = mean_ms * (1 + 0.01 * rng.standard_normal(ROUNDS))
    if kind == "noisy":
        times *= 1 + rng.exponential(1.5, ROUNDS) * (rng.random(ROUNDS) < 0.8)
    if kind == "drifting":
        times *= np.linspace(1, 3, ROUNDS)
    return times


def at_most(heads: int, tosses: int) -> float:
    """The chance of at most so many heads of a fair coin."""
    return sum(math.comb(tosses, each) for each in range(heads + 1)) / 2**tosses


@pytest.mark.parametrize("rounds", [8, 9, 15, 31, 60])
def test_the_interval_holds_the_median_with_a_chance_of_99_percent(rounds: int) -> None:
    ratios = np.arange(1.0, rounds + 1)
    found = median_ratio(ratios, np.ones(rounds))
    left_out = int(found.low) - 1
    assert found.value == np.median(ratios) and found.high == rounds - left_out
    assert 2 * at_most(left_out, rounds) <= 0.01 < 2 * at_most(left_out + 1, rounds)


@pytest.mark.parametrize("rounds", [1, 2, 5, 7])
def test_with_few_rounds_it_is_their_whole_range(rounds: int) -> None:
    found = median_ratio(np.arange(1.0, rounds + 1), np.ones(rounds))
    assert (found.low, found.high) == (1, rounds)


@pytest.mark.parametrize("kind", ["quiet", "drifting"])
@pytest.mark.parametrize(("faster", "answer"), [(1.3, "yes"), (0.7, "no"), (1.0, "no")])
def test_quiet_and_drifting_series_decide_as_the_means_do(kind: str, faster: float, answer: str) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drift = np.linspace(1, 3, ROUNDS) if kind == "drifting" else 1.0
        baseline, candidate = (mean * drift * (1 + 0.01 * rng.standard_normal(ROUNDS)) for mean in (faster, 1.0))
        verdict = decide(median_ratio(baseline, candidate), 1.05, QUIET)
        assert verdict.answer == answer, (seed, verdict)


def test_noisy_series_never_contradict_each_other() -> None:
    for faster in (1.0, 1.1, 0.9):
        answers = {
            decide(median_ratio(series(faster, "noisy", seed), series(1.0, "noisy", seed + 99)), 1.05, QUIET).answer
            for seed in range(20)
        }
        assert "undecided" in answers and not {"yes", "no"} <= answers, (faster, answers)


def test_under_load_nothing_is_decided_and_the_load_is_named() -> None:
    verdict = decide(Ratio(3.0, 2.9, 3.1), 1.05, BUSY)
    assert verdict.answer == "undecided"
    assert verdict.why == "could not be decided: other programs took 90 % of the CPUs"
    assert decide(Ratio(3.0, 2.9, 3.1), 1.05).answer == "yes"


def test_where_rounds_contradict_each_other_their_spread_is_named() -> None:
    verdict = decide(Ratio(1.2, 0.8, 1.3), 1.05, QUIET)
    assert verdict.answer == "undecided"
    assert "the spread of rounds, 0.80 to 1.30 times as fast, is larger than the difference" in verdict.why


@pytest.mark.parametrize(
    ("ratio", "required", "answer"),
    [
        (Ratio(1.06, 1.0, 1.1), 1.05, "yes"),
        (Ratio(1.06, 0.99, 1.1), 1.05, "undecided"),
        (Ratio(1.03, 1.01, 1.04), 1.05, "no"),
        (Ratio(1.03, 1.01, 1.06), 1.05, "undecided"),
        (Ratio(0.99, 0.98, 1.0), 0.98, "yes"),
        (Ratio(0.99, 0.97, 1.0), 0.98, "undecided"),
        (Ratio(0.96, 0.95, 0.97), 0.98, "no"),
    ],
)
def test_at_the_edges(ratio: Ratio, required: float, answer: str) -> None:
    assert decide(ratio, required, QUIET).answer == answer


@pytest.mark.parametrize(
    ("f16_ms", "bf16_ms", "kind", "native", "chosen"),
    [
        (4.1, 0.74, "quiet", "bf16", "bf16"),
        (4.1, 0.74, "drifting", "f16", "bf16"),
        (3.4, 5.9, "quiet", "bf16", "f16"),
        (5.06, 4.9, "quiet", "bf16", "f16"),  # 3 % are not worth three bits of mantissa
        (5.06, 4.6, "noisy", "bf16", "bf16"),
        (5.06, 4.6, "noisy", "f16", "f16"),
    ],
)
def test_the_16_bit_type_is_the_native_one_unless_another_is_clearly_better(
    f16_ms: float, bf16_ms: float, kind: str, native: str, chosen: str
) -> None:
    """Drift is of both types alike: they are timed in alternation."""
    for seed in range(20):
        pair = (series(f16_ms, kind, seed) / 1e3, series(bf16_ms, kind, seed + 50) / 1e3)
        record = _openvino_half_type.decide(*pair, native)
        if kind == "noisy":
            assert record.chosen == chosen or record.decided
            assert record.decided or "could not be decided" in record.why
        else:
            assert record.chosen == chosen and record.decided, (seed, record)


def test_cpu_time_is_noted_beside_wall_time() -> None:
    cpu_s: list[float] = []
    assert cpu_noted(lambda: 2.5, cpu_s)() == 2.5
    assert len(cpu_s) == 1 and cpu_s[0] >= 0
    assert cpu_ratio([2.0, 4.0, 9.0], [1.0, 2.0, 2.0]) == 2.0
    assert cpu_ratio([0.0], [1.0]) is None
