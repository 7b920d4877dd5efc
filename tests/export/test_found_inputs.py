"""ONNX files with inputs and outputs of any layout, type and count of channels: exported and predicted right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import found_graphs
import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import tiny_artifacts
from found_graphs import Kind
from onnx import TensorProto as T

from densecast import Pipeline
from densecast.artifact import Artifact
from densecast.errors import BadConfigError, BadGraphError
from densecast.spec.options import BuildOptions, Range
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.builder import build
from densecast.verbs.export import SpecFile, export_file, found_inputs

NATIVE = Preprocess(Native())
SIZE_HW = (45, 61)

# Kind of graph, and what a value 0..255 is divided by before the graph gets it: nothing where it takes whole numbers.
KINDS = {
    "channels last": (Kind(channels_last=True), 255),
    "channels last, fixed": (Kind(channels_last=True, sizes=(1, *SIZE_HW)), 255),
    "channels last, no names of sizes": (Kind(channels_last=True, sizes=(None, None, None)), 255),
    "bytes": (Kind(T.UINT8), 1),
    "bytes, channels last": (Kind(T.UINT8, channels_last=True), 1),
    "whole numbers of 32 bits": (Kind(T.INT32), 1),
    "whole numbers of 64 bits, channels last": (Kind(T.INT64, channels_last=True), 1),
    "float16": (Kind(T.FLOAT16), 255),
    "float16, channels last, in and out": (Kind(T.FLOAT16, channels_last=True, out_kind=T.FLOAT16, out_last=True), 255),
    "double in and out": (Kind(T.DOUBLE, out_kind=T.DOUBLE), 255),
    "logits channels last": (Kind(out_last=True), 255),
    "labels channels last": (Kind(T.FLOAT16, channels_last=True, out_last=True, argmax=True), 255),
    "labels of two as bool": (Kind(classes=2, argmax=True, out_kind=T.BOOL), 255),
    "labels of 16 bits": (Kind(argmax=True, out_kind=T.UINT16), 255),
    "grey": (Kind(channels=1), 255),
    "grey bytes, channels last": (Kind(T.UINT8, channels_last=True, channels=1), 1),
    "no batch axis": (Kind(has_batch=False), 255),
    "no batch axis, channels last": (Kind(T.UINT8, has_batch=False, channels_last=True, out_last=True), 1),
    "no batch axis, labels": (Kind(has_batch=False, argmax=True), 255),
    "old opset": (Kind(T.UINT8, channels_last=True, opset=9), 1),
}


@pytest.mark.parametrize(
    ("nodes", "channels"),
    [("y = Conv (image, w)", 1), ("t = Transpose <perm = [0, 3, 1, 2]> (image) y = Conv (t, w)", 5)],
)
def test_where_all_sizes_are_open_the_first_layer_tells_the_channels(nodes: str, channels: int) -> None:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[N, A, B, C] image) => (float[N, D, E, F] y) {{ {nodes} }}'
    )
    weight = np.zeros((2, channels, 1, 1), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    assert found_inputs.adapt(model, tiny_artifacts.spec(), None).spec.input.shape[1] == channels


def picture(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (*SIZE_HW, channels), np.uint8)


def exported(folder: Path, model: onnx.ModelProto, rule: Preprocess = NATIVE, labels: int = 3, **more: int) -> Artifact:
    onnx.save(model, folder / "found.onnx")
    names = tuple(f"c{index}" for index in range(labels))
    spec = SpecFile(names, rule, side=Range(8, 512), largest_batch=4, **more).model("found")  # type: ignore[arg-type]
    return export_file(folder / "found.onnx", spec, folder / "float")


@pytest.mark.parametrize("name", KINDS)
def test_graphs_are_exported_as_they_are_found(name: str, tmp_path: Path) -> None:
    made, divisor = KINDS[name]
    artifact = exported(tmp_path, found_graphs.graph(made), labels=made.classes)
    tensor = artifact.spec.input
    assert (tensor.dtype, tensor.shape[1]) == ("float32", made.channels)
    image = picture(made.channels)
    session = onnxruntime.InferenceSession(artifact.file("model.onnx"), providers=["CPUExecutionProvider"])
    # What densecast feeds: by its declared preprocessing, which must be what the graph's type asks for.
    rule = artifact.spec.preprocess_of(tensor.name)
    assert {each * rule.divisor for each in rule.std} == {divisor}
    feed = (image.astype(np.float32) / np.float32(divisor)).transpose(2, 0, 1)[None]
    (answer,) = session.run(None, {tensor.name: feed})
    wanted = found_graphs.right_map(made, image, divisor)
    assert answer.dtype == np.float32 or made.argmax
    np.testing.assert_allclose(answer.reshape(wanted.shape), wanted, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("labels channels last", "openvino"),
        ("grey bytes, channels last", "onnxruntime"),
        ("no batch axis, channels last", "openvino"),
    ],
)
def test_pictures_get_the_labels_of_the_graph_as_it_was_found(name: str, backend: str, tmp_path: Path) -> None:
    made, divisor = KINDS[name]
    artifact = exported(tmp_path, found_graphs.graph(made), labels=made.classes)
    image = picture(made.channels)
    with Pipeline.open(build(artifact, tmp_path / "built", BuildOptions(backend)).folder) as pipeline:
        labels = pipeline(image[:, :, 0] if made.channels == 1 else image).class_id
    wanted = found_graphs.right_map(made, image, divisor)
    wanted = wanted if made.argmax else wanted.argmax(axis=0)
    assert 0.02 < (wanted == 1).mean() < 0.98
    assert (labels != wanted).mean() < 2e-3


def test_a_network_of_many_bands_takes_those_of_the_files(tmp_path: Path) -> None:
    made = Kind(channels=7)
    artifact = exported(tmp_path, found_graphs.graph(made))
    assert any("7 channels: the bands of the files" in note for note in artifact.manifest.passes)
    with Pipeline.open(build(artifact, tmp_path / "built", BuildOptions("onnxruntime")).folder) as pipeline:
        labels = pipeline(picture(7)).class_id
    assert (labels != found_graphs.right_map(made, picture(7)).argmax(axis=0)).mean() < 2e-3


def test_weights_that_are_listed_as_inputs_are_constants(tmp_path: Path) -> None:
    model = found_graphs.graph(Kind())
    weight = model.graph.initializer[0]
    model.graph.input.append(onnx.helper.make_tensor_value_info("w", T.FLOAT, list(weight.dims)))
    artifact = exported(tmp_path, model)
    (value,) = onnx.load(artifact.file("model.onnx")).graph.input
    assert value.name == "image.in:0"
    build(artifact, tmp_path / "built", BuildOptions("onnxruntime", uint8_input=True))


def test_bytes_with_a_mean_and_deviation_of_floats_are_refused(tmp_path: Path) -> None:
    rule = Preprocess(Native(), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), divisor=255)
    with pytest.raises(BadGraphError, match=r"uint8, 0\.\.255.*leave mean and std out") as told:
        exported(tmp_path, found_graphs.graph(Kind(T.UINT8)), rule)
    assert told.value.field == "mean"


def test_signed_bytes_need_the_shift_that_makes_them(tmp_path: Path) -> None:
    made = Kind(T.INT8)
    with pytest.raises(BadGraphError, match="mean = 128 and std = 1"):
        exported(tmp_path, found_graphs.graph(made))
    shifted = Preprocess(Native(), mean=(128.0,), std=(1.0,))
    artifact = exported(tmp_path, found_graphs.graph(made), shifted)
    session = onnxruntime.InferenceSession(artifact.file("model.onnx"), providers=["CPUExecutionProvider"])
    image = picture().astype(np.float32) - 128
    (answer,) = session.run(None, {artifact.spec.input.name: image.transpose(2, 0, 1)[None]})
    np.testing.assert_allclose(answer[0], found_graphs.right_map(made, image, 1), rtol=1e-4, atol=1e-2)


def test_a_normalisation_for_another_number_of_channels_is_refused(tmp_path: Path) -> None:
    rule = Preprocess(Native(), mean=(120.0, 110.0, 100.0), std=(60.0,))
    with pytest.raises(BadConfigError, match="mean needs 5 numbers"):
        exported(tmp_path, found_graphs.graph(Kind(channels=5)), rule)


def test_maps_inside_a_network_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(BadGraphError, match=r"float \[N, 96, H, W\]\) has 96 channels; 3 are declared"):
        exported(tmp_path, found_graphs.graph(Kind(channels=96)))
    with pytest.raises(BadGraphError, match="has 3 channels; 4 are declared"):
        exported(tmp_path, found_graphs.graph(Kind()), channels=4)


def two_inputs(second: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        two (float[N,3,H,W] image, {second} other) => (float[N,2,H,W] logits)
        <float[2,3,1,1] w = {{1, 0, 0, 0, 1, 0}}>
        {{ maps = Conv (image, w) bias = ReduceMean <keepdims = 0> (other) logits = Add (maps, bias) }}"""
    )


