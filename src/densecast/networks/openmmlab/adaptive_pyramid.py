"""Adaptive pyramid context (He et al. 2019, CVPR): every pixel weighs the means of a coarse grid for itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import ConvModule, Units
from densecast.networks._pooling import AdaptiveMean
from densecast.networks.openmmlab.transformer_parts import to_map, to_tokens


class _Context(nn.Module):
    """Keys: `pooled_redu_conv`, `input_redu_conv`, `global_info`, `gla`, `residual_conv`, and `fusion_conv`."""

    def __init__(self, scale: int, fuses: bool, in_channels: int, channels: int, units: Units) -> None:
        super().__init__()

        def conv(width: int) -> ConvModule:
            return units.conv(width, channels, 1)

        self.mean = AdaptiveMean(scale)
        self.pooled_redu_conv, self.input_redu_conv = conv(in_channels), conv(in_channels)
        self.global_info = conv(channels)
        self.gla = nn.Conv2d(channels, scale * scale, 1)
        self.residual_conv = conv(channels)
        self._fuses = fuses
        if fuses:
            self.fusion_conv = conv(channels)

    def forward(self, x: Tensor) -> Tensor:
        pooled = to_tokens(self.pooled_redu_conv(self.mean(x)))
        x = self.input_redu_conv(x)
        weights = to_tokens(self.gla(x + self.global_info(x.mean(dim=(2, 3), keepdim=True)))).sigmoid()
        out = F.relu(self.residual_conv(to_map(torch.matmul(weights, pooled), x)) + x)
        return self.fusion_conv(out) if self._fuses else out


class AdaptivePyramidHead(nn.Module):
    """One context for each grid, beside the map. Keys: `acm_modules.{i}`, `bottleneck`, `conv_seg`."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        scales: Sequence[int],
        fuses: bool,
        *,
        units: Units,
    ) -> None:
        super().__init__()
        self.acm_modules = nn.ModuleList(_Context(scale, fuses, in_channels, channels, units) for scale in scales)
        joined = in_channels + len(scales) * channels
        self.bottleneck = units.conv(joined, channels, 3)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        joined = torch.cat([x, *(context(x) for context in self.acm_modules)], dim=1)
        logits: Tensor = self.conv_seg(self.bottleneck(joined))
        return logits
