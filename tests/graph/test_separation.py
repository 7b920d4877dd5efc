"""Graphs that carry their own pre- and post-processing are cut where the network begins and ends, or left alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
import tiny_graphs
from onnx.reference import ReferenceEvaluator

from densecast.graph import channels_first_input, end_at_logits, fix_shape, open_sizes, start_at_network
from densecast.spec.tensor import Dim, TensorSpec


def graph(signature: str, body: str, weights: str = "") -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g {signature} <{weights}> {{ {body} }}'
        if weights
        else f'<ir_version: 8, opset_import: ["" : 17]> g {signature} {{ {body} }}'
    )


CHANNELS_LAST = "(float[1,3,H,W] image) => (int64[1,h,w] labels)"


@pytest.mark.parametrize(
    ("tail", "tensor", "axis", "align_corners"),
    [
        ("labels = ArgMax <axis = 1, keepdims = 0> (x)", "x", 1, None),
        ("s = Softmax <axis = 1> (x) labels = ArgMax <axis = 1, keepdims = 0> (s)", "x", 1, None),
        ("s = Softmax <axis = 2> (x) labels = ArgMax <axis = 1, keepdims = 0> (s)", "s", 1, None),
        (
            "t = Transpose <perm = [0, 2, 3, 1]> (x) s = Softmax (t) labels = ArgMax <axis = 3, keepdims = 0> (s)",
            "x",
            1,
            None,
        ),
        (
            'r = Resize <mode = "linear"> (x, , double) labels = ArgMax <axis = 1, keepdims = 0> (r)',
            "x",
            1,
            False,
        ),
        (
            'r = Resize <mode = "linear", coordinate_transformation_mode = "align_corners"> (x, , double)'
            "labels = ArgMax <axis = 1, keepdims = 0> (r)",
            "x",
            1,
            True,
        ),
        # TensorFlow 1's first convention has no name in the decode: it stays in the graph.
        (
            'r = Resize <mode = "linear", coordinate_transformation_mode = "asymmetric"> (x, , double)'
            "labels = ArgMax <axis = 1, keepdims = 0> (r)",
            "r",
            1,
            None,
        ),
        # Labels that are blended after the argmax, or computed with, are not those of the argmax.
        (
            "a = ArgMax <axis = 1> (x) f = Cast <to = 1> (a)"
            'r = Resize <mode = "linear"> (f, , double) labels = Cast <to = 7> (r)',
            "labels",
            3,
            None,
        ),
        ("a = ArgMax <axis = 1> (x) labels = Neg (a)", "labels", 3, None),
        # Two resizes in a row are not one.
        (
            'q = Resize <mode = "linear"> (x, , double) r = Resize <mode = "linear"> (q, , double)'
            "labels = ArgMax <axis = 1, keepdims = 0> (r)",
            "q",
            1,
            False,
        ),
    ],
)
def test_only_what_keeps_the_winner_is_cut_off(tail: str, tensor: str, axis: int, align_corners: bool | None) -> None:
    weights = "float[4] double = {1, 1, 2, 2}" if "double" in tail else ""
    found = end_at_logits.find(graph(CHANNELS_LAST, f"x = Relu (image) {tail}", weights))
    assert (found.tensor, found.class_axis, found.align_corners) == (tensor, axis, align_corners)


def test_scores_that_stay_channels_last_are_turned() -> None:
    model = graph(
        "(float[1,3,H,W] image) => (float[1,H,W,3] scores)",
        "x = Relu (image) y = Transpose <perm = [0, 2, 3, 1]> (x) z = Neg (y) scores = Identity (z)",
    )
    result = end_at_logits.apply(model)
    image = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(
        ReferenceEvaluator(result.model).run(None, {"image": image})[0], -np.maximum(image, 0)
    )


def test_a_tensor_that_is_named_logits_already_becomes_the_output_all_the_same() -> None:
    image = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32)
    first = graph(CHANNELS_LAST, "logits = Neg (image) labels = ArgMax <axis = 1, keepdims = 0> (logits)")
    last = graph(
        "(float[1,3,H,W] image) => (float[1,H,W,3] scores)",
        "x = Transpose <perm = [0, 2, 3, 1]> (image) logits = Neg (x) scores = Softmax (logits)",
    )
    for model in (first, last):
        result = end_at_logits.apply(model)
        assert result.changed
        np.testing.assert_array_equal(ReferenceEvaluator(result.model).run(None, {"image": image})[0], -image)
        assert not end_at_logits.apply(result.model).changed


def test_an_image_that_reaches_the_network_in_two_ways_is_not_cut() -> None:
    model = graph(
        "(float[1,3,H,W] image) => (float[1,3,H,W] logits)",
        "x = Neg (image) y = Conv (x, w) logits = Add (y, image)",
        "float[3,3,1,1] w = {1, 0, 0, 0, 1, 0, 0, 0, 1}",
    )
    result = start_at_network.apply(model)
    assert not result.changed and "other ways" in result.notes
    two = graph(
        "(float[1,3,H,W] image) => (float[1,3,H,W] logits)",
        "x = Neg (image) y = Conv (x, w) u = Abs (image) z = Conv (u, w) logits = Add (y, z)",
        "float[3,3,1,1] w = {1, 0, 0, 0, 1, 0, 0, 0, 1}",
    )
    assert not start_at_network.apply(two).changed


def test_what_came_before_the_first_layer_is_told_from_the_image_on() -> None:
    model = graph(
        "(float[1,3,H,W] pixels) => (float[1,3,h,w] logits)",
        "x = Neg (pixels) z = Abs (x) logits = Conv (z, w)",
        "float[3,3,1,1] w = {1, 0, 0, 0, 1, 0, 0, 0, 1}",
    )
    assert start_at_network.apply(model).notes.endswith("before it came Neg, Abs")


def test_padding_by_fixed_amounts_belongs_to_the_first_layer() -> None:
    model = graph(
        "(float[1,3,H,W] image) => (float[1,3,h,w] logits)",
        "x = Neg (image) p = Pad (x, pads) logits = Conv (p, w)",
        "float[3,3,1,1] w = {1, 0, 0, 0, 1, 0, 0, 0, 1}, int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}",
    )
    assert start_at_network.find(model) == "x"
    computed = graph(
        "(float[1,3,H,W] image) => (float[1,3,h,w] logits)",
        "x = Neg (image) amounts = Add (pads, pads) p = Pad (x, amounts) logits = Conv (p, w)",
        "float[3,3,1,1] w = {1, 0, 0, 0, 1, 0, 0, 0, 1}, int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1}",
    )
    assert start_at_network.find(computed) == "p"


def test_a_network_freed_of_its_size_is_what_it_would_be_frozen_for_another() -> None:
    started = start_at_network.apply(end_at_logits.apply(tiny_graphs.frozen()).model).model
    frozen = fix_shape.apply(started, TensorSpec("image", "float32", (1, 3, *tiny_graphs.FROZEN_HW))).model
    result = open_sizes.apply(frozen)
    opened = result.model
    assert "1 averages are global, 1 single pixels" in result.notes
    free = fix_shape.apply(
        opened, TensorSpec("image", "float32", (Dim("N", 1, 4), 3, Dim("H", 8, 64), Dim("W", 8, 64)))
    )
    for tensor in (*frozen.graph.initializer, *frozen.graph.node):
        # The same graph written for 17x17, whose last map is 5x5.
        if isinstance(tensor, onnx.NodeProto) and tensor.op_type == "AveragePool":
            tensor.attribute[0].ints[:] = [5, 5]
        if tensor.name == "map_size":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 8, 5, 5], np.int64), "map_size"))
    for dim in frozen.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = 17
    del frozen.graph.value_info[:]
    image = np.random.default_rng(0).normal(size=(1, 3, 17, 17)).astype(np.float32)
    wanted = ReferenceEvaluator(frozen).run(None, {"image": image})[0]
    np.testing.assert_array_equal(ReferenceEvaluator(free.model).run(None, {"image": image})[0], wanted)
    pair = np.concatenate([image, image[:, :, ::-1]])
    # A sum over another axis order of the same numbers: the last bits of float32.
    np.testing.assert_allclose(ReferenceEvaluator(free.model).run(None, {"image": pair})[0][:1], wanted, rtol=1e-5)


def test_resized_pixels_are_rounded_to_the_nearest_byte_not_cut_off() -> None:
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        bytes (uint8[1, 2, 2, 3] pixels) => (float[1, 2, 2, 3] y) { y = Cast <to = 1> (pixels) }
        """
    )
    first = channels_first_input.apply(model)
    assert first.changed
    image = np.array([0.4, 0.6, 1.5, 2.5, 99.9, 254.7, 7, 8, 9, 10, 11, 12], np.float32).reshape(1, 3, 2, 2)
    (found,) = ReferenceEvaluator(first.model).run(None, {first.model.graph.input[0].name: image})
    np.testing.assert_array_equal(found, np.rint(image).transpose(0, 2, 3, 1))


def test_every_pass_says_why_it_did_not_apply() -> None:
    open_already = open_sizes.apply(tiny_graphs.segmentation())
    assert not open_already.changed and "already are open" in open_already.notes
    first = channels_first_input.apply(tiny_graphs.segmentation())
    assert not first.changed and "(N, H, W, 3)" in first.notes
    direct = start_at_network.apply(tiny_graphs.segmentation())
    assert not direct.changed and "already starts" in direct.notes
