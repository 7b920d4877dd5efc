"""Twins (Chu et al. 2021, arXiv:2104.13840): attention in windows and to reduced maps, positions by convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.mix_transformer import ReducedAttention
from densecast.networks.openmmlab.transformer_parts import FeedForward, padded, to_map, to_tokens
from densecast.networks.openmmlab.units import TRAINING, layer_norm_of

# What is added to the likeness of positions, of which one is padding.
_FAR = -1000.0


class _WindowAttention(nn.Module):
    """Attention inside of windows that do not shift. Keys: `qkv`, `proj`."""

    def __init__(self, channels: int, heads: int, window: int, bias: bool) -> None:
        super().__init__()
        self.heads, self.window, self.scale = heads, window, (channels // heads) ** -0.5
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.proj = nn.Linear(channels, channels)

    def _is_padding(self, size: int) -> Tensor:
        """(padded size,) 1 where a side is padded; of a side that needs none all of it, as the original has it."""
        whole = (size + self.window - 1) // self.window * self.window
        start = size * ((whole - size + self.window - 1) // self.window)
        return (torch.arange(whole) >= start).float()

    def _mask(self, like: Tensor) -> Tensor:
        """(windows, 1, L, L): what is added where one of two positions is padding, and the other is not."""
        rows, columns = self._is_padding(like.shape[2]), self._is_padding(like.shape[3])
        padding = torch.maximum(rows[:, None], columns[None, :])[None, None]
        flat = self._windows(padding).reshape(-1, self.window * self.window)
        return ((flat[:, :, None] != flat[:, None, :]).float() * _FAR)[:, None]

    def _windows(self, x: Tensor) -> Tensor:
        """(N, C, H, W), multiples of the window -> (N * windows, L, C)."""
        side = self.window
        batch, channels, height, width = x.shape
        cut = x.reshape(batch, channels, height // side, side, width // side, side)
        return cut.permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, channels)

    def forward(self, tokens: Tensor, like: Tensor) -> Tensor:
        x = padded(to_map(tokens, like), self.window)
        batch, channels, height, width = x.shape
        side = self.window
        length = side * side
        rows, columns = height // side, width // side
        qkv = self.qkv(self._windows(x)).reshape(-1, length, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        likeness = torch.matmul(query, key.transpose(-2, -1)) * self.scale
        mask = self._mask(like)
        likeness = likeness.reshape(batch, rows * columns, self.heads, length, length) + mask[None]
        weights = likeness.softmax(dim=-1).reshape(-1, self.heads, length, length)
        out = torch.matmul(weights, value).transpose(1, 2)
        out = out.reshape(batch, rows, columns, side, side, channels).permute(0, 5, 1, 3, 2, 4)
        out = out.reshape(batch, channels, height, width)[:, :, : like.shape[2], : like.shape[3]]
        projected: Tensor = self.proj(to_tokens(out))
        return projected


class _Layer(nn.Module):
    """Attention and a feed-forward network behind normalisations. Keys: `norm1`, `attn`, `norm2`, `ffn`."""

    def __init__(self, channels: int, hidden: int, attention: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn = attention
        self.ffn = FeedForward(channels, hidden, 2, "gelu")

    def forward(self, tokens: Tensor, like: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens), like)
        return tokens + self.ffn(self.norm2(tokens))  # type: ignore[no-any-return]


class _Positions(nn.Module):
    """A 3x3 of each channel. Keys: `proj`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, tokens: Tensor, like: Tensor) -> Tensor:
        x = to_map(tokens, like)
        return to_tokens(self.proj(x) + x)


class _Patches(nn.Module):
    """Keys: `projection`, `norm`."""

    def __init__(self, in_channels: int, channels: int, patch: int, stride: int, eps: float) -> None:
        super().__init__()
        self.stride = stride
        self.projection = nn.Conv2d(in_channels, channels, patch, stride)
        self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.projection(padded(image, self.stride))
        return self.norm(to_tokens(x)), x


