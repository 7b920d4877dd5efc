"""A comparison that keeps records goes on where it stopped, and its result is that of the same comparison without."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast, failed
from made_images import carvana
from made_stores import rows

import densecast as api
from densecast.errors import BadDatasetError, BadImageError, UsageError
from densecast.results.compare import CompareResult, Comparison
from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.builder import build

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store

STAGES = ["optimised graph", "built", "faulty.onnx"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float artifact, one built from it, a faulty graph, and pictures with masks."""
    folder = tmp_path_factory.mktemp("compared")
    source = tiny_artifacts.exported(folder)
    build(source, folder / "built", BuildOptions("reference", shape=InputShape((1,), 24, 32)))
    onnx.save(tiny_graphs.segmentation(seed=9), folder / "faulty.onnx")
    carvana(folder / "data", count=6)
    return folder


def compared(root: Path, data: Path, store: Path | None = None, **options: Any) -> CompareResult:
    stored = api.StoreOptions(None if store is None else str(store), **options)
    candidates = [root / "built", root / "faulty.onnx"]
    return api.compare(root / "float", candidates, data=data, split="all", threads=1, stored=stored)


def without_medians(comparison: Comparison) -> Comparison:
    """Medians of margins come from numbers of 8 significant bits."""
    return replace(comparison, changed_margin_median=None, margin_median=None)


@pytest.mark.slow
def test_the_result_is_the_plain_one_however_often_it_went_on(root: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(root / "data", tmp_path / "data"))
    plain = compared(root, data)
    first = compared(root, data, tmp_path / "run", shard_size=2)
    assert [stage.title for stage in first.stages] == STAGES
    assert [stage.findings for stage in (*plain.stages, *first.stages)] == [None] * 6, "nobody asked where they part"
    assert (first.model, first.reference, first.images) == (plain.model, plain.reference, plain.images)
    for one, other in zip(first.stages, plain.stages, strict=True):
        assert without_medians(one.comparison) == without_medians(other.comparison)
        for name in ("margin_median", "changed_margin_median"):
            mine, exact = getattr(one.comparison, name), getattr(other.comparison, name)
            assert (mine is None) == (exact is None) and (exact is None or mine == pytest.approx(exact, rel=2**-8))
    faulty = first.stages[-1].comparison
    assert faulty.labels_changed and faulty.metric is not None and faulty.metric.drop is not None

    before = {row["id"]: row["finished"] for row in rows(tmp_path / "run")}
    lost = sorted((tmp_path / "run" / "done").iterdir())[0]
    lost.unlink()
    assert compared(root, data, tmp_path / "run", shard_size=1) == first
    after = {row["id"]: row["finished"] for row in rows(tmp_path / "run")}
    assert len(before) == len(after) == 6
    assert sum(after[each] != finished for each, finished in before.items()) == 2

    # Any program reads how far each image is.
    shown = {row["id"]: row["stage3_difference"] for row in rows(tmp_path / "run")}
    assert sum(shown.values()) / 6 == pytest.approx(faulty.labels_changed)
    (data / "imgs" / "0003_01.jpg").write_bytes(b"another picture")
    with pytest.raises(BadDatasetError, match="0003_01"):
        compared(root, data, tmp_path / "run")


@pytest.mark.slow
def test_shards_of_two_stores_are_one_comparison_and_it_is_reported(root: Path, tmp_path: Path) -> None:
    whole = compared(root, root / "data", tmp_path / "whole")
    models = (root / "float", [root / "built", root / "faulty.onnx"])
    for place in (1, 2):
        stored = api.StoreOptions(str(tmp_path / f"{place}"), shard=f"{place}/2")
        shard = api.compare_shard(*models, data=root / "data", split="all", threads=1, stored=stored)
        assert shard.done == shard.images and 0 < shard.done < 6
    assert api.merge(tmp_path / "2", [tmp_path / "1"]) == whole
    found = api.report_store(tmp_path / "2")
    assert found.compared == whole.stages and found.score is None
    of_faulty = {row["id"]: row["stage3_difference"] for row in rows(tmp_path / "2")}
    assert next(iter(found.worst.items())) == max(of_faulty.items(), key=lambda each: each[1])
    merged = densecast("merge", tmp_path / "2")
    reported = densecast("report", tmp_path / "2")
    for title in STAGES:
        assert title in merged.out and title in reported.out
    assert "holds records of compare" in failed(2, "compare", "results", tmp_path / "2", tmp_path / "2")
    assert "holds records of compare" in failed(2, "merge", tmp_path / "2", "--table", "mmseg")
    assert "another artifact" in failed(
        2,
        "compare",
        root / "float",
        root / "built",
        "--data",
        root / "data",
        "--split",
        "all",
        "--store",
        tmp_path / "2",
    )


def test_bad_images_are_named_and_what_has_no_effect_is_refused(root: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(root / "data", tmp_path / "data"))
    (data / "imgs" / "0000_01.jpg").write_bytes(b"no picture")
    with pytest.raises(BadImageError, match="0000_01"):
        compared(root, data, tmp_path / "none")
    found = compared(root, data, tmp_path / "run", max_errors="1")
    assert found.images == 5 and "1 of 6 images failed and are not compared: 0000_01" in found.remarks
    shutil.copy(root / "data" / "imgs" / "0000_01.jpg", data / "imgs")
    assert compared(root, data, tmp_path / "run", retry_failed=True) == compared(root, data, tmp_path / "again")
    with pytest.raises(UsageError, match="keeps no predictions"):
        compared(root, data, tmp_path / "kept", keep_predictions=True)
    words = ["compare", root / "float", root / "built", "--data", data, "--split", "all"]
    assert "--max-changed is of all images" in failed(
        2, *words, "--store", tmp_path / "s", "--shard", "1/2", "--max-changed", "0"
    )
    assert "name a --store" in failed(2, *words, "--on", "ray")


@pytest.mark.slow
def test_the_command_line_compares_in_a_process_of_its_own(root: Path, tmp_path: Path) -> None:
    words = ["compare", root / "float", root / "built", root / "faulty.onnx", "--images", root / "data" / "imgs", "-q"]
    plain = densecast(*words, "--json", tmp_path / "plain.json")
    page = tmp_path / "page.html"
    kept = [*words, "--store", tmp_path / "run", "--locate", "--html", page, "--max-changed", "0.001"]
    ended = densecast(*kept, "--json", tmp_path / "kept.json")
    assert plain.code == 0 and ended.code == 1, ended.err
    assert "parts from the reference at network" in ended.out and "data:image/jpeg;base64," in page.read_text()
    one, other = (json.loads((tmp_path / name).read_text()) for name in ("plain.json", "kept.json"))
    for left, right in zip(one, other, strict=True):
        for name in ("title", "max_error", "relative_l2", "cosine", "labels_changed", "worst", "images"):
            assert left[name] == right[name], name
