"""Where a verdict turns: spreads, limits and intervals of made-up builds, the arithmetic written beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_report
import pytest

from densecast.report import verdict
from densecast.report.data import Report, Row
from densecast.runtime.cpu_load import CpuLoad
from densecast.spec.score import Interval


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return made_report.report(tmp_path_factory.mktemp("edges"))


QUIET = CpuLoad(0.0)


def build(row: Row, speed: float, spread: float | None = None, load: CpuLoad = QUIET) -> Row:
    return replace(row, pace=None, timing=replace(row.timing, images_per_s=speed, spread=spread, load=load))


@pytest.mark.parametrize(("speed", "faster"), [(12.0, "yes"), (11.99, "undecided"), (10.01, "undecided"), (10.0, "no")])
def test_two_single_runs_say_that_one_is_faster_from_a_fifth_on(speed: float, faster: str, made: Report) -> None:
    found = verdict.speed_of(build(made.rows[1], speed), build(made.rows[0], 10.0))
    assert (found.ratio.value, found.ratio.low, found.ratio.high) == (speed / 10,) * 3
    assert found.faster == faster and found.why == f"it ran {speed / 10:.2f} times as fast, once"


@pytest.mark.parametrize(
    ("speed", "spreads", "faster"),
    [
        # Half the sum of both spreads, 8 %, is how far the ratio may lie off: 1.08 may be 1.0, 1.07 less.
        (10.81, (0.1, 0.06), "yes"),
        (10.7, (0.1, 0.06), "undecided"),
        (10.7, (0.12, None), "yes"),
        # Up to 1.02 is no difference worth saying: 0.94 may be 1.015, 0.95 may be 1.026.
        (9.4, (0.1, 0.06), "no"),
        (9.5, (0.1, 0.06), "undecided"),
        (10.1, (0.0, 0.0), "no"),
        (10.25, (0.0, 0.0), "yes"),
    ],
)
def test_runs_whose_parts_lie_apart_differ_where_their_ranges_do(
    speed: float, spreads: tuple[float | None, float | None], faster: str, made: Report
) -> None:
    found = verdict.speed_of(build(made.rows[1], speed, spreads[0]), build(made.rows[0], 10.0, spreads[1]))
    apart = 1 + sum(each or 0.0 for each in spreads) / 2
    assert (found.ratio.low, found.ratio.high) == pytest.approx((speed / 10 / apart, speed / 10 * apart))
    assert found.faster == faster


@pytest.mark.parametrize("busy", [0, 1])
def test_a_busy_machine_decides_nothing_about_either(busy: int, made: Report) -> None:
    loads = [CpuLoad(0.0), CpuLoad(0.0)]
    loads[busy] = CpuLoad(0.9)
    rows = [
        build(made.rows[place], speed, 0.01, load)
        for place, speed, load in zip((1, 0), (30.0, 10.0), loads, strict=True)
    ]
    assert verdict.speed_of(*rows).faster == "undecided"
    assert verdict.speed_of(*rows).why == "other programs took 90 % of the CPUs while models were timed"


def scored(row: Row, value: float, change: Interval | None, **of_score: object) -> Row:
    return replace(row, score=replace(row.score, value=value, **of_score), change=change)  # type: ignore[arg-type]


@pytest.mark.parametrize(("high_loss", "taken"), [(0.00999, True), (0.01001, False)])
def test_the_upper_end_of_the_loss_must_be_within_the_points(high_loss: float, taken: bool, made: Report) -> None:
    rows = (
        scored(build(made.rows[0], 10.0), 0.8, None),
        scored(build(made.rows[1], 20.0), 0.799, Interval(-0.001, -high_loss, 0.002)),
    )
    report = replace(made, rows=rows)
    assert verdict.limit_points(report) == 1.0  # nobody searched
    assert (verdict.of(report).row is rows[1]) == taken
    # In percent the same numbers are a hundredth as much, and an error may rise by what a score may fall.
    percent = tuple(scored(row, row.score.value, row.change, unit="percent") for row in rows)
    assert verdict.of(replace(made, rows=percent)).row is percent[1]
    lower = (
        scored(rows[0], 0.8, None, better="lower"),
        scored(rows[1], 0.801, Interval(0.001, -0.002, high_loss), better="lower"),
    )
    assert (verdict.of(replace(made, rows=lower)).row is lower[1]) == taken


def test_without_an_interval_the_loss_itself_counts(made: Report) -> None:
    for value, taken in ((0.7901, True), (0.7899, False)):
        rows = (scored(build(made.rows[0], 10.0), 0.8, None), scored(build(made.rows[1], 20.0), value, None))
        assert (verdict.of(replace(made, rows=rows)).row is rows[1]) == taken


def test_the_strictest_search_gives_the_limit(made: Report) -> None:
    searched = made.rows[2]
    assert searched.reasons.search is not None and verdict.limit_points(made) == 0.5
    stricter = replace(searched.reasons.search, options=replace(searched.reasons.search.options, points=0.2))
    rows = (*made.rows, replace(searched, reasons=replace(searched.reasons, search=stricter)))
    assert verdict.limit_points(replace(made, rows=rows)) == 0.2


@pytest.mark.parametrize(
    ("value", "change", "said"),
    [
        (0.7988, Interval(-0.0012, -0.0026, -0.0001), "at a loss of 0.0012 mIoU (95 % interval 0.0001 to 0.0026)"),
        (0.8012, Interval(0.0012, 0.0001, 0.0026), "at a gain of 0.0012 mIoU (95 % interval 0.0001 to 0.0026)"),
        (
            0.7988,
            Interval(-0.0012, -0.0026, 0.0001),
            "at a loss of 0.0012 mIoU (95 % interval -0.0001 to +0.0026: it could not be decided whether there is any "
            "loss)",
        ),
        (
            0.8,
            None,
            "at a loss of 0.0000 mIoU (without an interval over its 32 images: whether there is a loss is not decided)",
        ),
        (float("nan"), None, "with a mIoU that is no number"),
    ],
)
def test_a_loss_or_gain_is_said_with_its_interval(
    value: float, change: Interval | None, said: str, made: Report
) -> None:
    first = scored(made.rows[0], 0.8, None, name="mIoU")
    row = scored(made.rows[1], value, change, name="mIoU")
    assert verdict.loss_text(replace(made, rows=(first, row)), row) == said


def test_where_it_was_measured_is_said_in_the_right_number(made: Report) -> None:
    machine = replace(made.machine, cpu="a CPU", usable_cpus=1)
    row = scored(made.rows[0], 0.8, None, count=1)
    one = replace(made, rows=(row,), machine=machine, data="streets val, 1 of 9 images")
    assert verdict.of(one).sentence.endswith("measured on 1 CPU of a CPU, over 1 image of streets val.")
    drawn = replace(one, data="3 pictures drawn, without ground truth")
    assert "over 1 image of 3 pictures drawn" in verdict.of(drawn).sentence
    alone = replace(one, data="pictures without ground truth, 3 of them")
    assert verdict.of(alone).sentence.endswith("over pictures without ground truth.")


def test_of_builds_as_fast_as_the_one_taken_the_reader_is_told(made: Report, tmp_path: Path) -> None:
    rows = (
        scored(build(made.rows[0], 10.0, 0.02), 0.8, None),
        scored(build(made.rows[1], 20.0, 0.02), 0.8, None),
        scored(build(made.rows[4], 19.8, 0.02), 0.8, None),
        scored(build(made.rows[3], 15.0, 0.02), 0.8, None),
    )
    said = verdict.of(replace(made, rows=rows))
    assert said.row is rows[1]
    assert said.sentence.endswith(f" Whether it is faster than {made.rows[4].backend} fp16 could not be decided.")


@pytest.mark.parametrize(
    ("speed", "inference", "named"), [(21.0, 21.0, True), (19.0, 90.0, False), (15.0, 15.0, False)]
)
def test_what_loses_too_much_is_named_only_if_it_is_faster_end_to_end(
    speed: float, inference: float, named: bool, made: Report
) -> None:
    lossy = scored(build(made.rows[4], speed, 0.02), 0.7, Interval(-0.1, -0.11, -0.09))
    lossy = replace(lossy, timing=replace(lossy.timing, inference_only_per_s=inference))
    taken = build(made.rows[1], 20.0, 0.02)
    taken = replace(taken, timing=replace(taken.timing, inference_only_per_s=20.0))
    rows = (scored(build(made.rows[0], 10.0, 0.02), 0.8, None), scored(taken, 0.8, None), lossy)
    said = verdict.of(replace(made, rows=rows))
    assert said.row is rows[1]
    assert ("is faster and loses more than 1 points" in said.sentence) == named
