"""Rewritings of convolutions against torch: inside the map, on its borders, and on maps of a few pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from rewriting import agrees, exported, kinds

from densecast.graph import (
    constant_pool_branch,
    conv_before_upsampling,
    drop_outside_taps,
    split_dilated_convs,
    split_padded_joins,
    split_upsampled_joins,
    transpose_hw,
)

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("dilation", "kernel", "bias"),
    [(2, (3, 3), False), *((dilation, kernel, True) for dilation in (2, 6, 18) for kernel in ((3, 3), (3, 1), (5, 3)))],
)
def test_rows_of_a_dilated_kernel_sum_to_it(dilation: int, kernel: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    padding = tuple(dilation * (size // 2) for size in kernel)
    network = torch.nn.Conv2d(4, 3, kernel, padding=padding, dilation=dilation, bias=bias)
    model = exported(network, (1, 4, 20, 23), ("N", "H", "W"))
    split = split_dilated_convs.apply(model, min_channels=1, min_dilation=2).model
    # Open sizes are served by one graph: also those so low that whole rows of the kernel always lie outside.
    for size_hw in ((20, 23), (40, 5), (3, 40), (1, 1)):
        agrees(split, network, (2, 4, *size_hw))


def test_only_kernels_that_engines_are_slow_with_are_split() -> None:
    slow = split_dilated_convs
    few = torch.nn.Conv2d(8, 1, 3, padding=6, dilation=6)
    many = torch.nn.Conv2d(slow.SLOW_CHANNELS, 1, 3, padding=slow.SLOW_DILATION, dilation=slow.SLOW_DILATION)
    near = torch.nn.Conv2d(slow.SLOW_CHANNELS, 1, 3, padding=slow.SLOW_DILATION - 1, dilation=slow.SLOW_DILATION - 1)
    assert not slow.apply(exported(few, (1, 8, 9, 9))).changed
    assert not slow.apply(exported(near, (1, slow.SLOW_CHANNELS, 9, 9))).changed
    assert slow.apply(exported(many, (1, slow.SLOW_CHANNELS, 9, 9))).changed


def test_rows_count_and_not_columns() -> None:
    tall = torch.nn.Conv2d(4, 3, 3, padding=(4, 1), dilation=(4, 1))
    wide = torch.nn.Conv2d(4, 3, 3, padding=(1, 4), dilation=(1, 4))
    row = torch.nn.Conv2d(4, 3, (1, 3), padding=(0, 4), dilation=4)
    few = {"min_channels": 1, "min_dilation": 2}
    agrees(split_dilated_convs.apply(exported(tall, (1, 4, 16, 16)), **few).model, tall, (1, 4, 16, 16))
    assert split_dilated_convs.apply(exported(tall, (1, 4, 16, 16)), **few).changed
    for network in (wide, row):
        result = split_dilated_convs.apply(exported(network, (1, 4, 16, 16)), **few)
        assert not result.changed and result.notes.startswith("of 0 convolutions with dilated rows none reads 1")
    both = split_dilated_convs.apply(
        exported(torch.nn.Sequential(tall, torch.nn.Conv2d(3, 4, 3, padding=4, dilation=4)), (1, 4, 16, 16)),
        min_channels=4,
        min_dilation=2,
    )
    assert both.notes == "1 dilated convolutions split into rows, 1 left as they were"


@pytest.mark.parametrize(
    "convolution",
    [
        {"padding": 4, "dilation": 4, "stride": 2},
        {"padding": 4, "dilation": 4, "groups": 2},
        {"padding": 3, "dilation": 4},
    ],
)
def test_other_convolutions_are_not_split(convolution: dict[str, int]) -> None:
    model = exported(torch.nn.Conv2d(4, 4, 3, **convolution), (1, 4, 16, 16))
    result = split_dilated_convs.apply(model, min_channels=1, min_dilation=2)
    assert not result.changed and "of 1 convolutions" in result.notes


@pytest.mark.parametrize(
    ("size_hw", "dilation", "stride", "kernel_hw"),
    [
        ((16, 32), 18, 1, (1, 3)),
        ((18, 19), 18, 1, (1, 3)),
        ((19, 19), 18, 1, (3, 3)),
        ((6, 6), 6, 1, (1, 1)),
        ((7, 4), 4, 2, (3, 1)),
        ((5, 4), 4, 2, (3, 1)),
        ((4, 9), 4, 2, (1, 3)),
    ],
)
def test_taps_beyond_the_map_go_and_all_others_stay(
    size_hw: tuple[int, int], dilation: int, stride: int, kernel_hw: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 2, 3, padding=dilation, dilation=dilation, stride=stride)
    model = exported(network, (1, 3, *size_hw))
    result = drop_outside_taps.apply(model)
    assert result.changed == (kernel_hw != (3, 3))
    weights = {tensor.name: tuple(tensor.dims) for tensor in result.model.graph.initializer}
    convolution = next(node for node in result.model.graph.node if node.op_type == "Conv")
    assert weights[convolution.input[1]][2:] == kernel_hw
    agrees(result.model, network, (2, 3, *size_hw))


def test_taps_are_left_where_what_remains_would_need_less_than_no_padding() -> None:
    # Taps at -1, 1 and 3 of three pixels: the middle one alone would have to begin a pixel inside the map.
    network = torch.nn.Conv2d(3, 2, 3, padding=1, dilation=2)
    model = exported(network, (1, 3, 3, 3))
    result = drop_outside_taps.apply(model)
    assert not result.changed
    agrees(result.model, network, (2, 3, 3, 3))


def test_taps_are_left_where_sizes_are_open_and_that_is_said() -> None:
    model = exported(torch.nn.Conv2d(3, 2, 3, padding=9, dilation=9), (1, 3, 4, 4), ("N", "H", "W"))
    result = drop_outside_taps.apply(model)
    assert not result.changed and "1 convolutions have open sizes" in result.notes


@pytest.mark.parametrize("upsampling", [{"mode": "bilinear", "align_corners": False}, {"mode": "nearest"}])
@pytest.mark.parametrize("open_axes", [("N",), ("N", "H", "W")])
def test_mixing_channels_and_enlarging_commute(upsampling: dict[str, Any], open_axes: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    enlarge = torch.nn.Upsample(scale_factor=2.0, **upsampling)
    network = torch.nn.Sequential(enlarge, torch.nn.Conv2d(6, 4, 1), torch.nn.ReLU())
    result = conv_before_upsampling.apply(exported(network, (1, 6, 5, 7), open_axes))
    assert result.changed and kinds(result.model)[:2] == ["Conv", "Resize"]
    agrees(result.model, network, (2, 6, 5, 7))


def test_an_enlargement_to_a_fixed_size_is_swapped_when_it_is_a_whole_multiple() -> None:
    def network_to(size: tuple[int, int]) -> Any:
        enlarge = torch.nn.Upsample(size=size, mode="bilinear", align_corners=False)
        return torch.nn.Sequential(enlarge, torch.nn.Conv2d(6, 4, 1))

    whole, broken = network_to((15, 14)), network_to((15, 16))
    result = conv_before_upsampling.apply(exported(whole, (1, 6, 5, 7), ()))
    assert result.changed
    agrees(result.model, whole, (1, 6, 5, 7))
    assert "factor" in conv_before_upsampling.apply(exported(broken, (1, 6, 5, 7), ())).notes


@pytest.mark.parametrize(("scale", "outputs", "reason"), [(2.0, 8, "adds channels"), (0.5, 4, "not enlarged")])
def test_pairs_that_would_cost_more_are_left(scale: float, outputs: int, reason: str) -> None:
    resize = torch.nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=False)
    model = exported(torch.nn.Sequential(resize, torch.nn.Conv2d(6, outputs, 1)), (1, 6, 8, 8))
    result = conv_before_upsampling.apply(model)
    assert not result.changed and reason in result.notes


class EnlargedJoin(torch.nn.Module):
    """Maps of several sizes, all enlarged to one and joined, and a convolution over all, as in SegFormer's head."""

    def __init__(self, outputs: int = 4, kernel: int = 1, bias: bool = True, mode: str = "bilinear") -> None:
        super().__init__()
        self.steps, self.mode = (4, 1, 2, 1), mode
        self.own = torch.nn.ModuleList(
            torch.nn.Conv2d(3, 4 + index, step, step) for index, step in enumerate(self.steps)
        )
        self.last = torch.nn.Conv2d(22, outputs, kernel, padding=kernel // 2, bias=bias)

    def forward(self, image: Any) -> Any:
        aligned = {} if self.mode == "nearest" else {"align_corners": False}
        maps = [
            torch.nn.functional.interpolate(conv(image), scale_factor=float(step), mode=self.mode, **aligned)
            if step > 1
            else conv(image)
            for conv, step in zip(self.own, self.steps, strict=True)
        ]
        return self.last(torch.cat(maps, 1)).relu()


@pytest.mark.parametrize(("mode", "bias"), [("bilinear", True), ("nearest", False)])
def test_joined_maps_are_mixed_before_they_are_enlarged(mode: str, bias: bool) -> None:
    torch.manual_seed(0)
    network = EnlargedJoin(mode=mode, bias=bias)
    result = split_upsampled_joins.apply(exported(network, (1, 3, 8, 12), ("N", "H", "W")))
    assert result.changed
    # Both enlarged maps moved; the two others are still joined.
    assert kinds(result.model).count("Resize") == 2 and kinds(result.model).count("Concat") == 1
    assert kinds(result.model)[-3:] == ["Add", "Add", "Relu"]
    agrees(result.model, network, (2, 3, 16, 8))


def test_of_joined_maps_those_stay_that_would_get_more_channels() -> None:
    # The maps have 4, 5, 6 and 7 channels; of the two that are enlarged only the one of 6 may become one of 6.
    network = EnlargedJoin(outputs=6)
    result = split_upsampled_joins.apply(exported(network, (1, 3, 8, 12)))
    shapes = [tuple(tensor.dims) for tensor in result.model.graph.initializer]
    assert (6, 6, 1, 1) in shapes and (6, 16, 1, 1) in shapes
    agrees(result.model, network, (2, 3, 8, 12))


@pytest.mark.parametrize("network", [EnlargedJoin(outputs=8), EnlargedJoin(kernel=3)], ids=["more channels", "3x3"])
def test_other_joins_of_enlarged_maps_are_left_alone(network: EnlargedJoin) -> None:
    assert not split_upsampled_joins.apply(exported(network, (1, 3, 8, 12))).changed


class Pooled(torch.nn.Module):
    """The image's mean joined to features, as atrous spatial pyramid pooling does, and a convolution over both."""

    def __init__(self, convolution: Any, first: bool, fixed_hw: tuple[int, int]) -> None:
        super().__init__()
        self.convolution, self.first, self.fixed_hw = convolution, first, fixed_hw

    def forward(self, image: Any) -> Any:
        pixel = torch.nn.functional.adaptive_avg_pool2d(image, 1)
        mean = pixel.expand(-1, -1, *self.fixed_hw)
        features = [torch.relu(image), torch.sigmoid(image)]
        return self.convolution(torch.cat([mean, *features] if self.first else [*features, mean], dim=1))


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("size_hw", [(9, 11), (5, 5)])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (1, 1), (3, 2), (5, 1)])
def test_a_repeated_pixel_has_its_share_at_every_border(
    kernel: int, dilation: int, size_hw: tuple[int, int], first: bool
) -> None:
    torch.manual_seed(0)
    convolution = torch.nn.Conv2d(9, 4, kernel, padding=dilation * (kernel // 2), dilation=dilation)
    network = Pooled(convolution, first, size_hw)
    result = constant_pool_branch.apply(exported(network, (1, 3, *size_hw)))
    assert result.changed
    agrees(result.model, network, (2, 3, *size_hw))


def test_a_map_smaller_than_the_kernels_reach_is_left() -> None:
    network = Pooled(torch.nn.Conv2d(9, 4, 3, padding=1), True, (2, 9))
    result = constant_pool_branch.apply(exported(network, (1, 3, 2, 9)))
    assert not result.changed and "smaller" in result.notes


@pytest.mark.parametrize("split", [True, False])
def test_a_layer_keeps_its_name_which_options_and_reports_go_by(split: bool) -> None:
    model = exported(torch.nn.Conv2d(3, 2, 3, padding=20, dilation=20), (1, 3, 24, 9))
    model.graph.node[0].name = "head/conv"
    result = split_dilated_convs.apply(model, min_channels=1) if split else drop_outside_taps.apply(model)
    assert result.changed
    assert [node.name for node in result.model.graph.node if node.op_type == "Conv"] == ["head/conv"]


class PaddedJoin(torch.nn.Module):
    """Features beside a smaller map with zeros around it (top, left, bottom, right), as milesial's `Up` joins them."""

    def __init__(self, around: tuple[int, ...], stride: int = 1, kernel: int = 3, value: float = 0.0) -> None:
        super().__init__()
        self.around, self.stride, self.kernel, self.value = around, stride, kernel, value
        rng = np.random.default_rng(0)
        shapes = {"skip": (4, 3, 1, 1), "up": (5, 3, 5, 5), "last": (2, 9, kernel, kernel), "bias": (2,)}
        self.weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}

    def forward(self, image: Any) -> Any:
        conv, pad = torch.nn.functional.conv2d, torch.nn.functional.pad
        skip, up, last, bias = (torch.from_numpy(each) for each in self.weights.values())
        top, left, bottom, right = self.around
        small = conv(pad(image, (2 - left, 2 - right, 2 - top, 2 - bottom)), up)
        padded = pad(small, (left, right, top, bottom), value=self.value)
        return conv(torch.cat([conv(image, skip), padded], 1), last, bias, self.stride, self.kernel // 2)

    def graph(self) -> onnx.ModelProto:
        top, left, bottom, right = self.around
        weights = [onnx.numpy_helper.from_array(value, name) for name, value in self.weights.items()]
        weights.append(onnx.numpy_helper.from_array(np.array([0, 0, top, left, 0, 0, bottom, right]), "amounts"))
        weights.append(onnx.numpy_helper.from_array(np.array(self.value), "value"))
        node = onnx.helper.make_node
        nodes = [
            node("Conv", ["image", "skip"], ["features"]),
            node("Conv", ["image", "up"], ["small"], pads=[2 - each for each in self.around]),
            node("Pad", ["small", "amounts", "value"], ["padded"]),
            node("Concat", ["features", "padded"], ["joined"], axis=1),
            node(
                "Conv",
                ["joined", "last", "bias"],
                ["y"],
                pads=[self.kernel // 2] * 4,
                strides=[self.stride] * 2,
            ),
        ]
        image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.DOUBLE, ["N", 3, "H", "W"])
        y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, ["N", 2, None, None])
        graph = onnx.helper.make_graph(nodes, "join", [image], [y], weights)
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("around", [(0, 0, 0, 1), (0, 0, 1, 1), (1, 1, 0, 0)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padded_maps_are_read_unpadded(around: tuple[int, ...], stride: int) -> None:
    network = PaddedJoin(around, stride)
    split = split_padded_joins.apply(network.graph())
    assert split.changed and not {"Pad", "Concat"} & set(kinds(split.model))
    for size_hw in ((9, 12), (4, 3)):
        agrees(split.model, network, (2, 3, *size_hw))


@pytest.mark.parametrize(
    "network",
    [PaddedJoin((0, 0, 0, 1), value=1.0), PaddedJoin((0, 0, 0, 1), kernel=1), PaddedJoin((0, 0, 0, 2))],
    ids=["padded with ones", "a kernel that reaches over no border", "further than the kernel reaches"],
)
def test_other_padded_maps_are_left_alone(network: PaddedJoin) -> None:
    agrees(network.graph(), network, (2, 3, 9, 12))
    assert not split_padded_joins.apply(network.graph()).changed


def test_maps_padded_with_channels_are_left_alone() -> None:
    model = PaddedJoin((0, 0, 0, 1)).graph()
    for tensor in model.graph.initializer:
        if tensor.name == "amounts":
            # One channel of zeros before the map's own: the kernel has to have one more.
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([0, 1, 0, 0, 0, 0, 0, 1]), "amounts"))
        elif tensor.name == "last":
            weight = np.random.default_rng(1).normal(size=(2, 10, *tensor.dims[2:]))
            tensor.CopyFrom(onnx.numpy_helper.from_array(weight, "last"))
    assert not split_padded_joins.apply(model).changed


class Lopsided(torch.nn.Module):
    """Every kind of layer that a turned network may hold, none of them alike down and across."""

    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.first = nn.Sequential(nn.Conv2d(3, 4, (3, 5), (1, 2), (0, 2), (2, 1)), nn.BatchNorm2d(4), nn.ReLU6())
        self.pooled = nn.MaxPool2d((2, 3), (2, 1), (1, 0))
        self.up = nn.ConvTranspose2d(4, 4, (2, 3), (2, 1), (0, 1), (1, 0))
        self.last = nn.Conv2d(8, 5, 1)
        self.register_buffer("tilt", torch.linspace(0, 1, 18)[:, None] + torch.linspace(0, 2, 15))

    def forward(self, image: Any) -> Any:
        functional = torch.nn.functional
        x = self.up(self.pooled(self.first(image)))
        x = functional.interpolate(x, scale_factor=(2.0, 3.0), mode="bilinear") * self.tilt
        x = torch.cat([x, functional.adaptive_avg_pool2d(x, 1).sigmoid() + x], 1)
        return functional.softmax(self.last(x), 1)


def test_a_network_computed_on_its_side_says_the_same() -> None:
    torch.manual_seed(0)
    network = Lopsided()
    model = exported(network, (1, 3, 11, 14))
    turned = transpose_hw.apply(model, only_slow=False)
    assert turned.changed, turned.notes
    agrees(turned.model, network, (2, 3, 11, 14))


def test_padded_joins_can_be_turned_too() -> None:
    network = PaddedJoin((0, 1, 1, 0), stride=2)
    turned = transpose_hw.apply(network.graph(), only_slow=False)
    assert turned.changed and "Pad" in kinds(turned.model)
    agrees(turned.model, network, (2, 3, 9, 12))


@pytest.mark.parametrize(
    ("size_hw", "channels", "taken"),
    [((640, 959), 64, True), ((640, 960), 64, False), ((500, 333), 64, False), ((320, 479), 8, False)],
)
def test_only_awkwardly_long_rows_of_many_channels_are_turned(
    size_hw: tuple[int, int], channels: int, taken: bool
) -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(3, channels, 1), torch.nn.Conv2d(channels, 1, 3, padding=1))
    model = exported(network, (1, 3, 8, 8))  # small, as it is run once; then it is said to be larger
    for value in (*model.graph.input, *model.graph.output):
        for dim, size in zip(value.type.tensor_type.shape.dim[2:], size_hw, strict=True):
            dim.dim_value = size
    assert transpose_hw.apply(model).changed is taken


def test_a_layer_that_cannot_be_turned_is_named() -> None:
    model = exported(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.PixelShuffle(2)), (1, 3, 4, 4))
    result = transpose_hw.apply(model, only_slow=False)
    assert not result.changed and "DepthToSpace" in result.notes


def test_sizes_that_the_graph_computes_itself_are_named() -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[1, 3, 8, 6] image) => (float[1, 3, 8, 6] y) <int64[4] fixed = {1, 3, 8, 6}> {
            size = Identity (fixed)
            y = Resize <mode = "nearest"> (image, , , size)
        }"""
    )
    result = transpose_hw.apply(model, only_slow=False)
    assert not result.changed and "its sizes are computed" in result.notes
