"""A graph written in opset 11 computes the same, or is refused where nothing there does."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from onnx import helper

from densecast.errors import BadGraphError
from densecast.graph import lower_opset

CASES = [
    "Softmax (x)",
    "Softmax <axis = -1> (x)",
    "Softmax <axis = 3> (x)",
    "LogSoftmax (x)",
    "ReduceSum <keepdims = 1> (x, spatial)",
    "ReduceSum <keepdims = 0> (x, made)",
    "ReduceSum (x)",
    "Unsqueeze (x, first)",
    "Squeeze (one, second)",
    "Resize <mode = 'linear', coordinate_transformation_mode = 'half_pixel'> (x, , , twice)",
    "Resize <mode = 'nearest'> (x, , doubled)",
]


def graph(expression: str) -> onnx.ModelProto:
    text = expression.replace("'", '"')
    return onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        written (float[2, 3, 4, 5] x) => (float[a, b, c, d] out)
        <int64[2] spatial = {{2, 3}}, int64[1] first = {{0}}, int64[1] second = {{1}},
         int64[4] twice = {{2, 3, 8, 10}}, float[4] doubled = {{1, 1, 2, 2}}>
        {{
            made = Constant <value = int64[1] {{1}}> ()
            one = ReduceMean <axes = [1], keepdims = 1> (x)
            out = {text}
        }}
        """
    )


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    # The rank of what comes out is not told: any will do.
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    return [np.asarray(each) for each in session.run(None, {"x": x})]


def shaped(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the sizes of its output, which opset 11's checker holds against what it infers."""
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model)


@pytest.mark.parametrize("expression", CASES)
def test_what_is_written_in_opset_11_computes_the_same(expression: str) -> None:
    model = shaped(graph(expression))
    before = model.SerializeToString()
    result = lower_opset.apply(model)
    assert result.changed and result.notes == "opset 17 written as 11"
    assert model.SerializeToString() == before
    assert [(each.domain, each.version) for each in result.model.opset_import] == [("", 11)]
    assert result.model.ir_version == 6
    read = {name for node in result.model.graph.node for name in node.input}
    assert {tensor.name for tensor in result.model.graph.initializer} <= read
    np.testing.assert_allclose(run(result.model)[0], run(model)[0], rtol=1e-6, atol=1e-6)
    again = lower_opset.apply(result.model)
    assert not again.changed and "already is in opset 11" in again.notes


def test_parts_of_a_split_keep_their_sizes() -> None:
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        written (float[2, 3, 4, 5] x) => (float[2, 1, 4, 5] out, float[2, 2, 4, 5] rest)
        <int64[2] sizes = {1, 2}>
        { out, rest = Split <axis = 1> (x, sizes) }
        """
    )
    result = lower_opset.apply(model)
    for one, other in zip(run(result.model), run(model), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("Softmax <axis = 1> (x)", "is along axis 1; opset 11 has the last one only"),
        ("LogSoftmax <axis = 2> (x)", "is along axis 2"),
        ("Unsqueeze (x, computed)", "computes its axes"),
        ("HardSwish (x)", "no form in opset 11"),
    ],
)
def test_what_has_no_equal_is_refused(expression: str, words: str) -> None:
    model = graph(expression)
    model.graph.node.insert(0, helper.make_node("Add", ["first", "second"], ["computed"]))
    with pytest.raises(BadGraphError, match=words):
        lower_opset.apply(shaped(model))


def test_operators_of_other_domains_are_refused_and_older_graphs_left() -> None:
    model = shaped(graph("Softmax (x)"))
    model.graph.node[-1].domain = "com.microsoft"
    with pytest.raises(BadGraphError, match=r"operators of com\.microsoft"):
        lower_opset.apply(model)
    older = shaped(graph("Softmax (x)"))
    older.opset_import[0].version = 9
    result = lower_opset.apply(older)
    assert not result.changed and result.model is older and "already is in opset 9" in result.notes
