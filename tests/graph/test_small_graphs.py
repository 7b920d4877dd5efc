"""What is told of small graphs that differ in one point: what is read, rounded, cut off, quantised, rewritten."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from densecast.graph import (
    _before_layers,
    _layers,
    _quantised,
    _rounded,
    _tensors,
    _typed,
    _value_bounds,
    as_float32,
    channels_last_matmul,
    constant_pool_branch,
    image_input,
    plain_outputs,
    split_upsampled_joins,
    start_at_network,
)
from densecast.graph.image_input import Layout


def parsed(signature: str, nodes: str, constants: str = "", opset: int = 17) -> onnx.ModelProto:
    head = f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft" : 1]>'
    return onnx.parser.parse_model(f"{head} small {signature} <{constants}> {{ {nodes} }}")


def with_weights(model: onnx.ModelProto, **weights: tuple[int, ...]) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    for name, shape in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    return model


@pytest.mark.parametrize(
    ("sizes", "layout", "wanted"),
    [
        ("1, 1, 8, 3", Layout(True, 3), [1, 3, 1, 8]),
        ("n, h, w, 3", Layout(True, 3), ["n", 3, "h", "w"]),
        ("4, 1, 3", Layout(True, 3, False), [1, 3, 4, 1]),
        ("2, 3, 5, 7", Layout(False, 3), [2, 3, 5, 7]),
        ("3, 5, 1", Layout(False, 3, False), [1, 3, 5, 1]),
    ],
)
def test_an_input_keeps_its_sizes_whichever_place_they_had(sizes: str, layout: Layout, wanted: list[int | str]) -> None:
    model = parsed(f"(uint8[{sizes}] image) => (float[] y)", "y = Cast <to = 1> (image)")
    (value,) = image_input.apply(model, "image", layout).model.graph.input
    assert [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim] == wanted


def test_of_a_choice_only_what_is_chosen_bounds_the_values() -> None:
    model = parsed(
        "(float[4] x) => (float[4] y)",
        "b = Greater (x, x) y = Where (b, two, nine)",
        "float two = {2}, float nine = {9}",
    )
    assert _value_bounds.of(model, "y") == (2, 9)


@pytest.mark.parametrize(
    ("axis", "scales", "is_rewritten"),
    [
        (1, "2, 2", True),
        (-3, "2, 2", True),
        (2, "2, 2", False),
        (1, "1, 1", False),
        (1, "2, 0.5", False),
        (1, "1, 2", True),
    ],
)
def test_joins_of_enlarged_channels_alone_are_split(axis: int, scales: str, is_rewritten: bool) -> None:
    model = parsed(
        "(float[1, 4, 4, 4] x, float[1, 2, h, w] z) => (float[1, 2, h2, w2] y)",
        f'big = Resize <mode = "linear"> (x, , scales) also = Relu (z) joined = Concat <axis = {axis}> (big, also) '
        "y = Conv (joined, w)",
        f"float[4] scales = {{1, 1, {scales}}}",
    )
    channels = 6 if axis in (1, -3) else 4
    model = with_weights(model, w=(2, channels, 1, 1))
    assert split_upsampled_joins.apply(model).changed is is_rewritten


def test_a_product_with_one_number_is_passed_on_the_way_to_pixels_of_channels() -> None:
    model = parsed(
        "(float[1, 5, 6, 7] x, float[1, 3, 42] s) => (float[1, 5, 3] y)",
        "flat = Reshape (x, rows) turned = Transpose <perm = [0, 2, 1]> (s) part = Mul (turned, half) "
        "y = MatMul (flat, part)",
        "int64[3] rows = {0, 0, -1}, float half = {0.5}",
    )
    result = channels_last_matmul.apply(model)
    assert result.changed and result.notes.startswith("1 products")
    rng = np.random.default_rng(2)
    feeds = {"x": rng.normal(size=(1, 5, 6, 7)).astype(np.float32), "s": rng.normal(size=(1, 3, 42)).astype(np.float32)}
    expected = feeds["x"].reshape(1, 5, 42) @ (feeds["s"].transpose(0, 2, 1) * 0.5)
    np.testing.assert_allclose(ReferenceEvaluator(result.model).run(None, feeds)[0], expected, rtol=1e-4)
    # Two factors of maps are no product with one number.
    both = parsed(
        "(float[1, 5, 6, 7] x, float[1, 42, 3] s) => (float[1, 5, 3] y)",
        "flat = Reshape (x, rows) part = Mul (s, s) y = MatMul (flat, part)", "int64[3] rows = {0, 0, -1}",
    )  # fmt: skip
    assert not channels_last_matmul.apply(both).changed


@pytest.mark.parametrize(
    ("value", "bits", "nearest"),
    [
        (1.4375, 3, 1.5), (1.375, 3, 1.5), (1.3125, 3, 1.25), (-1.4375, 3, -1.5), (0.0, 3, 0.0), (4.0, 1, 4.0),
        (6.0, 1, 8.0), (5.0, 1, 4.0), (1 / 3, 8, 171 / 512), (1.0 + 2**-8, 8, 1.0), (1.0 + 2**-7, 8, 1.0 + 2**-7),
    ],
)  # fmt: skip
def test_weights_of_so_many_bits_are_the_nearest_that_there_are(value: float, bits: int, nearest: float) -> None:
    model = parsed("(float[1] x) => (float[1] y)", "y = Add (x, w)", f"float[1] w = {{{value!r}}}, int64[1] n = {{3}}")
    rounded = {
        each.name: numpy_helper.to_array(each) for each in _rounded.weights_of_bits(model, bits).graph.initializer
    }
    assert rounded["w"].tolist() == [np.float32(nearest)] and rounded["w"].dtype == np.float32
    assert rounded["n"].tolist() == [3] and rounded["n"].dtype == np.int64


QUANTISED = "q = QuantizeLinear (x, s)"


def test_quantisers_are_found_in_the_graph_its_branches_and_its_functions_alone() -> None:
    signature, constants = "(float[1] x, bool b) => (float[1] y)", "float s = {0.5}"
    plain = parsed(signature, "y = Relu (x)", constants)
    assert not _quantised.is_quantised(plain)
    for kind in ("QuantizeLinear", "QLinearConv", "QLinearAdd", "MatMulInteger"):
        assert _quantised.is_quantised(parsed(signature, f"q = {kind} (x, s) y = Cast <to = 1> (q)", constants)), kind
    other = "else_branch = two () => (float[1] e) {{ e = Neg (x) }}"
    branch = f"y = If (b) <then_branch = one () => (float[1] t) {{{{ {{}} }}}}, {other}>"
    inside = "q = QuantizeLinear (x, s) t = DequantizeLinear (q, s)"
    assert _quantised.is_quantised(parsed(signature, branch.format(inside), constants))
    assert not _quantised.is_quantised(parsed(signature, branch.format("t = Relu (x)"), constants))
    for kind, is_one in (("Relu", False), ("DynamicQuantizeLinear", True)):
        called = helper.make_function(
            "own", "act", ["v"], ["r"], [helper.make_node(kind, ["v"], ["r"])], [helper.make_opsetid("", 17)]
        )
        for others in ([], [helper.make_function("own", "not", ["v"], ["r"], [], [helper.make_opsetid("", 17)])]):
            model = onnx.ModelProto()
            model.CopyFrom(plain)
            model.functions.extend([called, *others])
            assert _quantised.is_quantised(model) is is_one


NONE = (None, None)
CUT = "(float[1, 3, 8, 8] x) => (float[1, 2, h, w] y)"
NUMBERS = (
    "float[1, 3, 1, 1] mean = {1, 2, 3}, float two = {2}, float[3] three = {1, 2, 3}, "
    "int64[8] sides = {0, 0, 1, 1, 0, 0, 1, 1}"
)


@pytest.mark.parametrize(
    ("nodes", "kinds", "read"),
    [
        ("c = Sub (x, mean) d = Div (c, two) y = Conv (d, w)", ["Sub", "Div"], ["d"]),
        ("c = Sub (x, mean) d = Pad (c, sides) y = Conv (d, w)", ["Sub", "Pad"], ["d"]),
        ("c = BatchNormalization (x, three, three, three, three) y = Conv (c, w)", ["BatchNormalization"], ["c"]),
        ("c = Sub (x, mean) a = Conv (c, w) d = Div (c, two) y = Conv (d, w)", ["Sub", "Div"], ["c", "d"]),
        ("c = Sub (x, mean) n = Shape (x) e = ConstantOfShape (n) y = Conv (c, w)", ["Sub"], ["c"]),
        # What reads the input as it is fed, changes no value, or has no layer behind it.
        ("c = Sub (x, mean) a = Conv (x, w) b = Conv (c, w) y = Add (a, b)", None, None),
        ("c = Pad (x, sides) y = Conv (c, w)", None, None),
        ("y = Conv (x, w)", None, None),
        ("y = Sub (x, mean)", None, None),
        ("c, m, v = BatchNormalization <training_mode = 1> (x, three, three, three, three) y = Conv (c, w)", *NONE),
        ("c = com.microsoft.Gelu (x) d = Sub (c, mean) y = Conv (d, w)", None, None),
    ],
)  # fmt: skip
def test_what_comes_before_the_first_layers_is_cut_out(
    nodes: str, kinds: list[str] | None, read: list[str] | None
) -> None:
    found = _before_layers.cut(with_weights(parsed(CUT, nodes, NUMBERS), w=(2, 3, 1, 1)), "x")
    if kinds is None:
        assert found is None
        return
    assert found is not None and [node.op_type for node in found.graph.node] == kinds
    assert [value.name for value in found.graph.output] == read and [each.name for each in found.graph.input] == ["x"]
    image = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    values = ReferenceEvaluator(found).run(None, {"x": image})
    if "Sub" in kinds:
        inner = values[0][..., 1:-1, 1:-1] if "Pad" in kinds else values[0]
        wanted = image - np.array([1, 2, 3], np.float32)[:, None, None]
        np.testing.assert_allclose(inner, wanted / 2 if read == ["d"] and "Div" in kinds else wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("nodes", "tensor"),
    [
        ("c = Sub (x, mean) y = Conv (c, w)", "c"),
        ("c = Sub (x, mean) d = Pad (c, sides) y = Conv (d, w)", "c"),
        ("c = Sub (x, mean) n = Shape (c) d = Pad (c, n) y = Conv (d, w)", "d"),
        ("y = Conv (x, w)", "x"),
        ("c = Sub (x, mean) a = Conv (x, w) b = Conv (c, w) y = Add (a, b)", None),
        ("y = Sub (x, mean)", None),
    ],
)  # fmt: skip
def test_the_network_starts_at_what_all_first_layers_read(nodes: str, tensor: str | None) -> None:
    assert start_at_network.find(with_weights(parsed(CUT, nodes, NUMBERS), w=(2, 3, 1, 1))) == tensor


def test_an_output_that_is_cast_keeps_its_name_and_sizes_and_one_that_is_fed_is_left() -> None:
    model = parsed("(float16[1, 2, h, w] x, double[2] fed) => (float16[1, 2, h, w] y, double[2] fed)", "y = Relu (x)")
    result = plain_outputs.apply(model)
    first, fed = result.model.graph.output
    assert (first.name, first.type.tensor_type.elem_type) == ("y", TensorProto.FLOAT)
    assert [dim.dim_value or dim.dim_param for dim in first.type.tensor_type.shape.dim] == [1, 2, "h", "w"]
    assert (fed.name, fed.type.tensor_type.elem_type) == ("fed", TensorProto.DOUBLE)
    assert result.notes == "y is float32 instead of float16"


@pytest.mark.parametrize(
    ("node", "parameters"),
    [
        ("y = Conv (x, w, b)", 6 + 2), ("y = com.microsoft.FusedConv (x, w, b)", 6 + 2), ("y = Conv (x, w)", 6),
        ("y = com.microsoft.FusedConv (x, w)", 6), ("y = ConvTranspose (x, w2, b)", 6 + 2), ("y = PRelu (x, p)", 3),
        ("y = BatchNormalization (x, p, q, r, s)", 12), ("y = InstanceNormalization (x, p, q)", 6),
    ],
)  # fmt: skip
def test_a_layers_parameters_are_its_weights_and_its_bias(node: str, parameters: int) -> None:
    model = parsed("(float[1, 3, 4, 4] x) => (float[1, 2, h, w] y)", node)
    model = with_weights(model, w=(2, 3, 1, 1), w2=(3, 2, 1, 1), b=(2,), p=(3,), q=(3,), r=(3,), s=(3,))
    (layer,) = _layers.layers_of(model)
    assert layer.parameters == parameters == _layers.parameters(model)
    again = f"z = Relu (x) {node.replace('y = ', 'u = ').replace('(x,', '(z,')}"
    model.graph.node.extend(parsed("(float[1, 3, 4, 4] x) => (float[1, 2, h, w] u)", again).graph.node)
    assert _layers.parameters(model) == parameters and len(_layers.layers_of(model)) == 2


def test_of_two_repeated_pixels_none_is_taken_out_and_of_one_alone_neither() -> None:
    def result(nodes: str, channels: int) -> bool:
        model = parsed(
            "(float[1, 2, 5, 5] x) => (float[1, 3, 5, 5] y)",
            f"pixel = GlobalAveragePool (x) one = Expand (pixel, size) {nodes} y = Conv (joined, w)",
            "int64[4] size = {1, 1, 5, 5}",
        )
        return constant_pool_branch.apply(with_weights(model, w=(3, channels, 1, 1))).changed

    assert result("joined = Concat <axis = 1> (x, one)", 4)
    assert not result("two = Expand (pixel, size) joined = Concat <axis = 1> (one, two)", 4)
    assert not result("joined = Concat <axis = 1> (one)", 2)


@pytest.mark.parametrize(
    ("largest", "step"),
    [(127.0, 1.0), (63.5, 0.5), (0.0, 2.0**-24), (127 * (1 + 2**-10), 1 + 2**-10), (127 * (1 + 2**-12), 1 + 2**-10)],
)
def test_a_step_is_the_least_float16_that_reaches_to_the_largest_value(largest: float, step: float) -> None:
    assert float(_typed.scale_of(largest)) == step


def test_readers_of_a_tensor_are_counted_with_the_graphs_output() -> None:
    model = parsed("(float[1] x) => (float[1] y, float[1] z)", "y = Add (x, x) z = Neg (y)")
    assert _tensors.reader_counts(model.graph) == {"x": 2, "y": 2, "z": 1}
    assert _tensors.unused(model.graph, "y") == "y_2" and _tensors.unused(model.graph, "v") == "v"


def test_halves_in_weights_constants_and_casts_are_each_found() -> None:
    half = numpy_helper.from_array(np.array([1.5], np.float16), "v")
    plain = parsed("(float[1] x) => (float[1] y)", "c = Cast <to = 1> (x) y = Relu (c)")
    assert not as_float32.apply(plain).changed
    assert as_float32.apply(
        parsed("(float[1] x) => (float[1] y)", "c = Cast <to = 10> (x) y = Cast <to = 1> (c)")
    ).changed
    held = parsed("(float[1] x) => (float[1] y)", "k = Cast <to = 1> (v) y = Add (x, k)")
    held.graph.initializer.append(half)
    stored = parsed("(float[1] x) => (float[1] y)", "y = Add (x, k)")
    nodes = [
        helper.make_node("Constant", [], ["h"], value=half),
        helper.make_node("Cast", ["h"], ["k"], to=1),
        *stored.graph.node,
    ]
    del stored.graph.node[:]
    stored.graph.node.extend(nodes)
    for model in (held, stored):
        result = as_float32.apply(model)
        assert result.changed and ReferenceEvaluator(result.model).run(None, {"x": np.array([2], np.float32)})[
            0
        ].tolist() == [3.5]


def test_float64_is_lowered_where_it_is_asked_for_alone() -> None:
    model = parsed("(float[1] x) => (float[1] y)", "c = Cast <to = 11> (x) d = Mul (c, k) y = Cast <to = 1> (d)")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1.5], np.float64), "k"))
    assert not as_float32.apply(model).changed
    result = as_float32.apply(model, as_float32.DOUBLES)
    assert result.changed and "float64" in result.notes
    kinds = {tensor.data_type for tensor in result.model.graph.initializer}
    assert kinds == {onnx.TensorProto.FLOAT} and "Cast" not in [node.op_type for node in result.model.graph.node][:-1]
    (found,) = ReferenceEvaluator(result.model).run(None, {"x": np.array([3], np.float32)})
    assert found.dtype == np.float32 and found.tolist() == [4.5]
