"""Where something lies in a chart is its number: read back by the numbers that stand along the chart's own axes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_report
import made_street_report
import numpy as np
import pytest

from densecast.report import class_bars, history, history_plot, labels, pareto, plot
from densecast.report.data import Report
from densecast.report.labels import Box

# Pixels are rounded to tenths, and the numbers of an axis stand at rounded places.
WITHIN_PX = 0.4


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return made_street_report.report(tmp_path_factory.mktemp("street"))


def number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"-?[0-9.e+-]+", text) else None


class Axes:
    """The straight lines from a chart's numbers to its pixels, from the numbers beside its grid."""

    def __init__(self, svg: ET.Element, *, logarithmic: bool = False) -> None:
        self._scale = np.log10 if logarithmic else np.asarray
        grid = [each for each in svg.findall("line") if each.get("class") == "grid"]
        level = {float(each.attrib["y1"]) for each in grid if each.get("y1") == each.get("y2")}
        upright = {float(each.attrib["x1"]) for each in grid if each.get("x1") == each.get("x2")}
        self.xs: dict[float, float] = {}
        self.ys: dict[float, float] = {}
        for text in svg.findall("text"):
            value, x, y = number(text.text), float(text.attrib["x"]), float(text.attrib["y"])
            if value is not None and text.get("text-anchor") == "end" and y - 4 in level:
                self.ys[value] = y - 4
            if value is not None and text.get("text-anchor") == "middle" and x in upright:
                self.xs[value] = x

    def y(self, value: float) -> float:
        return float(np.polyval(np.polyfit(list(self.ys), list(self.ys.values()), 1), value))

    def x(self, value: float) -> float:
        line = np.polyfit(self._scale(list(self.xs)), list(self.xs.values()), 1)
        return float(np.polyval(line, self._scale(value)))


def points(svg: ET.Element, *, ring: bool = False) -> list[tuple[float, float]]:
    circles = [each for each in svg.findall("circle") if (each.find("title") is None) == ring]
    return [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in circles]


def strokes(svg: ET.Element, width: str | None) -> list[list[float]]:
    """Ends of the lines of a stroke's width that are no grid: x1, x2, y1, y2."""
    return [
        [float(each.attrib[name]) for name in ("x1", "x2", "y1", "y2")]
        for each in svg.findall("line")
        if each.get("class") != "grid" and each.get("stroke-width") == width and not each.get("stroke-dasharray")
    ]


def lie_inside(svg: ET.Element) -> bool:
    """Whether all points lie where the grid's lines are drawn."""
    grid = [{name: float(each.attrib[name]) for name in ("x1", "x2", "y1", "y2")} for each in svg.findall("line")]
    left, right = min(each["x1"] for each in grid), max(each["x2"] for each in grid if each["y1"] == each["y2"])
    return all(left <= x <= right for x, _ in points(svg))


def near(found: Any, wanted: Any) -> bool:
    return bool(np.allclose(found, wanted, rtol=0, atol=WITHIN_PX))


def test_a_builds_point_lies_at_its_speed_and_score_with_bars_as_far_as_noise(street: Report) -> None:
    svg = ET.fromstring(plot.accuracy_against_speed(street))
    axes = Axes(svg, logarithmic=True)
    speeds, scores = made_street_report.SPEED, made_street_report.MIOU
    assert near(points(svg), [(axes.x(speed), axes.y(score)) for speed, score in zip(speeds, scores, strict=True)])
    expected = []
    for speed, score, change in zip(speeds, scores, made_street_report.CHANGE, strict=True):
        x, y = axes.x(speed), axes.y(score)
        if change is not None:
            low, high = (axes.y(scores[0] + each) for each in change)
            expected += [(x, x, low, high), (x - 3, x + 3, low, low), (x - 3, x + 3, high, high)]
        # Parts of a run lie 6 % apart: 3 % to either side.
        slow, fast = axes.x(speed / 1.03), axes.x(speed * 1.03)
        expected += [(slow, fast, y, y), (slow, slow, y - 3, y + 3), (fast, fast, y - 3, y + 3)]
    assert near(strokes(svg, "1.5"), expected) and lie_inside(svg)
    named = [each for each in svg.findall("text") if "fill" in each.get("style", "")]
    assert [each.text for each in named] == ["fp32", "fp16", "int8"] * 2
    colours = [each.attrib["fill"] for each in svg.findall("circle")][: len(named)]
    assert [each.attrib["style"] for each in named] == [f"fill: {colour}" for colour in colours]


