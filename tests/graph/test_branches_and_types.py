"""Changes reach what lies inside of branches, constants and empty inputs, and the graph still computes the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper

from densecast.graph import _typed, image_input, transpose_hw
from densecast.graph.image_input import Layout


def ran(model: onnx.ModelProto, **feeds: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)[0]


def test_a_tensor_that_is_renamed_is_read_by_its_new_name_in_branches_too() -> None:
    source = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        branches (uint8[1, 5, 7, 3] image, bool yes) => (float[1, 5, 7, 3] out)
        {
            out = If (yes) <
                then_branch = one () => (float[1, 5, 7, 3] a) { a = Cast <to = 1> (image) },
                else_branch = two () => (float[1, 5, 7, 3] b) { c = Cast <to = 1> (image) b = Neg (c) }
            >
        }
        """
    )
    changed = image_input.apply(source, "image", Layout(channels_last=True, channels=3))
    values = np.arange(105, dtype=np.float32).reshape(1, 3, 5, 7)
    for yes in (True, False):
        expected = values.transpose(0, 2, 3, 1) * (1 if yes else -1)
        np.testing.assert_array_equal(ran(changed.model, image=values, yes=np.array(yes)), expected)


@pytest.mark.parametrize(
    ("kind", "layout", "words"),
    [
        ("float", Layout(True, 3), "image takes its image channels first"),
        ("uint8", Layout(False, 3), "image takes its image as float32 instead of uint8"),
        ("double", Layout(True, 3, False), "channels first, in batches of 1, as float32 instead of double"),
        ("float", Layout(False, 3, False), "image takes its image in batches of 1"),
    ],
)
def test_the_note_says_what_became_of_the_image_and_nothing_else(kind: str, layout: Layout, words: str) -> None:
    batch = "2, " if layout.has_batch else ""
    sides = "4, 6, 3" if layout.channels_last else "3, 4, 6"
    source = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g ({kind}[{batch}{sides}] image) => (float[{batch}{sides}] out) '
        "{ out = Cast <to = 1> (image) }"
    )
    notes = image_input.apply(source, "image", layout).notes
    assert notes.endswith(words) and ("instead of" in notes) == (kind != "float")


def test_constants_in_nodes_become_float16_as_weights_do_but_sizes_of_resizes_do_not() -> None:
    source = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 1, 2, 3] x) => (float[1, 1, 4, 6] out)
        {
            step = Constant <value = float {0.125}> ()
            scales = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> ()
            more = Add (x, step)
            wide = Cast <to = 1> (more)
            out = Resize <mode = "nearest"> (wide, , scales)
        }
        """
    )
    source.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    changed = _typed.with_halves(source)
    inferred = onnx.shape_inference.infer_shapes(changed, strict_mode=True, data_prop=True)
    kinds = {each.name: each.type.tensor_type.elem_type for each in inferred.graph.value_info}
    half = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT16}
    assert {"step", "more", "wide"} <= half and kinds["scales"] == TensorProto.FLOAT
    assert inferred.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    x = (np.arange(-3, 3) / 2).astype(np.float16).reshape(1, 1, 2, 3)
    expected = (x + np.float16(0.125)).repeat(2, 2).repeat(2, 3).astype(np.float32)
    np.testing.assert_array_equal(ran(changed, x=x), expected)


@pytest.mark.parametrize("pads", [(0, 0, 1, 2, 0, 0, 3, 0)])
def test_a_resize_with_inputs_of_no_numbers_is_turned(pads: tuple[int, ...]) -> None:
    """As exporters write it: the region, and the scales where a size is given, are there and empty."""
    source = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 12]>
        g (float[1, 2, 5, 7] x) => (float[1, 2, 13, 21] out)
        <int64[8] around, float[0] nothing = {}, int64[4] sizes = {1, 2, 13, 21}>
        {
            wide = Pad (x, around)
            out = Resize <mode = "linear"> (wide, nothing, nothing, sizes)
        }
        """
    )
    source.graph.initializer.insert(0, numpy_helper.from_array(np.array(pads, np.int64), "around"))
    result = transpose_hw.apply(source, only_slow=False)
    assert result.changed, result.notes
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 7)).astype(np.float32)
    np.testing.assert_allclose(ran(result.model, x=x), ran(source, x=x), rtol=0, atol=1e-6)
