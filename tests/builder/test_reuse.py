"""A build is kept as long as all that went into it is the same, and replaced as a whole when anything is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import tree
from made_images import write_jpeg

from densecast.artifact import Artifact
from densecast.backends import onnxruntime
from densecast.errors import BadArtifactError, UsageError
from densecast.runtime import machine
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions, Range
from densecast.spec.tensor import Dim
from densecast.verbs.builder import build, default_name

OPTIONS = BuildOptions("onnxruntime", shape=InputShape(batch=(1, 2), height=24, width=32))


@pytest.fixture
def source(tmp_path: Path) -> Artifact:
    return tiny_artifacts.exported(tmp_path)


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.iterdir()]}


def test_the_same_build_is_kept_without_work(source: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(source, tmp_path / "built", OPTIONS)
    before = times(first.folder)

    def never(*_: object) -> None:
        pytest.fail("nothing had to be compiled")

    monkeypatch.setattr(onnxruntime.BACKEND, "build", never)
    assert build(Artifact.open(source.folder), tmp_path / "built", OPTIONS) == first
    assert times(first.folder) == before


@pytest.mark.parametrize(
    "options",
    [
        replace(OPTIONS, backend="reference"),
        replace(OPTIONS, precision="force_float16"),
        replace(OPTIONS, shape=InputShape(batch=(2,), height=24, width=32)),
        replace(OPTIONS, uint8_input=True),
        replace(OPTIONS, quantize=QuantizeOptions(seed=1)),
    ],
)
def test_other_options_build_again(source: Artifact, tmp_path: Path, options: BuildOptions) -> None:
    first = build(source, tmp_path / "built", OPTIONS)
    second = build(source, tmp_path / "built", options)
    assert second.manifest.key != first.manifest.key
    assert Artifact.open(tmp_path / "built").manifest.build == options


def test_another_network_another_version_and_another_cpu_build_again(
    source: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [build(source, tmp_path / "built", OPTIONS).manifest.key]
    (tmp_path / "other").mkdir()
    other = tiny_artifacts.exported(tmp_path / "other", tiny_graphs.segmentation(seed=5))
    keys.append(build(other, tmp_path / "built", OPTIONS).manifest.key)
    real, capabilities = machine.describe(), onnxruntime.BACKEND.capabilities()
    monkeypatch.setattr(machine, "describe", lambda: replace(real, cpu="another"))
    keys.append(build(other, tmp_path / "built", OPTIONS).manifest.key)
    monkeypatch.setattr(onnxruntime.BACKEND, "capabilities", lambda: replace(capabilities, version="0.1"))
    keys.append(build(other, tmp_path / "built", OPTIONS).manifest.key)
    assert len(set(keys)) == 4


def test_a_damaged_build_is_made_again(source: Artifact, tmp_path: Path) -> None:
    first = build(source, tmp_path / "built", OPTIONS)
    (first.folder / "model.onnx").write_bytes(b"damaged")
    assert build(source, tmp_path / "built", OPTIONS).manifest.files == first.manifest.files
    (first.folder / "manifest.json").write_text("{")
    assert build(source, tmp_path / "built", OPTIONS).manifest.files == first.manifest.files


def test_a_build_that_is_interrupted_leaves_the_old_one(
    source: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(source, tmp_path / "built", OPTIONS)
    before = tree(tmp_path)
    real = onnxruntime.BACKEND.build

    def stops(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(onnxruntime.BACKEND, "build", stops)
    with pytest.raises(KeyboardInterrupt):
        build(source, tmp_path / "built", replace(OPTIONS, uint8_input=True))
    assert tree(tmp_path) == before


def test_other_calibration_images_build_again(source: Artifact, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    for index in range(4):
        write_jpeg(tmp_path / "images" / f"{index}.jpg", seed=index)
    options = replace(OPTIONS, precision="qint8_mixed_float16")
    first = build(source, tmp_path / "built", options, data=tmp_path / "images")
    assert build(source, tmp_path / "built", options, data=tmp_path / "images") == first
    write_jpeg(tmp_path / "images" / "4.jpg", seed=9)
    second = build(source, tmp_path / "built", options, data=tmp_path / "images")
    assert second.manifest.key != first.manifest.key
    # The same names with other pixels are other images.
    write_jpeg(tmp_path / "images" / "4.jpg", seed=10)
    assert build(source, tmp_path / "built", options, data=tmp_path / "images").manifest.key != second.manifest.key


def test_the_manifest_tells_how_it_was_made(source: Artifact, tmp_path: Path) -> None:
    manifest = build(source, tmp_path / "built", replace(OPTIONS, uint8_input=True)).manifest
    assert manifest.kind == "compiled" and manifest.build is not None
    assert manifest.parent == source.identity
    assert manifest.source == source.manifest.source == "tiny.onnx"
    assert any("takes bytes" in note for note in manifest.passes)
    assert any("image is now uint8 [N in 1..2, 3, 24, 32]" in note for note in manifest.passes)
    assert manifest.spec.input.dtype == "uint8" and manifest.spec.input.shape == (Dim("N", 1, 2), 3, 24, 32)
    assert manifest.machine == machine.describe()
    assert "graph.onnx" not in manifest.files


def test_int8_without_images_is_wrong_usage(source: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="calibration images"):
        build(source, tmp_path / "built", replace(OPTIONS, precision="qint8_mixed_float16"))
    with pytest.raises(BadArtifactError, match="already compiled"):
        build(build(source, tmp_path / "built", OPTIONS), tmp_path / "again", OPTIONS)


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        (InputShape(height=24, width=32), "tiny__fp32__24x32__b1__onnxruntime"),
        (InputShape(batch=(1, 4)), "tiny__fp32__8-512x8-512__b1-4__onnxruntime"),
        (InputShape(batch=Range(1, 4), width=32), "tiny__fp32__8-512x32__b1to4__onnxruntime"),
    ],
)
def test_folder_names_tell_builds_apart(source: Artifact, shape: InputShape, name: str) -> None:
    assert default_name(source.spec, replace(OPTIONS, shape=shape)) == name


def test_one_build_serves_every_listed_batch_size_and_fills_up_the_rest(source: Artifact, tmp_path: Path) -> None:
    from made_images import picture

    from densecast.pipeline import Pipeline

    images = [picture((48, 64), seed) for seed in range(7)]
    label_maps: list[list[np.ndarray]] = []
    for batch in ((1,), (4,), (1, 3), Range(1, 4)):
        options = replace(OPTIONS, shape=InputShape(batch=batch))  # type: ignore[arg-type]
        with Pipeline.open(build(source, tmp_path / f"built {batch}", options), threads=1) as pipeline:
            stream = pipeline.stream(images, lambda image: image, lambda done: done.prediction.class_id, batch=7)
            label_maps.append(list(stream))
    for others in label_maps[1:]:
        for one, other in zip(label_maps[0], others, strict=True):
            np.testing.assert_array_equal(one, other)
