"""Graphs that end at a prediction say what numpy and OpenCV make of the same maps, and declare its shape."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from onnx import TensorProto

from densecast.graph import channels_first_input, end_at_prediction, image_input
from densecast.graph.end_at_prediction import Ending
from densecast.graph.image_input import Layout

HW = (12, 18)


def model(planes: int, *, is_open: bool = True, half: bool = True, rank: int = 4, opset: int = 17) -> onnx.ModelProto:
    """(N, 3, H, W) -> the first planes of the image, at half the size or the whole."""
    sides = "H, W" if is_open else "12, 18"
    step = 2 if half else 1
    small = "h, w" if is_open else f"{12 // step}, {18 // step}"
    channels = f"{planes}, " if rank == 4 else ""
    start, end = "start = {0}", f"end = {{{planes}}}"
    last = "maps = Identity (some)" if rank == 4 else "maps = Gather <axis = 1> (some, none)"
    return onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : {opset}]>
        maps_of (float[N, 3, {sides}] image) => (float[N, {channels}{small}] maps)
        <int64[1] {start}, int64[1] {end}, int64[1] axis = {{1}}, int64 none = {{0}}>
        {{
            pooled = AveragePool <kernel_shape = [{step}, {step}], strides = [{step}, {step}]> (image)
            some = Slice (pooled, start, end, axis)
            {last}
        }}
        """
    )


def image(batch: int = 2) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(batch, 3, *HW)).astype(np.float32)


def ended(source: onnx.ModelProto, ending: Ending) -> tuple[np.ndarray, list[int | None]]:
    """What the ended graph gives, and the shape that it declares, None for open sizes."""
    result = end_at_prediction.apply(source, ending)
    assert result.changed
    assert not end_at_prediction.apply(result.model, ending).changed
    onnx.checker.check_model(result.model, full_check=True)
    session = ort.InferenceSession(result.model.SerializeToString(), providers=["CPUExecutionProvider"])
    (value,) = result.model.graph.output
    assert value.name == ending.name
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim]
    return np.asarray(session.run([ending.name], {"image": image()})[0]), sizes


