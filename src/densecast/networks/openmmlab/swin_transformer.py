"""Swin transformer (Liu et al. 2021, arXiv:2103.14030): attention in windows that shift from block to block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from densecast.networks._conv import Activation
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.transformer_parts import FeedForward, padded
from densecast.networks.openmmlab.units import TRAINING, layer_norm_of
from densecast.networks.openmmlab.units import shared_activation_of as read_activation

# What is added to the likeness of positions that only the shift made neighbours.
_FAR = -100.0


def relative_positions(window: int) -> Tensor:
    """(window², window²) int64: the row of the bias table for each pair of positions in a window."""
    side = torch.arange(window)
    rows, columns = (each.flatten() for each in torch.meshgrid(side, side, indexing="ij"))
    down = rows[:, None] - rows[None, :] + window - 1
    right = columns[:, None] - columns[None, :] + window - 1
    return down * (2 * window - 1) + right


def _regions(size: int, window: int, shift: int) -> Tensor:
    """(size,) numbers of the three stretches that a shift cuts a side into."""
    position = torch.arange(size)
    return (position >= size - window).long() + (position >= size - shift).long()


class _WindowAttention(nn.Module):
    """Keys: `relative_position_bias_table`, `relative_position_index`, `qkv`, `proj`."""

    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int, window: int, bias: bool, scale: float | None) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.scale = scale if scale is not None else (channels // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", relative_positions(window))
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """(windows, L, C), and (windows of an image, L, L) -> (windows, L, C)."""
        length = self.window * self.window
        qkv = self.qkv(x).reshape(-1, length, 3, self.heads, x.shape[2] // self.heads).permute(2, 0, 3, 1, 4)
        likeness = torch.matmul(qkv[0] * self.scale, qkv[1].transpose(2, 3))
        bias = self.relative_position_bias_table[self.relative_position_index.reshape(-1)]
        likeness = likeness + bias.reshape(length, length, self.heads).permute(2, 0, 1).unsqueeze(0)
        if mask is not None:
            windows = mask.shape[0]
            grouped = likeness.reshape(-1, windows, self.heads, length, length)
            likeness = (grouped + mask.unsqueeze(1).unsqueeze(0)).reshape(-1, self.heads, length, length)
        context = torch.matmul(likeness.softmax(dim=-1), qkv[2]).transpose(1, 2)
        out: Tensor = self.proj(context.reshape(-1, length, x.shape[2]))
        return out


class _ShiftedAttention(nn.Module):
    """Attention in windows of a map that is rolled by `shift` before. Key: `w_msa`."""

    def __init__(self, channels: int, heads: int, window: int, shift: int, bias: bool, scale: float | None) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.w_msa = _WindowAttention(channels, heads, window, bias, scale)

    def _windows(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (windows, window², C)."""
        images, height, width, channels = x.shape
        side = self.window
        x = x.reshape(images, height // side, side, width // side, side, channels).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(-1, side * side, channels)

    def _mask(self, height: int, width: int) -> Tensor:
        rows = _regions(height, self.window, self.shift).unsqueeze(1)
        columns = _regions(width, self.window, self.shift).unsqueeze(0)
        numbers = (3 * rows + columns).unsqueeze(0).unsqueeze(3)
        regions = self._windows(numbers).squeeze(2)
        return (regions.unsqueeze(1) != regions.unsqueeze(2)).to(torch.float32) * _FAR

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> the same shape."""
        height, width = x.shape[1], x.shape[2]
        full = padded(x.permute(0, 3, 1, 2), self.window).permute(0, 2, 3, 1)
        images, full_h, full_w, channels = full.shape
        mask = None
        if self.shift:
            full = torch.roll(full, shifts=(-self.shift, -self.shift), dims=(1, 2))
            mask = self._mask(full_h, full_w).to(full.dtype)
        out: Tensor = self.w_msa(self._windows(full), mask)
        side = self.window
        out = out.reshape(images, full_h // side, full_w // side, side, side, channels).permute(0, 1, 3, 2, 4, 5)
        out = out.reshape(images, full_h, full_w, channels)
        if self.shift:
            out = torch.roll(out, shifts=(self.shift, self.shift), dims=(1, 2))
        return out[:, :height, :width]


class _Block(nn.Module):
    def __init__(
        self,
        channels: int,
        heads: int,
        window: int,
        shift: int,
        hidden: int,
        *,
        bias: bool,
        scale: float | None,
        eps: float,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=eps)
        self.attn = _ShiftedAttention(channels, heads, window, shift, bias, scale)
        self.norm2 = nn.LayerNorm(channels, eps=eps)
        self.ffn = FeedForward(channels, hidden, 2, activation)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))  # type: ignore[no-any-return]


class _Merging(nn.Module):
    """Four neighbours become one position of twice the width. Keys: `norm`, `reduction`."""

    def __init__(self, channels: int, out_channels: int, eps: float | None) -> None:
        super().__init__()
        self.norm = nn.Identity() if eps is None else nn.LayerNorm(4 * channels, eps=eps)
        self.reduction = nn.Linear(4 * channels, out_channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H / 2, W / 2, out_channels), rounded up."""
        x = padded(x.permute(0, 3, 1, 2), 2)
        corners = (x[:, :, 0::2, 0::2], x[:, :, 0::2, 1::2], x[:, :, 1::2, 0::2], x[:, :, 1::2, 1::2])
        # Of each channel all four in turn: the order of the published weights.
        joined = torch.stack(corners, dim=2).flatten(1, 2).permute(0, 2, 3, 1)
        out: Tensor = self.reduction(self.norm(joined))
        return out


class _Stage(nn.Module):
    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample


class _Patches(nn.Module):
    """Keys: `projection`, `norm`."""

    def __init__(self, in_channels: int, channels: int, patch: int, eps: float | None) -> None:
        super().__init__()
        self.patch = patch
        self.projection = nn.Conv2d(in_channels, channels, patch, patch)
        self.norm = nn.LayerNorm(channels, eps=eps) if eps is not None else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.norm(self.projection(padded(image, self.patch)).permute(0, 2, 3, 1))
        return out


class SwinTransformer(nn.Module):
    """Patches, four stages of windows, halved between. Keys: `patch_embed`, `stages.{i}.blocks.{j}`, `norm{i}`."""

    def __init__(self, patches: nn.Module, stages: Sequence[nn.Module], norms: dict[int, nn.Module]) -> None:
        super().__init__()
        self.patch_embed = patches
        self.stages = nn.ModuleList(stages)
        self._outputs = sorted(norms)
        for index, norm in norms.items():
            self.add_module(f"norm{index}", norm)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the map of each stage that is asked for."""
        x, maps = self.patch_embed(image), []
        for index, stage in enumerate(self.stages):
            assert isinstance(stage, _Stage)
            for block in stage.blocks:
                x = block(x)
            if index in self._outputs:
                maps.append(getattr(self, f"norm{index}")(x).permute(0, 3, 1, 2))
            if stage.downsample is not None:
                x = stage.downsample(x)
        return maps


def swin_transformer(keys: Keys) -> nn.Module:
    """SwinTransformer."""
    channels, patch = keys.integer("embed_dims", 96), keys.integer("patch_size", 4)
    window, ratio = keys.integer("window_size", 7), keys.number("mlp_ratio", 4)
    depths = keys.integers("depths", (2, 2, 6, 2))
    heads = keys.integers("num_heads", (3, 6, 12, 24), count=len(depths))
    keys.only("strides", (patch, *(2,) * (len(depths) - 1)))
    outputs = keys.integers("out_indices", (0, 1, 2, 3), least=0)
    bias = keys.flag("qkv_bias", True)
    scale = keys.number("qk_scale") if keys.peek("qk_scale") is not None else keys.take("qk_scale", None)
    eps, activation = layer_norm_of(keys, 1e-5), read_activation(keys, {"type": "GELU"})
    has_norm = keys.flag("patch_norm", True)
    keys.only("use_abs_pos_embed", False)
    patches = _Patches(keys.integer("in_channels", 3), channels, patch, eps if has_norm else None)
    stages: list[nn.Module] = []
    norms: dict[int, nn.Module] = {}
    for index, depth in enumerate(depths):
        blocks = [
            _Block(
                channels,
                heads[index],
                window,
                window // 2 if number % 2 else 0,
                int(ratio * channels),
                bias=bias,
                scale=scale,
                eps=eps,
                activation=activation,
            )
            for number in range(depth)
        ]
        last = index == len(depths) - 1
        stages.append(_Stage(blocks, None if last else _Merging(channels, 2 * channels, eps if has_norm else None)))
        if index in outputs:
            norms[index] = nn.LayerNorm(channels, eps=eps)
        channels *= 2
    keys.ignore("pretrain_img_size", "drop_rate", "attn_drop_rate", "drop_path_rate", *TRAINING)
    keys.done()
    return SwinTransformer(patches, stages, norms)
