"""Records of every image: a run goes on where it stopped, and its score is the same whatever has happened."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import densecast, failed, tree
from made_images import write_mask
from made_stores import ALL, evaluated, prepare, rows

import densecast as api
from densecast.errors import BadImageError, BadInputError, BadStoreError, UsageError, WriteError
from densecast.pipeline import Pipeline
from densecast.results.predictions import EvaluateResult
from densecast.spec.store_options import StoreOptions
from densecast.verbs.stored.evaluate import evaluate_shard
from densecast.verbs.stored.merge import merge

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module")
def pipeline(root: Path) -> Iterator[Pipeline]:
    with Pipeline.open(root / "built", mode="throughput") as opened:
        yield opened


@pytest.fixture(scope="module")
def plain(pipeline: Pipeline, root: Path) -> EvaluateResult:
    """Without a store, as it always was."""
    return api.evaluate(pipeline, root / "data", ALL)


@pytest.fixture
def data(root: Path, tmp_path: Path) -> Path:
    """The data, to be broken."""
    return Path(shutil.copytree(root / "data", tmp_path / "data"))


def broken(data: Path, *names: str) -> None:
    for name in names:
        (data / "imgs" / f"{name}.jpg").write_bytes(b"no image")


def test_a_score_from_records_is_the_score(
    pipeline: Pipeline, root: Path, plain: EvaluateResult, tmp_path: Path
) -> None:
    found = evaluated(pipeline, root / "data", tmp_path / "run")
    assert found == plain
    assert evaluated(pipeline, root / "data", tmp_path / "run") == plain


def test_records_tell_files_hashes_sizes_counts_and_who_made_them(
    pipeline: Pipeline, root: Path, tmp_path: Path
) -> None:
    evaluated(pipeline, root / "data", tmp_path / "run")
    found = rows(tmp_path / "run")
    assert len(found) == 20
    for row in found:
        image = (root / "data" / "imgs" / f"{row['id']}.jpg").read_bytes()
        mask = (root / "data" / "masks" / f"{row['id']}_mask.gif").read_bytes()
        assert (row["sha256"], row["size_bytes"]) == (hashlib.sha256(image).hexdigest(), len(image))
        assert row["target_sha256"] == hashlib.sha256(mask).hexdigest()
        assert (row["height"], row["width"], row["status"]) == (48, 64, "done")
        assert row["artifact"] == pipeline.artifact.meaning  # type: ignore[union-attr]
        assert row["total_ms"] >= row["decode_ms"] > 0 and row["host"] and row["version"]
    # Dice of each image and their mean, from the columns alone.
    dice = [(2 * row["count_both"] + 1e-6) / (row["count_predicted"] + row["count_target"] + 1e-6) for row in found]
    assert float(np.mean(dice)) == pytest.approx(evaluated(pipeline, root / "data").score.value, rel=1e-12)


def test_what_is_recorded_is_not_computed_again(
    pipeline: Pipeline, data: Path, plain: EvaluateResult, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    good = (data / "imgs" / "000c_01.jpg").read_bytes()
    broken(data, "000c_01")
    with pytest.raises(BadImageError, match="000c_01") as error:
        evaluated(pipeline, data, run, shard_size=5)
    assert not str(error.value).startswith("000c_01"), "its own error names it"
    before = {row["id"]: row["finished"] for row in rows(run)}
    assert len(before) >= 10 and "000c_01" not in before
    (data / "imgs" / "000c_01.jpg").write_bytes(good)
    with pytest.raises(BadImageError, match=r"000c_01.*--retry-failed"):
        evaluated(pipeline, data, run)
    assert {row["id"]: row["finished"] for row in rows(run)} == before
    assert evaluated(pipeline, data, run, retry_failed=True).score == plain.score
    after = {row["id"]: row["finished"] for row in rows(run)}
    assert len(after) == 20 and {each: after[each] for each in before} == before


@pytest.mark.parametrize(
    ("allowed", "bad", "passes"), [("2", 2, True), ("1", 2, False), ("10%", 2, True), ("9%", 2, False)]
)
def test_so_many_bad_images_are_allowed_and_named(
    allowed: str, bad: int, passes: bool, pipeline: Pipeline, data: Path, plain: EvaluateResult, tmp_path: Path
) -> None:
    names = ["0003_01", "0011_01"][:bad]
    broken(data, *names)
    if not passes:
        with pytest.raises(BadInputError, match="2 images failed, and 1 may"):
            evaluated(pipeline, data, tmp_path / "run", max_errors=allowed)
        return
    score = evaluated(pipeline, data, tmp_path / "run", max_errors=allowed).score
    values = [value for name, value in plain.score.per_image.items() if name not in names]
    assert score.count == 18 and score.value == float(np.mean(values))
    assert any(all(name in remark for name in names) for remark in score.remarks)
    assert {(row["id"], row["error"]) for row in rows(tmp_path / "run", "failed")} == {
        (each, "BadImageError") for each in names
    }


def test_a_bad_mask_is_a_failure_of_its_image(pipeline: Pipeline, data: Path, tmp_path: Path) -> None:
    write_mask(data / "masks" / "0001_01_mask.gif", np.zeros((10, 10), np.uint8))
    score = evaluated(pipeline, data, tmp_path / "run", max_errors="1").score
    assert score.count == 19
    (row,) = rows(tmp_path / "run", "failed")
    assert row["id"] == "0001_01" and row["error"] == "BadDatasetError"


def test_another_artifact_data_or_option_is_named(pipeline: Pipeline, root: Path, data: Path, tmp_path: Path) -> None:
    evaluated(pipeline, root / "data", tmp_path / "run")
    before = tree(tmp_path / "run")
    (tmp_path / "seeded").mkdir()
    import tiny_artifacts
    import tiny_graphs

    from densecast.spec.options import BuildOptions, InputShape

    fixed = BuildOptions("reference", shape=InputShape(height=24, width=32))
    other = tiny_artifacts.compiled(tmp_path / "seeded", fixed, tiny_graphs.segmentation(seed=3))
    with pytest.raises(UsageError, match=r"another artifact \(key"):
        evaluated(other.folder, root / "data", tmp_path / "run")
    (data / "imgs" / "0000_01.jpg").unlink()
    (data / "masks" / "0000_01_mask.gif").unlink()
    with pytest.raises(UsageError, match=r"other data \(images 20, now 19"):
        evaluated(pipeline, data, tmp_path / "run")
    with pytest.raises(UsageError, match=r"other options \(predictions not kept, now kept"):
        evaluated(pipeline, root / "data", tmp_path / "run", keep_predictions=True)
    with (
        Pipeline.open(root / "built", augment=api.Augment(flip=True)) as flipped,
        pytest.raises(UsageError, match="views"),
    ):
        evaluated(flipped, root / "data", tmp_path / "run")
    assert tree(tmp_path / "run") == before


def test_images_that_changed_since_are_noticed(pipeline: Pipeline, data: Path, tmp_path: Path) -> None:
    evaluated(pipeline, data, tmp_path / "run")
    with (data / "imgs" / "0004_01.jpg").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BadInputError, match=r"0004_01\.jpg has \d+ bytes and had \d+"):
        evaluated(pipeline, data, tmp_path / "run")


def test_shards_in_any_order_make_the_same_score_and_none_may_be_missing(
    pipeline: Pipeline, root: Path, plain: EvaluateResult, tmp_path: Path
) -> None:
    run, done = tmp_path / "run", 0
    for place in (3, 1):
        stored = StoreOptions(str(run), shard=f"{place}/3", shard_size=2)
        done += evaluate_shard(pipeline, root / "data", ALL, stored=stored).done
    with pytest.raises(BadStoreError, match=f"{20 - done} of 20 images have no record yet: 00"):
        merge(run)
    last = evaluate_shard(pipeline, root / "data", ALL, stored=StoreOptions(str(run), shard="2/3"))
    assert done + last.done == 20 and last.images == last.done
    files = len(list((run / "done").iterdir()))
    assert merge(run) == plain and merge(run) == plain
    assert files > 5 and len(list((run / "done").iterdir())) == 1 and len(rows(run)) == 20


def test_stores_of_several_machines_are_merged_and_foreign_ones_refused(
    pipeline: Pipeline, root: Path, data: Path, plain: EvaluateResult, tmp_path: Path
) -> None:
    for place in (1, 2):
        stored = StoreOptions(str(tmp_path / f"part{place}"), shard=f"{place}/2")
        evaluate_shard(pipeline, root / "data", ALL, stored=stored)
    # Computed twice: each image counts once.
    evaluate_shard(pipeline, root / "data", ALL, stored=StoreOptions(str(tmp_path / "again"), shard="1/2"))
    assert merge(tmp_path / "part1", [tmp_path / "part2", tmp_path / "again"]) == plain
    assert len(rows(tmp_path / "part1")) == 20
    (data / "imgs" / "0000_01.jpg").unlink()
    (data / "masks" / "0000_01_mask.gif").unlink()
    evaluated(pipeline, data, tmp_path / "foreign")
    with pytest.raises(UsageError, match="other data"):
        merge(tmp_path / "part1", [tmp_path / "foreign"])


def test_images_that_two_processes_have_computed_count_once(
    pipeline: Pipeline, root: Path, plain: EvaluateResult, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        evaluated(pipeline, root / "data", tmp_path / name)
    for path in (tmp_path / "two" / "done").iterdir():
        shutil.copy(path, tmp_path / "one" / "done")
    assert len(rows(tmp_path / "one")) == 40
    assert evaluated(pipeline, root / "data", tmp_path / "one") == plain
    assert merge(tmp_path / "one") == plain and len(rows(tmp_path / "one")) == 20


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_goes_on(
    pipeline: Pipeline, root: Path, plain: EvaluateResult, tmp_path: Path
) -> None:
    kills(pipeline, root, plain, tmp_path, count=5)


@pytest.mark.slow
def test_killed_at_fifty_moments_the_same_command_goes_on(tmp_path: Path) -> None:
    root = prepare(tmp_path / "large", count=400)
    with Pipeline.open(root / "built", mode="throughput") as pipeline:
        kills(pipeline, root, api.evaluate(pipeline, root / "data", ALL), tmp_path, count=50)


def kills(pipeline: Pipeline, root: Path, plain: EvaluateResult, tmp_path: Path, count: int) -> None:
    """Start the evaluation and kill it, so many times; every part that is there is whole, and nothing is done twice."""
    rng, run = random.Random(count), tmp_path / "killed"
    began = time.monotonic()
    evaluated(pipeline, root / "data", tmp_path / "timed", shard_size=4)
    whole_s = time.monotonic() - began
    for _ in range(count):
        before = {row["id"]: row["finished"] for row in rows(run)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads around, which it does not use
            child = os.fork()
        if not child:
            try:
                evaluated(root / "built", root / "data", run, shard_size=4)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, whole_s * 2 / count + 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        after = [row["id"] for row in rows(run)]
        assert (
            len(after) == len(set(after))
            and {row["id"]: row["finished"] for row in rows(run)}.items() >= before.items()
        )
    assert evaluated(pipeline, root / "data", run).score == plain.score
    assert sorted(row["id"] for row in rows(run)) == sorted(plain.score.per_image)


def test_damaged_files_are_refused_by_name(pipeline: Pipeline, root: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    evaluated(pipeline, root / "data", run)
    part = max((run / "done").iterdir())
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 4
    part.write_bytes(content)
    with pytest.raises(BadStoreError, match=f"{part.name} is damaged"):
        merge(run)
    part.write_bytes(content[:50])
    with pytest.raises(BadStoreError, match=f"{part.name} is damaged"):
        evaluated(pipeline, root / "data", run)
    part.unlink()
    assert evaluated(pipeline, root / "data", run).score.count == 20
    (run / "store.json").write_text("{")
    with pytest.raises(BadStoreError, match=r"store\.json is damaged"):
        merge(run)


def test_a_store_that_lost_files_goes_on_and_takes_no_other_runs_records(
    pipeline: Pipeline, root: Path, plain: EvaluateResult, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    evaluated(pipeline, root / "data", run, shard_size=7)
    api.evaluate(pipeline, root / "data", replace(ALL, limit=4), stored=StoreOptions(str(other)))
    before = {row["id"]: row["finished"] for row in rows(run)}
    for lost in ("store.json", "ids.parquet"):
        (run / lost).unlink()
        assert evaluated(pipeline, root / "data", run) == plain and (run / lost).is_file()
    assert {row["id"]: row["finished"] for row in rows(run)} == before
    # Of another run: by a file that was copied, and where nothing says what the files are of.
    part = next((other / "done").iterdir())
    shutil.copy(part, run / "done")
    for use in (lambda: evaluated(pipeline, root / "data", run), lambda: merge(run), lambda: api.report_store(run)):
        with pytest.raises(BadStoreError, match=f"{part.name} holds records of another run"):
            use()
    (run / "done" / part.name).unlink()
    (other / "store.json").unlink()
    with pytest.raises(UsageError, match=r"another run, whose store\.json is gone"):
        evaluated(pipeline, root / "data", other)
    assert not (other / "store.json").exists()


def test_a_place_that_takes_no_records_is_said(pipeline: Pipeline, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WriteError, match="takes no records"):
        evaluated(pipeline, root / "data", tmp_path / "file" / "run")
    api.infer_stored(pipeline, [root / "data" / "imgs"], StoreOptions(str(tmp_path / "run")))
    with pytest.raises(UsageError, match="holds records of infer, not of evaluate"):
        evaluated(pipeline, root / "data", tmp_path / "run")


def test_nothing_of_the_users_is_taken_for_a_store(pipeline: Pipeline, root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    for name in ("mine", "mine/notes.txt"):
        with pytest.raises(UsageError, match="Name a"):
            evaluated(pipeline, root / "data", tmp_path / name)
    assert tree(tmp_path / "mine") == {"notes.txt": b"precious"}
    with pytest.raises(BadStoreError, match="no store"):
        merge(tmp_path / "mine")


def test_a_store_behind_a_url_is_as_good(pipeline: Pipeline, root: Path, plain: EvaluateResult) -> None:
    fsspec = pytest.importorskip("fsspec")
    url = "memory://stores/run"
    assert evaluated(pipeline, root / "data", url, shard_size=6) == plain
    assert evaluated(pipeline, root / "data", url) == plain
    assert merge(url) == plain
    assert len(fsspec.filesystem("memory").ls("/stores/run/done")) == 1


def test_kept_predictions_are_the_tasks_own_files(pipeline: Pipeline, root: Path, tmp_path: Path) -> None:
    import io

    from PIL import Image

    evaluated(pipeline, root / "data", tmp_path / "run", keep_predictions=True)
    for row in rows(tmp_path / "run")[:3]:
        assert row["prediction_suffix"] == ".png"
        with Image.open(io.BytesIO(row["prediction"])) as image:
            found = np.asarray(image)
        assert int((found == 1).sum()) == row["count_predicted"]


def test_data_from_python_are_recorded_by_their_pixels(pipeline: Pipeline, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(3)]
    items = [(f"caf\udce9\\{n}", image, np.zeros((48, 64), np.uint8)) for n, image in enumerate(images)]
    run = StoreOptions(str(tmp_path / "run"))
    found = api.evaluate(pipeline, items, stored=run)
    assert found.score == api.evaluate(pipeline, items).score
    assert found.score == api.evaluate(pipeline, items, stored=run).score
    assert {row["sha256"] for row in rows(tmp_path / "run")} == {
        hashlib.sha256(each.tobytes()).hexdigest() for each in images
    }


def test_the_command_line_keeps_records_and_names_what_failed(root: Path, data: Path, tmp_path: Path) -> None:
    given = ("evaluate", root / "built", "--data", data, "--split", "all", "-q")
    assert "--retry-failed has an effect" in failed(2, *given, "--retry-failed")
    assert "--max-errors must be a number" in failed(2, *given, "--store", tmp_path / "run", "--max-errors", "many")
    assert "--shard must be K/N" in failed(2, *given, "--store", tmp_path / "run", "--shard", "4/3")
    told = failed(2, *given, "--store", tmp_path / "run", "--shard", "1/2", "--results", tmp_path / "results.json")
    assert "--results is of all images" in told
    assert "--on must be local" in failed(2, *given, "--store", tmp_path / "run", "--on", "spark")
    assert "no store" in failed(3, "merge", tmp_path / "none")


def test_a_store_is_reported_and_two_are_compared_image_by_image(
    pipeline: Pipeline, root: Path, data: Path, plain: EvaluateResult, tmp_path: Path
) -> None:
    evaluated(pipeline, root / "data", tmp_path / "one")
    report = densecast("report", tmp_path / "one")
    worst = min(plain.score.per_image, key=lambda each: (plain.score.per_image[each], each))
    assert report.code == 0 and "20 of 20 images done" in report.out and f"{plain.score.value:.4f}" in report.out
    assert worst in report.out
    # The same ids, of which one has another mask.
    write_mask(data / "masks" / "0007_01_mask.gif", np.ones((48, 64), np.uint8))
    other = evaluated(pipeline, data, tmp_path / "two").score
    ended = densecast("compare", "results", tmp_path / "one", tmp_path / "two", "--json", tmp_path / "out.json")
    assert ended.code == 0, ended.err
    import json

    found = json.loads((tmp_path / "out.json").read_text())
    (changed,) = found["changed"]
    assert changed["id"] == "0007_01" and found["images"] == 20
    assert changed["worse"] == pytest.approx(plain.score.per_image["0007_01"] - other.per_image["0007_01"])
    assert found["drop"]["value"] == pytest.approx(plain.score.value - other.value)
    gate = ("compare", "results", tmp_path / "two", tmp_path / "one", "--tolerance", f"{plain.score.name}=0.0001")
    assert densecast(*gate).code == (1 if other.value > plain.score.value + 0.0001 else 0)
