"""Bounds of values are those of interval arithmetic, and no value of a run lies beyond them."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from densecast.graph import _value_bounds

INF = math.inf
ANY = (-INF, INF)
# x lies between -2 and 3, y between 0.5 and 4.
CASES = {
    "Relu (x)": (0, 3),
    "Exp (x)": (math.exp(-2), math.exp(3)),
    "Log (y)": (math.log(0.5), math.log(4)),
    "Log (x)": (-INF, math.log(3)),
    "Sqrt (y)": (math.sqrt(0.5), 2),
    "Sqrt (x)": (0, math.sqrt(3)),
    "Floor (y)": (0, 4),
    "Ceil (y)": (1, 4),
    "Round (x)": (-2, 3),
    "Add (x, y)": (-1.5, 7),
    "Sub (x, y)": (-6, 2.5),
    "Mul (x, y)": (-8, 12),
    "Div (x, y)": (-4, 6),
    "Div (y, x)": ANY,
    "Div (y, y)": (0.125, 8),
    "Max (x, y)": (0.5, 4),
    "Min (x, y)": (-2, 3),
    "Mean (x, y)": (-0.75, 3.5),
    "Sum (x, y, x)": (-3.5, 10),
    "Neg (x)": (-3, 2),
    "Abs (x)": (0, 3),
    "Abs (y)": (0.5, 4),
    "Reciprocal (y)": (0.25, 2),
    "Reciprocal (x)": ANY,
    # Where the divisor may be zero, at either end, there is no bound.
    "Div (y, wide)": ANY,
    "Div (y, low)": ANY,
    "Reciprocal (wide)": ANY,
    "Clip (x, one)": (1, 3),
    "Clip (x, , one)": (-2, 1),
    "Clip (x, one, two)": (1, 2),
    # Ends that are computed, and ends beyond what there is: min(max(x, least), most) whatever the order.
    "Clip (x, y)": (0.5, 4),
    "Clip (x, , y)": (-2, 3),
    "Clip (x, nine)": (9, 9),
    "Clip (y, , minus_two)": (-2, -2),
    "Clip (x, nine, one)": (1, 1),
    "Concat <axis = 1> (x, y)": (-2, 4),
    "Where (yes, x, y)": (-2, 4),
    "Cast <to = 1> (x)": (-2, 3),
    "Pad <mode = 'constant'> (y, sides)": (0, 4),
    "Pad <mode = 'constant'> (y, sides, nine)": (0.5, 9),
    "Pad <mode = 'reflect'> (y, sides)": (0.5, 4),
    "AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (y)": (0, 4),
    "MaxPool <kernel_shape = [2, 2]> (y)": (0.5, 4),
    "Transpose <perm = [0, 1, 3, 2]> (y)": (0.5, 4),
    "ReduceMean <axes = [2, 3]> (y)": (0.5, 4),
    "GlobalAveragePool (y)": (0.5, 4),
    "Resize <mode = 'linear'> (y, , , twice)": (0, 4),
    "Resize <mode = 'cubic'> (y, , , twice)": ANY,
    "Sigmoid (x)": (0, 1),
    "Softmax <axis = 3> (x)": (0, 1),
    "LogSoftmax <axis = 3> (x)": (-INF, 0),
    "Tanh (x)": (-1, 1),
    "Erf (x)": (-1, 1),
    "Softplus (x)": (0, INF),
    "MatMul (x, y)": ANY,
    "Mul (x, wide)": (-INF, INF),
    "Mul (y, wide)": (0, INF),
    "Mul (none, wide)": (0, 0),
    "Div (y, far)": (0, 4),
    "Identity (a)": ANY,
}


def graph(expression: str) -> onnx.ModelProto:
    text = expression.replace("'", '"')
    return onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        bounded (float[1, 1, 4, 4] a, float[1, 1, 4, 4] b) => (float[n, c, h, w] out)
        <float one = {{1}}, float two = {{2}}, float nine = {{9}}, float minus_two = {{-2}}, float three = {{3}},
         float half = {{0.5}}, float four = {{4}}, float none = {{0}}, int64[8] sides = {{0, 0, 1, 1, 0, 0, 1, 1}},
         int64[4] twice = {{1, 1, 8, 8}}>
        {{
            x = Clip (a, minus_two, three)
            y = Clip (b, half, four)
            yes = Greater (a, b)
            wide = Relu (a)
            far = Add (wide, one)
            low = Neg (wide)
            out = {text}
        }}
        """
    )


