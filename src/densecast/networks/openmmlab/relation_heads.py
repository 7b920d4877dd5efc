"""Heads whose weights follow from the image: criss-cross and point-wise attention, and generated filters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import Units, activation_of
from densecast.networks._pooling import AdaptiveMean, line_weights
from densecast.networks._pyramid_heads import resized
from densecast.networks._self_attention import Scale

# Far below any likeness, and no infinity, which int8 ranges and 16 bits do not take.
_NEVER = -1e30


class CrissCross(nn.Module):
    """Each position attends to its row and its column (Huang et al. 2019, arXiv:1811.11721).

    Keys: `query_conv`, `key_conv`, `value_conv`, `gamma.scale`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = Scale()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same shape."""
        height = x.shape[2]
        query, key, value = self.query_conv(x), self.key_conv(x), self.value_conv(x)
        # Rows see themselves once: in the column, a position's own likeness is left out.
        rows = torch.arange(height, device=x.device)
        own = (rows.unsqueeze(0) == rows.unsqueeze(1)).to(x.dtype) * _NEVER
        down = torch.matmul(query.permute(0, 3, 2, 1), key.permute(0, 3, 1, 2)) + own  # (N, w, h, h)
        across = torch.matmul(query.permute(0, 2, 3, 1), key.permute(0, 2, 1, 3))  # (N, h, w, w)
        weights = torch.cat([down.transpose(1, 2), across], dim=3).softmax(dim=3)  # (N, h, w, h + w)
        of_column = torch.matmul(weights[..., :height].transpose(1, 2), value.permute(0, 3, 2, 1))  # (N, w, h, C)
        of_row = torch.matmul(weights[..., height:], value.permute(0, 2, 3, 1))  # (N, h, w, C)
        found = of_column.permute(0, 3, 2, 1) + of_row.permute(0, 3, 1, 2)
        out: Tensor = self.gamma(found) + x
        return out


class RecurrentCrissCross(CrissCross):
    """The same so many times over, with the same weights."""

    def __init__(self, channels: int, count: int) -> None:
        super().__init__(channels)
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> the same shape."""
        for _ in range(self.count):
            x = super().forward(x)
        return x


