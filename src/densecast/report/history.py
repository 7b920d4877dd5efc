"""Compares the reports of several runs: how score and speed of each build went, and what noise leaves open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from densecast.errors import UsageError
from densecast.report.data import Report, Row
from densecast.report.markdown import escaped, table
from densecast.report.verdict import name
from densecast.runtime.ab_timing import Ratio
from densecast.spec.score import Interval

# Fewer images say nothing of others.
_FEWEST = 5
_NORMAL_95 = 1.96
# A change of speed that another run would not turn around.
_WORTH = 1.02


@dataclass(frozen=True, slots=True)
class Entry:
    """One build in one run, beside the same build in the earliest run that has it.

    `score_change` is the difference of both scores, `image_change` the mean over images of the metric's change, where
    it has a value for each; None without such values, or over other images. `speed` is how many times as fast; None on
    another machine. `said` puts both in words.
    """

    run: str
    created: str
    build: str
    metric: str
    score: float
    images_per_s: float
    score_change: float | None = None
    image_change: Interval | None = None
    speed: Ratio | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class History:
    """The runs by age, oldest first, and every build of each; `remarks` say what cannot be compared."""

    model: str
    metric: str
    runs: tuple[str, ...]
    entries: tuple[Entry, ...]
    remarks: tuple[str, ...] = ()
    format: int = 1

    @property
    def builds(self) -> tuple[str, ...]:
        """The names of all builds, in the order of their first run."""
        return tuple(dict.fromkeys(entry.build for entry in self.entries))

    def of(self, build: str, run: str) -> Entry | None:
        """The entry of a build in a run."""
        return next((each for each in self.entries if (each.build, each.run) == (build, run)), None)

    def findings(self) -> list[str]:
        """One sentence a build: what became of it from its first to its last run."""
        lines = []
        for build in self.builds:
            own = [entry for entry in self.entries if entry.build == build]
            if len(own) > 1:
                lines.append(f"{build}, {own[0].run} to {own[-1].run}: {own[-1].said}.")
        return lines


def of(reports: Sequence[tuple[str, Report]]) -> History:
    """The history of several runs, each under the name that it was given.

    Raises:
        UsageError: one run alone, or runs of several models or metrics.
    """
    if len({run for run, _ in reports}) < len(reports) or len(reports) < 2:
        raise UsageError("a history is of two runs or more, each named once.")
    ordered = sorted(reports, key=lambda each: each[1].created)
    first = ordered[0][1]
    for run, each in ordered[1:]:
        for what, one, other in (
            ("models", first.spec.name, each.spec.name),
            ("metrics", first.rows[0].score.name, each.rows[0].score.name),
        ):
            if one != other:
                raise UsageError(
                    f"runs of several {what} have no history: {ordered[0][0]} is of {one}, {run} of {other}."
                )
    entries: list[Entry] = []
    earliest: dict[str, tuple[Report, Row]] = {}
    for run, report in ordered:
        for row in report.rows:
            entries.append(_entry(run, report, row, earliest.get(name(row))))
            earliest.setdefault(name(row), (report, row))
    return History(
        first.spec.name, first.rows[0].score.name, tuple(run for run, _ in ordered), tuple(entries), _remarks(ordered)
    )


def render(history: History) -> str:
    """The history as Markdown: what became of each build, and a table."""
    rows = [
        [
            entry.build,
            entry.run,
            entry.created[:16].replace("T", " "),
            f"{entry.score:.4f}",
            f"{entry.images_per_s:.1f}",
            entry.said,
        ]
        for build in history.builds
        for entry in history.entries
        if entry.build == build
    ]
    header = ["build", "run", "when", history.metric, "images/s", "against the first"]
    parts = [f"# {history.model}: {len(history.runs)} runs", *history.findings(), *history.remarks]
    return escaped("\n\n".join([*parts, table(header, rows, "<<<>><")])) + "\n"


def _entry(run: str, report: Report, row: Row, before: tuple[Report, Row] | None) -> Entry:
    plain = Entry(run, report.created, name(row), row.score.name, row.score.value, row.timing.images_per_s)
    if before is None:
        return plain
    earlier, old = before
    is_same_data = row.score.data is not None and row.score.data == old.score.data
    change = row.score.value - old.score.value if is_same_data else None
    images = _image_change(old, row) if is_same_data else None
    speed = _speed(old, row) if _is_same_machine(earlier, report) else None
    said = "; ".join((_score_words(row, change, images), _speed_words(old, row, speed)))
    return Entry(
        run, report.created, plain.build, plain.metric, plain.score, plain.images_per_s, change, images, speed, said
    )


def _image_change(old: Row, new: Row) -> Interval | None:
    """The mean change over images that both have, with its 95 % interval by the normal distribution of a mean."""
    both = [each for each in old.score.per_image if each in new.score.per_image]
    if len(both) < _FEWEST:
        return None
    changes = np.array([new.score.per_image[each] - old.score.per_image[each] for each in both])
    mean, half = float(changes.mean()), _NORMAL_95 * float(changes.std(ddof=1)) / math.sqrt(len(both))
    return Interval(mean, mean - half, mean + half)


def _score_words(row: Row, change: float | None, images: Interval | None) -> str:
    metric = row.score.name
    if change is None:
        return f"{metric} over other images: not compared"
    if change == 0 and (images is None or (images.low == images.high == 0)):
        return f"{metric} unchanged"
    if images is None:
        return f"{metric} {change:+.4f}, without values of single images: whether that is noise could not be decided"
    interval = f"{images.value:+.4f} an image [{images.low:+.4f}, {images.high:+.4f}]"
    if images.low <= 0 <= images.high:
        return f"{metric} {change:+.4f} ({interval}): whether it changed could not be decided"
    return f"{metric} {change:+.4f} ({interval})"


def _speed(old: Row, new: Row) -> Ratio:
    value = new.timing.images_per_s / old.timing.images_per_s
    apart = 1 + ((new.timing.spread or 0.0) + (old.timing.spread or 0.0)) / 2
    return Ratio(value, value / apart, value * apart)


def _speed_words(old: Row, new: Row, speed: Ratio | None) -> str:
    if speed is None:
        return "speed on another machine: not compared"
    busy = next((each.timing.load for each in (new, old) if each.timing.load.is_too_high), None)
    if busy is not None:
        return f"whether speed changed could not be decided: {busy}"
    if speed.low <= 1 <= speed.high or 1 / _WORTH < speed.value < _WORTH:
        return f"{speed} times as fast: whether speed changed could not be decided"
    return f"{speed} times as fast"


def _is_same_machine(one: Report, other: Report) -> bool:
    return (one.machine.cpu, one.machine.usable_cpus) == (other.machine.cpu, other.machine.usable_cpus)


def _remarks(ordered: Sequence[tuple[str, Report]]) -> tuple[str, ...]:
    first_run, first = ordered[0]
    remarks = []
    for run, report in ordered[1:]:
        if not _is_same_machine(first, report):
            machine = f"{report.machine.usable_cpus} CPUs of {report.machine.cpu}"
            remarks.append(f"{run} ran on another machine than {first_run} ({machine}): their speeds are not compared.")
        if first.rows[0].score.data != report.rows[0].score.data:
            remarks.append(f"{run} was measured over other images than {first_run}: their scores are not compared.")
    return tuple(remarks)