@pytest.mark.parametrize(
    ("free", "left", "top"),
    [("right", 109, 93), ("left", 77, 93), ("above", 93, 77), ("below", 93, 109), ("none", 122, 93)],
)
def test_a_label_takes_the_nearest_free_place_and_a_line_leads_to_one_further_off(
    free: str, left: float, top: float
) -> None:
    # "ab" is 14 pixels wide and high; around a point of 8 pixels to either side.
    around = {
        "right": Box(108, 92, 121, 108), "left": Box(78, 92, 92, 108),
        "above": Box(92, 76, 108, 92), "below": Box(92, 108, 108, 124),
    }  # fmt: skip
    corners = [Box(108, 76, 121, 92), Box(108, 108, 121, 124), Box(76, 76, 92, 92), Box(76, 108, 92, 124)]
    taken = [*corners, *(box for name, box in around.items() if name != free)]
    (label,) = labels.place([(100.0, 100.0)], ["ab"], Box(0, 0, 300, 300), taken)
    assert (label.box.left, label.box.top, label.is_led) == (left, top, free == "none")
    assert (label.x, label.box.right - label.box.left, label.box.bottom - label.box.top) == (left, 14, 14)
    assert top < label.y < top + 14


@pytest.mark.parametrize(
    ("fastest", "marks"), [(100.0, [10, 20, 50, 100]), (36.0, [10, 20, 30, 40]), (7000.0, [10, 20, 50, 100, 200])]
)
def test_speeds_are_marked_by_1_2_and_5_or_by_round_numbers_where_these_are_too_few(
    fastest: float, marks: list[float], street: Report
) -> None:
    rows = tuple(
        replace(row, timing=replace(row.timing, images_per_s=speed, spread=None))
        for row, speed in zip(street.rows[:2], (10.0, fastest), strict=True)
    )
    axes = Axes(ET.fromstring(plot.accuracy_against_speed(replace(street, rows=rows))), logarithmic=True)
    assert list(axes.xs)[: len(marks)] == marks


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 6.0, [0, 1, 2, 3, 4, 5, 6]),
        (0.1, 6.9, [2, 4, 6]),
        (-0.35, 0.2, [-0.3, -0.2, -0.1, 0, 0.1, 0.2]),
        (1.0, 30.0, [5, 10, 15, 20, 25, 30]),
        (0.0, 80.0, [0, 20, 40, 60, 80]),
    ],
)
def test_ticks_are_round_numbers_between_the_bounds(low: float, high: float, wanted: list[float]) -> None:
    assert plot.ticks(low, high) == pytest.approx(wanted)


def test_bars_are_as_long_as_their_stages_medians_for_one_image(street: Report) -> None:
    rows = tuple(replace(row, timing=replace(row.timing, batch=4)) for row in street.rows[:3])
    svg = ET.fromstring(plot.stage_bars(replace(street, rows=rows)))
    bars = [each for each in svg.findall("rect") if each.find("title") is not None]
    wanted = []
    for row in rows:
        for stage in ("decode", "preprocess", "infer", "postprocess"):
            wanted.append(float(np.median(row.timing.samples_ms[stage])) / (4 if stage == "infer" else 1))
    lengths = np.array([float(each.attrib["width"]) for each in bars])
    assert [each.findtext("title", "").split(": ")[1] for each in bars] == [f"{value:.2f} ms" for value in wanted]
    assert near(lengths, np.array(wanted) * lengths.sum() / sum(wanted))
    lefts = np.array([float(each.attrib["x"]) for each in bars]).reshape(3, 4)
    assert near(lefts[:, 1:], (lefts + lengths.reshape(3, 4))[:, :-1]) and len(set(lefts[:, 0])) == 1
    totals = [each.text for each in svg.findall("text") if (each.text or "").endswith(" ms")]
    assert totals == [f"{sum(wanted[4 * line : 4 * line + 4]):.1f} ms" for line in range(3)]
    # Each bar's build stands at its left, at its height.
    names = {float(each.attrib["y"]): each.text for each in svg.findall("text") if each.get("text-anchor") == "end"}
    tops = np.array([float(each.attrib["y"]) for each in bars]).reshape(3, 4)[:, 0]
    assert len(names) == len(rows)
    for row, top in zip(rows, tops, strict=True):
        (name,) = (text for y, text in names.items() if top < y < top + 22)
        asked = {"force_float32": "fp32", "force_float16": "fp16", "qint8_mixed_float16": "int8"}[row.asked]
        assert name == f"{row.backend} {asked}"


def test_a_classes_bar_ends_at_its_value(street: Report) -> None:
    svg = ET.fromstring(class_bars.draw(street, street.rows[2]))
    axes = Axes(svg)
    assert list(axes.xs) == [0, 0.25, 0.5, 0.75, 1]
    bars = [each for each in svg.findall("rect") if each.find("title") is not None]
    classes = street.rows[0].score.per_class["IoU"]  # type: ignore[index]
    wanted = [street.rows[row].score.per_class["IoU"][name] for name in classes for row in (0, 2)]  # type: ignore[index]
    assert near([float(each.attrib["x"]) for each in bars], axes.x(0.0))
    assert near([float(each.attrib["x"]) + float(each.attrib["width"]) for each in bars], [axes.x(v) for v in wanted])
    tops = [float(each.attrib["y"]) for each in bars]
    assert tops == sorted(tops) and min(np.diff(tops)) >= 8  # none lies over another
    last = [each.text for each in svg.findall("text")][-1]
    assert last == f"{wanted[-1]:.4f}"


