"""What a store is reported to hold, from records that were written by hand: evaluations and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_artifacts

import densecast
from densecast.errors import BadStoreError
from densecast.io import codec
from densecast.measure.store.count_columns import CountColumns
from densecast.measure.store.manifest import Manifest, RunKey
from densecast.measure.store.record import Failure, Maker, Record
from densecast.measure.store.store import Store
from densecast.metrics._base import METRICS
from densecast.metrics.dice import ForegroundCount
from densecast.results.stored import StageCost
from densecast.spec.precision import PrecisionRan
from densecast.spec.sample import SplitRecord
from densecast.tasks._base import Difference
from densecast.verbs.stored.compare_records import BinnedMargins, ComparedColumns, ComparedImage, StageRow, binned
from densecast.verbs.stored.compare_score import result_of_comparison
from densecast.verbs.stored.report import report_store

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store

SPEC = tiny_artifacts.spec()
KEY = RunKey({"name": "tiny"}, {"images": "some"}, {})
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def store(folder: Path, ids: Sequence[str], verb: str = "evaluate", **changed: Any) -> Store:
    model = {"backend": "reference", "device": None, "mode": "latency"}
    manifest = Manifest(KEY, verb, len(ids), SPEC, model, metric="dice")
    return Store.made_for(str(folder), replace(manifest, **changed), ids)


def count(name: str, both: int) -> ForegroundCount:
    """Four pixels are predicted, and four are right."""
    return ForegroundCount(name, both, 4, 4, 8)


def fail(to: Store, name: str) -> None:
    to.write([Record(name, Failure("BadImageError", f"{name} is bad"), finished=NOW)], MAKER, None)


MAKER = Maker("a", codec.to_json(PrecisionRan("float32", {"float32": 3}, "made up")), "1", "first", "cpu")


def test_an_evaluation_is_reported_with_its_worst_images_failures_costs_and_machines(tmp_path: Path) -> None:
    made = store(tmp_path / "s", [*"abcde"])
    columns = CountColumns.of_kind(ForegroundCount, "count_")
    for host, found in (("first", {"a": 3, "b": 1, "c": 4}), ("second", {"d": 2})):
        records = [
            Record(name, count=count(name, both), stages_ms={"decode": 10.0 * both, "total": 100.0}, finished=NOW)
            for name, both in found.items()
        ]
        made.write(records, replace(MAKER, host=host), columns)
    fail(made, "e")
    report = report_store(tmp_path / "s", worst=2)
    assert (report.model, report.images, report.done) == (SPEC.name, 5, 4)
    assert report.failed == {"e": "BadImageError: e is bad"} and report.hosts == {"first": 3, "second": 1}
    assert report.score is not None and report.score.count == 4
    # Twice what both have, of four and four pixels; the least are the worst.
    assert list(report.worst) == ["b", "d"] and report.worst == pytest.approx({"b": 0.25, "d": 0.5}, rel=1e-6)
    # Of 10, 20, 30 and 40 ms: the places 1.5, 2.7 and 2.97 of 0 to 3.
    decode = report.stages["decode"]
    assert codec.to_plain(decode) == pytest.approx({"p50_ms": 25.0, "p90_ms": 37.0, "p99_ms": 39.7})
    assert set(report.stages) == {"decode", "total"} and report.stages["total"] == StageCost(100.0, 100.0, 100.0)
    assert report.remarks == () and report.compared == ()
    assert list(report_store(tmp_path / "s").worst) == ["b", "d", "a", "c"]


def test_a_run_that_goes_on_has_no_score_and_says_so(tmp_path: Path) -> None:
    made = store(tmp_path / "s", ["a", "b"])
    assert report_store(tmp_path / "s").done == 0 and report_store(tmp_path / "s").remarks == ()
    made.write([Record("a", count=count("a", 4), finished=NOW)], MAKER, CountColumns.of_kind(ForegroundCount, "count_"))
    report = report_store(tmp_path / "s")
    assert (report.score, report.worst, report.done) == (None, {}, 1)
    (remark,) = report.remarks
    assert "b" in remark and "1 of 2" in remark


def stage(name: str, changed: float, margin: float = 0.5) -> StageRow:
    """So many of eight pixels have another label, each with the margin, of which all pixels have twice."""
    margins = (np.full(int(changed), margin), np.full(8, 2 * margin))
    return StageRow.of(name, Difference(changed, 8.0), np.zeros((1, 1, 8)), margins)


def compared(folder: Path, ids: Sequence[str], *, metric: bool = True, **changed: Any) -> tuple[Store, ComparedColumns]:
    model = {
        "reference": "float",
        "titles": ["float", "one", "other"],
        "origins": ["of float", "of one", "of other"],
        "outputs": ["logits"],
    }
    record = SplitRecord("carvana", "val", len(ids), len(ids), 0, "0" * 64)
    made = store(folder, ids, "compare", model=model, metric=None, record=record if metric else None, **changed)
    return made, ComparedColumns(2, METRICS.load_trusted("dice") if metric else None)


def ran(compute: str) -> Maker:
    stages = [codec.to_plain(PrecisionRan(each, {each: 3}, "made up")) for each in ("float32", compute, "int8")]
    precision = codec.json_text({"compute": compute, "stages": stages})
    return replace(MAKER, precision=precision)


def test_a_comparison_is_that_of_all_records_stage_by_stage(tmp_path: Path) -> None:
    made, columns = compared(tmp_path / "s", ["b", "a", "bad"], remarks=("as it was read",))
    images = {"a": (1.0, 4.0, (4, 4, 2)), "b": (3.0, 0.0, (4, 2, 4))}
    for name, (first, second, counts) in images.items():
        row = ComparedImage(
            f"{name}.png", (stage(name, first), stage(name, second)), tuple(count(name, k) for k in counts)
        )
        made.write([Record(name, count=row, finished=NOW)], ran("float16"), columns)
    fail(made, "bad")
    found = result_of_comparison(made)
    assert (found.model, found.reference, found.images) == (SPEC.name, "float", 2)
    one, other = (each.comparison for each in found.stages)
    assert [each.title for each in found.stages] == ["one", "other"]
    assert (one.reference, one.candidate, other.candidate) == ("of float", "of one", "of other")
    assert (one.ran.compute, other.ran.compute) == ("float16", "int8")
    assert (one.labels_changed, other.labels_changed) == (4 / 16, 4 / 16)
    assert (one.changed_margin, one.changed_margin_median, one.margin_median) == (0.5, 0.5, 1.0)
    assert (one.worst[0], other.worst[0]) == ("b.png", "a.png")
    for each in (one, other):
        assert each.metric is not None and each.metric.metric == METRICS.load_trusted("dice").name
        assert (each.metric.reference, each.metric.candidate) == pytest.approx((1.0, 0.75), rel=1e-6)
        assert each.metric.drop is not None and each.metric.drop.value == pytest.approx(0.25, rel=1e-5)
    assert found.remarks[:1] == ("as it was read",)
    assert found.remarks[-1] == "1 of 3 images failed and are not compared: bad"
    report = report_store(tmp_path / "s", worst=1)
    assert report.compared == found.stages and report.worst == {"a": 0.5} and report.score is None
    assert report_store(tmp_path / "s").worst == {"a": 0.5, "b": 0.375}


def test_without_ground_truth_there_is_no_metric_and_several_precisions_are_remarked(tmp_path: Path) -> None:
    made, columns = compared(tmp_path / "s", ["a", "b"], metric=False)
    for name, compute in (("a", "float16"), ("b", "bfloat16")):
        row = ComparedImage(f"{name}.png", (stage(name, 0.0), stage(name, 1.0)))
        made.write([Record(name, count=row, finished=NOW)], ran(compute), columns)
    found = result_of_comparison(made)
    assert [each.comparison.metric for each in found.stages] == [None, None]
    (remark,) = found.remarks
    assert remark.startswith("images were computed in several precisions: ")
    assert set(remark.partition(": ")[2].split("; ")) == {"float16", "bfloat16"}
    assert (found.stages[0].comparison.changed_margin, found.stages[0].comparison.margin_median) == (None, 1.0)


def test_records_of_other_stages_or_none_at_all_are_refused(tmp_path: Path) -> None:
    made, columns = compared(tmp_path / "s", ["a"], metric=False)
    row = ComparedImage("a.png", (stage("a", 0.0), stage("a", 1.0)))
    made.write([Record("a", count=row, finished=NOW)], MAKER, columns)
    with pytest.raises(BadStoreError, match="not those of a comparison of 3 stages"):
        result_of_comparison(made)
    nothing, _ = compared(tmp_path / "t", ["a"], metric=False)
    fail(nothing, "a")
    with pytest.raises(BadStoreError, match="no image that was compared: all of them failed"):
        result_of_comparison(nothing)


def test_margins_in_bins_have_the_median_of_all_within_8_bits() -> None:
    rng = np.random.default_rng(0)
    images = [np.abs(rng.standard_cauchy(size)) for size in (7, 0, 300, 41)]
    margins = BinnedMargins()
    for image in images:
        margins.add(image[: len(image) // 2], image)
    largest, changed, usual = margins.facts()
    every = np.concatenate(images)
    some = np.concatenate([image[: len(image) // 2] for image in images])
    assert largest == some.max() and margins.images == 4
    assert changed == pytest.approx(np.median(some), rel=2**-8) and usual == pytest.approx(np.median(every), rel=2**-8)


def test_margins_of_few_bits_are_kept_as_they_are() -> None:
    assert BinnedMargins().facts() == (None, None, None)
    margins = BinnedMargins()
    margins.add(np.zeros(0), np.array([1.0, 2.0, 4.0, 4.0]))
    assert margins.facts() == (None, None, 3.0)
    margins.add(np.array([0.5, 0.0]), np.array([8.0]))
    margins.add(np.array([0.25]), np.array([8.0, 8.0]))
    assert margins.facts() == (0.5, 0.25, 4.0)
    # 1 + 1/256 lies in the middle of two that have 8 bits, 1 and 1 + 1/128; what lies beyond is nearer to the upper.
    numbers = binned(np.array([1.0, 1.0, 1 + 0.9 / 256, 1 + 1.1 / 256, 1 + 1 / 128]))
    assert numbers.tolist() == [[0x3F80, 3], [0x3F81, 2]]
    margins.add(np.array([np.nan]), np.array([np.nan]))
    assert np.isnan(margins.facts()[1]) and np.isnan(margins.facts()[2])  # type: ignore[arg-type]


def test_a_store_of_a_comparison_is_merged_to_the_same(tmp_path: Path) -> None:
    made, columns = compared(tmp_path / "s", ["a", "b"], metric=False)
    for name, changed in (("a", 2.0), ("b", 1.0)):
        row = ComparedImage(f"{name}.png", (stage(name, changed), stage(name, 0.0)))
        made.write([Record(name, count=row, finished=NOW)], ran("float16"), columns)
    before = result_of_comparison(made)
    assert len(made.names("done")) == 2
    assert densecast.merge(tmp_path / "s") == before and len(made.names("done")) == 1


def test_a_part_that_is_not_as_it_was_written_is_never_read(tmp_path: Path) -> None:
    """Even where any program could read what it holds now."""
    made = store(tmp_path / "s", ["a", "b"])
    columns = CountColumns.of_kind(ForegroundCount, "count_")
    for name, both in (("a", 4), ("b", 1)):
        made.write([Record(name, count=count(name, both), finished=NOW)], MAKER, columns)
    first, second = made.names("done")
    content = made.read(second)
    (tmp_path / "s" / first).write_bytes(content)
    with pytest.raises(BadStoreError, match=f"{first} is damaged"):
        made.read(first)
    with pytest.raises(BadStoreError, match=f"{first} is damaged"):
        report_store(tmp_path / "s")
    made.remove(first)
    with pytest.raises(BadStoreError, match=f"{first} is damaged"):
        made.read(first)
    assert made.read(second) == content
