"""Atrous spatial pyramid pooling head (Chen et al. 2017, arXiv:1706.05587): parallel dilated convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from densecast.networks._conv import ConvModule


class ASPPHead(nn.Module):
    """The image's mean, a 1x1 and one dilated 3x3 per rate, side by side; a 3x3 over all; the logits.

    Keys: `image_pool.1`, `aspp_modules.{i}`, `bottleneck`, `conv_seg`. The dropout that training has before
    `conv_seg` is left out.
    """

    def __init__(self, in_channels: int, channels: int, classes: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvModule(in_channels, channels, 1))
        self.aspp_modules = nn.ModuleList(
            [
                ConvModule(in_channels, channels, 1),
                *(ConvModule(in_channels, channels, 3, dilation=rate) for rate in rates),
            ]
        )
        self.bottleneck = ConvModule((len(rates) + 2) * channels, channels, 3)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        # Any interpolation of a single pixel repeats it.
        pooled = self.image_pool(x).expand(-1, -1, *x.shape[-2:])
        reaches = [pooled, *(module(x) for module in self.aspp_modules)]
        logits: Tensor = self.conv_seg(self.bottleneck(torch.cat(reaches, dim=1)))
        return logits
