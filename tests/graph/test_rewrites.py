"""Rewritings of convolutions against torch: inside the map, on its borders, and on maps of a few pixels."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from densecast.graph import constant_pool_branch, conv_before_upsampling, drop_outside_taps, split_dilated_convs

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

# In float64, where the order of a sum moves it by some 1e-16 of its terms.
EXACT = {"rtol": 0, "atol": 1e-12}


def exported(network: Any, shape: tuple[int, ...], open_axes: tuple[str, ...] = ("N",)) -> onnx.ModelProto:
    """In float64; `open_axes` of N, H and W have any size."""
    axes = {"NCHW".index(axis): axis for axis in open_axes}
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter warns of its deprecation
        torch.onnx.export(
            network.double().eval(),
            (torch.zeros(shape, dtype=torch.float64),),
            stream,
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=["y"],
            dynamic_axes={"image": axes, "y": axes},
        )
    return onnx.load_from_string(stream.getvalue())


def agrees(model: onnx.ModelProto, network: Any, shape: tuple[int, ...]) -> None:
    onnx.checker.check_model(model, full_check=True)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    with torch.no_grad():
        wanted = network(image).numpy()
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"image": image.numpy()})[0], wanted, **EXACT)


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("dilation", [2, 6, 18])
@pytest.mark.parametrize("kernel", [(3, 3), (3, 1), (5, 3)])
@pytest.mark.parametrize("bias", [True, False])
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