@pytest.mark.parametrize("expression", CASES)
def test_an_operators_bounds_follow_from_those_of_its_inputs(expression: str) -> None:
    model = graph(expression)
    low, high = _value_bounds.of(model, "out")
    assert (low, high) == pytest.approx(CASES[expression], rel=1e-12)
    rng = np.random.default_rng(0)
    for scale in (1, 30):
        feeds = {name: (rng.normal(size=(1, 1, 4, 4)) * scale).astype(np.float32) for name in ("a", "b")}
        with np.errstate(all="ignore"):
            found = np.asarray(ReferenceEvaluator(model).run(None, feeds)[0], np.float64)
        found = found[np.isfinite(found)]
        # In float32, the last digit of which is not that of the bounds.
        assert (found >= low - 1e-6 * abs(low if math.isfinite(low) else 0)).all()
        assert (found <= high + 1e-6 * abs(high if math.isfinite(high) else 0)).all()


@pytest.mark.parametrize("kind", ["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"])
def test_what_is_true_or_false_is_0_or_1(kind: str) -> None:
    assert _value_bounds.of(graph(f"{kind} (x, y)"), "out") == (0, 1)
    assert _value_bounds.of(graph("Cast <to = 9> (x)"), "out") == (0, 1)
    assert _value_bounds.of(graph("ArgMax <axis = 1> (x)"), "out") == (0, INF)


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        (np.array([3, -1, 2], np.int64), (-1, 3)),
        (np.array([True, False]), (0, 1)),
        (np.array([0.5, 7.25], np.float32), (0.5, 7.25)),
        (np.array([0.5, np.nan], np.float32), ANY),
        (np.array([0.5, np.inf], np.float32), ANY),
        (np.zeros(0, np.float32), ANY),
    ],
)
def test_constants_are_their_own_bounds(values: np.ndarray, bounds: tuple[float, float]) -> None:
    stored = numpy_helper.from_array(values, "stored")
    node = helper.make_node("Constant", [], ["made"], value=numpy_helper.from_array(values))
    value = helper.make_tensor_value_info("made", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph([node], "constants", [], [value], [stored]))
    assert _value_bounds.of(model, "stored") == _value_bounds.of(model, "made") == bounds


@pytest.mark.parametrize(("name", "given", "bounds"), [
    ("value_float", 2.5, (2.5, 2.5)), ("value_floats", [2.5, -1.0], (-1, 2.5)),
    ("value_int", 3, (3, 3)), ("value_ints", [3, 4], (3, 4)),
])  # fmt: skip
def test_constants_may_be_plain_numbers(name: str, given: object, bounds: tuple[float, float]) -> None:
    node = helper.make_node("Constant", [], ["made"], **{name: given})
    value = helper.make_tensor_value_info("made", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph([node], "constants", [], [value]))
    assert _value_bounds.of(model, "made") == bounds


@pytest.mark.parametrize(("deep", "bounds"), [(64, (0, INF)), (65, ANY)])
def test_what_lies_too_deep_has_no_bounds(deep: int, bounds: tuple[float, float]) -> None:
    nodes = [helper.make_node("Relu", ["a"], ["n0"])]
    nodes += [helper.make_node("Identity", [f"n{place}"], [f"n{place + 1}"]) for place in range(deep)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("a", f"n{deep}")]
    model = helper.make_model(helper.make_graph(nodes, "deep", ends[:1], ends[1:]))
    assert _value_bounds.of(model, f"n{deep}") == bounds
