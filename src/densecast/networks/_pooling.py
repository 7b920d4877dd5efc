"""Adaptive average pooling that keeps its sizes open in an exported graph."""

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