def offsets(height: int, width: int, mask_hw: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Which of a mask's values stands for each pair of positions.

    Returns:
        (h * w, h * w): the index into a flat mask centred on position p, of position q, at [q, p]; and 1 where q lies
        within that mask, else 0.
    """
    columns, rows = torch.arange(width, device=like.device), torch.arange(height, device=like.device)
    row = (rows.unsqueeze(1) + torch.zeros_like(columns)).flatten()
    column = (torch.zeros_like(rows).unsqueeze(1) + columns).flatten()
    down = row.unsqueeze(1) - row.unsqueeze(0) + (mask_hw[0] - 1) // 2
    across = column.unsqueeze(1) - column.unsqueeze(0) + (mask_hw[1] - 1) // 2
    inside = (down >= 0) & (down < mask_hw[0]) & (across >= 0) & (across < mask_hw[1])
    index = down.clamp(0, mask_hw[0] - 1) * mask_hw[1] + across.clamp(0, mask_hw[1] - 1)
    return index, inside.to(like.dtype)


class PointwiseHead(nn.Module):
    """Point-wise spatial attention (Zhao et al. 2018, ECCV): each position says, for all around it, how they matter.

    Keys: `reduce`, `attention.{0,1}`, the same with `_p` of the second direction, `proj`, `bottleneck`, `conv_seg`.
    `kind` is "collect", "distribute" or "bi-direction".
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        *,
        mask_hw: tuple[int, int],
        kind: str,
        shrink: int,
        divisor: float,
        softmax: bool,
        units: Units,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.mask_hw, self.kind, self.shrink, self.align_corners = mask_hw, kind, shrink, align_corners
        self._divisor, self._softmax = divisor, softmax

        def attention() -> nn.Module:
            values = nn.Conv2d(channels, mask_hw[0] * mask_hw[1], 1, bias=False)
            return nn.Sequential(units.conv(channels, channels, 1), values)

        self.reduce, self.attention = units.conv(in_channels, channels, 1), attention()
        both = kind == "bi-direction"
        if both:
            self.reduce_p, self.attention_p = units.conv(in_channels, channels, 1), attention()
        self.proj = units.conv(2 * channels if both else channels, in_channels, 1, padding=1)
        self.bottleneck = units.conv(2 * in_channels, channels, 3)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def _spread(self, x: Tensor, attention: nn.Module, kind: str) -> Tensor:
        """(N, channels, h, w) -> the same shape, each position from all others."""
        height, width = x.shape[2:]
        values = attention(x).flatten(2)  # (N, mask, h * w)
        index, inside = offsets(height, width, self.mask_hw, x)
        index = index.unsqueeze(0).expand(x.shape[0], -1, -1)
        weights = torch.gather(values, 1, index) * inside
        weights = weights if kind == "collect" else weights.transpose(1, 2)
        weights = weights.softmax(dim=1) if self._softmax else weights
        return torch.matmul(x.flatten(2), weights).reshape(x.shape) * (1.0 / self._divisor)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        height, width = x.shape[2:]
        parts = [(self.reduce(x), self.attention, "collect" if self.kind == "bi-direction" else self.kind)]
        if self.kind == "bi-direction":
            parts.append((self.reduce_p(x), self.attention_p, "distribute"))
        if self.shrink == 1:
            joined = self.proj(torch.cat([self._spread(*part) for part in parts], dim=1))
            joined = resized(joined, x, self.align_corners)
        else:
            # Corners are aligned where neither side divides. Whether they do is only known with the image, so both
            # ways of resizing are one product with weights that are counted from the sizes.
            many = self.shrink
            odd = ((height % many + many - 1) // many) * ((width % many + many - 1) // many)
            low_h, low_w = height // many + odd, width // many + odd
            rows, columns = line_weights(height, low_h, odd, x), line_weights(width, low_w, odd, x)
            spread = [
                self._spread(torch.matmul(torch.matmul(rows, each), columns.transpose(0, 1)), attention, kind)
                for each, attention, kind in parts
            ]
            joined = self.proj(torch.cat(spread, dim=1))
            rows = line_weights(low_h + 2, height, odd, x)
            columns = line_weights(low_w + 2, width, odd, x)
            joined = torch.matmul(torch.matmul(rows, joined), columns.transpose(0, 1))
        logits: Tensor = self.conv_seg(self.bottleneck(torch.cat([x, joined], dim=1)))
        return logits


class _Generated(nn.Module):
    """A filter for each channel and image, made of coarse means. Keys: `filter_gen_conv`, `input_redu_conv`, `norm`."""

    def __init__(self, size: int, fuses: bool, in_channels: int, channels: int, units: Units) -> None:
        super().__init__()
        self.size = size
        self.mean = AdaptiveMean(size)
        self.filter_gen_conv = nn.Conv2d(in_channels, channels, 1)
        self.input_redu_conv = units.conv(in_channels, channels, 1)
        self._has_norm, self._fuses = units.norm is not None, fuses
        if units.norm is not None:
            self.norm = units.norm.make(channels)
        self.activate = activation_of(units.activation, channels)
        if fuses:
            self.fusion_conv = units.conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        filters = self.filter_gen_conv(self.mean(x))  # (N, channels, size, size)
        x = self.input_redu_conv(x)
        height, width = x.shape[2:]
        after = (self.size - 1) // 2
        before = after if self.size % 2 else after + 1
        wide = F.pad(x, (before, after, before, after))
        # A convolution by filters of the image's own: as a sum of shifted maps, a graph takes any number of images.
        total = torch.zeros_like(x)
        for row in range(self.size):
            for column in range(self.size):
                share = filters[:, :, row : row + 1, column : column + 1]
                total = total + wide[:, :, row : row + height, column : column + width] * share
        out: Tensor = self.activate(self.norm(total) if self._has_norm else total)
        return self.fusion_conv(out) if self._fuses else out


class DynamicFilterHead(nn.Module):
    """Dynamic multi-scale filters (He et al. 2019, ICCV). Keys: `dcm_modules.{i}`, `bottleneck`, `conv_seg`."""

    def __init__(
        self, in_channels: int, channels: int, classes: int, sizes: Sequence[int], fuses: bool, *, units: Units
    ) -> None:
        super().__init__()
        self.dcm_modules = nn.ModuleList(_Generated(size, fuses, in_channels, channels, units) for size in sizes)
        self.bottleneck = units.conv(in_channels + len(sizes) * channels, channels, 3)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        joined = torch.cat([x, *(module(x) for module in self.dcm_modules)], dim=1)
        logits: Tensor = self.conv_seg(self.bottleneck(joined))
        return logits
