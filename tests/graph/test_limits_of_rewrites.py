"""A rewriting is done up to the last graph that it is right for, and not for the first one that it is wrong for."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx.reference import ReferenceEvaluator

from densecast.graph import (
    constant_pool_branch,
    conv_before_upsampling,
    drop_identity_resize,
    open_sizes,
    split_dilated_convs,
    split_padded_joins,
    split_upsampled_joins,
    widen_strided_kernels,
)
from densecast.graph._base import PassResult

Pass = Callable[[onnx.ModelProto], PassResult]
split_rows = functools.partial(split_dilated_convs.apply, min_channels=1, min_dilation=2)

# The pass; the input's shape; weights by name; the nodes; whether it is rewritten.
CASES: dict[str, tuple[Pass, tuple[int, ...], dict[str, tuple[int, ...]], str, bool]] = {
    "rows: all padding above": (
        split_rows, (1, 2, 7, 5), {"w": (3, 2, 3, 1)},
        "y = Conv <dilations = [2, 1], pads = [4, 0, 0, 0]> (x, w)", True,
    ),
    "rows: a map that grows": (
        split_rows, (1, 2, 7, 5), {"w": (3, 2, 3, 1)},
        "y = Conv <dilations = [2, 1], pads = [2, 0, 6, 0]> (x, w)", False,
    ),
    "mixing: as many channels": (
        conv_before_upsampling.apply, (1, 2, 3, 4), {"w": (2, 2, 1, 1)},
        "big = Resize <mode = \"linear\"> (x, none, twice) y = Conv (big, w)", True,
    ),
    "mixing: others read the enlarged map, as the graph's output": (
        conv_before_upsampling.apply, (1, 2, 3, 4), {"w": (2, 2, 1, 1)},
        "z = Resize <mode = \"linear\"> (x, none, twice) y = Conv (z, w)", False,
    ),
    "mixing: enlarged along one side, reduced along the other": (
        conv_before_upsampling.apply, (1, 2, 4, 4), {"w": (2, 2, 1, 1)},
        "big = Resize <mode = \"linear\"> (x, none, other) y = Conv (big, w)", False,
    ),
    "mixing: more channels by the resize itself": (
        conv_before_upsampling.apply, (1, 1, 3, 4), {"w": (1, 2, 1, 1)},
        "big = Resize <mode = \"nearest\", nearest_mode = \"floor\"> (x, none, all) y = Conv (big, w)", False,
    ),
    "mixing: pixels from outside": (
        conv_before_upsampling.apply, (1, 2, 3, 4), {"w": (2, 2, 1, 1)},
        "big = Resize <mode = \"linear\", coordinate_transformation_mode = \"tf_crop_and_resize\"> (x, roi, twice) "
        "y = Conv (big, w)", False,
    ),
    "joins of enlarged maps: each group mixes its own": (
        split_upsampled_joins.apply, (1, 2, 3, 4), {"w": (2, 2, 1, 1)},
        "big = Resize <mode = \"linear\"> (x, none, twice) wide = Relu (big) small = Sigmoid (x) "
        "also = Resize <mode = \"linear\"> (small, none, twice) joined = Concat <axis = 1> (wide, also) "
        "y = Conv <group = 2> (joined, w)", False,
    ),
    "joins of padded maps: padding that is computed": (
        split_padded_joins.apply, (1, 2, 4, 5), {"w": (3, 4, 3, 3)},
        "bent = Relu (x) row = MaxPool <kernel_shape = [1, 2]> (bent) padded = Pad (row, right) "
        "joined = Concat <axis = 1> (x, padded) y = Conv <auto_pad = \"SAME_UPPER\"> (joined, w)", False,
    ),
    "joins of padded maps: padding of the same computed by hand": (
        split_padded_joins.apply, (1, 2, 4, 5), {"w": (3, 4, 3, 3)},
        "bent = Relu (x) row = MaxPool <kernel_shape = [1, 2]> (bent) padded = Pad (row, right) "
        "joined = Concat <axis = 1> (x, padded) y = Conv <pads = [1, 1, 1, 1]> (joined, w)", True,
    ),
    "joins of padded maps: below, where the kernel is a row": (
        split_padded_joins.apply, (1, 2, 4, 5), {"w": (3, 4, 1, 3)},
        "bent = Relu (x) row = MaxPool <kernel_shape = [2, 1]> (bent) padded = Pad (row, below) "
        "joined = Concat <axis = 1> (x, padded) y = Conv (joined, w)", False,
    ),
    "repeated pixels: more padding above than below": (
        constant_pool_branch.apply, (1, 2, 5, 5), {"w": (3, 4, 3, 3)},
        "pixel = GlobalAveragePool (x) flat = Expand (pixel, size5) joined = Concat <axis = 1> (x, flat) "
        "y = Conv <pads = [2, 1, 0, 1]> (joined, w)", False,
    ),
    "repeated pixels: a map as large as the kernel's reach": (
        constant_pool_branch.apply, (1, 2, 5, 5), {"w": (3, 4, 5, 5)},
        "pixel = GlobalAveragePool (x) flat = Expand (pixel, size5) joined = Concat <axis = 1> (x, flat) "
        "y = Conv <pads = [2, 2, 2, 2]> (joined, w)", True,
    ),
    "repeated pixels: a map smaller by one": (
        constant_pool_branch.apply, (1, 2, 4, 5), {"w": (3, 4, 5, 5)},
        "pixel = GlobalAveragePool (x) flat = Expand (pixel, size4) joined = Concat <axis = 1> (x, flat) "
        "y = Conv <pads = [2, 2, 2, 2]> (joined, w)", False,
    ),
    "idle resizes: by one": (
        drop_identity_resize.apply, (1, 2, 4, 4), {},
        "same = Resize <mode = \"linear\"> (x, none, once) y = Relu (same)",
        True,
    ),
    "idle resizes: by a little more than one": (
        drop_identity_resize.apply, (1, 2, 4, 4), {},
        "same = Resize <mode = \"linear\"> (x, none, more) y = Relu (same)",
        False,
    ),
    "idle resizes: the graph's output itself": (
        drop_identity_resize.apply, (1, 2, 4, 4), {},
        "bent = Relu (x) y = Resize <mode = \"linear\"> (bent, none, once)",
        False,
    ),
    "kernels that engines misread: 32 channels": (
        widen_strided_kernels.apply, (1, 32, 2, 8), {"w": (2, 32, 1, 4)}, "y = Conv <strides = [1, 2]> (x, w)", True,
    ),
    "kernels that engines misread: whole rows of 64 bytes a pixel": (
        widen_strided_kernels.apply, (1, 64, 2, 8), {"w": (2, 64, 1, 4)}, "y = Conv <strides = [1, 2]> (x, w)", False,
    ),
}  # fmt: skip
CONSTANTS = (
    "float none = {}, float[4] once = {1, 1, 1, 1}, float[4] more = {1, 1, 1.2, 1.2}, float[4] twice = {1, 1, 2, 2}, "
    "float[4] other = {1, 1, 2, 0.5}, float[4] all = {1, 2, 2, 2}, float[8] roi = {0, 0, 0, 0, 1, 1, 1, 1}, "
    "int64[8] right = {0, 0, 0, 0, 0, 0, 0, 1}, int64[8] below = {0, 0, 0, 0, 0, 0, 1, 0}, "
    "int64[4] size5 = {1, 1, 5, 5}, int64[4] size4 = {1, 1, 4, 5}"
).replace("float none = {}", "float[0] none = {}")


def graph(shape: tuple[int, ...], weights: dict[str, tuple[int, ...]], nodes: str) -> onnx.ModelProto:
    outputs = [name for name in ("y", "z") if f"{name} = " in nodes]
    sizes = ", ".join(map(str, shape))
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> limits (float[{sizes}] x) => '
        f"({', '.join(f'float[N, C, H, W] {name}' for name in outputs)}) <{CONSTANTS}> {{ {nodes} }}"
    )
    rng = np.random.default_rng(0)
    for name, dims in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=dims).astype(np.float32), name))
    return model


def run(model: onnx.ModelProto, shape: tuple[int, ...]) -> list[np.ndarray]:
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    return ReferenceEvaluator(model).run(None, {"x": image})


@pytest.mark.parametrize("name", CASES)
def test_what_is_rewritten_says_the_same_and_all_else_is_left(name: str) -> None:
    apply, shape, weights, nodes, is_rewritten = CASES[name]
    model = graph(shape, weights, nodes)
    result = apply(model)
    assert result.changed is is_rewritten, result.notes
    if is_rewritten:
        assert result.notes.startswith("1 ")
        for found, expected in zip(run(result.model, shape), run(model, shape), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-4)
    else:
        assert result.model == model


def test_a_mean_over_the_whole_map_and_its_border_is_not_made_global() -> None:
    def kinds(pads: str) -> list[str]:
        nodes = f"mean = AveragePool <kernel_shape = [4, 5]{pads}> (x) y = Relu (mean)"
        return [node.op_type for node in open_sizes.apply(graph((1, 2, 4, 5), {}, nodes)).model.graph.node]

    assert kinds("") == ["GlobalAveragePool", "Relu"]
    assert kinds(", pads = [1, 1, 1, 1]") == ["AveragePool", "Relu"]


def test_a_mean_is_spread_to_the_map_beside_it_wherever_that_is_made() -> None:
    """Before the mean, or behind it: what reads a tensor has to stand behind what makes it."""
    mean = "mean = AveragePool <kernel_shape = [4, 5]> (x)"
    big = 'big = Resize <mode = "nearest"> (mean, none, none, whole)'
    tail = "y = Concat <axis = 1> (big, beside)"
    for nodes in (f"beside = Neg (x) {mean} {big} {tail}", f"{mean} {big} made = Neg (x) beside = Relu (made) {tail}"):
        model = graph((1, 2, 4, 5), {}, nodes)
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 2, 4, 5]), "whole"))
        result = open_sizes.apply(model)
        assert "1 single pixels spread" in result.notes
        onnx.checker.check_model(result.model)  # its nodes are in order
        np.testing.assert_allclose(run(result.model, (1, 2, 4, 5))[0], run(model, (1, 2, 4, 5))[0], atol=1e-6)
        (found,) = run(result.model, (1, 2, 6, 3))
        image = np.random.default_rng(1).normal(size=(1, 2, 6, 3)).astype(np.float32)
        spread = np.broadcast_to(image.mean(axis=(2, 3), keepdims=True), image.shape)
        beside = -image if "Relu" not in nodes else np.maximum(-image, 0)
        np.testing.assert_allclose(found, np.concatenate([spread, beside], axis=1), atol=1e-6)
