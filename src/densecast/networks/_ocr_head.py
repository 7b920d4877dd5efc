"""Object-contextual representations (Yuan et al. 2019, arXiv:1909.11065): attention from pixels to classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from densecast.networks._conv import USUAL, Units


class ObjectContextBlock(nn.Module):
    """Attention from pixels to class summaries; its result is joined to the pixels, context first."""

    def __init__(self, channels: int, key_channels: int, units: Units = USUAL) -> None:
        super().__init__()
        self.scale = key_channels**-0.5
        self.query_project = _project_twice(channels, key_channels, units)
        self.key_project = _project_twice(channels, key_channels, units)
        self.value_project = units.conv(channels, key_channels, 1)
        self.out_project = units.conv(key_channels, channels, 1)
        self.bottleneck = units.conv(2 * channels, channels, 1)

    def forward(self, pixels: Tensor, summaries: Tensor) -> Tensor:
        """(N, channels, h, w) and (N, channels, classes, 1) -> (N, channels, h, w)."""
        query = self.query_project(pixels)
        key = self.key_project(summaries).flatten(2)
        value = self.value_project(summaries).flatten(2)
        # Classes before pixels, so that only the small matrices are ever transposed.
        likeness = torch.matmul(key.transpose(1, 2), query.flatten(2)) * self.scale
        context = torch.matmul(value, likeness.softmax(dim=1)).reshape(query.shape)
        out: Tensor = self.bottleneck(torch.cat([self.out_project(context), pixels], dim=1))
        return out


class OCRHead(nn.Module):
    """Summarises every class over the image by the first head's logits, then lets every pixel look there.

    Keys: `bottleneck`, `object_context_block.*`, `conv_seg`.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        key_channels: int,
        classes: int,
        *,
        units: Units = USUAL,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.bottleneck = units.conv(in_channels, channels, 3)
        self.object_context_block = ObjectContextBlock(channels, key_channels, units)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor, coarse_logits: Tensor) -> Tensor:
        """(N, in_channels, h, w) and logits (N, classes, h, w) -> logits (N, classes, h, w)."""
        pixels = self.bottleneck(x)
        weighed = coarse_logits.flatten(2) if self.scale == 1 else self.scale * coarse_logits.flatten(2)
        # The softmax is spatial: where in the image a class is, not which class a pixel is.
        places = weighed.softmax(dim=2)
        summaries = torch.matmul(pixels.flatten(2), places.transpose(1, 2)).unsqueeze(3)
        logits: Tensor = self.conv_seg(self.object_context_block(pixels, summaries))
        return logits


def _project_twice(channels: int, key_channels: int, units: Units) -> nn.Sequential:
    return nn.Sequential(
        units.conv(channels, key_channels, 1),
        units.conv(key_channels, key_channels, 1),
    )
