"""What a graph may ask for before anything follows it: types, sizes, depth, steps and what is made of few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from densecast.errors import BadGraphError
from densecast.verbs.export import graph_walk

GIB = 1 << 30


def graph(
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, Any] | None = None,
    name: str = "g",
    functions: Sequence[onnx.FunctionProto] = (),
    sizes: Sequence[int | str] = (1, 3, 8, 8),
) -> onnx.ModelProto:
    """A model whose constants are whole numbers of 64 bits or given arrays."""
    made = helper.make_graph(
        list(nodes),
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(sizes))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in (constants or {}).items()],
    )
    return helper.make_model(made, functions=list(functions))


def reason(model: onnx.ModelProto) -> str:
    """Why it is refused; nothing where it is taken."""
    try:
        graph_walk.check(model, "a.onnx")
    except BadGraphError as error:
        return str(error)
    return ""


def node(kind: str, *inputs: str, out: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, list(inputs), [out], **attributes)


ELEMENTS = 512 * 2**20 // 4


@pytest.mark.parametrize(
    ("made", "constants", "most"),
    [
        # (a node of which one size is a name, what that may be at most)
        (node("ConstantOfShape", "n"), lambda n: {"n": [n, 1]}, ELEMENTS),
        (
            node("ConstantOfShape", "n", value=helper.make_tensor("v", TensorProto.INT64, [1], [0])),
            lambda n: {"n": [n, 1]},
            ELEMENTS // 2,
        ),
        (
            node("ConstantOfShape", "n", value=helper.make_tensor("v", TensorProto.UINT8, [1], [0])),
            lambda n: {"n": [n]},
            ELEMENTS * 4,
        ),
        (node("Expand", "x", "n"), lambda n: {"n": [1, n]}, ELEMENTS),
        (node("Tile", "x", "n"), lambda n: {"n": [n, 1]}, ELEMENTS),
        (node("Range", "a", "n", "d"), lambda n: {"a": 0, "n": n, "d": 1}, ELEMENTS // 2),
        (node("Range", "a", "n", "d"), lambda n: {"a": 8, "n": 8 + 4 * n, "d": 4}, ELEMENTS // 2),
        (node("Range", "a", "n", "d"), lambda n: {"a": n, "n": 0, "d": -1}, ELEMENTS // 2),
        (node("Pad", "x", "n"), lambda n: {"n": [0, n]}, ELEMENTS),
        (node("Pad", "x", "n"), lambda n: {"n": [0, -n]}, ELEMENTS),
        (node("Resize", "x", "", "n"), lambda n: {"n": np.array([1, 0.5, n], np.float64)}, ELEMENTS),
        (node("Upsample", "x", "n"), lambda n: {"n": np.array([1, n], np.float64)}, ELEMENTS),
    ],
)  # fmt: skip
def test_what_is_made_of_few_numbers_is_half_a_gibibyte_at_most(
    made: onnx.NodeProto, constants: Any, most: int
) -> None:
    assert reason(graph([made], constants(most))) == ""
    told = reason(graph([made], constants(most + 1)))
    assert told.startswith(f"a.onnx: node 'y' ({made.op_type}) makes a tensor of 0.5 GiB out of a few numbers")
    assert told.endswith("at most 0.5 GiB are taken.")


@pytest.mark.parametrize("kind", ["RandomNormal", "RandomUniform"])
def test_random_numbers_are_as_many_as_their_shape(kind: str) -> None:
    assert reason(graph([node(kind, shape=[ELEMENTS, 1])])) == ""
    assert "makes a tensor of 1 GiB" in reason(graph([node(kind, shape=[ELEMENTS, 2])]))


def test_sizes_of_nothing_and_ranges_that_never_end_make_nothing() -> None:
    for constants in ({"a": 0, "n": 2**40, "d": 0}, {"a": 2**40, "n": 0, "d": 1}):
        assert reason(graph([node("Range", "a", "n", "d")], constants)) == ""
    assert reason(graph([node("ConstantOfShape", "n")], {"n": [-1, 2**20]})) == ""
    # Sizes that are not constant say nothing.
    assert reason(graph([node("ConstantOfShape", "x"), node("Expand", "x", "x"), node("Pad", "x", "x")])) == ""
    assert reason(graph([node("Identity", "x")], {"n": [2**40]})) == ""


@pytest.mark.parametrize(
    "constant",
    [
        {"value": helper.make_tensor("v", TensorProto.INT64, [1], [2**30])},
        {"value": helper.make_tensor("v", TensorProto.INT32, [1], [2**30])},
        {"value": helper.make_tensor("v", TensorProto.FLOAT, [1], [2.0**30])},
        {"value": helper.make_tensor("v", TensorProto.DOUBLE, [1], [2.0**30])},
        {"value_int": 2**30},
        {"value_float": 2.0**30},
        {"value_ints": [2**30]},
        {"value_floats": [2.0**30]},
    ],
)
def test_constants_are_read_in_every_form(constant: dict[str, Any]) -> None:
    nodes = [node("Constant", out="n", **constant), node("ConstantOfShape", "n")]
    assert "makes a tensor of 4 GiB" in reason(graph(nodes))
    # And where the sizes are those of the graph around: bodies of branches see them.
    body = helper.make_graph([node("ConstantOfShape", "n", out="b")], "body", [], [])
    nodes[1] = node("If", "x", then_branch=body, else_branch=helper.make_graph([], "none", [], []))
    assert "'b' (ConstantOfShape) makes a tensor of 4 GiB" in reason(graph(nodes))
    nodes[1] = helper.make_node("If", ["x"], ["y"], name="named", then_branch=helper.make_graph([], "none", [], []))
    assert reason(graph(nodes)) == ""


def test_a_list_of_sizes_is_looked_at_up_to_64_numbers() -> None:
    for count, is_read in ((64, True), (65, False)):
        sizes = np.array([2**30] + [1] * (count - 1))
        assert bool(reason(graph([node("ConstantOfShape", "n")], {"n": sizes}))) == is_read
    many = [node("Constant", out="n", value_ints=[1] * 64 + [2**30]), node("ConstantOfShape", "n")]
    assert reason(graph(many)) == ""


def test_larger_files_may_make_four_times_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_walk, "MAX_MADE_BYTES", 1 << 12)
    for kilobytes, is_taken in ((1, False), (15, False), (17, True)):
        weights = np.zeros(kilobytes << 10, np.int8)
        model = graph([node("ConstantOfShape", "n")], {"n": [16 << 10], "w": weights})
        assert (reason(model) == "") == is_taken


@pytest.mark.parametrize(
    ("dims", "told"),
    [
        ([2**40], ""),
        ([2**40, 0], ""),
        ([2**20, 2**20], ""),
        ([2**40 + 1], "sizes"),
        ([-1], "sizes"),
        ([2, -1], "sizes"),
    ],
)
def test_tensors_have_sizes_that_tensors_have(dims: list[int], told: str) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    expected = f"a.onnx: 'w' has sizes that no tensor has, {dims}." if told else ""
    model = graph([node("Identity", "x")])
    model.graph.initializer.append(tensor)
    assert reason(model) == expected
    assert reason(graph([node("Identity", "x", value=tensor)])) == expected
    several = node("Identity", "x")
    several.attribute.append(helper.make_attribute("values", [tensor]))
    assert reason(graph([several])) == expected


def test_unknown_types_of_numbers_are_named() -> None:
    model = graph([node("Identity", "x")])
    model.graph.initializer.append(TensorProto(name="w", data_type=99, dims=[1]))
    assert reason(model) == "a.onnx: 'w' has an unknown type of numbers, 99."
    for place in ("input", "output", "value_info"):
        model = graph([node("Identity", "x")])
        value = getattr(model.graph, place).add()
        value.name = "v"
        value.type.tensor_type.elem_type = 99
        assert reason(model) == "a.onnx: 'v' has an unknown type of numbers, 99."
        value.type.tensor_type.elem_type = 0
        value.type.tensor_type.shape.SetInParent()
        assert reason(model) == ""


@pytest.mark.parametrize(
    ("sizes", "is_taken"),
    [
        ([1, 1, 2**17, 2**17], True),
        ([1, 1, 2**17, 2**17 + 1], False),
        (["n", 3, "h", "w"], True),
        (["n", 167_772, "h", "w"], True),  # open sizes are those of a trial, 1 picture of 320 x 320
        (["n", 167_773, "h", "w"], False),
        ([1, 3, 320, 320, "d"], True),
    ],
)
def test_inputs_have_sizes_that_images_have(sizes: list[int | str], is_taken: bool) -> None:
    told = reason(graph([node("Identity", "x")], sizes=sizes))
    assert told == "" if is_taken else told.startswith("a.onnx: input 'x' has sizes that no image has, [")


@pytest.mark.parametrize(
    ("sizes", "pixels"), [([1, 3, 8, 8], 64), (["n", "c", "h", "w"], 320 * 320), ([2, 3, "h", 10], 6400), ([], 0)]
)
def test_pixels_are_a_third_of_the_largest_inputs_numbers(sizes: list[int | str], pixels: int) -> None:
    model = graph([node("Identity", "x")], sizes=sizes)
    assert graph_walk.pixels(model) == pixels
    small = helper.make_tensor_value_info("small", TensorProto.FLOAT, [1, 3, 1, 1])
    model.graph.input.append(small)
    assert graph_walk.pixels(model) == max(pixels, 1)
    del model.graph.input[:]
    assert graph_walk.pixels(model) == 0


def nested(depth: int) -> onnx.ModelProto:
    """Bodies in each other, so many graphs in all."""
    inner = helper.make_graph([], "inner", [], [])
    for _ in range(depth - 2):
        inner = helper.make_graph([node("If", "x", then_branch=inner)], "body", [], [])
    return graph([node("If", "x", then_branch=inner)])


def test_graphs_are_nested_32_deep_at_most() -> None:
    assert reason(nested(32)) == ""
    assert reason(nested(33)) == "a.onnx nests graphs more than 32 deep."


def loop(turns: int, nodes: int, kind: str = "Loop") -> onnx.NodeProto:
    body = helper.make_graph([node("Identity", "x") for _ in range(nodes)], "body", [], [])
    return node(kind, f"turns{turns}", "", body=body)


@pytest.mark.parametrize(
    ("turns", "nodes", "more", "is_taken"),
    [
        # Every turn costs one step, and the loop itself one.
        (100_000, 9, 0, False),
        (99_999, 9, 9, True),
        (99_999, 9, 10, False),
        (499_999, 1, 1, True),
        (499_999, 1, 2, False),
        (-5, 3, 0, True),
        (2**62, 0, 0, False),
    ],
)
def test_a_loop_takes_its_bodys_steps_as_often_as_it_turns(turns: int, nodes: int, more: int, is_taken: bool) -> None:
    further = [node("Identity", "x") for _ in range(more)]
    told = reason(graph([loop(turns, nodes), *further], {f"turns{turns}": turns}))
    assert ("takes more than 1000000 steps" in told) != is_taken
    # Of turns that are not known it is one.
    assert reason(graph([loop(turns, nodes), *further])) == ""
    # Other bodies run once.
    assert reason(graph([loop(turns, nodes, "Scan")], {f"turns{turns}": turns})) == ""


def test_loops_in_loops_multiply_and_their_turns_may_be_constants_inside() -> None:
    for turns, is_taken in ((700, True), (1000, False)):
        inner = [node("Constant", out="t", value_int=turns), node("Loop", "t", "", body=loop(1, 1).attribute[0].g)]
        outer = node("Loop", "t", "", body=helper.make_graph(inner, "outer", [], []))
        model = graph([node("Constant", out="t", value_int=turns), outer])
        assert (reason(model) == "") == is_taken


def function(name: str, *calls: str, domain: str = "own", identities: int = 0) -> onnx.FunctionProto:
    nodes = [helper.make_node(call, ["x"], ["y"], domain=domain) for call in calls]
    nodes += [node("Identity", "x") for _ in range(identities)]
    return helper.make_function(domain, name, ["x"], ["y"], nodes, [helper.make_opsetid("", 17)])


def called(*functions: onnx.FunctionProto, name: str = "f0") -> onnx.ModelProto:
    return graph([helper.make_node(name, ["x"], ["y"], domain="own")], functions=functions)


def test_functions_that_call_the_next_one_twice_double_each_time() -> None:
    def doubling(count: int) -> list[onnx.FunctionProto]:
        calls = [function(f"f{place}", f"f{place + 1}", f"f{place + 1}") for place in range(count)]
        return [*calls, function(f"f{count}", identities=1)]

    assert reason(called(*doubling(19))) == ""  # 2**19 steps
    for functions in (doubling(20), doubling(200), list(reversed(doubling(60)))):
        assert "takes more than 1000000 steps" in reason(called(*functions))
    # What nobody calls costs nothing; one of the same name elsewhere is another one.
    assert reason(graph([node("Identity", "x")], functions=doubling(40))) == ""
    assert reason(graph([helper.make_node("f0", ["x"], ["y"], domain="other")], functions=doubling(40))) == ""


def test_functions_that_call_themselves_are_named() -> None:
    assert reason(called(function("f0", "f0"))) == ("a.onnx: function 'f0' calls itself, directly or through others.")
    assert "'f1' calls itself" in reason(called(function("f0"), function("f1", "f2"), function("f2", "f1")))
    body = helper.make_graph([helper.make_node("f0", ["x"], ["y"], domain="own")], "body", [], [])
    hidden = function("f0")
    hidden.node.append(node("If", "x", then_branch=body))
    assert "'f0' calls itself" in reason(called(hidden))


def test_what_functions_make_is_bounded_like_what_graphs_make() -> None:
    made = function("f0")
    made.node.append(node("Constant", out="n", value_ints=[2**30]))
    made.node.append(node("ConstantOfShape", "n"))
    assert "makes a tensor of 4 GiB" in reason(called(made))