def test_inputs_that_no_image_can_make_are_refused_with_their_types(tmp_path: Path) -> None:
    """As the sizes and scales that PaddleDetection's graphs take."""
    with pytest.raises(BadGraphError, match=r"takes other \(float \[N, 2\]\) beside the image 'image', which cannot"):
        exported(tmp_path, two_inputs("float[N,2]"), labels=2)
    with pytest.raises(BadGraphError, match=r"\[input_preprocess.other\]"):
        exported(tmp_path, two_inputs("float[N,3,H,W]"), labels=2)


def test_a_graph_without_any_image_is_refused_with_what_it_takes(tmp_path: Path) -> None:
    model = found_graphs.graph(replace(Kind(), sizes=(1, 45, 61)))
    model.graph.input[0].type.tensor_type.elem_type = T.STRING
    onnx.save(model, tmp_path / "found.onnx")
    with pytest.raises(BadGraphError, match=r"no image|not valid"):
        exported(tmp_path, model)


def test_an_image_that_is_named_must_be_one(tmp_path: Path) -> None:
    onnx.save(two_inputs("float[N,2]"), tmp_path / "found.onnx")
    spec = SpecFile(("a", "b"), NATIVE).model("found")
    with pytest.raises(BadGraphError, match="is no image"):
        export_file(tmp_path / "found.onnx", spec, tmp_path / "float", ExportOptions(input_name="other"))