def planes_of(count: int, half: bool = True) -> np.ndarray:
    """(2, count, H, W): the maps at the image's size."""
    whole = image()[:, :count]
    if not half:
        return whole
    small = whole.reshape(2, count, HW[0] // 2, 2, HW[1] // 2, 2).mean(axis=(3, 5))
    return np.stack([[cv2.resize(plane, HW[::-1], interpolation=cv2.INTER_LINEAR) for plane in each] for each in small])


@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("half", [True, False])
def test_planes_and_what_is_made_of_them(half: bool, is_open: bool) -> None:
    source = model(3, is_open=is_open, half=half)
    sides = [None, None] if is_open else list(HW)
    values = planes_of(3, half)
    found, shape = ended(source, Ending("maps", "planes", "planes", "float32"))
    np.testing.assert_allclose(found, values, atol=1e-5)
    assert shape == [None, 3, *sides]
    found, shape = ended(source, Ending("maps", "classes", "argmax", "uint8"))
    np.testing.assert_array_equal(found, values.argmax(axis=1))
    assert (found.dtype, shape) == (np.uint8, [None, *sides])
    limits = (0.1, -0.2, 0.3)
    found, shape = ended(source, Ending("maps", "bits", "above", "int32", limits=limits))
    np.testing.assert_array_equal(found, values > np.float32(limits)[:, None, None])
    assert (found.dtype, shape) == (np.int32, [None, 3, *sides])


@pytest.mark.parametrize("opset", [11, 12, 13])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_resize_has_the_form_of_its_opset(is_open: bool, opset: int) -> None:
    for source, ending, wanted in (
        (model(3, is_open=is_open, opset=opset), Ending("maps", "classes", "argmax", "uint8"), planes_of(3).argmax(1)),
        (model(1, rank=3, opset=opset), Ending("maps", "depth", "numbers", "float32"), planes_of(1)[:, 0]),
    ):
        np.testing.assert_allclose(ended(source, ending)[0], wanted, atol=1e-5)
    older = end_at_prediction.apply(model(3, opset=10), Ending("maps", "classes", "argmax", "uint8"))
    assert not older.changed and "opset 11" in older.notes


@pytest.mark.parametrize("rank", [3, 4])
def test_a_single_plane_becomes_numbers_bits_or_two_planes(rank: int) -> None:
    source, values = model(1, rank=rank), planes_of(1)
    whole = Ending("maps", "depth", "numbers", "float32", scale=10.0, low=-2.0, high=3.0)
    for ending, wanted in (
        (whole, np.clip(values[:, 0] * 10, -2, 3)),
        (replace(whole, low=None), np.minimum(values[:, 0] * 10, 3)),
        (replace(whole, high=None), np.maximum(values[:, 0] * 10, -2)),
        (replace(whole, scale=1.0, low=None, high=None), values[:, 0]),
    ):
        found, shape = ended(source, ending)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        assert shape == [None, None, None]
    found, shape = ended(source, Ending("maps", "inside", "above", "uint8", limits=(0.2,), drops_channel=True))
    np.testing.assert_array_equal(found, values[:, 0] > 0.2)
    assert shape == [None, None, None]
    found, shape = ended(source, Ending("maps", "two", "planes", "float32", limits=(0.2,)))
    assert shape == [None, 2, None, None]
    np.testing.assert_allclose(found, np.stack([0.2 - values[:, 0], values[:, 0] - 0.2], axis=1), atol=1e-5)


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("rank", [3, 4])
def test_labels_keep_their_values_at_any_size(rank: int, is_open: bool, half: bool) -> None:
    source = model(1, rank=rank, is_open=is_open, half=half)
    for node in source.graph.node:  # whole numbers
        if node.output[0] == "maps":
            node.output[0] = "fractions"
    source.graph.node.append(onnx.helper.make_node("Round", ["fractions"], ["maps"]))
    found, shape = ended(source, Ending("maps", "classes", "labels", "int32"))
    small = image()[:, 0]
    if half:
        small = small.reshape(2, HW[0] // 2, 2, HW[1] // 2, 2).mean(axis=(2, 4))
    wanted = np.rint(small)
    wanted = wanted.repeat(2, axis=1).repeat(2, axis=2) if half else wanted
    np.testing.assert_array_equal(found, wanted)
    assert shape == [None, *([None, None] if is_open else HW)]


def test_what_cannot_be_ended_is_left_as_it_is() -> None:
    source = model(3)
    other = end_at_prediction.apply(source, Ending("other", "planes", "planes", "float32"))
    assert not other.changed and "no output 'other'" in other.notes
    flat = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> flat (float[N, 8] x) => (float[N, 8] maps) { maps = Neg (x) }'
    )
    result = end_at_prediction.apply(flat, Ending("maps", "planes", "planes", "float32"))
    assert not result.changed and "2 axes; (N, C, H, W) is needed" in result.notes
    # A tensor inside that has the new name makes room for it.
    named = model(3)
    for node in named.graph.node:
        node.input[:] = ["classes" if each == "pooled" else each for each in node.input]
        node.output[:] = ["classes" if each == "pooled" else each for each in node.output]
    found, _ = ended(named, Ending("maps", "classes", "argmax", "uint8"))
    np.testing.assert_array_equal(found, planes_of(3).argmax(axis=1))


@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_channels_come_first_after_the_pass(kind: str) -> None:
    source = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        last ({kind}[1, H, 7, 3] picture) => (float[1, H, 7, 3] out) {{ x = Cast <to = 1> (picture) out = Neg (x) }}
        """
    )
    result = channels_first_input.apply(source)
    assert result.changed
    (value,) = result.model.graph.input
    sizes = [each.dim_value or each.dim_param for each in value.type.tensor_type.shape.dim]
    assert (value.name, value.type.tensor_type.elem_type, sizes) == ("image", TensorProto.FLOAT, [1, 3, "H", 7])
    session = ort.InferenceSession(result.model.SerializeToString(), providers=["CPUExecutionProvider"])
    values = np.random.default_rng(0).uniform(0, 255, (1, 3, 5, 7)).astype(np.float32)
    seen = np.rint(values) if kind == "uint8" else values
    np.testing.assert_array_equal(session.run(None, {"image": values})[0], -seen.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        ("int32[1, H, W, 3] image", "neither float32 nor uint8"),
        ("double[1, H, W, 3] image", "neither float32 nor uint8"),
        ("float[1, H, W, 4] image", "no single input"),
        ("float[1, H, 3] image", "no single input"),
        ("float[1, H, W, 3] image, float[1, H, W, 3] more", "no single input"),
    ],
)
def test_inputs_of_other_kinds_are_left(signature: str, words: str) -> None:
    source = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g ({signature}) => (float[a, b] out) '
        "{ x = Cast <to = 1> (image) out = Flatten (x) }"
    )
    result = channels_first_input.apply(source)
    assert not result.changed and words in result.notes


@pytest.mark.parametrize("opset", [12, 17])
@pytest.mark.parametrize("layout", [Layout(True, 3), Layout(False, 3), Layout(True, 3, False), Layout(False, 3, False)])
@pytest.mark.parametrize("kind", ["float", "int32", "uint8", "double"])
def test_an_image_of_any_layout_and_type_is_given_as_float32_channels_first(
    kind: str, layout: Layout, opset: int
) -> None:
    sides = "H, 7, 3" if layout.channels_last else "3, H, 7"
    source = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : {opset}]>
        g ({kind}[{"2, " if layout.has_batch else ""}{sides}] image) => (float[a] out)
        {{ x = Cast <to = 1> (image) out = Neg (x) }}
        """
    )
    source.graph.output[0].type.tensor_type.ClearField("shape")
    result = image_input.apply(source, "image", layout)
    if kind == "float" and layout == Layout(False, 3):
        assert not result.changed and "already is float32" in result.notes
        return
    batch = 2 if layout.has_batch else 1
    (value,) = result.model.graph.input
    sizes = [each.dim_value or each.dim_param for each in value.type.tensor_type.shape.dim]
    assert (value.type.tensor_type.elem_type, sizes) == (TensorProto.FLOAT, [batch, 3, "H", 7])
    low = 0 if kind == "uint8" else -200
    values = np.random.default_rng(0).uniform(low, 200, (batch, 3, 5, 7)).astype(np.float32)
    values[0, 0, 0, :4] = (0.5, 1.5, 2.49, 3.51)  # a half goes up, and what is below zero down to the nearest
    session = ort.InferenceSession(result.model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": values})[0]
    seen = np.floor(values + np.float32(0.5)) if kind in ("int32", "uint8") else values
    seen = seen.transpose(0, 2, 3, 1) if layout.channels_last else seen
    np.testing.assert_array_equal(found, -(seen if layout.has_batch else seen[0]))
    absent = image_input.apply(source, "other", layout)
    assert not absent.changed and "no input 'other'" in absent.notes
