"""Adaptive average pooling, and a bilinear resize, that keep their sizes open in an exported graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def bin_weights(size: int, bins: int, like: Tensor) -> Tensor:
    """(bins, size): the share of each position in each bin, rows summing to 1.

    Bin i spans floor(i * size / bins) to ceil((i + 1) * size / bins), as `torch.nn.AdaptiveAvgPool2d`: bins overlap
    where the size is no multiple.
    """
    # Counted from a tensor of the image's own, so that a traced graph counts, too.
    position = torch.arange(size, device=like.device).unsqueeze(0)
    index = torch.arange(bins, device=like.device).unsqueeze(1)
    start = torch.div(index * size, bins, rounding_mode="floor")
    stop = torch.div((index + 1) * size + (bins - 1), bins, rounding_mode="floor")
    inside = ((position >= start) & (position < stop)).to(like.dtype)
    return inside / (stop - start).to(like.dtype)


def line_weights(size: int, out: int, aligned: int, like: Tensor) -> Tensor:
    """(out, size): the share of each position in each of `out` that a bilinear resize makes of `size`.

    `aligned` is 1 for corners that stay corners, else 0: a number, so that a graph can count it from an image's size.
    """
    position = torch.arange(size, device=like.device).unsqueeze(0)
    index = torch.arange(out, device=like.device).unsqueeze(1).to(like.dtype)
    corners = index * (size - 1) / (torch.zeros_like(index) + (out - 1)).clamp(min=1)
    centres = (index + 0.5) * (size / out) - 0.5
    source = (corners * aligned + centres * (1 - aligned)).clamp(min=0)
    source = torch.minimum(source, torch.zeros_like(source) + (size - 1))
    return (1 - (source - position.to(like.dtype)).abs()).clamp(min=0)


class AdaptiveMean(nn.Module):
    """(N, C, H, W) -> (N, C, bins, bins), as `AdaptiveAvgPool2d(bins)`, by two matrix products.

    Exporters write adaptive pooling only for sizes that are fixed multiples of the bins.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.bins = bins

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, bins, bins)."""
        if self.bins == 1:
            return x.mean(dim=(2, 3), keepdim=True)
        rows = bin_weights(x.shape[2], self.bins, x)
        columns = bin_weights(x.shape[3], self.bins, x)
        return torch.matmul(torch.matmul(rows, x), columns.transpose(0, 1))
