"""Every cell of a comparison's table and every point of its curve is the number that was measured, each another one."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import made_report
import numpy as np
import pytest

from densecast.report import accuracy_chain, curve, markdown
from densecast.report.accuracy_chain import AccuracyChain
from densecast.results.compare import (
    ComparedStage,
    CompareResult,
    Comparison,
    CurvePoint,
    Findings,
    Location,
    MetricChange,
    OutputError,
)
from densecast.results.data_check import ClassCount, DataCheckResult
from densecast.spec.precision import PrecisionRan
from densecast.spec.score import Interval

PLAIN = Comparison(
    "torch", "int8", PrecisionRan.from_counts({"int8": 3}, "made up"), 7,
    0.125, 0.0625, 0.031, 0.0042, 0.9998765, None, None, difference=0.0123456, measure="relative_difference",
)  # fmt: skip
LABELS = replace(
    PLAIN, measure="labels_changed", labels_changed=0.00254321, changed_margin=0.75, changed_margin_median=0.0625,
    margin_median=8.5, metric=MetricChange("mIoU", 0.8, 0.7875, Interval(0.0125, 0.0031, 0.0219)),
)  # fmt: skip
PEOPLE = replace(PLAIN, measure="mean_oks", mean_oks=0.987654, vanished=3, appeared=2)


def chain(*comparisons: Comparison) -> AccuracyChain:
    stages = tuple(ComparedStage(f"stage {place}", each) for place, each in enumerate(comparisons))
    return AccuracyChain("tiny", "torch", 7, stages)


def cells(made: AccuracyChain) -> list[dict[str, str]]:
    """The rows of the Markdown table, by the words above them."""
    header, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table_lines(made))
    return [dict(zip(header, line, strict=True)) for line in lines]


def table_lines(made: AccuracyChain) -> list[str]:
    return accuracy_chain.table(made).splitlines()


def test_errors_stand_below_their_names() -> None:
    first, second = cells(chain(PLAIN, replace(PLAIN, difference=None)))
    assert first == {
        "stage": "stage 0", "ran": str(PLAIN.ran), "max error": "0.125", "relative": "3.1e-02", "mean error": "0.0625",
        "relative L2": "4.2e-03", "cosine": "0.9998765", "relative difference": "1.2346%",
    }  # fmt: skip
    assert second["relative difference"] == ""


def test_labels_their_margins_and_the_metric_have_columns_of_their_own() -> None:
    other = replace(
        LABELS, labels_changed=None, changed_margin=None, margin_median=None,
        metric=MetricChange("mIoU", 0.8, 0.81, None),
    )  # fmt: skip
    first, second = cells(chain(LABELS, other))
    assert list(first)[7:] == ["labels changed", "their margin", "usual margin", "mIoU", "drop [95 %]"]
    assert list(first.values())[7:] == ["0.2543%", "0.062 (≤ 0.75)", "8.5", "0.7875", "0.0125 [0.0031, 0.0219]"]
    assert list(second.values())[7:] == ["", "", "", "0.8100", ""]


def test_people_are_counted() -> None:
    (row,) = cells(chain(PEOPLE))
    assert (row["OKS"], row["vanished"], row["appeared"]) == ("0.98765", "3", "2")


def test_further_outputs_and_where_it_starts_are_explained() -> None:
    points = (CurvePoint("a", "stem", "Conv", 2e-6, 1e-6, 1e-6), CurvePoint("b", "", "Add", 9e-6, 3e-6, 4e-6))
    place = Location("network", "stem", "node_3", "Conv", "the values are scaled", 0.2, 1e-6)
    made = replace(
        chain(PLAIN),
        stages=(
            ComparedStage("sound", PLAIN, Findings(None, points, 4)),
            ComparedStage("exact", PLAIN, Findings(None, tuple(replace(each, entered=0.0) for each in points), 5)),
            ComparedStage("broken", PLAIN, Findings(place, points, 6)),
            ComparedStage("closed", PLAIN, Findings(None, (), 0, "nothing can be read inside")),
            ComparedStage("two", replace(PLAIN, other_outputs={"aux": OutputError(0.5, 0.1, 0.025, 0.012, 0.9)})),
        ),
    )
    assert accuracy_chain.explanations(made) == [
        "sound: rounding explains it; the output is off by 9.0e-06, the worst of 2 inner tensors by 3.0 times what is "
        "expected; most enters at b (Add) (4 runs)",
        "exact: rounding explains it; the output is off by 9.0e-06, the worst of 2 inner tensors by 3.0 times what is "
        "expected (5 runs)",
        "broken parts from the reference at network: layer stem, Conv node node_3: the values are scaled (6 runs)",
        "closed: nothing can be read inside",
        "two: output aux is off by 0.5 at most, 2.5e-02 of its largest value (relative L2 1.2e-02)",
    ]


def test_a_place_outside_of_the_network_is_named_by_its_step() -> None:
    assert str(Location("resize", "", "", "", "half a pixel off")) == "resize: half a pixel off"
    unnamed = Location("network", "", "node_3", "Conv", "scaled")
    assert str(unnamed) == "network: Conv node node_3: scaled"


def test_for_notebooks_what_a_metric_loses_is_its_interval_or_the_difference() -> None:
    without = replace(LABELS, metric=MetricChange("mIoU", 0.875, 0.75, None), difference=None)
    result = CompareResult("tiny", "torch", 7, tuple(chain(LABELS, without, PLAIN).stages))
    rows = re.findall(r"<tr>(.*?)</tr>", result._repr_html_(), re.DOTALL)
    found = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    assert [row[1:] for row in found if row] == [
        ["0.125", "4.20e-03", "1.23 %", "0.0125 [0.0031, 0.0219]"],
        ["0.125", "4.20e-03", "", "0.125"],
        ["0.125", "4.20e-03", "1.23 %", ""],
    ]


def test_a_curves_points_lie_at_their_errors_in_network_order() -> None:
    errors = (1e-7, 3e-5, 0.02, 0.0, float("inf"))
    points = tuple(CurvePoint(f"t{n}", "layer", "Conv", error, 1e-6 * (n + 1)) for n, error in enumerate(errors))
    place = Location("network", "layer", "n", "Conv", "scaled", 0.02, 1e-6)
    svg = ET.fromstring(curve.draw(Findings(place, points, 3)))
    ticks = {
        float(each.text or ""): float(each.attrib["y"]) - 4 for each in svg.findall("text") if each.get("text-anchor")
    }
    line = np.polyfit(np.log10(list(ticks)), list(ticks.values()), 1)
    # Exact results lie at 1e-9, infinite ones at 100.
    shown = np.log10([1e-7, 3e-5, 0.02, 1e-9, 100])
    circles = [each for each in svg.findall("circle") if each.find("title") is not None]
    np.testing.assert_allclose([float(each.attrib["cy"]) for each in circles], np.polyval(line, shown), atol=0.2)
    height = float(svg.attrib["viewBox"].split()[3])
    drawn = [float(each.attrib[name]) for each in svg for name in ("y", "y1", "y2", "cy") if name in each.attrib]
    assert min(drawn) > 0 and max(drawn) < height, "all of it lies in the picture"
    grid = next(each for each in svg.findall("line"))
    left, right = float(grid.attrib["x1"]), float(grid.attrib["x2"])
    across = [left + (right - left) * share for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    np.testing.assert_allclose([float(each.attrib["cx"]) for each in circles], across, atol=0.06)
    expected, actual = (
        [tuple(map(float, corner.split(","))) for corner in each.attrib["points"].split()]
        for each in svg.findall("polyline")
    )
    assert actual == [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in circles]
    np.testing.assert_allclose([y for _, y in expected], np.polyval(line, np.log10(1e-6 * np.arange(1, 6))), atol=0.2)
    (ring,) = (each for each in svg.findall("circle") if each.find("title") is None)
    assert (ring.attrib["cx"], ring.attrib["cy"]) == (circles[2].attrib["cx"], circles[2].attrib["cy"])


def test_what_a_report_finds_stands_in_its_text_if_there_is_anything(tmp_path: Path) -> None:
    made = replace(made_report.report(tmp_path), remarks=("float16 was not built",))
    assert "\n- float16 was not built\n" in markdown.render(made)
    assert "- float16" not in markdown.render(replace(made, remarks=()))


def test_a_checked_data_sets_shares_are_of_all_pixels() -> None:
    found = DataCheckResult(
        Path("root"), "pairs", "in words", {"pairs": 2}, {"val": 2},
        (ClassCount(0, "ground", 50, 2), ClassCount(1, "house", 25, 1)), 200, 25, {7: 100}, {}, (), (),
    )  # fmt: skip
    plain = found.plain()
    assert [each["share"] for each in plain["classes"]] == [0.25, 0.125]
    assert plain["ignored"] == {"pixels": 25, "share": 0.125}
    assert plain["foreign"] == {"7": {"pixels": 100, "share": 0.5}}
    assert plain["sound"] and plain["sheet"] is None
    assert replace(found, sheet=Path("a/sheet.jpg")).plain()["sheet"] == "a/sheet.jpg"
    one = replace(found, pixels=1, classes=(ClassCount(0, "ground", 1, 1),), ignored=0, foreign={})
    assert one.plain()["classes"][0]["share"] == 1.0
    assert replace(one, pixels=0, classes=(ClassCount(0, "ground", 0, 0),)).plain()["classes"][0]["share"] == 0.0


@pytest.mark.parametrize(("error", "expected", "times"), [(6e-6, 2e-6, 3.0), (6e-7, 1e-9, 2.0)])
def test_an_error_is_told_in_multiples_of_rounding_or_of_its_floor(error: float, expected: float, times: float) -> None:
    assert CurvePoint("a", "", "", error, expected).times_expected == pytest.approx(times)
