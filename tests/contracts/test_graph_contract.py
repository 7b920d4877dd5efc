"""What holds for every graph pass: the numbers stay, a second run changes nothing, and it says why it did not apply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import found_graphs
import numpy as np
import onnx
import onnx.parser
import pytest
import tiny_graphs
import whole_graphs
from contract_cases import case_of
from found_graphs import Kind
from made_images import picture
from onnx.reference import ReferenceEvaluator

from densecast import graph
from densecast.errors import BadGraphError
from densecast.graph import (
    as_float32,
    channels_first_input,
    channels_last_matmul,
    constant_pool_branch,
    conv_before_upsampling,
    drop_identity_resize,
    drop_outside_taps,
    end_at_logits,
    end_at_prediction,
    fix_shape,
    fold_constants,
    image_input,
    inline_functions,
    join_hard_swish,
    lower_opset,
    open_sizes,
    pixel_input,
    plain_outputs,
    scripted_sizes,
    spell_group_norm,
    split_dilated_convs,
    split_padded_joins,
    split_upsampled_joins,
    start_at_network,
    transpose_hw,
    uint8_input,
    well_formed,
    widen_strided_kernels,
)
from densecast.graph._base import PassResult
from densecast.graph.end_at_prediction import Ending
from densecast.graph.image_input import Layout
from densecast.kernels.labels import upsample_argmax
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.tensor import Dim, TensorSpec

MEAN_STD = Preprocess(Native(), mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 55.0))
FIXED = TensorSpec("image", "float32", (2, 3, 24, Dim("W", 8, 64)))
BYTES = np.stack([picture((24, 40), seed).transpose(2, 0, 1) for seed in (0, 1)])
WHOLE = BYTES.astype(np.float32)
FLOATS = (BYTES.astype(np.float32) - np.float32([[[120]], [[110]], [[100]]])) / np.float32([[[60]], [[50]], [[55]]])


def resizes(scale: float | None = None) -> onnx.ModelProto:
    """Of 24x40 pixels: a Resize to the size it has, by arithmetic on shapes or by `scale`, between two operators."""
    to = "x, none, none, size" if scale is None else "x, none, scales"
    scales = 1.0 if scale is None else scale
    return onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        resizes (float[2, 3, 24, 40] image) => (float[2, 3, 24, 40] y)
        <int64[2] hw = {{2, 3}}, int64[2] nc = {{2, 3}}, float[4] scales = {{1, 1, {scales}, {scales}}}>
        {{
            whole = Shape (image)
            image_hw = Gather (whole, hw)
            size = Concat <axis = 0> (nc, image_hw)
            x = Relu (image)
            same = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> ({to.replace("none", "")})
            y = Neg (same)
        }}
        """
    )


@dataclass(frozen=True)
class Case:
    """How a pass is called, what its result takes where the graph took `before`, and a graph it applies to."""

    apply: Callable[[onnx.ModelProto], PassResult]
    feed: np.ndarray = field(default_factory=lambda: FLOATS)
    model: Callable[[], onnx.ModelProto] = tiny_graphs.segmentation
    # What the graph itself takes, and what is left to do with the answers of one that the pass has shortened.
    before: np.ndarray = field(default_factory=lambda: FLOATS)
    finish: Callable[[np.ndarray], np.ndarray] = np.asarray
    # What computes the right numbers, where the graph itself has a form that ONNX's evaluator does not take.
    right: Callable[[], onnx.ModelProto] | None = None


FROZEN_BYTES = BYTES[:1, :, :, :33].transpose(0, 2, 3, 1)


def frozen_input() -> np.ndarray:
    """`FROZEN_BYTES` as the frozen graph's first layer sees them, by its own operations."""
    padded = np.zeros((1, 33, 33, 3), np.float32)
    padded[:, : FROZEN_BYTES.shape[1], : FROZEN_BYTES.shape[2]] = FROZEN_BYTES - np.float32(127.5)
    normal = (padded + np.float32(127.5)) * np.float32(0.007843137718737125) - np.float32(1)
    return np.ascontiguousarray(normal.transpose(0, 3, 1, 2))


