"""Compiled models are kept between loads, and never used for another content, version, CPU, or when damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs

from densecast.artifact import Artifact
from densecast.backends._base import BACKENDS
from densecast.io import cache
from densecast.runtime import machine
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.builder import build

FEED = np.random.default_rng(0).random((1, 3, 24, 32), dtype=np.float32)


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def engine(request: pytest.FixtureRequest) -> str:
    missing = BACKENDS.load(request.param).capabilities().missing
    if missing:
        pytest.skip(missing)
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def artifact(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Built with another cache than that of a test: a build tries its model, and that is kept, too."""
    return built(engine, tmp_path_factory.mktemp(engine), 0)


def built(engine: str, folder: Path, seed: int) -> Artifact:
    (folder / f"{seed}").mkdir()
    source = tiny_artifacts.exported(folder / f"{seed}", tiny_graphs.segmentation(seed=seed))
    options = BuildOptions(engine, shape=InputShape(height=24, width=32))
    return build(source, folder / f"{seed}" / "built", options)


def logits(engine: str, artifact: Artifact, threads: int = 1) -> np.ndarray:
    runner = BACKENDS.load(engine).load(artifact, ExecutionConfig(threads))
    found = runner.run({"image": FEED})["logits"].copy()
    runner.close()
    return found


def blobs(own_cache: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (own_cache / "compiled").iterdir()}


def test_the_second_load_compiles_nothing_and_gives_the_same(engine: str, artifact: Artifact, own_cache: Path) -> None:
    first = logits(engine, artifact)
    kept = blobs(own_cache)
    assert len(kept) == 1
    np.testing.assert_array_equal(logits(engine, artifact), first)
    assert blobs(own_cache) == kept


def test_another_content_is_another_model(engine: str, artifact: Artifact, own_cache: Path, tmp_path: Path) -> None:
    other = built(engine, tmp_path, 1)
    shutil.rmtree(own_cache)
    first, second = logits(engine, artifact), logits(engine, other)
    assert len(blobs(own_cache)) == 2
    assert np.abs(first - second).max() > 0.1


def test_another_cpu_is_another_model(
    engine: str, artifact: Artifact, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = logits(engine, artifact)
    name, _ = machine.cpu()
    monkeypatch.setattr(machine, "cpu", lambda: (name, ()))
    np.testing.assert_array_equal(logits(engine, artifact), first)
    assert len(blobs(own_cache)) == 2


def test_another_version_of_the_engine_is_another_model(
    engine: str, artifact: Artifact, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits(engine, artifact)
    if engine == "openvino":
        import openvino

        monkeypatch.setattr(openvino, "get_version", lambda: "0.1")
    else:
        import onnxruntime

        monkeypatch.setattr(onnxruntime, "__version__", "0.1")
    logits(engine, artifact)
    assert len(blobs(own_cache)) == 2


def test_a_damaged_model_is_compiled_again(engine: str, artifact: Artifact, own_cache: Path) -> None:
    first = logits(engine, artifact)
    ((name, (_, whole)),) = blobs(own_cache).items()
    for damaged in (b"", whole[:-7], whole[:100] + b"?" + whole[101:]):
        (own_cache / "compiled" / name).write_bytes(damaged)
        np.testing.assert_array_equal(logits(engine, artifact), first)
        # Compiled again, and kept again.
        assert cache.read_blob(name.removesuffix(".blob")) is not None


def test_a_cache_that_cannot_be_written_does_not_matter(engine: str, artifact: Artifact, own_cache: Path) -> None:
    own_cache.write_text("a file where the folder should be")
    assert np.isfinite(logits(engine, artifact)).all()


def test_a_blob_that_the_engine_refuses_is_compiled_again(engine: str, artifact: Artifact, own_cache: Path) -> None:
    if engine != "openvino":
        pytest.skip("it keeps an ONNX graph, which no build of the same version refuses")
    first = logits(engine, artifact)
    ((name, _),) = blobs(own_cache).items()
    cache.write_blob(name.removesuffix(".blob"), b"whole by its hash, but of no engine")
    np.testing.assert_array_equal(logits(engine, artifact), first)