class Twins(nn.Module):
    """Keys: `patch_embeds.{i}`, `layers.{i}.{b}`, `position_encodings.{i}`, and `norm_list.{i}`."""

    def __init__(
        self,
        patches: Sequence[nn.Module],
        layers: Sequence[Sequence[nn.Module]],
        widths: Sequence[int],
        *,
        eps: float | None,
        out_indices: Sequence[int],
    ) -> None:
        super().__init__()
        self.out_indices = tuple(out_indices)
        self.patch_embeds = nn.ModuleList(patches)
        self.position_encodings = nn.ModuleList(_Positions(width) for width in widths)
        self.layers = nn.ModuleList(nn.ModuleList(stage) for stage in layers)
        self._normalises = eps is not None
        if eps is not None:
            self.norm_list = nn.ModuleList(nn.LayerNorm(width, eps=eps) for width in widths)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the map of each chosen stage."""
        maps, x = [], image
        for index, (patches, stage, positions) in enumerate(
            zip(self.patch_embeds, self.layers, self.position_encodings, strict=True)
        ):
            tokens, like = patches(x)
            blocks: Any = stage
            for number, layer in enumerate(blocks):
                tokens = layer(tokens, like)
                if number == 0:
                    tokens = positions(tokens, like)
            x = to_map(self.norm_list[index](tokens) if self._normalises else tokens, like)
            if index in self.out_indices:
                maps.append(x)
        return maps


def twins(keys: Keys, *, windows: bool) -> Any:
    """Twins-PCPVT, or Twins-SVT, of whose layers every other one attends inside of windows."""
    depths = keys.integers("depths", (4, 4, 4) if windows else (3, 4, 6, 3))
    count = len(depths)
    widths = keys.integers("embed_dims", (64, 128, 256) if windows else (64, 128, 256, 512), count=count)
    heads = keys.integers("num_heads", (1, 2, 4) if windows else (1, 2, 4, 8), count=count)
    ratios = keys.integers("mlp_ratios", (4,) * (3 if windows else 4), count=count)
    reductions = keys.integers("sr_ratios", (4, 2, 1) if windows else (8, 4, 2, 1), count=count)
    sides = keys.integers("windiow_sizes", (7, 7, 7), count=count) if windows else (0,) * count
    sizes = keys.integers("patch_sizes", (4, 2, 2, 2))
    strides = keys.integers("strides", (4, 2, 2, 2))
    if min(len(sizes), len(strides)) < count or any(s != p for s, p in zip(sizes, strides, strict=False)):
        raise keys.wrong("patch_sizes", sizes, f"the strides, {strides}, of {count} stages")
    for width, number in zip(widths, heads, strict=True):
        if width % number:
            raise keys.wrong("num_heads", heads, f"divisors of embed_dims, {widths}")
    bias, eps = keys.flag("qkv_bias", False), layer_norm_of(keys, 1e-5)
    incoming = (keys.integer("in_channels", 3), *widths[:-1])
    layers: list[list[nn.Module]] = []
    for stage, (width, number) in enumerate(zip(widths, heads, strict=True)):
        layers.append([])
        for index in range(depths[stage]):
            attention: nn.Module
            if windows and index % 2 == 0:
                attention = _WindowAttention(width, number, sides[stage], bias)
            else:
                attention = ReducedAttention(width, number, reductions[stage], bias, 1e-5)
            layers[-1].append(_Layer(width, ratios[stage] * width, attention))
    network = Twins(
        [
            _Patches(before, width, sizes[k], strides[k], eps)
            for k, (before, width) in enumerate(zip(incoming, widths, strict=True))
        ],
        layers,
        widths,
        eps=eps if keys.flag("norm_after_stage", windows) else None,
        out_indices=keys.integers("out_indices", (0, 1, 2, 3), least=0),
    )
    keys.ignore("drop_rate", "attn_drop_rate", "drop_path_rate", *TRAINING)
    keys.done()
    return network
