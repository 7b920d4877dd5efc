"""A run that goes on notices images and ground truth that were replaced, and takes copies for what they are."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_images import write_jpeg
from made_stores import ALL, evaluated, prepare, rows

import densecast as api
from densecast.errors import BadInputError
from densecast.pipeline import Pipeline
from densecast.spec.store_options import StoreOptions
from densecast.verbs.stored.evaluate import evaluate_shard

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store

IMAGES = 8


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("changed"), count=IMAGES)


@pytest.fixture(scope="module")
def pipeline(root: Path) -> Iterator[Pipeline]:
    with Pipeline.open(root / "built", mode="throughput") as opened:
        yield opened


@pytest.fixture
def data(root: Path, tmp_path: Path) -> Path:
    """The data, to be changed."""
    return Path(shutil.copytree(root / "data", tmp_path / "data"))


def replace(path: Path) -> None:
    """Another file of the same name, size and time: what tools that set times back leave."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize("name", ["imgs/0003_01.jpg", "masks/0003_01_mask.gif"])
def test_a_file_that_was_replaced_by_one_of_its_size_and_time_is_noticed(
    name: str, pipeline: Pipeline, data: Path, tmp_path: Path
) -> None:
    evaluated(pipeline, data, tmp_path / "run")
    before = rows(tmp_path / "run")
    replace(data / name)
    with pytest.raises(BadInputError, match=rf"{Path(name).name} has other contents than when it was recorded"):
        evaluated(pipeline, data, tmp_path / "run")
    assert rows(tmp_path / "run") == before


def test_ground_truth_of_another_size_is_noticed(pipeline: Pipeline, data: Path, tmp_path: Path) -> None:
    evaluated(pipeline, data, tmp_path / "run")
    with (data / "masks" / "0003_01_mask.gif").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BadInputError, match=r"0003_01_mask\.gif has \d+ bytes and had \d+"):
        evaluated(pipeline, data, tmp_path / "run")


def test_copies_and_files_that_were_touched_are_the_same_data(pipeline: Pipeline, data: Path, tmp_path: Path) -> None:
    score = evaluated(pipeline, data, tmp_path / "run").score
    before = rows(tmp_path / "run")
    for path in data.rglob("*.*"):
        path.touch()
    assert evaluated(pipeline, data, tmp_path / "run").score == score
    moved = Path(shutil.copytree(data, tmp_path / "moved", copy_function=shutil.copyfile))
    assert evaluated(pipeline, moved, tmp_path / "run").score == score
    assert rows(tmp_path / "run") == before


def test_each_shard_looks_at_its_own_images(pipeline: Pipeline, data: Path, tmp_path: Path) -> None:
    def shard(place: int) -> api.ShardResult:
        stored = StoreOptions(str(tmp_path / "run"), shard=f"{place}/2")
        return evaluate_shard(pipeline, data, ALL, stored=stored)

    shard(1)
    first = {row["id"] for row in rows(tmp_path / "run")}
    shard(2)
    replace(data / "imgs" / f"{min(first)}.jpg")
    assert shard(2).done == IMAGES - len(first)
    with pytest.raises(BadInputError, match=min(first)):
        shard(1)


def test_records_that_tell_no_times_are_compared_by_contents(pipeline: Pipeline, data: Path, tmp_path: Path) -> None:
    """As those of earlier versions."""
    import pyarrow.parquet

    score = evaluated(pipeline, data, tmp_path / "run").score
    (part,) = (tmp_path / "run" / "done").iterdir()
    table = pyarrow.parquet.read_table(part).drop_columns(["stamp", "target_stamp"])
    part.unlink()
    pyarrow.parquet.write_table(table, tmp_path / "old")
    digest = hashlib.sha256((tmp_path / "old").read_bytes()).hexdigest()
    (tmp_path / "old").rename(part.with_name(f"{part.name.partition('-')[0]}-{digest[:16]}.parquet"))
    assert evaluated(pipeline, data, tmp_path / "run").score == score
    replace(data / "imgs" / "0001_01.jpg")
    with pytest.raises(BadInputError, match=r"0001_01\.jpg has other contents"):
        evaluated(pipeline, data, tmp_path / "run")


def test_arrays_of_a_program_are_compared_by_their_values(pipeline: Pipeline, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def items(changed: str = "") -> list[tuple[str, Any, Any]]:
        made = []
        for place in range(3):
            image = np.random.default_rng(place).integers(0, 256, (48, 64, 3), dtype=np.uint8)
            labels = (image[:, :, 0] > 127).astype(np.uint8)
            made.append((f"p{place}", image, labels))
        if changed:
            array = made[1][1 if changed == "image" else 2]
            array[rng.integers(48), rng.integers(64)] ^= 1
        return made

    stored = StoreOptions(str(tmp_path / "run"))
    score = api.evaluate(pipeline, items(), stored=stored).score
    assert api.evaluate(pipeline, items(), stored=stored).score == score
    for what, name in (("image", "the image p1"), ("labels", "the target of p1")):
        with pytest.raises(BadInputError, match=f"{name} has other contents"):
            api.evaluate(pipeline, items(what), stored=stored)


@pytest.mark.parametrize(
    "given", ["memory://changed/photos", "memory://changed/ph*/*.jpg", "memory://changed/photos/1.jpg"]
)
def test_an_object_that_was_replaced_by_one_of_its_size_is_noticed(
    given: str, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    contents = {place: write_jpeg(tmp_path / f"{place}.jpg", seed=place).read_bytes() for place in range(3)}
    read: list[str] = []
    plain = type(memory).cat_file

    def cat_file(system: Any, path: str, *rest: Any, **named: Any) -> bytes:
        if path.endswith(".jpg"):
            read.append(path.rpartition("/")[2])
        held: bytes = plain(system, path, *rest, **named)
        return held

    monkeypatch.setattr(type(memory), "cat_file", cat_file)
    for place, held in contents.items():
        memory.pipe_file(f"/changed/photos/{place}.jpg", held)
    stored = StoreOptions(str(tmp_path / "run"))
    done = api.infer_stored(pipeline, [given], stored).done
    read.clear()
    assert api.infer_stored(pipeline, [given], stored).done == done and not read
    memory.pipe_file("/changed/photos/1.jpg", contents[1])  # the same bytes again: only their hash tells
    assert api.infer_stored(pipeline, [given], stored).done == done and read == ["1.jpg"]
    memory.pipe_file("/changed/photos/1.jpg", contents[1][:-1] + b"\0")
    with pytest.raises(BadInputError, match=r"memory://changed/photos/1\.jpg has other contents"):
        api.infer_stored(pipeline, [given], stored)
    memory.pipe_file("/changed/photos/1.jpg", contents[1] + b"\0")
    with pytest.raises(BadInputError, match=r"memory://changed/photos/1\.jpg has \d+ bytes and had"):
        api.infer_stored(pipeline, [given], stored)
