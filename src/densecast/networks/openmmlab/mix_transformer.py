"""SegFormer's backbone, the mix vision transformer (Xie et al. 2021, arXiv:2105.15203)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from densecast.networks._conv import Activation, activation_of
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.transformer_parts import MultiheadAttention, to_map, to_tokens
from densecast.networks.openmmlab.units import TRAINING, layer_norm_of
from densecast.networks.openmmlab.units import shared_activation_of as read_activation


class ReducedAttention(nn.Module):
    """Attention to keys of a map reduced by `ratio`. Keys: `attn`, and `sr`, `norm` where it is above 1."""

    def __init__(self, channels: int, heads: int, ratio: int, bias: bool, eps: float) -> None:
        super().__init__()
        self.attn = MultiheadAttention(channels, heads, bias)
        self.ratio = ratio
        if ratio > 1:
            self.sr = nn.Conv2d(channels, channels, ratio, stride=ratio)
            self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, tokens: Tensor, like: Tensor) -> Tensor:
        """(N, h * w, C) tokens of a map of the size of `like` -> the same."""
        keys = tokens
        if self.ratio > 1:
            keys = self.norm(to_tokens(self.sr(to_map(tokens, like))))
        out: Tensor = self.attn(tokens, keys)
        return out


class _MixFeedForward(nn.Module):
    """1x1, 3x3 of each channel, activation, 1x1. Keys: `layers.{0,1,4}`."""

    def __init__(self, channels: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden),
            activation_of(activation, hidden),
            nn.Identity(),  # a dropout of training
            nn.Conv2d(hidden, channels, 1),
        )

    def forward(self, tokens: Tensor, like: Tensor) -> Tensor:
        return to_tokens(self.layers(to_map(tokens, like)))


class _Block(nn.Module):
    def __init__(
        self, channels: int, heads: int, ratio: int, hidden: int, bias: bool, eps: float, activation: Activation
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=eps)
        self.attn = ReducedAttention(channels, heads, ratio, bias, eps)
        self.norm2 = nn.LayerNorm(channels, eps=eps)
        self.ffn = _MixFeedForward(channels, hidden, activation)

    def forward(self, tokens: Tensor, like: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens), like)
        return tokens + self.ffn(self.norm2(tokens), like)  # type: ignore[no-any-return]


class _PatchEmbedding(nn.Module):
    """Overlapping patches. Keys: `projection`, `norm`."""

    def __init__(self, in_channels: int, channels: int, patch: int, stride: int, eps: float) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, channels, patch, stride, padding=patch // 2)
        self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = self.projection(image)
        return self.norm(to_tokens(x)), x


@dataclass(frozen=True, slots=True)
class MixStage:
    """One stage: patches, blocks and their heads, and by what its keys are reduced."""

    patch: int
    stride: int
    blocks: int
    heads: int
    ratio: int


class MixVisionTransformer(nn.Module):
    """Stages of overlapping patches and reduced attention. Keys: `layers.{i}.0`, `layers.{i}.1.{j}`, `layers.{i}.2`."""

    def __init__(
        self,
        width: int,
        stages: Sequence[MixStage],
        *,
        mlp_ratio: int,
        bias: bool,
        eps: float,
        activation: Activation,
        in_channels: int,
        out_indices: Sequence[int],
    ) -> None:
        super().__init__()
        self.out_indices = tuple(sorted(set(out_indices)))
        self.layers = nn.ModuleList()
        for stage in stages:
            channels = width * stage.heads
            blocks = nn.ModuleList(
                _Block(channels, stage.heads, stage.ratio, mlp_ratio * channels, bias, eps, activation)
                for _ in range(stage.blocks)
            )
            embedding = _PatchEmbedding(in_channels, channels, stage.patch, stage.stride, eps)
            self.layers.append(nn.ModuleList([embedding, blocks, nn.LayerNorm(channels, eps=eps)]))
            in_channels = channels

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the map of each stage that is asked for."""
        x, maps = image, []
        for stage in self.layers:
            assert isinstance(stage, nn.ModuleList)
            embedding, blocks, norm = stage
            tokens, like = embedding(x)
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                tokens = block(tokens, like)
            x = to_map(norm(tokens), like)
            maps.append(x)
        return [maps[index] for index in self.out_indices]


def mix_vision_transformer(keys: Keys) -> nn.Module:
    """MixVisionTransformer."""
    count = keys.integer("num_stages", 4, most=8)
    stages = [
        MixStage(*each)
        for each in zip(
            keys.integers("patch_sizes", (7, 3, 3, 3), count=count),
            keys.integers("strides", (4, 2, 2, 2), count=count),
            keys.integers("num_layers", (3, 4, 6, 3), count=count),
            keys.integers("num_heads", (1, 2, 4, 8), count=count),
            keys.integers("sr_ratios", (8, 4, 2, 1), count=count),
            strict=True,
        )
    ]
    network = MixVisionTransformer(
        keys.integer("embed_dims", 64),
        stages,
        mlp_ratio=keys.integer("mlp_ratio", 4),
        bias=keys.flag("qkv_bias", True),
        eps=layer_norm_of(keys, 1e-6),
        activation=read_activation(keys, {"type": "GELU"}),
        in_channels=keys.integer("in_channels", 3),
        out_indices=keys.integers("out_indices", tuple(range(count)), least=0),
    )
    keys.ignore("drop_rate", "attn_drop_rate", "drop_path_rate", *TRAINING)
    keys.done()
    return network
