"""Atrous spatial pyramid pooling (Chen et al. 2017, arXiv:1706.05587; 2018, arXiv:1802.02611)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import USUAL, Units


class ASPPHead(nn.Module):
    """The image's mean and one convolution per dilation, side by side; a 3x3 over all; the logits.

    `rates` are the dilations after the first, which is always a 1x1 convolution. Keys: `image_pool.1`,
    `aspp_modules.{i}`, `bottleneck`, `conv_seg`. The dropout that training has before `conv_seg` is left out.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        rates: Sequence[int],
        *,
        first: bool = True,
        separable: bool = False,
        units: Units = USUAL,
    ) -> None:
        super().__init__()
        dilations = [*([1] if first else []), *rates]

        def reach(dilation: int) -> nn.Module:
            if dilation == 1:
                return units.conv(in_channels, channels, 1)
            make = units.separable if separable else units.conv
            return make(in_channels, channels, 3, dilation=dilation)

        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), units.conv(in_channels, channels, 1))
        self.aspp_modules = nn.ModuleList(reach(dilation) for dilation in dilations)
        self.bottleneck = units.conv((len(dilations) + 1) * channels, channels, 3)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, channels, h, w)."""
        # Any interpolation of a single pixel repeats it.
        pooled = self.image_pool(x).expand(-1, -1, *x.shape[-2:])
        reaches = [pooled, *(module(x) for module in self.aspp_modules)]
        out: Tensor = self.bottleneck(torch.cat(reaches, dim=1))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        logits: Tensor = self.conv_seg(self.features(x))
        return logits


class SeparableASPPHead(ASPPHead):
    """DeepLabV3+: separable dilated convolutions, brought up to an early map, joined to it and refined.

    Keys beside ASPP's: `c1_bottleneck`, `sep_bottleneck.{0,1}`. `low_channels` 0 is without the early map.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        rates: Sequence[int],
        *,
        low_channels: int,
        low_width: int,
        align_corners: bool,
        first: bool = True,
        units: Units = USUAL,
    ) -> None:
        super().__init__(in_channels, channels, classes, rates, first=first, separable=True, units=units)
        self.align_corners = align_corners
        self.c1_bottleneck = units.conv(low_channels, low_width, 1) if low_channels else None
        joined = channels + (low_width if low_channels else 0)
        self.sep_bottleneck = nn.Sequential(
            units.separable(joined, channels, 3),
            units.separable(channels, channels, 3),
        )

    def forward(self, x: Tensor, low: Tensor | None = None) -> Tensor:
        """(N, in_channels, h, w) and the early map (N, low_channels, H, W) -> logits (N, classes, H, W)."""
        out = self.features(x)
        if self.c1_bottleneck is not None and low is not None:
            low = self.c1_bottleneck(low)
            out = F.interpolate(out, size=low.shape[-2:], mode="bilinear", align_corners=self.align_corners)
            out = torch.cat([out, low], dim=1)
        logits: Tensor = self.conv_seg(self.sep_bottleneck(out))
        return logits
