"""What is derived from the times of a run, by hand: rates by hour and by kilowatt-hour, shares, percentiles, sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from densecast.results.json_result import ModelRecord, PrecisionReport
from densecast.results.timing import BenchmarkResult, StageSummary, Timing, spread_of
from densecast.runtime import ab_timing, machine
from densecast.runtime.clock import StopWatch, summed, unclocked
from densecast.runtime.roofline import LayerCost, Peaks, Roofline
from densecast.spec.precision import PrecisionRan
from densecast.verbs import benchmark_styles

# Of eleven values the percentiles by linear interpolation lie at places 5, 9 and 9.9 of 0 to 10.
ELEVEN_MS = (11.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 32.0)


def timing(**changed: object) -> Timing:
    """Eight images in four calls; 2 images a second over all, 10 of inference alone; 25 ms of other stages."""
    made = Timing(
        {"infer": ELEVEN_MS}, {}, 8, 2, 1, 4, "", 2.0, 10.0, 100.0, machine.describe(), other_stages_cpu_ms=25.0
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def test_percentiles_lie_between_order_statistics_and_the_mean_is_of_all() -> None:
    summary = StageSummary.of(ELEVEN_MS)
    assert (summary.p50_ms, summary.p90_ms) == (6.0, 11.0)
    assert summary.p99_ms == pytest.approx(11 + 0.9 * (32 - 11)) and summary.mean_ms == pytest.approx(8.0)
    assert timing().stages() == {"infer": summary}


def test_an_hour_of_each_cpu_and_a_kilowatt_hour_buy_so_many_images() -> None:
    assert timing().images_per_vcpu_hour == 2 * 3600 / 4
    assert timing(joules_per_image=36.0).images_per_kwh == 100_000
    assert timing().images_per_kwh is None and timing(joules_per_image=0.0).images_per_kwh is None


def test_the_share_of_end_to_end_is_bounded_by_what_the_other_stages_cost() -> None:
    assert timing().end_to_end_share == 0.2
    # One after another: 100 ms of inference of 125; in several workers inference has 4 CPUs for these 100 ms.
    assert timing().end_to_end_bound == pytest.approx(100 / 125)
    assert timing(workers=2).end_to_end_bound == pytest.approx(400 / 425)


def test_parts_of_unequal_length_are_compared_by_their_means() -> None:
    # Seven samples are parts of 2, 2, 1, 1 and 1: means 1, 2, 3, 4 and 8, of which 3 is the median.
    assert spread_of([1.0, 1.0, 1.0, 3.0, 3.0, 4.0, 8.0]) == round(7 / 3, 4)
    assert spread_of([1.0, 2.0], parts=2) == round(1 / 1.5, 4) and spread_of([1.0], parts=2) is None


def test_trtexec_and_benchmark_app_print_each_percentile_in_its_place() -> None:
    line = benchmark_styles.styled(timing(), "trtexec", "m").text.splitlines()[2]
    figures = [float(part.split(" = ")[1].removesuffix(" ms")) for part in line.split("Latency: ")[1].split(", ")]
    assert figures[:5] == [1.0, 32.0, 8.0, 6.0, 11.0]
    app = benchmark_styles.styled(timing(), "benchmark_app", "m").text
    for name, value in (("Median", 6), ("Average", 8), ("Min", 1), ("Max", 32)):
        assert any(f"{name}:" in each and f" {value:.2f} ms" in each for each in app.splitlines()), name
    assert "2200.00 ms" in app  # eleven calls of two images at ten images a second


def test_stages_gone_through_again_and_again_are_one_sample_each(monkeypatch: pytest.MonkeyPatch) -> None:
    wall_ns, cpu_ns = iter(range(0, 10**9, 2_000_000)), iter(range(0, 10**9, 500_000))
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(wall_ns))
    monkeypatch.setattr("time.thread_time_ns", lambda: next(cpu_ns))
    watch = StopWatch()
    for windows in (3, 2):
        with summed(watch) as clock:
            for _ in range(windows):
                with clock("infer"):
                    pass
    assert watch.samples_ms == {"infer": [6.0, 4.0]} and watch.cpu_ms == {"infer": [1.5, 1.0]}
    with summed(unclocked) as clock:
        assert clock is unclocked


@pytest.mark.parametrize(("limit_s", "rounds"), [(5.9, 2), (6.0, 3), (6.1, 3)])
def test_a_round_is_begun_until_more_than_the_seconds_have_passed(
    limit_s: float, rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now_s[0])

    def work() -> float:
        now_s[0] += 3.0
        return 3.0

    assert len(ab_timing.interleave([work], ab_timing.RoundLimits(9, 1, limit_s))[0]) == rounds


def test_cpu_seconds_are_those_between_the_ends_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter((7.0, 9.5))
    monkeypatch.setattr("time.process_time", lambda: next(ticks))
    cpu_s: list[float] = []
    assert ab_timing.cpu_noted(lambda: 1.0, cpu_s)() == 1.0 and cpu_s == [2.5]
    assert ab_timing.cpu_ratio([1.0], [0.0]) is None and ab_timing.cpu_ratio([3.0], [1.5]) == 2.0
    assert ab_timing.ratio_quartiles(np.arange(1.0, 6.0), np.ones(5)) == (2, 3, 4)


def test_a_benchmark_whose_layers_were_timed_tells_each_of_them() -> None:
    ran = PrecisionReport(None, PrecisionRan.from_counts({"float32": 1}, "made up"))
    plain = BenchmarkResult(timing(), "latency", ModelRecord("m", None, None, ran))
    assert "roofline" not in plain.plain()
    layer = LayerCost("l", (), "Convolution", "k", "int8", 8.0, 8_000_000, 1_000_000)
    found = Roofline((layer,), Peaks({"int8": 4e9}, 1e9, 2, "made up"), 9.0, (1, 3, 8, 8), 5)
    told = replace(plain, roofline=found).plain()["roofline"]
    assert (told["least_ms"], told["timed_ms"], told["macs"]) == (2.0, 8.0, 8_000_000)
    (only,) = told["layers"]
    assert (only["least_ms"], only["bound"], only["share"], only["share_of_peak"]) == (2.0, "arithmetic", 0.25, 0.25)
