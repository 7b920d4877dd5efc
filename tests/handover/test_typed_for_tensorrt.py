"""The graph for TensorRT has its types in it: int8 by symmetric pairs before convolutions, float16 elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from command_line import densecast, failed
from made_handovers import SIZE_HW, coarse, exported, picture, planes_of, run, spec
from onnx import TensorProto, numpy_helper
from PIL import Image

from densecast import ExportToOptions, QuantizeOptions, export_to
from densecast.artifact import Artifact
from densecast.spec.tensor import Dim
from densecast.tasks.segmentation import SegmentationDecode

RGB = picture()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return exported(tmp_path_factory.mktemp("source"), coarse(), spec(SegmentationDecode()))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(1, 5):
        Image.fromarray(picture(seed=seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def graph(source: Artifact, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "tensorrt"
    result = export_to("tensorrt-onnx", source, out, data=photos)
    assert result.precision == "int8" and any("not run on TensorRT" in each for each in result.remarks)
    return out / "model.onnx"


def test_convolutions_read_symmetric_int8_with_zero_points_of_zero_and_scales_of_float16(graph: Path) -> None:
    model = onnx.load(graph)
    values = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    layers = [node for node in model.graph.node if node.op_type == "Conv"]
    assert layers
    for layer in layers:
        left, right = makers[layer.input[0]], makers[layer.input[1]]
        assert [left.op_type, right.op_type] == ["DequantizeLinear"] * 2
        assert makers[left.input[0]].op_type == "QuantizeLinear"
        weights = values[right.input[0]]
        assert weights.dtype == np.int8 and weights.min() >= -127
        for pair in (left, right, makers[left.input[0]]):
            assert values[pair.input[1]].dtype == np.float16 and (values[pair.input[1]] > 0).all()
            assert values[pair.input[2]].dtype == np.int8 and not values[pair.input[2]].any()
        # A scale a channel, under which no weight is further off than half a step.
        (original,) = (numpy_helper.to_array(each) for each in coarse().graph.initializer if each.name == "w1")
        scales = values[right.input[1]].astype(np.float64).reshape(-1, 1, 1, 1)
        assert scales.size == original.shape[0]
        assert (np.abs(weights * scales - original) <= scales / 2 + 1e-9).all()


def test_no_float32_is_left_in_the_graph(graph: Path) -> None:
    inferred = onnx.shape_inference.infer_shapes(onnx.load(graph), strict_mode=True, data_prop=True)
    kinds = {each.name: each.type.tensor_type.elem_type for each in inferred.graph.value_info}
    scales = {name for node in inferred.graph.node if node.op_type == "Resize" for name in node.input[1:3]}
    assert [name for name, kind in kinds.items() if kind == TensorProto.FLOAT and name not in scales] == []
    floats = [each.name for each in inferred.graph.initializer if each.data_type == TensorProto.FLOAT]
    assert set(floats) <= scales
    assert inferred.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert inferred.graph.output[0].type.tensor_type.elem_type == TensorProto.INT32


def test_its_labels_on_the_engines_of_a_cpu_are_nearly_those_of_float32(graph: Path) -> None:
    planes = planes_of(coarse(), RGB)
    best = np.sort(planes, axis=0)
    sure = best[-1] - best[-2] > 0.1
    assert sure.mean() > 0.8
    labels = run(graph, RGB[None])["class_id"]
    assert labels.shape == (1, *SIZE_HW)
    np.testing.assert_array_equal(labels[0][sure], planes.argmax(axis=0)[sure])
    np.testing.assert_array_equal(run(graph, RGB[None])["class_id"], labels)


def test_openvino_reads_it_alike(graph: Path) -> None:
    import openvino

    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    (labels,) = compiled([RGB[None]]).values()
    assert np.mean(labels != run(graph, RGB[None])["class_id"]) < 0.01


def test_excluded_layers_stay_in_float16(source: Artifact, photos: Path, tmp_path: Path) -> None:
    options = ExportToOptions(quantize=QuantizeOptions(excluded_types=("Conv",)))
    export_to("tensorrt-onnx", source, tmp_path / "out", options, data=photos)
    operators = {node.op_type for node in onnx.load(tmp_path / "out" / "model.onnx").graph.node}
    assert "Conv" in operators and "QuantizeLinear" not in operators


def test_what_it_needs_is_said(source: Artifact, photos: Path, tmp_path: Path) -> None:
    given = source.folder
    assert "--data" in failed(2, "export-to", "tensorrt-onnx", given, "--out", tmp_path / "a")
    ended = densecast("export-to", "tensorrt-onnx", given, "--out", tmp_path / "b", "-p", "fp16")
    assert ended.code == 0 and "(fp16)" in ended.out
    told = failed(2, "export-to", "tensorrt-onnx", given, "--out", tmp_path / "c", "-p", "fp16", "--data", photos)
    assert "not calibrated" in told
    described = source.spec
    assert isinstance(described.input.shape[0], Dim)  # open batches become 1
    model = onnx.load(tmp_path / "b" / "model.onnx")
    assert [each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim] == [1, *SIZE_HW, 3]


def test_a_weight_beyond_float16_is_an_error_in_words(tmp_path: Path) -> None:
    model = coarse()
    weights = numpy_helper.to_array(model.graph.initializer[0]) * np.float32(1e6)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w1"))
    given = exported(tmp_path, model, spec(SegmentationDecode())).folder
    assert "float16 ends at 65504" in failed(
        3, "export-to", "tensorrt-onnx", given, "--out", tmp_path / "a", "-p", "fp16"
    )