def one_output(output: str, body: str, weights: str = "") -> onnx.ModelProto:
    numbers = ", ".join(f"{value:.4f}" for value in np.random.default_rng(2).normal(size=27))
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,H,W] image) => ({output})
        <float[3,3,3,1] w = {{{numbers}}}{weights}>
        {{ scores = Conv <pads = [1, 0, 1, 0]> (image, w) {body} }}"""
    )


@pytest.mark.parametrize(
    ("output", "body", "weights"),
    [
        # A picture in the labels' colours, and probabilities times 255.
        (
            "uint8[N,H,W,3] out",
            "best = ArgMax <axis = 1, keepdims = 0> (scores) out = Gather (colours, best)",
            ", uint8[3,3] colours = {0, 0, 0, 255, 0, 0, 0, 255, 0}",
        ),
        (
            "uint8[N,3,H,W] out",
            "share = Softmax <axis = 1> (scores) large = Mul (share, most) out = Cast <to = 2> (large)",
            ", float most = {255}",
        ),
    ],
)
def test_whole_numbers_in_planes_are_no_scores(output: str, body: str, weights: str, tmp_path: Path) -> None:
    with pytest.raises(BadGraphError, match=r"whole numbers \(uint8\) in 3 planes"):
        exported(tmp_path, one_output(output, body, weights))


def test_graphs_that_draw_random_numbers_are_refused(tmp_path: Path) -> None:
    noisy = one_output("float[N,3,H,W] out", "noise = RandomUniformLike (scores) out = Add (scores, noise)")
    with pytest.raises(BadGraphError, match="answers otherwise each time"):
        exported(tmp_path, noisy)


def test_sizes_of_nought_are_open_ones(tmp_path: Path) -> None:
    model = found_graphs.graph(Kind())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 0
        value.type.tensor_type.shape.dim[2].dim_value = -1
    artifact = exported(tmp_path, model)
    assert not any(isinstance(size, int) for size in (artifact.spec.input.shape[0], artifact.spec.input.shape[2]))


@pytest.mark.parametrize(
    ("output", "body", "weights", "why"),
    [
        (
            "float[N,3,M] out",
            "out = Reshape (scores, flat)",
            ", int64[3] flat = {0, 3, -1}",
            "pixels lie on one axis",
        ),
        ("float[N,3] out", "mean = GlobalAveragePool (scores) out = Flatten (mean)", "", "as of a classifier"),
    ],
)
def test_outputs_of_another_rank_are_refused_by_what_they_may_be(
    output: str, body: str, weights: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(BadGraphError, match=why):
        exported(tmp_path, one_output(output, body, weights))


def test_functions_of_a_file_are_put_where_they_are_called(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 21, "own": 1]>
        g (float[N, 3, H, W] image) => (float[N, 2, H, W] y) <float[2, 3, 1, 1] w = {1, 2, 3, 4, 5, 6}> {
            y = own.Layer (image, w)
        }
        <domain: "own", opset_import: ["": 21]> Layer (x, w) => (y) { s = Conv (x, w) y = Relu (s) }"""
    )
    folder = tiny_artifacts.exported(tmp_path, model).folder
    made = onnx.load(folder / "model.onnx")
    assert not made.functions and [node.op_type for node in made.graph.node] == ["Conv", "Relu"]


@pytest.mark.parametrize(("version", "listed", "expected"), [(3, False, 3), (3, True, 4), (8, False, 8), (8, True, 8)])
def test_weights_that_are_listed_as_inputs_are_taken_off_the_list(version: int, listed: bool, expected: int) -> None:
    model = found_graphs.graph(Kind(opset=9))
    model.ir_version = version
    (image,) = (each.name for each in model.graph.input)
    weight = model.graph.initializer[0]
    if listed:
        model.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    found = found_inputs.adapt(model, tiny_artifacts.spec(), None)
    assert [each.name for each in found.model.graph.input] == [image] and found.model.ir_version == expected
    assert [tensor.name for tensor in found.spec.inputs] == [image]