def network_of_frozen() -> onnx.ModelProto:
    started = start_at_network.apply(end_at_logits.apply(tiny_graphs.frozen()).model).model
    return fix_shape.apply(started, TensorSpec("image", "float32", (1, 3, *tiny_graphs.FROZEN_HW))).model


def labels_of_frozen(logits: np.ndarray) -> np.ndarray:
    height, width = FROZEN_BYTES.shape[1:3]
    labels = upsample_argmax(logits, [tiny_graphs.FROZEN_HW], align_corners=True, crop_hw=(height, width))
    return labels.astype(np.int32)


def of_float16() -> onnx.ModelProto:
    """Half of the image plus two, by numbers that float16 holds exactly: 0x3800 and 0x4000."""
    return onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[1, 3, H, W] image) => (float[1, 3, H, W] y) <float16[1] half = {14336}, float16[1] two = {16384}> {
            short = Cast <to = 10> (image)
            product = Mul (short, half)
            sum = Add (product, two)
            y = Cast <to = 1> (sum)
        }"""
    )


def backwards() -> onnx.ModelProto:
    """A network whose nodes stand in the opposite order, and whose output is said to have no shape."""
    model = tiny_graphs.segmentation()
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(model.graph.node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def doubled(sides: str) -> onnx.ModelProto:
    """Twice the height and width, which are taken from the image's shape."""
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
        g (float[1, 3, H, W] image) => (float[1, 3, h, w] y)
        <int64[1] begin = {{2}}, int64[1] end = {{4}}, int64[1] first = {{0}}, int64[1] both = {{2}},
         int64[2] two = {{2, 2}}> {{
            sizes = Shape (image)
            size = Slice (sizes, begin, end)
            double = Mul (size, two)
            twos = Shape <start = 0, end = 2> (image)
            {sides}
            all = Concat <axis = 0> (twos, sides)
            y = Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric"> (image, , , all)
        }}"""
    )


def of_script() -> onnx.ModelProto:
    """As torch's exporter writes `size=list` of a script: the list with an axis more, as often as there are sides."""
    return doubled(
        "listed = Slice (double, first, both) row = Unsqueeze (listed, first) sides = Concat <axis = 0> (row, row)"
    )


def of_functions() -> onnx.ModelProto:
    """Twice the image by a function of another that is told its factor."""
    return onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 21, "own": 1]>
        g (float[1, 3, H, W] image) => (float[1, 3, H, W] y) { y = own.Outer (image) }
        <domain: "own", opset_import: ["": 21, "own": 1]> Outer (x) => (y) { y = own.Scaled <factor = 2.0> (x) }
        <domain: "own", opset_import: ["": 21]> Scaled <factor> (x) => (y) {
            two = Constant <value_float: float = @factor> () y = Mul (x, two)
        }"""
    )


def doubled_values() -> onnx.ModelProto:
    return onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[1, 3, H, W] image) => (float[1, 3, H, W] y) { y = Add (image, image) }"""
    )


