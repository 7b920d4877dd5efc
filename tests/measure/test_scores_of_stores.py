"""Scores of records that were written by hand: what is missing, twice, failed or of another run is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import tiny_artifacts
import tiny_specs

import densecast
from densecast.errors import BadStoreError, UsageError
from densecast.io import codec
from densecast.measure.store import scoring
from densecast.measure.store.count_columns import CountColumns
from densecast.measure.store.manifest import MANIFEST, Manifest, RunKey
from densecast.measure.store.record import Failure, Maker, Record
from densecast.measure.store.store import Store
from densecast.metrics.dice import ForegroundCount
from densecast.metrics.monocular_depth import DepthErrors
from densecast.spec.precision import PrecisionRan

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store

SPEC = tiny_artifacts.spec()
KEY = RunKey({"name": "tiny"}, {"images": "some"}, {"verb": "evaluate"})
FLOAT32, FLOAT16 = (codec.to_json(PrecisionRan(each, {each: 3}, "made up")) for each in ("float32", "float16"))
COLUMNS = CountColumns.of_kind(ForegroundCount, "count_")


def count(name: str, both: int, predicted: int = 4, target: int = 4) -> ForegroundCount:
    return ForegroundCount(name, both, predicted, target, 8)


def dice(both: int, predicted: int = 4, target: int = 4) -> float:
    return (2 * both + 1e-6) / (predicted + target + 1e-6)


def store(folder: Path, ids: Sequence[str], *, key: RunKey = KEY, **changed: Any) -> Store:
    model = {"backend": "reference", "device": None, "mode": "latency"}
    manifest = Manifest(key, "evaluate", len(ids), SPEC, model, metric="dice")
    return Store.made_for(str(folder), replace(manifest, **changed), ids)


def write(to: Store, *counts: ForegroundCount, precision: str = FLOAT32) -> None:
    records = [Record(each.sample_id, count=each, finished=datetime.now(UTC)) for each in counts]
    to.write(records, Maker("a", precision, "1", "host", "cpu"), COLUMNS)


def fail(to: Store, name: str, text: str = "bad", second: int = 0) -> None:
    finished = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
    to.write([Record(name, Failure("BadImageError", text), finished=finished)], Maker("", "", "1", "h", "c"), None)


def test_the_score_is_that_of_all_records_in_any_order(tmp_path: Path) -> None:
    made = store(tmp_path / "s", ["a", "b", "c"])
    write(made, count("c", 1), precision=FLOAT16)
    write(made, count("b", 2), count("a", 4))
    found = scoring.score(made, made.scan().summary)
    assert found.score.value == pytest.approx((dice(4) + dice(2) + dice(1)) / 3) and found.score.count == 3
    assert found.score.per_image == pytest.approx({"a": dice(4), "b": dice(2), "c": dice(1)})
    assert found.precision.compute == "float32"  # of most images
    assert found.score.remarks == ("images were computed in several precisions: float32 2, float16 1",)


def test_records_that_do_not_say_in_what_they_were_computed_are_taken(tmp_path: Path) -> None:
    made = store(tmp_path / "s", ["a", "b"])
    write(made, count("a", 4), precision="")
    found = scoring.score(made, made.scan().summary)
    assert (found.precision.compute, found.score.remarks) == ("unknown", ())
    write(made, count("b", 2))
    found = scoring.score(made, made.scan().summary)
    (remark,) = found.score.remarks
    assert remark.startswith("images were computed in several precisions: ") and "unknown 1" in remark
    nothing = store(tmp_path / "t", ["a"])
    fail(nothing, "a")
    assert scoring.score(nothing, nothing.scan().summary).precision.compute == "unknown"


def test_an_image_that_two_have_computed_counts_once(tmp_path: Path) -> None:
    made = store(tmp_path / "s", ["a", "b"])
    write(made, count("a", 4), count("b", 2))
    write(made, count("a", 4))
    scan = made.scan()
    assert scan.rows == 3 and scan.summary.is_repeated and scan.done == {"a", "b"}
    found = scoring.score(made, scan.summary).score
    assert found.count == 2 and found.value == pytest.approx((dice(4) + dice(2)) / 2) and found.remarks == ()
    assert not replace(scan, rows=2).summary.is_repeated
    densecast.merge(tmp_path / "s")
    assert made.scan().rows == 2 and len(made.names("done")) == 1


@pytest.mark.parametrize(("failed", "named"), [(1, "f0"), (3, "f0, f1, f2"), (5, "f0, f1, f2 and 2 more")])
def test_what_failed_is_not_in_the_score_and_is_named(failed: int, named: str, tmp_path: Path) -> None:
    names = [f"f{index}" for index in range(failed)]
    made = store(tmp_path / "s", ["a", *names])
    write(made, count("a", 2))
    for each in reversed(names):
        fail(made, each)
    (remark,) = scoring.score(made, made.scan().summary).score.remarks
    assert remark == f"{failed} of {failed + 1} images failed and are not in the score: {named}"


def test_what_failed_last_is_what_is_told_and_nothing_once_it_is_done(tmp_path: Path) -> None:
    made = store(tmp_path / "s", ["a"])
    for text, second in (("first", 1), ("last", 9), ("second", 5)):
        fail(made, "a", text, second)
    assert made.scan().failed == {"a": Failure("BadImageError", "last")}
    write(made, count("a", 2))
    assert made.scan().failed == {} and made.scan().done == {"a"}


@pytest.mark.parametrize(("missing", "named"), [(1, "m0"), (3, "m0, m1, m2"), (4, "m0, m1, m2 and 1 more")])
def test_images_without_a_record_are_named(missing: int, named: str, tmp_path: Path) -> None:
    names = [f"m{index}" for index in range(missing)]
    made = store(tmp_path / "s", ["a", *names, "b"])
    write(made, count("a", 2))
    fail(made, "b")
    with pytest.raises(BadStoreError) as refused:
        scoring.require_complete(made, made.scan())
    expected = f"{missing} of {missing + 2} images have no record yet: {named}. Run"
    assert str(refused.value).startswith(expected)
    write(made, *(count(each, 1) for each in names))
    scoring.require_complete(made, made.scan())
    # Of another run there are more than there should be.
    write(made, count("foreign", 1))
    with pytest.raises(BadStoreError, match="holds images that its run does not have"):
        scoring.require_complete(made, made.scan())


def test_records_of_another_verb_have_no_score(tmp_path: Path) -> None:
    key = RunKey(KEY.artifact, KEY.data, {"verb": "infer"})
    made = store(tmp_path / "s", ["a"], key=key, verb="infer", metric=None)
    with pytest.raises(UsageError, match="holds records of infer, not of evaluate: it has no score") as refused:
        scoring.metric_of(made)
    assert refused.value.field == "store"


def test_two_evaluations_are_compared_image_by_image(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    before, after = store(tmp_path / "before", names), store(tmp_path / "after", names)
    write(before, count("a", 4), count("b", 3), count("c", 2), count("d", 1, 12))
    write(after, count("a", 4), count("b", 1), count("c", 3), count("d", 0, 12))
    found = densecast.compare_stores(str(tmp_path / "before"), str(tmp_path / "after"))
    assert found.images == 4 and (found.worse, found.better) == (2, 1)
    assert found.baseline == pytest.approx((dice(4) + dice(3) + dice(2) + dice(1, 12)) / 4)
    assert found.candidate == pytest.approx((dice(4) + dice(1) + dice(3)) / 4)
    assert found.drop.value == pytest.approx(found.baseline - found.candidate)
    changes = [(each.id, each.worse) for each in found.changed]
    assert [name for name, _ in changes] == ["b", "c", "d"]  # the largest first
    assert [worse for _, worse in changes] == pytest.approx([0.5, -0.25, 0.125], abs=1e-6)
    assert (found.changed[0].baseline, found.changed[0].candidate) == pytest.approx((dice(3), dice(1)))
    some = densecast.compare_stores(str(tmp_path / "before"), str(tmp_path / "after"), most=1)
    assert [each.id for each in some.changed] == ["b"] and (some.worse, some.better) == (2, 1)


def test_of_errors_the_larger_is_worse(tmp_path: Path) -> None:
    columns = CountColumns.of_kind(DepthErrors, "count_")
    for name, values in (("before", (0.25, 0.5, 0.125)), ("after", (0.75, 0.25, 0.125))):
        made = store(tmp_path / name, ["a", "b", "c"], spec=tiny_specs.depth(), metric="monocular_depth")
        counts = [DepthErrors(each, 9, value, (value,) * 6) for each, value in zip("abc", values, strict=True)]
        records = [Record(each.sample_id, count=each, finished=datetime.now(UTC)) for each in counts]
        made.write(records, Maker("a", FLOAT32, "1", "host", "cpu"), columns)
    found = densecast.compare_stores(str(tmp_path / "before"), str(tmp_path / "after"))
    assert (found.worse, found.better) == (1, 1)
    assert [(each.id, each.worse) for each in found.changed] == [("a", 0.5), ("b", -0.25)]
    assert found.drop.value == pytest.approx(0.25 / 3)


def test_evaluations_on_other_images_are_compared_where_that_is_allowed(tmp_path: Path) -> None:
    before, after = store(tmp_path / "before", ["a", "b"]), store(tmp_path / "after", ["b", "c", "d"])
    write(before, count("a", 4), count("b", 3))
    write(after, count("b", 1), count("c", 4), count("d", 4))
    paths = str(tmp_path / "before"), str(tmp_path / "after")
    for pair in (paths, paths[::-1]):
        with pytest.raises(UsageError, match="the two have 1 images in common, of ") as refused:
            densecast.compare_stores(*pair)
        assert refused.value.field == "other_images"
    found = densecast.compare_stores(*paths, other_images=True)
    assert found.images == 1 and found.drop.value == pytest.approx(dice(3) - dice(1))
    apart = store(tmp_path / "apart", ["x"])
    write(apart, count("x", 4))
    with pytest.raises(UsageError, match="the two have 0 images in common, of 2 and 1"):
        densecast.compare_stores(paths[0], str(tmp_path / "apart"), other_images=True)
    # One that is a part of the other is another one, too.
    part = store(tmp_path / "part", ["a"])
    write(part, count("a", 4))
    for pair in ((paths[0], str(tmp_path / "part")), (str(tmp_path / "part"), paths[0])):
        with pytest.raises(UsageError, match="1 images in common"):
            densecast.compare_stores(*pair)


def test_evaluations_by_other_metrics_or_of_other_classes_do_not_compare(tmp_path: Path) -> None:
    one = store(tmp_path / "one", ["a"])
    write(one, count("a", 4))
    store(tmp_path / "metric", ["a"], metric="iou")
    with pytest.raises(UsageError, match=r"one was measured by dice, .*metric by iou"):
        densecast.compare_stores(str(tmp_path / "one"), str(tmp_path / "metric"))
    store(tmp_path / "classes", ["a"], spec=replace(SPEC, labels=("background", "cat")))
    with pytest.raises(UsageError, match="are of models with other classes"):
        densecast.compare_stores(str(tmp_path / "one"), str(tmp_path / "classes"))


def test_stores_of_one_run_are_brought_together(tmp_path: Path) -> None:
    first, second = (store(tmp_path / name, ["a", "b", "c"]) for name in ("first", "second"))
    write(first, count("a", 4))
    write(second, count("b", 2), count("a", 4))
    write(second, count("c", 1), precision=FLOAT16)
    with pytest.raises(BadStoreError, match="2 of 3 images have no record yet: b, c"):
        densecast.merge(tmp_path / "first")
    found: Any = densecast.merge(tmp_path / "first", tmp_path / "second")
    assert found.score.value == pytest.approx((dice(4) + dice(2) + dice(1)) / 3)
    # One file for each precision; nothing is lost of the other store.
    assert len(first.names("done")) == 2 and first.scan().rows == 3 and second.scan().rows == 3
    again: Any = densecast.merge(tmp_path / "first", [tmp_path / "second"])
    assert again.score.value == found.score.value and first.scan().done == {"a", "b", "c"}
    with pytest.raises(UsageError, match="is named twice"):
        densecast.merge(tmp_path / "first", [tmp_path / "first"])
    store(tmp_path / "other", ["a"], key=RunKey(KEY.artifact, {"images": "others"}, KEY.options))
    with pytest.raises(UsageError, match=r"holds records of other data \(images some, now others\)"):
        densecast.merge(tmp_path / "first", [tmp_path / "other"])


def test_a_run_without_a_score_says_what_it_holds(tmp_path: Path) -> None:
    key = RunKey(KEY.artifact, KEY.data, {"verb": "infer"})
    made = store(tmp_path / "s", ["a", "b"], key=key, verb="infer", metric=None)
    made.write([Record("a", finished=datetime.now(UTC))], Maker("a", FLOAT32, "1", "h", "c"), None)
    fail(made, "b", "broken")
    found: Any = densecast.merge(tmp_path / "s")
    assert (found.shard, found.images, found.done, found.failed) == ("1/1", 2, 1, {"b": "broken"})


def test_what_makes_records_comparable_is_told_part_by_part() -> None:
    assert KEY.difference(KEY) is None
    other = RunKey({"name": "n" * 80}, {"images": "some", "more": "1"}, {})
    assert KEY.difference(other) == (
        f"another artifact (name tiny, now {'n' * 60}); other data (more none, now 1); other options (verb evaluate, "
        "now none)"
    )
    assert KEY.digest == RunKey({"name": "tiny"}, {"images": "some"}, {"verb": "evaluate"}).digest
    parts = ({"name": "tiny"}, {"images": "some"}, {"verb": "evaluate"})
    for place in range(3):
        changed = [dict(part) for part in parts]
        changed[place] = {**changed[place], "x": "y"}
        assert RunKey(*changed).digest != KEY.digest


def test_a_store_is_found_by_its_manifest_alone(tmp_path: Path) -> None:
    with pytest.raises(BadStoreError, match=rf"is no store of records: it has no {MANIFEST}"):
        Store.at(str(tmp_path))
    made = store(tmp_path / "s", ["a", "b"])
    assert (
        made.planned() == ["a", "b"]
        and made.manifest.created
        and Store.at(str(tmp_path / "s")).manifest == made.manifest
    )
    assert store(tmp_path / "s", ["a", "b"]).manifest == made.manifest
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(UsageError, match="holds other files than records") as refused:
        store(tmp_path / "full", ["a"])
    assert refused.value.field == "store"
    manifest = tmp_path / "s" / MANIFEST
    text = manifest.read_text()
    manifest.write_text(text.replace('"format": 1', '"format": 2').replace('"format":1', '"format":2'))
    with pytest.raises(BadStoreError, match=r"made by a newer densecast \(format 2\)"):
        Store.at(str(tmp_path / "s"))
    manifest.write_text(text[:-20])
    with pytest.raises(BadStoreError, match="is damaged"):
        Store.at(str(tmp_path / "s"))


def test_exactly_what_was_recorded_together_is_held(tmp_path: Path) -> None:
    made = store(tmp_path / "s", ["a", "b", "c"])
    write(made, count("a", 1), count("b", 1))
    assert made.holds(["a", "b"])
    assert not made.holds(["a"]) and not made.holds(["a", "b", "c"]) and not made.holds(["c"])