@pytest.mark.parametrize("value", ["score", "images_per_s"])
def test_runs_lie_side_by_side_and_values_where_the_grid_says(value: str, street: Report) -> None:
    reports = []
    for place, name in enumerate(("runs/one/", "two", "three")):
        rows = tuple(
            replace(
                row,
                score=replace(row.score, value=row.score.value - 0.01 * place),
                timing=replace(row.timing, images_per_s=row.timing.images_per_s * (1 + 0.2 * place)),
            )
            for row in street.rows
        )
        reports.append((name, replace(street, created=f"202{place}", rows=rows)))
    runs = history.of(reports)
    svg = ET.fromstring((history_plot.scores if value == "score" else history_plot.speeds)(runs))
    axes = Axes(svg)
    wanted = [
        [getattr(next(e for e in runs.entries if (e.build, e.run) == (build, run)), value) for run in runs.runs]
        for build in runs.builds
    ]
    found = np.array(points(svg)).reshape(len(runs.builds), 3, 2)
    assert near(found[..., 1], [[axes.y(each) for each in line] for line in wanted])
    grid = next(each for each in svg.findall("line") if each.get("y1") == each.get("y2"))
    left, right = float(grid.attrib["x1"]), float(grid.attrib["x2"])
    assert near(found[..., 0], [[left, (left + right) / 2, right]] * len(runs.builds))
    for line, drawn in zip(found, svg.findall("polyline"), strict=True):
        corners = [tuple(map(float, corner.split(","))) for corner in drawn.attrib["points"].split()]
        assert corners == [tuple(point) for point in line.tolist()]
    names = [each for each in svg.findall("text") if each.get("text-anchor") == "middle"]
    assert [each.text for each in names] == ["one", "two", "three"]
    # A line leads from each last point to the build's name, in its colour; names are a line of text apart.
    leads = [each for each in svg.findall("line") if float(each.attrib["x1"]) == right and each is not grid]
    texts = [each for each in svg.findall("text") if "fill" in each.get("style", "")]
    for line, lead, text, drawn in zip(found, leads, texts, svg.findall("polyline"), strict=True):
        assert float(lead.attrib["y1"]) == line[-1, 1]
        assert float(text.attrib["y"]) == pytest.approx(float(lead.attrib["y2"]) + 4)
        assert text.attrib["style"] == f"fill: {drawn.attrib['stroke']}"
    levels = sorted(float(each.attrib["y"]) for each in texts)
    assert min(np.diff(levels)) >= 14 - 0.11
    assert max(levels) <= max(axes.ys.values()) + 40


def test_equal_values_of_one_run_are_drawn_all_the_same(street: Report) -> None:
    rows = tuple(replace(row, score=replace(row.score, value=0.0)) for row in street.rows)
    runs = history.of([(name, replace(street, created=name, rows=rows)) for name in ("a", "b")])
    svg = ET.fromstring(history_plot.scores(runs))
    middle = {y for _, y in points(svg)}
    assert len(middle) == 1 and 100 < middle.pop() < 200


def test_a_searchs_trials_lie_at_their_speed_and_drop_with_the_limit_and_a_ring() -> None:
    record = made_report.search()
    svg = ET.fromstring(pareto.draw(record))
    axes = Axes(svg)
    assert near(points(svg), [(axes.x(each.speed), axes.y(each.drop.value)) for each in record.trials])
    bars = [(axes.x(t.speed),) * 2 + (axes.y(t.drop.low), axes.y(t.drop.high)) for t in record.trials]
    assert near(strokes(svg, None), bars) and lie_inside(svg)
    won = next(each for each in record.trials if each.name == record.winner)
    assert near(points(svg, ring=True), [(axes.x(won.speed), axes.y(won.drop.value))])
    (dashed,) = (each for each in svg.findall("line") if each.get("stroke-dasharray"))
    assert near(float(dashed.attrib["y1"]), axes.y(0.5)) and dashed.attrib["y1"] == dashed.attrib["y2"]
    front = sorted((each for each in record.trials if each.name in record.pareto_front), key=lambda each: each.speed)
    corners = svg.find("polyline").attrib["points"]  # type: ignore[union-attr]
    assert near(
        [tuple(map(float, corner.split(","))) for corner in corners.split()],
        [(axes.x(each.speed), axes.y(each.drop.value)) for each in front],
    )
    colours = [each.get("fill") for each in svg.findall("circle") if each.find("title") is not None]
    grey = [name for name, colour in zip([t.name for t in record.trials], colours, strict=True) if colour == "#adb5bd"]
    assert grey == ["int8"]  # 2.5 points lost of 0.5 allowed


def test_files_of_charts_are_for_the_width_that_is_asked_for(street: Report, tmp_path: Path) -> None:
    for draw in (plot.accuracy_against_speed, plot.stage_bars):
        for width in (plot.WIDE, plot.NARROW):
            box = ET.fromstring(draw(street, width)).attrib["viewBox"].split()
            assert float(box[2]) == width
