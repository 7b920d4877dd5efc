"""A build that computes something else is refused where it is made, or found where it is used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from onnx import numpy_helper

from densecast import artifact as artifacts
from densecast.artifact import GOLDEN
from densecast.errors import ParityError
from densecast.io import files
from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.builder import build, golden


def scaled(factor: float) -> onnx.ModelProto:
    """The tiny graph with its first weights times `factor`, and the last ones divided by it."""
    model = tiny_graphs.segmentation()
    for tensor in model.graph.initializer:
        exponent = {"w1": 1, "b1": 1, "w2": -1}[tensor.name]
        array = numpy_helper.to_array(tensor) * np.float32(factor) ** exponent
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    return model


def test_the_picture_is_the_same_on_every_machine() -> None:
    # Whole-number arithmetic: these bytes are part of the format of built artifacts.
    found = golden.picture(3, 37, 41)
    assert found.shape == (3, 37, 41) and len(np.unique(found)) > 150
    assert files.sha256_text(found.tobytes().hex())[:16] == "5e7fe8fd3ea29553"


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_build_keeps_its_answer_and_is_the_same_artifact_with_or_without(tmp_path: Path, backend: str) -> None:
    built = tiny_artifacts.compiled(tmp_path, BuildOptions(backend, shape=InputShape((1, 2), 24, 32)))
    assert GOLDEN in built.manifest.files
    without = {name: digest for name, digest in built.manifest.files.items() if name != GOLDEN}
    assert replace(built, manifest=artifacts.with_files(built.manifest, without)).identity == built.identity


def test_bytes_in_and_open_sizes_have_an_answer_too(tmp_path: Path) -> None:
    built = tiny_artifacts.compiled(tmp_path, BuildOptions("onnxruntime", uint8_input=True))
    assert GOLDEN in built.manifest.files
    assert golden.golden_feed(built.spec).dtype == np.uint8


def test_what_overflows_float16_is_not_built(tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path, scaled(1e6))
    built = build(source, tmp_path / "fp32", BuildOptions("onnxruntime"))
    assert GOLDEN in built.manifest.files
    with pytest.raises(ParityError, match=r"not finite|build is wrong"):
        build(source, tmp_path / "fp16", BuildOptions("onnxruntime", "force_float16"))
    assert not (tmp_path / "fp16").exists()


def test_an_engine_that_computes_something_else_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from densecast.backends import onnxruntime

    sound = onnxruntime.build

    def faulty(job: object, folder: Path) -> object:
        made = sound(job, folder)  # type: ignore[arg-type]
        onnx.save(tiny_graphs.segmentation(24, 32, batch=1, seed=9), folder / "model.onnx")
        return made

    monkeypatch.setattr(onnxruntime, "build", faulty)
    source = tiny_artifacts.exported(tmp_path)
    with pytest.raises(ParityError, match="the build is wrong"):
        build(source, tmp_path / "built", BuildOptions("onnxruntime", shape=InputShape((1,), 24, 32)))
