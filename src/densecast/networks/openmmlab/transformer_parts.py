"""What transformers consist of: tokens, attention in heads, feed-forward networks, the layer of both."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import Activation, activation_of


def to_tokens(x: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h * w, C)."""
    return x.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, like: Tensor) -> Tensor:
    """(N, h * w, C) -> (N, C, h, w), with the sizes of another map."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, like.shape[2], like.shape[3])


def padded(x: Tensor, multiple: int) -> Tensor:
    """(N, C, H, W) with zeros right and below, up to the next multiple."""
    height, width = x.shape[2], x.shape[3]
    below = (height + multiple - 1) // multiple * multiple - height
    right = (width + multiple - 1) // multiple * multiple - width
    return F.pad(x, (0, right, 0, below))


def attended(query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """(N, heads, L, w), (N, heads, S, w) twice -> (N, L, heads, w): means of values by the softmax of scaled products.

    `bias` (1, heads, L, S) is added to the products.
    """
    likeness = torch.matmul(query * scale, key.transpose(2, 3))
    if bias is not None:
        likeness = likeness + bias
    return torch.matmul(likeness.softmax(dim=-1), value).transpose(1, 2)


class MultiheadAttention(nn.Module):
    """Scaled dot products in heads. Keys: `in_proj_weight`, `in_proj_bias`, `out_proj`, as torch's own module."""

    def __init__(self, channels: int, heads: int, bias: bool) -> None:
        super().__init__()
        self.heads, self.width = heads, channels // heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * channels, channels))
        if bias:
            self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self._has_bias = bias
        nn.init.xavier_uniform_(self.in_proj_weight)
        self.out_proj = nn.Linear(channels, channels, bias=bias)

    def _project(self, x: Tensor, part: int) -> Tensor:
        start = part * self.heads * self.width
        stop = start + self.heads * self.width
        bias = self.in_proj_bias[start:stop] if self._has_bias else None
        out = F.linear(x, self.in_proj_weight[start:stop], bias)
        return out.reshape(x.shape[0], -1, self.heads, self.width).transpose(1, 2)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """(N, L, C) and (N, S, C) -> (N, L, C)."""
        query, key, value = self._project(queries, 0), self._project(keys, 1), self._project(keys, 2)
        found = attended(query, key, value, self.width**-0.5)
        out: Tensor = self.out_proj(found.reshape(queries.shape))
        return out


class OwnAttention(nn.Module):
    """Attention of tokens to each other. Keys: `attn`."""

    def __init__(self, channels: int, heads: int, bias: bool = True) -> None:
        super().__init__()
        self.attn = MultiheadAttention(channels, heads, bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) -> the same."""
        out: Tensor = self.attn(tokens, tokens)
        return out


class FeedForward(nn.Module):
    """Keys: `layers.{i}.0` of each but the last, `layers.{i}`."""

    def __init__(self, channels: int, hidden: int, count: int, activation: Activation) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = channels
        for _ in range(count - 1):
            layers.append(nn.Sequential(nn.Linear(width, hidden), activation_of(activation, hidden)))
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) -> the same."""
        out: Tensor = self.layers(tokens)
        return out


class EncoderLayer(nn.Module):
    """Attention and a feed-forward network, each behind a normalisation, and the identity.

    Keys: `ln1`, `attn`, `ln2`, `ffn`, and `gamma_1`, `gamma_2` where a factor for each channel is learned.
    """

    def __init__(
        self,
        channels: int,
        attention: nn.Module,
        hidden: int,
        *,
        count: int,
        eps: float,
        activation: Activation,
        is_scaled: bool = False,
    ) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(channels, eps=eps), nn.LayerNorm(channels, eps=eps)
        self.attn = attention
        self.ffn = FeedForward(channels, hidden, count, activation)
        self._is_scaled = is_scaled
        if is_scaled:
            self.gamma_1, self.gamma_2 = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.ones(channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, L, C) -> the same."""
        found = self.attn(self.ln1(tokens))
        tokens = tokens + (self.gamma_1 * found if self._is_scaled else found)
        found = self.ffn(self.ln2(tokens))
        return tokens + (self.gamma_2 * found if self._is_scaled else found)  # type: ignore[no-any-return]
