"""What a pass tells when it leaves a graph as it is, and what it makes of forms that few networks have."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from densecast.graph import (
    _rounded,
    end_at_logits,
    end_at_prediction,
    open_sizes,
    plain_outputs,
    scripted_sizes,
    split_dilated_convs,
    split_upsampled_joins,
    start_at_network,
    transpose_hw,
)
from densecast.graph.end_at_prediction import Ending
from densecast.graph.plain_outputs import Arrangement


def parsed(signature: str, nodes: str, constants: str = "", opset: int = 17) -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> small {signature} <{constants}> {{ {nodes} }}'
    )


def with_weights(model: onnx.ModelProto, **weights: tuple[int, ...]) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    for name, shape in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    return model


def run(model: onnx.ModelProto, **feeds: np.ndarray) -> list[np.ndarray]:
    return list(ReferenceEvaluator(model).run(None, feeds))


ARRANGED: dict[str, tuple[tuple[int, ...], Arrangement, Any, str]] = {
    # The output's own shape, how it lies, what it becomes, and the words.
    "channels last": ((2, 3, 4, 5), Arrangement(4, True), lambda y: y.transpose(0, 3, 1, 2), "(N, C, h, w)"),
    "no batch": ((3, 4, 5), Arrangement(3, has_batch=False), lambda y: y[None], "(N, C, h, w)"),
    "no channels": ((2, 4, 5), Arrangement(3, has_channels=False), lambda y: y[:, None], "(N, C, h, w)"),
    "a plane alone": ((4, 5), Arrangement(2, False, False, False), lambda y: y[None, None], "(N, C, h, w)"),
    "labels alone": ((4, 5), Arrangement(2, has_batch=False), lambda y: y[None], "(N, h, w)"),
    "no batch, channels last": (
        (4, 5, 3), Arrangement(3, True, False), lambda y: y.transpose(2, 0, 1)[None], "(N, C, h, w)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("opset", [12, 17])
@pytest.mark.parametrize("name", ARRANGED)
def test_outputs_are_given_as_maps_with_their_channels_first(name: str, opset: int) -> None:
    shape, arrangement, wanted, words = ARRANGED[name]
    sizes = ", ".join(map(str, shape))
    model = parsed(f"(float[{sizes}] x) => (float[{sizes}] y)", "y = Relu (x)", opset=opset)
    result = plain_outputs.apply(model, {"y": arrangement})
    assert result.changed and result.notes == f"y is given as {words}"
    values = np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)
    (found,) = run(result.model, x=values)
    np.testing.assert_array_equal(found, wanted(values))
    (value,) = result.model.graph.output
    assert len(value.type.tensor_type.shape.dim) == found.ndim and value.name == "y"


def test_white_is_given_as_one_and_what_lies_as_it_should_needs_no_words() -> None:
    model = parsed("(uint8[1, 4, 5] x) => (uint8[1, 4, 5] y)", "y = Identity (x)")
    result = plain_outputs.apply(model, {"y": Arrangement(3, white=True)})
    assert result.notes == "y holds 0 and 255, which are given as 0 and 1"
    (found,) = run(result.model, x=np.array([[[0, 255, 255, 0, 255]] * 4], np.uint8))
    assert found.dtype == np.uint8 and found[0, 0].tolist() == [0, 1, 1, 0, 1]
    assert Arrangement(4).is_plain and not Arrangement(3, has_batch=False).is_plain
    assert not Arrangement(4, channels_last=True).is_plain and not Arrangement(3, has_channels=False).is_plain
    half = parsed("(float16[2, 4, 5] x) => (float16[2, 4, 5] y)", "y = Relu (x)")
    both = plain_outputs.apply(half, {"y": Arrangement(3, has_channels=False)})
    assert both.notes == "y is float32 instead of float16; y is given as (N, C, h, w)"
    assert not plain_outputs.apply(parsed("(float[1] x) => (float[1] y)", "y = Relu (x)")).changed


MAP = "(float[1, 2, 16, 300] x) => (float[1, 2, h, w] y)"


@pytest.mark.parametrize(
    ("signature", "nodes", "words"),
    [
        ("(float[2, 16, 300] x) => (float[2, 16, 300] y)", "y = Relu (x)", "not a network from one map to maps"),
        ("(float[1, 2, 16, 300] x) => (float[1, 300] y)", "y = ReduceMax <axes = [1, 2], keepdims = 0> (x)",
         "not a network from one map to maps"),
        ("(float[1, 2, 16, 300] x, float[1, 2, 16, 300] z) => (float[1, 2, 16, 300] y)", "y = Add (x, z)",
         "not a network from one map to maps"),
        (MAP, "v = Identity (w) y = Conv (x, v)", "its weights are computed"),
        (MAP, "y = Add (x, row)", "it has a value for every column"),
        (MAP, "y = Softmax <axis = 2> (x)", "it works along rows or columns"),
        (MAP, "y = Softmax (x)", "it works along rows or columns"),
        (MAP, "m = ArgMax <axis = 1, keepdims = 0> (x) c = Cast <to = 1> (m) y = Unsqueeze (c, one)",
         "it drops the channels' axis"),
        (MAP, "y = ConvTranspose <output_shape = [16, 300]> (x, w)", "its output's size is given"),
        (MAP, "y = Resize (x, , , n)", "its sizes are computed"),
        (MAP, "y = MaxPool <kernel_shape = [2, 2]> (x) z = Einsum <equation = \"nchw->nchw\"> (y)", "Einsum"),
    ],
)  # fmt: skip
def test_what_cannot_be_transposed_is_told(signature: str, nodes: str, words: str) -> None:
    constants = "float[300] row = {" + ", ".join(["1"] * 300) + "}, int64[1] one = {1}"
    result = transpose_hw.apply(with_weights(parsed(signature, nodes, constants), w=(2, 2, 1, 1)), only_slow=False)
    assert not result.changed and words in result.notes


@pytest.mark.parametrize(
    ("axis", "operator", "is_transposed"),
    [(1, "Softmax", True), (-3, "Softmax", True), (3, "Softmax", False), (1, "ArgMax", True), (2, "ArgMax", False)],
)
def test_what_works_along_channels_is_transposed(axis: int, operator: str, is_transposed: bool) -> None:
    cast = "y = Cast <to = 1> (m)"
    model = parsed("(float[1, 3, 4, 6] x) => (float[1, c, h, w] y)", f"m = {operator} <axis = {axis}> (x) {cast}")
    result = transpose_hw.apply(model, only_slow=False)
    assert result.changed is is_transposed
    values = np.random.default_rng(0).normal(size=(1, 3, 4, 6)).astype(np.float32)
    np.testing.assert_allclose(run(result.model, x=values)[0], run(model, x=values)[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("height", "width", "channels", "is_slow"),
    [
        (64, 300, 30, True),
        (64, 256, 30, False),
        (64, 304, 30, False),
        (65, 300, 30, False),
        (64, 300, 20, True),
        (64, 300, 19, False),
    ],
)
def test_rows_are_transposed_where_they_are_long_awkward_and_of_many_channels(
    height: int, width: int, channels: int, is_slow: bool
) -> None:
    model = parsed(f"(float[1, {channels}, {height}, {width}] x) => (float[1, 1, h, w] y)", "y = Conv (x, w)")
    assert transpose_hw.apply(with_weights(model, w=(1, channels, 1, 1))).changed is is_slow


TWO = "(float[1, 3, 4, 4] x, float[1, 3, 4, 4] z) => (float[1, 3, 4, 4] y, float[1, 3, 4, 4] u)"


def test_passes_over_one_input_or_output_tell_how_many_there_are() -> None:
    two = parsed(TWO, "y = Relu (x) u = Relu (z)")
    assert end_at_logits.apply(two).notes == "the graph has 2 outputs; one is needed"
    assert start_at_network.apply(two).notes == "the graph has 2 inputs; one is needed"
    assert open_sizes.apply(two).notes == "one input of four dimensions is needed"
    flat = parsed("(float[4] x) => (float[4] y)", "y = Relu (x)")
    assert open_sizes.apply(flat).notes == "one input of four dimensions is needed"
    for sizes in ("h, w", "4, w", "h, 4"):
        model = parsed(f"(float[1, 3, {sizes}] x) => (float[1, 3, {sizes}] y)", "y = Relu (x)")
        assert open_sizes.apply(model).notes == "height and width already are open"
    old = with_weights(
        parsed("(float[1, 2, 8, 8] x) => (float[1, 2, h, w] y)", "y = Conv (x, w)", opset=12), w=(2, 2, 3, 3)
    )
    assert split_dilated_convs.apply(old).notes == "operators of version 12; 13 is needed to split a tensor"


@pytest.mark.parametrize(
    ("kernel", "dilations", "dilated"),
    [((3, 1), "2, 1", 1), ((2, 1), "2, 1", 1), ((1, 3), "2, 2", 0), ((3, 1), "1, 2", 0)],
)
def test_only_kernels_of_several_rows_apart_are_dilated(kernel: tuple[int, int], dilations: str, dilated: int) -> None:
    model = parsed("(float[1, 2, 8, 8] x) => (float[1, 3, h, w] y)", f"y = Conv <dilations = [{dilations}]> (x, w)")
    result = split_dilated_convs.apply(with_weights(model, w=(3, 2, *kernel)))
    assert not result.changed and result.notes.startswith(f"of {dilated} convolutions with dilated rows")


def test_a_join_that_others_read_is_left_and_a_split_one_keeps_its_name() -> None:
    def result(more: str) -> Any:
        model = parsed(
            "(float[1, 4, 4, 4] x, float[1, 2, 8, 8] z) => (float[1, 2, 8, 8] y, float[1, c, 8, 8] u)",
            'big = Resize <mode = "linear"> (x, , scales) also = Relu (z) joined = Concat <axis = 1> (big, also) '
            f"y = Conv (joined, w) {more}",
            "float[4] scales = {1, 1, 2, 2}",
        )
        conv = next(node for node in model.graph.node if node.op_type == "Conv")
        conv.name = "mixing"
        return split_upsampled_joins.apply(with_weights(model, w=(2, 6, 1, 1)))

    split = result("u = Neg (also)")
    assert split.notes.startswith("1 1x1 convolutions") and not result("u = Neg (joined)").changed
    convs = [node.name for node in split.model.graph.node if node.op_type == "Conv"]
    assert len(convs) == 2 and convs.count("mixing") == 1


def ended(ending: Ending, sizes: str = "1, 3, 2, 2", kind: str = "float") -> onnx.ModelProto:
    model = parsed(f"({kind}[{sizes}] x, float[1, 1, 4, 4] image) => ({kind}[{sizes}] y)", "y = Identity (x)")
    first, second = model.graph.input
    model.graph.input.remove(first)
    model.graph.input.append(first)
    assert second.name == "image"
    result = end_at_prediction.apply(model, ending)
    assert result.changed, result.notes
    return result.model


IMAGE = np.zeros((1, 1, 4, 4), np.float32)


def test_each_plane_has_a_limit_of_its_own() -> None:
    model = ended(Ending("y", "p", "above", "uint8", limits=(0.5, 1.5, 2.5)), "1, 3, 4, 4")
    planes = np.stack([np.full((4, 4), value, np.float32) for value in (0.75, 1.25, 2.75)])[None]
    (found,) = run(model, image=IMAGE, x=planes)
    assert found.shape == (1, 3, 4, 4) and found.dtype == np.uint8
    assert found[0, :, 0, 0].tolist() == [1, 0, 1]
    shape = model.graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in shape] == [1, 3, 4, 4]


def test_a_plane_with_a_limit_becomes_two_of_which_the_larger_tells_the_side() -> None:
    model = ended(Ending("y", "p", "planes", "float32", limits=(0.5,)), "1, 1, 4, 4")
    plane = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    (found,) = run(model, image=IMAGE, x=plane)
    np.testing.assert_allclose(found, np.concatenate([0.5 - plane, plane - 0.5], axis=1), atol=1e-7)
    assert [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim] == [1, 2, 4, 4]
    alone = ended(Ending("y", "p", "planes", "float32"), "1, 3, 4, 4")
    assert [dim.dim_value for dim in alone.graph.output[0].type.tensor_type.shape.dim] == [1, 3, 4, 4]


def test_a_graph_that_ends_at_its_prediction_is_not_ended_once_more() -> None:
    ending = Ending("y", "p", "planes", "float32", limits=(0.5,))
    model = ended(ending, "1, 1, 4, 4")
    again = end_at_prediction.apply(model, ending)
    assert not again.changed and again.notes == "the graph already ends at its p"
    # One that only has the name, or another kind of it, is not meant.
    missing = end_at_prediction.apply(model, Ending("y", "p", "argmax", "int32"))
    assert not missing.changed and missing.notes == "the graph has no output 'y'"
    named = parsed("(float[1, 1, 4, 4] image) => (float[1, 3, 4, 4] p)", "p = Concat <axis = 1> (image, image, image)")
    result = end_at_prediction.apply(named, Ending("p", "p", "argmax", "int32"))
    assert result.changed and [value.name for value in result.model.graph.output] == ["p"]
    (found,) = run(result.model, image=IMAGE)
    assert found.shape == (1, 4, 4) and found.dtype == np.int32


def test_numbers_are_scaled_and_kept_within_their_ends() -> None:
    plane = np.linspace(-1, 2, 16, dtype=np.float32).reshape(1, 1, 4, 4)
    (found,) = run(
        ended(Ending("y", "p", "numbers", "float32", scale=2.0, low=0.0, high=3.0), "1, 1, 4, 4"), image=IMAGE, x=plane
    )
    np.testing.assert_allclose(found, np.clip(2 * plane[:, 0], 0, 3), rtol=1e-6)


@pytest.mark.parametrize(("sizes", "drops"), [("1, 2, 2", False), ("1, 1, 2, 2", True), ("1, 4, 4", False)])
def test_labels_are_enlarged_to_the_image_by_repeating_them(sizes: str, drops: bool) -> None:
    model = ended(Ending("y", "p", "labels", "int32", drops_channel=drops), sizes, "int64")
    side = int(sizes[-1])
    labels = np.arange(side * side, dtype=np.int64).reshape(side, side)
    (found,) = run(model, image=IMAGE, x=labels.reshape([int(each) for each in sizes.split(", ")]))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found[0], labels.repeat(4 // side, axis=0).repeat(4 // side, axis=1))


@pytest.mark.parametrize(("kind", "drops", "rank"), [("labels", False, 3), ("labels", True, 4), ("argmax", False, 4)])
def test_an_output_of_unknown_rank_has_that_of_its_kind(kind: Any, drops: bool, rank: int) -> None:
    model = parsed("(float[1, 1, 4, 4] image, float[] x) => (float[] y)", "y = Identity (x)")
    for value in (model.graph.input[1], model.graph.output[0]):
        value.type.tensor_type.ClearField("shape")
    made = end_at_prediction.apply(model, Ending("y", "p", kind, "int32", drops_channel=drops)).model
    assert ("Unsqueeze" in [node.op_type for node in made.graph.node]) == (rank == 3)
    (found,) = run(made, image=IMAGE, x=np.ones((1, 2, 2) if rank == 3 else (1, 1, 2, 2), np.float32))
    assert found.shape == (1, 4, 4)


def test_a_list_that_is_joined_with_itself_is_taken_as_it_is_and_one_number_is_repeated() -> None:
    def changed(part: str, widen: str = "Unsqueeze (part, zero)") -> bool:
        nodes = f"n = Shape (x) part = {part} wide = {widen} twice = Concat <axis = 0> (wide, wide) "
        nodes += "long = Cast <to = 7> (twice) whole = Concat <axis = 0> (front, long) y = Resize (x, , , whole)"
        constants = (
            "int64[1] zero = {0}, int64[2] front = {1, 3}, int64[1] two = {2}, int64[1] four = {4}, int64 one = {1}"
        )
        return scripted_sizes.apply(parsed("(float[1, 3, 4, 4] x) => (float[1, 3, h, w] y)", nodes, constants)).changed

    assert changed("Slice (n, two, four)")
    assert not changed("Gather (n, one)")
    assert not changed("Slice (n, two, four)", "Neg (part)")


def test_weights_of_8_bits_are_whole_steps_of_their_channel_and_zeros_stay() -> None:
    model = parsed("(float[1, 2, 4, 4] x) => (float[1, 3, h, w] y)", "y = Conv (x, w)")
    weights = np.array([[2.54, 0.011], [0, 0], [-0.5, 1.27]], np.float32).reshape(3, 2, 1, 1)
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    made = _rounded.int8(model)
    assert made is not None
    held = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    np.testing.assert_allclose(held["w_of_8_bits"].reshape(3, 2), [[2.54, 0.02], [0, 0], [-0.5, 1.27]], atol=1e-6)
    # What is computed from weights alone is rounded with them, and not as data.
    fixed = parsed("(float[1, 2] x) => (float[1, 2] y)", "m = MatMul (w, v) y = Add (x, m)")
    rounded = _rounded.int8(with_weights(fixed, w=(1, 2), v=(2, 2)))
    assert rounded is not None and "DynamicQuantizeLinear" not in {node.op_type for node in rounded.graph.node}
    assert _rounded.int8(parsed("(float[1] x) => (float[1] y)", "y = Relu (x)", opset=10)) is None
