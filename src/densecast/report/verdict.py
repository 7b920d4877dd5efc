"""Says first what a run found: which build to take, how much faster it is, what it loses, and where that holds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from densecast.report.data import Report, Row
from densecast.runtime.ab_timing import Answer, Ratio
from densecast.spec.precision import short

# Points of the metric that a faster build may lose, with the upper end of its interval, unless the run has a limit.
USUAL_POINTS = 1.0
# A difference that another run would not turn around.
_WORTH = 1.02
# What two single runs, of which nobody knows how their parts spread, do not differ by on their own.
_SURE_WITHOUT_SPREAD = 1.2


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in one sentence; `row` is the build to take. `is_decided` is False where noise left it open."""

    sentence: str
    row: Row
    is_decided: bool


@dataclass(frozen=True, slots=True)
class Speed:
    """How many times as fast a build is as another; `faster` is "undecided" where noise exceeds the difference."""

    ratio: Ratio
    faster: Answer
    why: str


def of(report: Report) -> Verdict:
    """The build that is surely faster than the first, loses surely no more than it may, and is the fastest of these.

    The first build where there is none; whether that is known, or noise left it open, the sentence says.
    """
    baseline, points = report.rows[0], limit_points(report)
    allowed = [row for row in report.rows[1:] if _loses_at_most(report, row, points)]
    speeds = sorted(((row, speed_of(row, baseline)) for row in allowed), key=lambda each: -each[1].ratio.value)
    where = _where(report)
    faster = [(row, speed) for row, speed in speeds if speed.faster == "yes"]
    unsure = [(row, speed) for row, speed in speeds if speed.faster == "undecided"]
    if faster:
        taken, speed = faster[0]
        rest = [row for row, _ in (*faster[1:], *unsure)]
        text = f"Take {name(taken)}: {_times(speed.ratio)} as fast as {name(baseline)}, {loss_text(report, taken)}"
        said = f"{text}, {where}.{_as_fast(rest, taken)}{_refused(report, allowed, taken, points)}"
        return Verdict(said, taken, True)
    refused = _refused(report, allowed, baseline, points)
    if unsure:
        row, speed = unsure[0]
        text = (
            f"Whether {name(row)} is faster than {name(baseline)} could not be decided: {speed.why}. Until it is, take "
        )
        return Verdict(f"{text}{name(baseline)}, which scores {_scored(baseline)}, {where}.{refused}", baseline, False)
    reason = ": no other build that may be taken is faster here" if len(report.rows) > 1 else ""
    return Verdict(f"Take {name(baseline)}{reason}. It scores {_scored(baseline)}, {where}.{refused}", baseline, True)


def name(row: Row) -> str:
    """`openvino int8`."""
    return f"{row.backend} {short(row.asked)}"


def limit_points(report: Report) -> float:
    """The points that a build may lose: the limit that int8 builds were searched for, or the usual one."""
    limits = [row.reasons.search.options.points for row in report.rows if row.reasons.search is not None]
    return min(limits, default=USUAL_POINTS)


def loss_text(report: Report, row: Row) -> str:
    """What a build loses against the first one, with the interval, and whether that could be told from nothing."""
    score, loss = row.score, loss_of(report, row)
    if math.isnan(loss):
        return f"with a {score.name} that is no number"
    word = "loss" if loss >= 0 else "gain"
    text = f"at a {word} of {abs(loss):.4f} {score.name}"
    if row.change is None:
        return f"{text} (without an interval over its {score.count} images: whether there is a loss is not decided)"
    low, high = _loss_range(report, row)
    if low <= 0 <= high:
        return f"{text} (95 % interval {low:+.4f} to {high:+.4f}: it could not be decided whether there is any loss)"
    if word == "gain":
        low, high = -high, -low
    return f"{text} (95 % interval {low:.4f} to {high:.4f})"


def loss_of(report: Report, row: Row) -> float:
    """How much worse the score is than the first row's; negative if it is better."""
    change = report.change(row)
    return -change if row.score.better == "higher" else change


def speed_of(row: Row, baseline: Row) -> Speed:
    """How many times as fast a build is as another, and whether that is sure.

    Timed side by side where both were; else by the rates of two runs, as far as their parts lie apart.
    """
    pace = row.pace
    if pace is not None and row.backend == baseline.backend and pace.against == short(baseline.asked):
        return Speed(pace.ratio, pace.faster, pace.why.removeprefix("could not be decided: "))
    value = row.timing.images_per_s / baseline.timing.images_per_s
    if row.timing.spread is None and baseline.timing.spread is None:
        sure: Answer = "yes" if value >= _SURE_WITHOUT_SPREAD else "no" if value <= 1 else "undecided"
        return Speed(Ratio(value, value, value), sure, f"it ran {value:.2f} times as fast, once")
    apart = 1 + ((row.timing.spread or 0.0) + (baseline.timing.spread or 0.0)) / 2
    ratio = Ratio(value, value / apart, value * apart)
    busy = next((each.timing.load for each in (row, baseline) if each.timing.load.is_too_high), None)
    if busy is not None:
        return Speed(ratio, "undecided", f"{busy} while models were timed")
    if ratio.low >= 1 and value >= _WORTH:
        return Speed(ratio, "yes", f"{ratio} times as fast")
    why = f"the runs' spread, {ratio.low:.2f} to {ratio.high:.2f} times as fast, exceeds the difference"
    return Speed(ratio, "undecided" if ratio.high > _WORTH else "no", why)


def _times(ratio: Ratio) -> str:
    """`1.20 (1.15 to 1.26) times`, without an interval where there is none."""
    return f"{ratio.value:.2f} times" if ratio.low == ratio.high else f"{ratio} times"


def _loss_range(report: Report, row: Row) -> tuple[float, float]:
    assert row.change is not None, "asked for rows with an interval"
    if row.score.better == "higher":
        return -row.change.high, -row.change.low
    return row.change.low, row.change.high


def _points(row: Row, value: float) -> float:
    """A difference of the metric in points: hundredths of a fraction."""
    return value * 100 if row.score.unit == "fraction" else value


def _loses_at_most(report: Report, row: Row, points: float) -> bool:
    loss = loss_of(report, row) if row.change is None else _loss_range(report, row)[1]
    return not math.isnan(loss) and _points(row, loss) <= points


def _scored(row: Row) -> str:
    return f"{row.score.value:.4f} {row.score.name}"


def _where(report: Report) -> str:
    machine, count = report.machine, report.rows[0].score.count
    cpus = "1 CPU" if machine.usable_cpus == 1 else f"{machine.usable_cpus} CPUs"
    data = report.data.partition(",")[0]
    images = f"{count} image{'' if count == 1 else 's'} of {data}"
    images = data if "without ground truth" in data else images
    return f"measured on {cpus} of {machine.cpu}, over {images}"


def _as_fast(others: list[Row], taken: Row) -> str:
    """The builds of which nobody knows whether they are slower than the one taken."""
    alike = [name(row) for row in others if speed_of(taken, row).faster != "yes"]
    return f" Whether it is faster than {', '.join(alike)} could not be decided." if alike else ""


def _refused(report: Report, allowed: list[Row], taken: Row, points: float) -> str:
    """What runs faster and was not named, because of what it loses or might lose."""
    losses = []
    for row in report.rows[1:]:
        if row in allowed or row.timing.images_per_s <= taken.timing.images_per_s:
            continue
        surely = row.change is None or _points(row, _loss_range(report, row)[0]) > points
        losses.append(f"{name(row)} is faster and {'loses' if surely else 'may lose'} more than {points:g} points")
    return f" {'; '.join(losses)}." if losses else ""
