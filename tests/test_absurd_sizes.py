"""Sizes that no tensor can have are refused where they are read, in a manifest, a graph or options: never followed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs

from densecast.errors import BadArtifactError, BadConfigError, BadGraphError, DensecastError, UsageError
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.preprocess import Native, Preprocess

ABSURD = (10**38, -(10**38), 2**63, 2**31, -1)


def places(plain: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a whole number stands in JSON, at any depth."""
    if isinstance(plain, dict | list):
        keys = plain.items() if isinstance(plain, dict) else enumerate(plain)
        return [found for key, value in keys for found in places(value, (*path, key))]
    return [path] if isinstance(plain, int) and not isinstance(plain, bool) else []


def put(plain: Any, path: tuple[Any, ...], value: object) -> str:
    for key in path[:-1]:
        plain = plain[key]
    plain[path[-1]] = value
    return json.dumps(plain)


@pytest.mark.parametrize(
    "backend", ["openvino", *(pytest.param(each, marks=pytest.mark.slow) for each in ("onnxruntime", "reference"))]
)
def test_any_number_of_a_manifest_may_be_absurd(tmp_path: Path, backend: str) -> None:
    built = tiny_artifacts.compiled(tmp_path, BuildOptions(backend, shape=InputShape((1,), 24, 32))).folder
    whole = json.loads((built / "manifest.json").read_text())
    whole.pop("manifest_sha256")
    image = np.zeros((48, 64, 3), np.uint8)
    refused = set()
    for path in places(whole):
        changed = json.loads(json.dumps(whole))
        put(changed, path, ABSURD[len(refused) % 3])
        (built / "manifest.json").write_text(json.dumps(changed))
        try:
            with Pipeline.open(built) as pipeline:
                pipeline(image)
        except DensecastError as error:
            assert "\n" not in str(error)
            refused.add(path)
    shape = [("spec", "inputs", 0, "shape", axis) for axis in range(4)]
    assert refused.issuperset([*shape, ("build", "shape", "batch", 0)])


@pytest.mark.parametrize("number", ABSURD)
def test_the_batch_of_a_manifest(tmp_path: Path, number: int) -> None:
    built = tiny_artifacts.compiled(tmp_path, BuildOptions("reference", shape=InputShape((1,), 24, 32))).folder
    plain = json.loads((built / "manifest.json").read_text())
    plain.pop("manifest_sha256")
    put(plain, ("spec", "inputs", 0, "shape", 0), number)
    (built / "manifest.json").write_text(json.dumps(plain))
    with pytest.raises(BadArtifactError, match="sizes must be from 0 to 2147483647"):
        Pipeline.open(built)


@pytest.mark.parametrize("size", [2**62, 2**40])
@pytest.mark.parametrize("axis", ["batch", "height"])
def test_an_input_of_a_graph(tmp_path: Path, axis: str, size: int) -> None:
    with pytest.raises(BadGraphError, match=r"input 'image' has sizes that no image has, \["):
        tiny_artifacts.exported(tmp_path, declared(**{axis: size}))
    assert not (tmp_path / "float").exists()


def test_a_size_of_minus_one_is_an_open_one(tmp_path: Path) -> None:
    # As several exporters write it.
    exported = tiny_artifacts.exported(tmp_path, declared(height=-1, width=-1))
    assert all(not isinstance(size, int) for size in exported.manifest.spec.input.shape[2:])


def declared(batch: int | None = None, height: int | None = None, width: int | None = None) -> onnx.ModelProto:
    """The tiny graph that declares other sizes of its image."""
    model = tiny_graphs.segmentation()
    for axis, size in ((0, batch), (2, height), (3, width)):
        if size is not None:
            model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    return model


@pytest.mark.parametrize("size", [10**38, 2**31, 0, -1])
def test_sizes_of_a_build(size: int) -> None:
    for given in (
        lambda: InputShape(height=size),
        lambda: InputShape((size,)),
        lambda: Range(1, size),
    ):
        with pytest.raises(UsageError, match="2147483647"):
            given()


@pytest.mark.parametrize("field", ["mean", "std", "divisor"])
@pytest.mark.parametrize("value", [1e308, 1e39, float("inf"), float("nan")])
def test_a_normalisation_beyond_float32(field: str, value: float) -> None:
    given: Any = {field: value if field == "divisor" else (value,)}
    with pytest.raises(BadConfigError) as caught:
        Preprocess(Native(), **given)
    assert caught.value.field == field
