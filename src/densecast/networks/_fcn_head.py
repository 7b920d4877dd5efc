"""Fully convolutional head: a few convolutions, then a 1x1 convolution to the classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from densecast.networks._conv import USUAL, Units


class FCNHead(nn.Module):
    """`count` convolutions, then (with `concat_input`) one over input and result together, then the logits.

    Keys: `convs.{i}`, `conv_cat`, `conv_seg`. The dropout that training has before `conv_seg` is left out.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        *,
        count: int,
        kernel: int = 3,
        concat_input: bool = False,
        dilation: int = 1,
        units: Units = USUAL,
    ) -> None:
        super().__init__()
        inputs = [in_channels] + [channels] * (count - 1) if count else []
        self.convs = nn.Sequential(*(units.conv(width, channels, kernel, dilation=dilation) for width in inputs))
        self.conv_cat = units.conv(in_channels + channels, channels, kernel) if concat_input else None
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> what the logits are made of, (N, channels, h, w)."""
        features: Tensor = self.convs(x)
        if self.conv_cat is not None:
            features = self.conv_cat(torch.cat([x, features], dim=1))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        logits: Tensor = self.conv_seg(self.features(x))
        return logits
