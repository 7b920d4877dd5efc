"""Heads of light networks: LR-ASPP, separable FCN, and the sum of a feature pyramid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import Activation, ConvModule, DepthwiseSeparableConv, Units
from densecast.networks._pyramid_heads import resized
from densecast.networks.openmmlab.head_keys import Common
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import optional_activation_of


class LRASPPHead(nn.Module):
    """Lite reduced ASPP (Howard et al. 2019, arXiv:1905.02244): a gate of pooled context, and early maps joined.

    Keys: `convs.conv{i}`, `conv_ups.conv_up{i}`, `conv_up_input`, `aspp_conv`, `image_pool.1`, `conv_seg`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        classes: int,
        branch_channels: Sequence[int],
        *,
        units: Units,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.convs, self.conv_ups = nn.Sequential(), nn.Sequential()
        for index, width in enumerate(branch_channels):
            self.convs.add_module(f"conv{index}", nn.Conv2d(in_channels[index], width, 1, bias=False))
            up = units.conv(channels + width, channels, 1, bias=False)
            self.conv_ups.add_module(f"conv_up{index}", up)
        self.conv_up_input = nn.Conv2d(channels, channels, 1)
        self.aspp_conv = units.conv(in_channels[-1], channels, 1, bias=False)
        self.image_pool = nn.Sequential(
            nn.AvgPool2d(49, stride=(16, 20)),
            ConvModule(in_channels[2], channels, 1, norm=None, activation="sigmoid", bias=False),
        )
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Early maps, and the last -> logits (N, classes, h, w) of the first."""
        last = maps[-1]
        x = self.aspp_conv(last) * resized(self.image_pool(last), last, self.align_corners)
        x = self.conv_up_input(x)
        for index in range(len(self.convs) - 1, -1, -1):
            x = resized(x, maps[index], self.align_corners)
            x = self.conv_ups[index](torch.cat([x, self.convs[index](maps[index])], dim=1))
        logits: Tensor = self.conv_seg(x)
        return logits


class SeparableFCNHead(nn.Module):
    """An FCN head of separable convolutions. Keys: `convs.{i}`, `conv_cat`, `conv_seg`."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        *,
        count: int,
        kernel: int,
        concat_input: bool,
        depthwise_activation: Activation | None,
        units: Units,
    ) -> None:
        super().__init__()

        def separable(width: int) -> DepthwiseSeparableConv:
            # The original gives these convolutions the normalisation of its table, and not the activation.
            return Units(units.norm).separable(width, channels, kernel, depthwise_activation=depthwise_activation)

        self.convs = nn.Sequential(*(separable(in_channels if index == 0 else channels) for index in range(count)))
        self.conv_cat = separable(in_channels + channels) if concat_input else None
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        features = self.convs(x)
        if self.conv_cat is not None:
            features = self.conv_cat(torch.cat([x, features], dim=1))
        logits: Tensor = self.conv_seg(features)
        return logits


class PyramidSumHead(nn.Module):
    """Semantic FPN (Kirillov et al. 2019, arXiv:1901.02446): every scale convolved and doubled to the first, summed.

    Keys: `scale_heads.{i}.{2 * j}`, `conv_seg`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        classes: int,
        strides: Sequence[int],
        *,
        units: Units,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.scale_heads = nn.ModuleList()
        for width, stride in zip(in_channels, strides, strict=True):
            steps = max(1, int(math.log2(stride) - math.log2(strides[0])))
            layers: list[nn.Module] = []
            for step in range(steps):
                layers.append(units.conv(width if step == 0 else channels, channels, 3))
                if stride != strides[0]:
                    layers.append(nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=align_corners))
            self.scale_heads.append(nn.Sequential(*layers))
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """One map a scale, the largest first -> logits (N, classes, h, w) of the largest."""
        total = self.scale_heads[0](maps[0])
        for head, x in zip(self.scale_heads[1:], maps[1:], strict=True):
            total = total + F.interpolate(
                head(x), size=total.shape[-2:], mode="bilinear", align_corners=self.align_corners
            )
        logits: Tensor = self.conv_seg(total)
        return logits


def lraspp(keys: Keys, shared: Common) -> nn.Module:
    """LRASPPHead."""
    widths = keys.integers("branch_channels", (32, 64), count=len(shared.in_channels) - 1)
    return shared.of_all(LRASPPHead, widths, align_corners=shared.align_corners)


def separable_fcn(keys: Keys, shared: Common) -> nn.Module:
    """DepthwiseSeparableFCNHead."""
    depthwise = optional_activation_of(keys, "dw_act_cfg")
    return shared.of_one(
        SeparableFCNHead,
        count=keys.integer("num_convs", 2),
        kernel=keys.integer("kernel_size", 3),
        concat_input=keys.flag("concat_input", True),
        depthwise_activation=depthwise,
    )


def pyramid_sum(keys: Keys, shared: Common) -> nn.Module:
    """FPNHead."""
    strides = keys.integers("feature_strides", count=len(shared.in_channels))
    return shared.of_all(PyramidSumHead, strides, align_corners=shared.align_corners)
