"""Results in words, in notebooks and as JSON: where two models part, how far they are apart, what a store holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from densecast.report import stored
from densecast.results.compare import ComparedStage, CompareResult, Comparison, CurvePoint, Location, MetricChange
from densecast.results.stored import ShardResult, StoreReport
from densecast.spec.precision import PrecisionRan
from densecast.spec.score import Interval, Score

COMPARISON = Comparison(
    "torch", "int8", PrecisionRan.from_counts({"int8": 3}, "m"), 7, 0.125, 0.0625, 0.03, 0.0042, 0.9, None, None
)


def test_a_location_is_told_by_the_step_or_by_its_layer_and_node() -> None:
    at = Location("network", "backbone.0", "/conv", "Conv", "is twice as large")
    assert str(at) == "network: layer backbone.0, Conv node /conv: is twice as large"
    assert str(replace(at, layer="")) == "network: Conv node /conv: is twice as large"
    assert str(replace(at, stage="resize")) == "resize: is twice as large"
    assert CurvePoint("t", "l", "Conv", 6e-3, 2e-3).times_expected == 3 and CurvePoint(
        "t", "l", "Conv", 6e-7, 1e-9
    ).times_expected == pytest.approx(2)


def test_a_comparison_in_a_notebook_has_a_row_a_stage() -> None:
    metric = MetricChange("mIoU", 0.75, 0.5, None)
    stages = (
        ComparedStage("plain", COMPARISON),
        ComparedStage("all", replace(COMPARISON, difference=0.0125, metric=metric)),
        ComparedStage("drop", replace(COMPARISON, metric=replace(metric, drop=Interval(0.25, 0.125, 0.5)))),
    )
    page = CompareResult("net", "torch", 7, stages)._repr_html_()
    for cells in (["plain", "0.125", "4.20e-03", "", ""], ["all", "0.125", "4.20e-03", "1.25 %", "0.25"]):
        assert "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" in page
    assert "<td>0.25 [0.125, 0.5]</td>" in page and "net against torch, 7 images" in page


def test_what_a_store_holds_is_told_without_values_of_single_images() -> None:
    score = Score("mIoU", 0.5, "fraction", "higher", 2, per_image={"a": 0.5})
    report = StoreReport(
        "s", "net", 2, 2, {}, score, {"a": 0.5}, {}, {"here": 2}, compared=(ComparedStage("int8", COMPARISON),)
    )
    plain = report.plain()
    assert "per_image" not in plain["score"] and plain["score"]["value"] == 0.5
    assert plain["worst"] == [{"id": "a", "value": 0.5}] and plain["hosts"] == [{"host": "here", "images": 2}]
    assert plain["compared"][0]["title"] == "int8" and replace(report, score=None).plain()["score"] is None
    assert "int8" in stored.text_of(report) and "here" not in stored.text_of(report)
    assert "differs by" in stored.text_of(replace(report, score=None))
    alone = stored.text_of(replace(report, score=None, compared=()))
    assert "worst" not in alone and alone == "net: 2 of 2 images done, 0 failed"
    shard = ShardResult("s", "1/2", 4, 1, {"b": "bad", "a": "worse"})
    assert shard.plain()["failed"] == [{"id": "a", "error": "worse"}, {"id": "b", "error": "bad"}]
