"""Fast-SCNN's backbone: one shared start, a coarse path, their fusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import Activation, ConvModule, DepthwiseSeparableConv, Norm, Units
from densecast.networks._inverted_residual import InvertedResidual
from densecast.networks._pyramid_heads import PooledContext, resized
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import activation_of, batch_norm_of, plain_convolution


class _Downsample(nn.Module):
    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        channels: int,
        norm: Norm,
        activation: Activation,
        depthwise: Activation,
    ) -> None:
        super().__init__()
        units: dict[str, Any] = {"stride": 2, "norm": norm, "depthwise_activation": depthwise}
        self.conv = ConvModule(in_channels, widths[0], 3, stride=2, norm=norm, activation=activation)
        self.dsconv1 = DepthwiseSeparableConv(widths[0], widths[1], 3, **units)
        self.dsconv2 = DepthwiseSeparableConv(widths[1], channels, 3, **units)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dsconv2(self.dsconv1(self.conv(x)))
        return out


class _GlobalFeatures(nn.Module):
    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        channels: int,
        strides: Sequence[int],
        norm: Norm,
        activation: Activation,
        align_corners: bool,
    ) -> None:
        super().__init__()
        for number, (width, stride) in enumerate(zip(widths, strides, strict=True), start=1):
            blocks = []
            for index in range(3):
                blocks.append(
                    InvertedResidual(
                        in_channels, width, stride if index == 0 else 1, 6, norm=norm, activation=activation
                    )
                )
                in_channels = width
            self.add_module(f"bottleneck{number}", nn.Sequential(*blocks))
        self.ppm = PooledContext((1, 2, 3, 6), in_channels, in_channels // 4, Units(norm, activation), align_corners)
        self.out = ConvModule(2 * in_channels, channels, 3, norm=norm, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        for number in (1, 2, 3):
            x = getattr(self, f"bottleneck{number}")(x)
        out: Tensor = self.out(torch.cat([x, *self.ppm(x)], dim=1))
        return out


class _FeatureFusion(nn.Module):
    def __init__(
        self, high: int, low: int, channels: int, norm: Norm, activation: Activation, align_corners: bool
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.dwconv = ConvModule(low, channels, 3, groups=channels, norm=norm, activation=activation)
        self.conv_lower_res = ConvModule(channels, channels, 1, norm=norm, activation="none")
        self.conv_higher_res = ConvModule(high, channels, 1, norm=norm, activation="none")

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        low = self.conv_lower_res(self.dwconv(resized(low, high, self.align_corners)))
        return F.relu(self.conv_higher_res(high) + low)


class FastSCNN(nn.Module):
    """Fast-SCNN (Poudel et al. 2019, arXiv:1902.04502): one shared start, then a coarse path, then their fusion."""

    def __init__(self, start: nn.Module, coarse: nn.Module, fusion: nn.Module, indices: Sequence[int]) -> None:
        super().__init__()
        self._indices = indices
        self.learning_to_downsample, self.global_feature_extractor, self.feature_fusion = start, coarse, fusion

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the shared, the coarse and the fused map, as chosen."""
        high = self.learning_to_downsample(image)
        low = self.global_feature_extractor(high)
        maps = [high, low, self.feature_fusion(high, low)]
        return [maps[index] for index in self._indices]


def fast_scnn(keys: Keys) -> nn.Module:
    """FastSCNN."""
    norm, activation, align = batch_norm_of(keys), activation_of(keys), keys.flag("align_corners", False)
    shared, coarse = keys.integer("global_in_channels", 64), keys.integer("global_out_channels", 128)
    keys.only("higher_in_channels", shared)
    keys.only("lower_in_channels", coarse)
    keys.only("dw_act_cfg", None)
    widths = keys.integers("downsample_dw_channels", (32, 48), count=2)
    start = _Downsample(keys.integer("in_channels", 3), widths, shared, norm, activation, "none")
    blocks = keys.integers("global_block_channels", (64, 96, 128), count=3)
    strides = keys.integers("global_block_strides", (2, 2, 1), count=3)
    features = _GlobalFeatures(shared, blocks, coarse, strides, norm, activation, align)
    fusion = _FeatureFusion(shared, coarse, keys.integer("fusion_out_channels", 128), norm, activation, align)
    network = FastSCNN(start, features, fusion, keys.integers("out_indices", (0, 1, 2), least=0))
    plain_convolution(keys)
    keys.ignore("init_cfg")
    keys.done()
    return network
