"""Artifacts and data behind URLs are what they are on a disk: copied once, anew where they changed, never mixed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import densecast, failed
from made_stores import prepare

import densecast as package
from densecast.errors import BadArtifactError, BadDatasetError, BadInputError, MissingFileError
from densecast.io import cache, mirror, remote
from densecast.pipeline import Pipeline
from densecast.spec.store_options import StoreOptions
from densecast.verbs.builder import calibration

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.store
ALL = package.EvaluateOptions(split="all")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("mirrored"), count=6)


class Counting:
    """The file system of a bucket, which counts what is read."""

    def __init__(self, memory: Any, patch: pytest.MonkeyPatch) -> None:
        self.memory, self.read = memory, list[str]()
        plain = type(memory).cat_file

        def cat_file(system: Any, path: str, *rest: Any, **named: Any) -> bytes:
            self.read.append(path.rpartition("/")[2])
            data: bytes = plain(system, path, *rest, **named)
            return data

        patch.setattr(type(memory), "cat_file", cat_file)

    def put(self, folder: Path, name: str) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                self.memory.pipe_file(f"/bucket/{name}/{path.relative_to(folder)}", path.read_bytes())


@pytest.fixture
def bucket(root: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> Iterator[Counting]:
    monkeypatch.setattr("densecast.io.mirror.FRESH_S", 0.0)
    made = Counting(fsspec.filesystem("memory"), monkeypatch)
    made.put(root / "built", "model")
    made.put(root / "data", "data")
    yield made
    made.memory.rm("/bucket", recursive=True)


def test_an_artifact_behind_a_url_predicts_as_the_one_on_disk_and_is_fetched_once(
    root: Path, bucket: Counting, tmp_path: Path
) -> None:
    image = next((root / "data" / "imgs").iterdir())
    out = ("--out", tmp_path / "out", "-q")
    ended = densecast("infer", "memory://bucket/model", image, *out)
    assert ended.code == 0, ended.err
    assert densecast("infer", root / "built", image, "--out", tmp_path / "local", "-q").code == 0
    name = f"{image.stem}.png"
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    bucket.read.clear()
    with Pipeline.open("memory://bucket/model", threads=1):
        pass
    assert set(bucket.read) <= {"manifest.json"}


def test_another_artifact_at_the_same_url_is_another_and_a_mixture_is_none(
    root: Path, bucket: Counting, tmp_path: Path
) -> None:
    with Pipeline.open("memory://bucket/model", threads=1) as pipeline:
        assert pipeline.artifact is not None
        before = pipeline.artifact.meaning
    other = prepare(tmp_path / "other", count=1)
    package.build(other / "float", other / "again", package.BuildOptions("onnxruntime"))
    bucket.put(other / "again", "model")
    with Pipeline.open("memory://bucket/model", threads=1) as pipeline:
        assert pipeline.artifact is not None and pipeline.artifact.meaning != before
        (weights,) = (each for each in pipeline.artifact.manifest.files if each == "model.onnx")
    bucket.put(other / "again", "torn")
    bucket.memory.pipe_file(f"/bucket/torn/{weights}", b"half")
    shutil.rmtree(cache.folder() / "remote")
    with pytest.raises(BadArtifactError, match=f"{weights} does not have the hash"):
        Pipeline.open("memory://bucket/torn")
    bucket.memory.rm(f"/bucket/torn/{weights}")
    with pytest.raises(BadArtifactError, match=f"{weights} is missing"):
        Pipeline.open("memory://bucket/torn")
    with pytest.raises(MissingFileError, match=r"memory://bucket/nothing .*manifest\.json"):
        Pipeline.open("memory://bucket/nothing")


def test_data_behind_a_url_score_as_those_on_disk_and_only_what_changed_is_fetched_again(
    root: Path, bucket: Counting, tmp_path: Path
) -> None:
    plain = package.evaluate(root / "built", root / "data", ALL)
    stored = StoreOptions(str(tmp_path / "run"))
    found = package.evaluate("memory://bucket/model", "memory://bucket/data", ALL, stored=stored)
    assert found.score == plain.score
    bucket.read.clear()
    assert package.evaluate(root / "built", "memory://bucket/data", ALL).score == plain.score
    assert not bucket.read
    image, mask = (sorted((root / "data" / each).iterdir())[-1] for each in ("imgs", "masks"))
    bucket.memory.pipe_file(f"/bucket/data/imgs/{image.name}", image.read_bytes() + b"\0")
    with pytest.raises(BadInputError, match="have changed"):
        package.evaluate("memory://bucket/model", "memory://bucket/data", ALL, stored=stored)
    assert [name for name in bucket.read if name != "manifest.json"] == [image.name]
    bucket.memory.rm(f"/bucket/data/masks/{mask.name}")
    with pytest.raises(BadInputError, match=f"no mask.*{mask.stem}"):
        package.evaluate("memory://bucket/model", "memory://bucket/data", ALL)


def test_a_request_that_fails_is_made_again_and_one_that_hangs_ends(
    bucket: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.001)
    plain, failures = type(bucket.memory).cat_file, [OSError("reset"), OSError("reset")]

    def flaky(system: Any, path: str, *rest: Any, **named: Any) -> bytes:
        if failures:
            raise failures.pop()
        data: bytes = plain(system, path, *rest, **named)
        return data

    monkeypatch.setattr(type(bucket.memory), "cat_file", flaky)
    with Pipeline.open("memory://bucket/model", threads=1):
        assert not failures
    failures += [OSError("gone for good")] * 10
    with pytest.raises(BadInputError, match=r"gone for good.*after 4 attempts"):
        Pipeline.open("memory://bucket/model")


def test_urls_that_cannot_be_meant_are_refused(root: Path, bucket: Counting, tmp_path: Path) -> None:
    assert "memory://bucket/none" in failed(3, "evaluate", root / "built", "--data", "memory://bucket/none", "-q")
    assert "nowhere://" in failed(2, "evaluate", "nowhere://bucket/model", "--data", root / "data", "-q")
    bucket.put(root / "float", "float")
    assert "name the folder to build into" in failed(2, "build", "memory://bucket/float", "-b", "reference", "-q")
    told = failed(2, "build", root / "float", "-b", "reference", "--out", "memory://bucket/built", "-q")
    assert "is a URL" in told
    built = densecast("build", "memory://bucket/float", "-b", "reference", "--out", tmp_path / "built", "-q")
    assert built.code == 0, built.err


def test_a_folder_whose_name_ends_in_a_colon_is_a_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(root / "float", tmp_path / "mine:" / "float")
    built = densecast("build", "mine:/float", "-b", "reference", "--out", "mine:/built", "-q")
    assert built.code == 0 and (tmp_path / "mine:" / "built" / "manifest.json").is_file(), built.err


def test_calibration_images_behind_a_url_are_those_on_disk(root: Path, bucket: Counting) -> None:
    spec = package.artifact.Artifact.open("memory://bucket/model").spec
    options = package.QuantizeOptions(images=3)
    there, recorded = calibration.choose(spec, options, Path("memory://bucket/data/imgs"))
    here, wanted = calibration.choose(spec, options, root / "data" / "imgs")
    assert [item.path.read_bytes() for item in there] == [item.path.read_bytes() for item in here]
    assert recorded == wanted


@pytest.mark.parametrize(("spare", "fits"), [(0, True), (-1, False)])
def test_data_for_which_the_cache_has_no_room_are_refused_before_they_are_fetched(
    spare: int, fits: bool, root: Path, bucket: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum(path.stat().st_size for path in (root / "data").rglob("*") if path.is_file())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=needed + spare))
    if fits:
        assert mirror.data("memory://bucket/data").is_dir()
        return
    with pytest.raises(BadDatasetError, match=r"GiB more in the cache .*Set DENSECAST_CACHE") as error:
        mirror.data("memory://bucket/data")
    assert error.value.field == "data" and not [each for each in bucket.read if each.endswith(".jpg")]
