"""Predictions that are kept in records: of files and URLs, written to files from there, and never over the user's."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import failed
from made_images import write_jpeg
from made_stores import prepare, rows
from PIL import Image

import densecast
from densecast.errors import BadImageError, MissingFileError, UsageError
from densecast.pipeline import Pipeline
from densecast.spec.store_options import StoreOptions

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = prepare(tmp_path_factory.mktemp("infer_stores"), count=1)
    for place in range(6):
        write_jpeg(made / "photos" / f"{place}.jpg", seed=place)
    return made


@pytest.fixture(scope="module")
def pipeline(root: Path) -> Iterator[Pipeline]:
    with Pipeline.open(root / "built", mode="throughput") as opened:
        yield opened


def labels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def test_records_hold_the_predictions_and_files_are_made_of_them(
    pipeline: Pipeline, root: Path, tmp_path: Path
) -> None:
    plain = densecast.infer(pipeline, [root / "photos"], tmp_path / "plain")
    stored = StoreOptions(str(tmp_path / "run"))
    found = densecast.infer_stored(pipeline, [root / "photos"], stored, out=tmp_path / "out")
    assert (found.images, found.done, found.failed) == (6, 6, {})
    records = {Path(row["id"]).stem: row for row in rows(tmp_path / "run")}
    for each in plain.results:
        expected = labels(each.file.read_bytes())
        assert np.array_equal(labels(records[each.image.stem]["prediction"]), expected)
        assert np.array_equal(labels((tmp_path / "out" / each.file.name).read_bytes()), expected)
    before = rows(tmp_path / "run")
    assert densecast.infer_stored(pipeline, [root / "photos"], stored, out=tmp_path / "out").done == 6
    assert rows(tmp_path / "run") == before


def test_images_behind_urls_are_predicted_and_bad_ones_named(pipeline: Pipeline, root: Path, tmp_path: Path) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for path in (root / "photos").iterdir():
        memory.pipe_file(f"/bucket/photos/{path.name}", path.read_bytes())
    memory.pipe_file("/bucket/photos/notes.txt", b"no image")
    local = densecast.infer_stored(pipeline, [root / "photos"], StoreOptions(str(tmp_path / "local")))
    for name, given in (("folder", "memory://bucket/photos"), ("pattern", "memory://bucket/ph*/*.jpg")):
        found = densecast.infer_stored(pipeline, [given], StoreOptions(f"memory://stores/{name}"))
        assert found.done == local.done == 6
    expected = {Path(row["id"]).name: (row["sha256"], row["prediction"]) for row in rows(tmp_path / "local")}
    (tmp_path / "copied" / "done").mkdir(parents=True)
    for name in memory.ls("/stores/folder/done", detail=False):
        (tmp_path / "copied" / "done" / Path(name).name).write_bytes(memory.cat_file(name))
    copied = rows(tmp_path / "copied")
    assert {Path(row["id"]).name: (row["sha256"], row["prediction"]) for row in copied} == expected
    assert {row["id"] for row in copied} == {f"memory://bucket/photos/{place}.jpg" for place in range(6)}
    memory.pipe_file("/bucket/photos/3.jpg", b"torn")
    again = StoreOptions("memory://stores/bad", max_errors="1")
    (name,) = densecast.infer_stored(pipeline, ["memory://bucket/photos"], again).failed
    assert name == "memory://bucket/photos/3.jpg"
    with pytest.raises(BadImageError, match=r"memory://bucket/photos/3\.jpg"):
        densecast.infer_stored(pipeline, ["memory://bucket/photos"], StoreOptions("memory://stores/strict"))
    with pytest.raises(MissingFileError, match="no image matches"):
        densecast.infer_stored(pipeline, ["memory://bucket/none/*.jpg"], StoreOptions("memory://stores/none"))


def test_files_of_the_users_are_seen_before_anything_is_computed(
    pipeline: Pipeline, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "2.png").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"2\.png is there already"):
        densecast.infer_stored(pipeline, [root / "photos"], StoreOptions(str(tmp_path / "run")), out=tmp_path / "out")
    assert not (tmp_path / "run").exists() and (tmp_path / "out" / "2.png").read_bytes() == b"precious"


def test_options_without_effect_are_refused(root: Path, tmp_path: Path) -> None:
    given = ("infer", root / "built", root / "photos", "-q")
    store = ("--store", tmp_path / "run")
    assert "--out, or a --store" in failed(2, *given)
    assert "--overlay has no effect" in failed(2, *given, *store, "--overlay")
    assert "--keep-predictions" in failed(2, *given, *store, "--keep-predictions")
    assert "--max-errors" in failed(2, *given, *store, "--keep-going")
    assert "--skip-existing: with --store" in failed(2, *given, *store, "--skip-existing")
    assert "is an address" in failed(
        3, "infer", root / "built", "memory://bucket/a.jpg", "--out", tmp_path / "out", "-q"
    )