def of_groups() -> onnx.ModelProto:
    """Two groups of two channels, the image and its negative: of numbers whose mean is 0 and whose deviation is 1."""
    return onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 21]>
        g (float[N, 4, H, W] image) => (float[N, 4, H, W] y)
        <float[4] scale = {1, 2, 3, 4}, float[4] bias = {5, 6, 7, 8}> {
            x = Neg (image)
            y = GroupNormalization <num_groups = 2, epsilon = 0.0> (x, scale, bias)
        }"""
    )


SIGNS = np.where(np.indices((2, 4, 6, 8)).sum(axis=0) % 2, np.float32(1), np.float32(-1))

CASES = {
    "inline_functions": Case(inline_functions.apply, WHOLE, of_functions, WHOLE, right=lambda: doubled_values()),
    "spell_group_norm": Case(spell_group_norm.apply, SIGNS, of_groups, SIGNS),
    "scripted_sizes": Case(
        scripted_sizes.apply, WHOLE, of_script, WHOLE, right=lambda: doubled("sides = Identity (double)")
    ),
    "as_float32": Case(as_float32.apply, WHOLE, of_float16, WHOLE),
    "well_formed": Case(well_formed.apply, model=backwards, right=tiny_graphs.segmentation),
    "lower_opset": Case(lower_opset.apply),
    "channels_first_input": Case(
        channels_first_input.apply,
        FROZEN_BYTES.transpose(0, 3, 1, 2).astype(np.float32),
        tiny_graphs.frozen,
        FROZEN_BYTES,
    ),
    "end_at_logits": Case(end_at_logits.apply, FROZEN_BYTES, tiny_graphs.frozen, FROZEN_BYTES, finish=labels_of_frozen),
    "open_sizes": Case(open_sizes.apply, frozen_input(), network_of_frozen, frozen_input()),
    "start_at_network": Case(
        start_at_network.apply, frozen_input(), lambda: end_at_logits.apply(tiny_graphs.frozen()).model, FROZEN_BYTES
    ),
    "drop_identity_resize": Case(drop_identity_resize.apply, model=lambda: fold_constants.apply(resizes()).model),
    "constant_pool_branch": Case(constant_pool_branch.apply, WHOLE, whole_graphs.pooled, WHOLE),
    "conv_before_upsampling": Case(conv_before_upsampling.apply, WHOLE, whole_graphs.enlarged, WHOLE),
    "drop_outside_taps": Case(drop_outside_taps.apply, WHOLE, lambda: whole_graphs.dilated(dilation=24), WHOLE),
    "join_hard_swish": Case(join_hard_swish.apply, WHOLE, whole_graphs.gated, WHOLE),
    "channels_last_matmul": Case(channels_last_matmul.apply, WHOLE, whole_graphs.attending, WHOLE),
    "split_dilated_convs": Case(
        lambda model: split_dilated_convs.apply(model, min_channels=1), WHOLE, whole_graphs.dilated, WHOLE
    ),
    "split_padded_joins": Case(split_padded_joins.apply, WHOLE, whole_graphs.padded, WHOLE),
    "split_upsampled_joins": Case(split_upsampled_joins.apply, WHOLE, whole_graphs.joined, WHOLE),
    "transpose_hw": Case(
        lambda model: transpose_hw.apply(model, only_slow=False),
        WHOLE,
        lambda: whole_graphs.dilated(dilation=24),
        WHOLE,
    ),
    "widen_strided_kernels": Case(widen_strided_kernels.apply, WHOLE, whole_graphs.strided, WHOLE),
    "fix_shape": Case(lambda model: fix_shape.apply(model, FIXED)),
    "fold_constants": Case(fold_constants.apply, model=resizes),
    "image_input": Case(
        lambda model: image_input.apply(model, "image", Layout(False, 3)),
        WHOLE,
        lambda: found_graphs.graph(Kind(onnx.TensorProto.UINT8, name="image")),
        BYTES,
    ),
    "plain_outputs": Case(
        plain_outputs.apply,
        WHOLE / 255,
        lambda: found_graphs.graph(Kind(out_kind=onnx.TensorProto.DOUBLE, name="image")),
        WHOLE / 255,
    ),
    "uint8_input": Case(lambda model: uint8_input.apply(model, MEAN_STD), BYTES),
    "pixel_input": Case(lambda model: pixel_input.apply(model, MEAN_STD), BYTES.transpose(0, 2, 3, 1)),
    # Of planes: a prediction is something else than the logits.
    "end_at_prediction": Case(
        lambda model: end_at_prediction.apply(model, Ending("logits", "planes", "planes", "float32"))
    ),
}


NAMES = tuple(sorted(path.stem for path in Path(graph.__file__).parent.glob("*.py") if not path.stem.startswith("_")))


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(CASES, "graph", request.param)


def run(model: onnx.ModelProto, array: np.ndarray) -> np.ndarray:
    return ReferenceEvaluator(model).run(None, {"image": array})[0]


def test_numbers_stay_and_the_source_is_left_alone(case: Case) -> None:
    model = case.model()
    before = model.SerializeToString()
    result = case.apply(model)
    assert result.changed and result.notes
    assert model.SerializeToString() == before
    onnx.checker.check_model(result.model, full_check=True)
    right = model if case.right is None else case.right()
    # The same float32 operations in the same order.
    np.testing.assert_array_equal(case.finish(run(result.model, case.feed)), run(right, case.before))


def test_second_run_changes_nothing_and_says_why(case: Case) -> None:
    once = case.apply(case.model())
    twice = case.apply(once.model)
    assert not twice.changed
    assert twice.model.SerializeToString() == once.model.SerializeToString()
    assert twice.notes and twice.notes != once.notes


def test_a_resize_that_keeps_the_size_is_dropped_and_one_that_moves_pixels_is_not() -> None:
    dropped = drop_identity_resize.apply(fold_constants.apply(resizes()).model).model
    assert [node.op_type for node in dropped.graph.node] == ["Relu", "Neg"]
    assert drop_identity_resize.apply(resizes(scale=1.0)).changed
    # 24 and 40 times 1.02 are 24 and 40 again, rounded down; but pixel x is read at (x + 0.5) / 1.02 - 0.5.
    assert not drop_identity_resize.apply(resizes(scale=1.02)).changed


def test_fixed_sizes_reach_the_output() -> None:
    model = fix_shape.apply(tiny_graphs.segmentation(), FIXED).model
    dims = model.graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value or dim.dim_param for dim in dims][:3] == [2, 2, 24]


def test_sizes_that_contradict_the_graph_are_refused() -> None:
    with pytest.raises(BadGraphError, match="no input 'picture'"):
        fix_shape.apply(tiny_graphs.segmentation(), TensorSpec("picture", "float32", FIXED.shape))
    with pytest.raises(BadGraphError, match="3 dimensions"):
        fix_shape.apply(tiny_graphs.segmentation(), TensorSpec("image", "float32", (1, 3, 24)))
    adds_a_map = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        adds (float[N, 3, H, 24] image, float[1, 3, 24, 24] map) => (float[N, 3, H, 24] sum) { sum = Add (image, map) }
        """
    )
    with pytest.raises(BadGraphError, match="cannot take"):
        fix_shape.apply(adds_a_map, TensorSpec("image", "float32", (1, 3, 25, 24)))


