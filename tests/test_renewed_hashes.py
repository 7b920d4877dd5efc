"""Whoever changes a built model and its hashes is found out by `verify`: the answer is not the one that was stored."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
from command_line import densecast
from onnx import numpy_helper

from densecast.errors import BadArtifactError
from densecast.io import files
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions


def renew(folder: Path) -> None:
    """Give the manifest the hashes of the files as they are, and no digest of itself."""
    path = folder / "manifest.json"
    plain = json.loads(path.read_text())
    plain.pop("manifest_sha256")
    plain["files"] = {name: files.sha256(folder / name) for name in plain["files"]}
    path.write_text(json.dumps(plain))


def scale_onnx(folder: Path) -> None:
    """Double the largest weight of the graph."""
    model = onnx.load(folder / "model.onnx")
    tensor = max(
        (each for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT),
        key=lambda each: int(np.prod(each.dims)),
    )
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.5), tensor.name))
    onnx.save(model, folder / "model.onnx")


def scale_openvino(folder: Path) -> None:
    """Make all weights half as large again."""
    (path,) = folder.glob("*.bin")
    weights = np.frombuffer(path.read_bytes(), "<f4").copy()
    changed = np.isfinite(weights) & (np.abs(weights) > 1e-3) & (np.abs(weights) < 10)
    assert changed.sum() > 100
    weights[changed] *= np.float32(1.5)
    path.write_bytes(weights.tobytes())


def swap_outputs(folder: Path) -> None:
    """Exchange the two classes: the last convolution's weights, turned over."""
    model = onnx.load(folder / "model.onnx")
    (last,) = (each for each in model.graph.initializer if list(each.dims) == [2, 8, 1, 1])
    last.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(last)[::-1].copy(), last.name))
    onnx.save(model, folder / "model.onnx")


CHANGES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "weights of an ONNX graph": ("onnxruntime", scale_onnx),
    "classes exchanged": ("onnxruntime", swap_outputs),
    "weights of an OpenVINO model": ("openvino", scale_openvino),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_model_with_renewed_hashes_fails_verification(tmp_path: Path, what: str) -> None:
    backend, change = CHANGES[what]
    options = BuildOptions(
        backend, "force_float32", InputShape((1,), 24, 32), quantize=QuantizeOptions(), half_type="auto"
    )
    built = tiny_artifacts.compiled(tmp_path, options).folder
    # Compiled models are kept: the changed one must not be taken for the one of before.
    whole = densecast("verify", built, "--json", tmp_path / "whole.json")
    assert whole.code == 0, whole.err + whole.out
    change(built)
    assert densecast("verify", built).code == 3
    renew(built)
    ended = densecast("verify", built, "--json", tmp_path / "changed.json")
    assert ended.code == 1, ended.err + ended.out
    checks = {each["name"]: each["state"] for each in json.loads((tmp_path / "changed.json").read_text())["checks"]}
    assert checks["files"] == "ok" and checks["answer"] == "failed"


@pytest.mark.parametrize("pads", ["1, 4294967296", "1, 30000000"])
def test_a_model_that_was_changed_to_need_more_memory_than_there_is_is_refused_before_it_is_compiled(
    tmp_path: Path, pads: str
) -> None:
    options = BuildOptions("openvino", "force_float32", InputShape((1,), 24, 32), half_type="auto")
    built = tiny_artifacts.compiled(tmp_path, options).folder
    text = (built / "model.xml").read_text()
    assert 'pads_end="1, 1"' in text
    (built / "model.xml").write_text(text.replace('pads_end="1, 1"', f'pads_end="{pads}"', 1))
    renew(built)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadArtifactError, match="makes a tensor of"):
        Pipeline.open(built)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20
