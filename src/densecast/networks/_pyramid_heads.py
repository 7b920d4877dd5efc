"""Heads over several scales: PSPNet, UPerNet, SegFormer, and the lateral sums of feature pyramids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import USUAL, ConvModule, Units
from densecast.networks._pooling import AdaptiveMean


def resized(x: Tensor, like: Tensor, align_corners: bool) -> Tensor:
    """`x` brought to another map's size, bilinear."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=align_corners)


class PooledContext(nn.ModuleList):
    """Means over coarse grids, each narrowed by a 1x1 convolution and brought back to the size. Keys: `{i}.1`."""

    def __init__(
        self,
        scales: Sequence[int],
        in_channels: int,
        channels: int,
        units: Units,
        align_corners: bool,
    ) -> None:
        super().__init__(nn.Sequential(AdaptiveMean(scale), units.conv(in_channels, channels, 1)) for scale in scales)
        self.align_corners = align_corners

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, in_channels, h, w) -> one (N, channels, h, w) for each scale."""
        return [resized(branch(x), x, self.align_corners) for branch in self]


class PSPHead(nn.Module):
    """Pyramid scene parsing (Zhao et al. 2017, arXiv:1612.01105): the map beside its means over coarse grids.

    Keys: `psp_modules.{i}.1`, `bottleneck`, `conv_seg`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        scales: Sequence[int] = (1, 2, 3, 6),
        *,
        units: Units = USUAL,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.psp_modules = PooledContext(scales, in_channels, channels, units, align_corners)
        joined = in_channels + len(scales) * channels
        self.bottleneck = units.conv(joined, channels, 3)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def features(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> what the logits are made of, (N, channels, h, w)."""
        out: Tensor = self.bottleneck(torch.cat([x, *self.psp_modules(x)], dim=1))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        logits: Tensor = self.conv_seg(self.features(x))
        return logits


class UPerHead(nn.Module):
    """Unified perceptual parsing (Xiao et al. 2018, arXiv:1807.10221): a feature pyramid below pooled context.

    Keys: `psp_modules`, `bottleneck`, `lateral_convs`, `fpn_convs`, `fpn_bottleneck`, `conv_seg`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        classes: int,
        scales: Sequence[int] = (1, 2, 3, 6),
        *,
        units: Units = USUAL,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        *others, last = in_channels
        self.align_corners = align_corners

        def conv(width: int, kernel: int) -> ConvModule:
            return units.conv(width, channels, kernel)

        self.psp_modules = PooledContext(scales, last, channels, units, align_corners)
        self.bottleneck = conv(last + len(scales) * channels, 3)
        self.lateral_convs = nn.ModuleList(conv(width, 1) for width in others)
        self.fpn_convs = nn.ModuleList(conv(channels, 3) for _ in others)
        self.fpn_bottleneck = conv(len(in_channels) * channels, 3)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def features(self, maps: Sequence[Tensor]) -> Tensor:
        """One (N, in_channels[i], h, w) a scale, the largest first -> (N, channels, h, w) of the largest."""
        deepest = self.bottleneck(torch.cat([maps[-1], *self.psp_modules(maps[-1])], dim=1))
        pyramid = [conv(x) for conv, x in zip(self.lateral_convs, maps, strict=False)] + [deepest]
        for index in range(len(pyramid) - 1, 0, -1):
            above = pyramid[index - 1]
            pyramid[index - 1] = above + resized(pyramid[index], above, self.align_corners)
        levels = [conv(x) for conv, x in zip(self.fpn_convs, pyramid, strict=False)] + [pyramid[-1]]
        first, *rest = levels
        joined = torch.cat([first, *(resized(x, first, self.align_corners) for x in rest)], dim=1)
        out: Tensor = self.fpn_bottleneck(joined)
        return out

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """One (N, in_channels[i], h, w) a scale, the largest first -> logits (N, classes, h, w) of the largest."""
        logits: Tensor = self.conv_seg(self.features(maps))
        return logits


class SegformerHead(nn.Module):
    """SegFormer's all-MLP head (Xie et al. 2021, arXiv:2105.15203): each scale narrowed, all joined.

    Keys: `convs.{i}`, `fusion_conv`, `conv_seg`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        classes: int,
        *,
        units: Units = USUAL,
        align_corners: bool = False,
        nearest: bool = False,
    ) -> None:
        super().__init__()
        self.mode = "nearest" if nearest else "bilinear"
        self.align_corners = None if nearest else align_corners
        self.convs = nn.ModuleList(units.conv(width, channels, 1) for width in in_channels)
        self.fusion_conv = units.conv(len(in_channels) * channels, channels, 1, activation="relu")
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """One (N, in_channels[i], h, w) a scale, the largest first -> logits (N, classes, h, w) of the largest."""
        size = maps[0].shape[-2:]
        raised = [
            F.interpolate(conv(x), size=size, mode=self.mode, align_corners=self.align_corners)
            for conv, x in zip(self.convs, maps, strict=True)
        ]
        logits: Tensor = self.conv_seg(self.fusion_conv(torch.cat(raised, dim=1)))
        return logits