def test_a_graph_of_two_inputs_is_left_alone_with_a_reason() -> None:
    model = tiny_graphs.segmentation()
    model.graph.input.append(onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.FLOAT, [1]))
    result = uint8_input.apply(model, MEAN_STD)
    assert not result.changed and "2 inputs" in result.notes


def test_a_divisor_comes_before_the_mean_inside_the_graph_as_outside() -> None:
    preprocess = Preprocess(Native(), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), divisor=255.0)
    inside = uint8_input.apply(tiny_graphs.segmentation(), preprocess).model
    mean, std = (np.float32(values).reshape(1, 3, 1, 1) for values in (preprocess.mean, preprocess.std))
    wanted = run(tiny_graphs.segmentation(), (BYTES.astype(np.float32) / np.float32(255) - mean) / std)
    np.testing.assert_array_equal(run(inside, BYTES), wanted)


@pytest.mark.parametrize("channels", [1, 3])
def test_one_number_is_for_each_channel_of_a_graph_whose_sizes_are_fixed(channels: int) -> None:
    dims = f"[2, {channels}, 5, 7]"
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float{dims} image) => (float{dims} y) {{ y = Neg (image) }}"""
    )
    array = np.random.default_rng(0).integers(0, 256, (2, channels, 5, 7), dtype=np.uint8)
    colour = "GRAY" if channels == 1 else "RGB"
    inside = uint8_input.apply(model, Preprocess(Native(), mean=(120.0,), std=(60.0,), colour=colour)).model
    assert [each.dims[1] for each in inside.graph.initializer] == [channels, channels]
    np.testing.assert_array_equal(run(inside, array), -((array.astype(np.float32) - 120) / np.float32(60)))
