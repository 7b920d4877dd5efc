"""Heads of vision transformers, and SETR's neck, as configurations describe them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import ConvModule, Units
from densecast.networks.openmmlab.head_keys import Common
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.transformer_parts import EncoderLayer, OwnAttention, to_map, to_tokens
from densecast.networks.openmmlab.units import layer_norm_of, norm_of, optional_activation_of, shared_activation_of

_EPS = 1e-6


def normalised(x: Tensor, norm: nn.Module) -> Tensor:
    """(N, C, h, w) -> the same, each pixel's channels normalised."""
    return to_map(norm(to_tokens(x)), x)


class UpHead(nn.Module):
    """SETR's naive and progressive upsampling (Zheng et al. 2021, arXiv:2012.15840). Keys: `norm`, `up_convs.{i}.0`."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        *,
        count: int,
        scale: int,
        kernel: int,
        eps: float,
        align_corners: bool,
        units: Units,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_channels, eps=eps)
        self.up_convs = nn.ModuleList()
        for index in range(count):
            width = in_channels if index == 0 else channels
            conv = units.conv(width, channels, kernel)
            self.up_convs.append(nn.Sequential(conv, _raising(scale, align_corners)))
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h * scale**count, w * scale**count)."""
        x = normalised(x, self.norm)
        for up in self.up_convs:
            x = up(x)
        logits: Tensor = self.conv_seg(x)
        return logits


class MultiLevelAggregationHead(nn.Module):
    """SETR-MLA's head. Keys: `up_convs.{i}.{0,1}`, `conv_seg`."""

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        classes: int,
        inner: int,
        *,
        scale: int,
        align_corners: bool,
        units: Units,
    ) -> None:
        super().__init__()

        def conv(width: int) -> ConvModule:
            return units.conv(width, inner, 3)

        self.up_convs = nn.ModuleList(
            nn.Sequential(conv(width), conv(inner), _raising(scale, align_corners)) for width in in_channels
        )
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps of one size -> logits (N, classes, h * scale, w * scale)."""
        raised = [up(x) for up, x in zip(self.up_convs, maps, strict=True)]
        logits: Tensor = self.conv_seg(torch.cat(raised, dim=1))
        return logits


class MultiLevelAggregation(nn.Module):
    """SETR-MLA's neck: maps normalised, narrowed, summed from the last on. Keys: `norm.{i}`, `mla.channel_proj.{i}`, ….

    The outputs begin with the last map.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, eps: float, units: Units) -> None:
        super().__init__()
        self.norm = nn.ModuleList(nn.LayerNorm(width, eps=eps) for width in in_channels)
        self.mla = nn.Module()
        self.mla.channel_proj = nn.ModuleList(units.conv(width, channels, 1) for width in in_channels)
        self.mla.feat_extract = nn.ModuleList(units.conv(channels, channels, 3) for _ in in_channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps of one size -> as many of one width."""
        projected: Any = self.mla.channel_proj
        extracting: Any = self.mla.feat_extract
        narrowed = [conv(normalised(x, norm)) for x, norm, conv in zip(maps, self.norm, projected, strict=True)]
        sums: list[Tensor] = []
        for x in reversed(narrowed):
            sums.append(sums[-1] + x if sums else x)
        return [conv(x) for conv, x in zip(extracting, sums, strict=True)]


def _raising(scale: int, align_corners: bool) -> nn.Module:
    return nn.Upsample(scale_factor=float(scale), mode="bilinear", align_corners=align_corners)


class MaskTransformerHead(nn.Module):
    """Segmenter's head (Strudel et al. 2021, arXiv:2105.05633): tokens of classes attend to patches, and score them.

    Keys: `layers.{i}`, `dec_proj`, `cls_emb`, `patch_proj`, `classes_proj`, `decoder_norm`, `mask_norm`.
    """

    def __init__(
        self, in_channels: int, classes: int, channels: int, layers: Sequence[EncoderLayer], eps: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.dec_proj = nn.Linear(in_channels, channels)
        self.cls_emb = nn.Parameter(torch.zeros(1, classes, channels))
        self.patch_proj = nn.Linear(channels, channels, bias=False)
        self.classes_proj = nn.Linear(channels, channels, bias=False)
        self.decoder_norm, self.mask_norm = nn.LayerNorm(channels, eps=eps), nn.LayerNorm(classes, eps=eps)
        self._classes = classes

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        tokens = self.dec_proj(to_tokens(x))
        tokens = torch.cat([tokens, self.cls_emb.expand(tokens.shape[0], -1, -1)], dim=1)
        for layer in self.layers:
            tokens = layer(tokens)
        tokens = self.decoder_norm(tokens)
        patches = F.normalize(self.patch_proj(tokens[:, : -self._classes]), dim=2)
        classes = F.normalize(self.classes_proj(tokens[:, -self._classes :]), dim=2)
        return to_map(self.mask_norm(patches @ classes.transpose(1, 2)), x)


def setr_up(keys: Keys, shared: Common) -> nn.Module:
    """SETRUPHead."""
    kernel = keys.integer("kernel_size", 3)
    if kernel not in (1, 3):
        raise keys.wrong("kernel_size", kernel, "1 or 3")
    return shared.of_one(
        UpHead,
        count=keys.integer("num_convs", 1),
        scale=keys.integer("up_scale", 4, most=64),
        kernel=kernel,
        eps=layer_norm_of(keys, _EPS, "norm_layer"),
        align_corners=shared.align_corners,
    )


def setr_mla(keys: Keys, shared: Common) -> nn.Module:
    """SETRMLAHead."""
    inner = keys.integer("mla_channels", 128)
    if shared.channels != inner * len(shared.in_channels):
        raise keys.wrong(
            "mla_channels", inner, f"channels ({shared.channels}) shared by {len(shared.in_channels)} maps"
        )
    return shared.of_all(
        MultiLevelAggregationHead, inner, scale=keys.integer("up_scale", 4, most=64), align_corners=shared.align_corners
    )


def segmenter(keys: Keys, shared: Common) -> nn.Module:
    """SegmenterMaskTransformerHead."""
    channels, heads = keys.integer("embed_dims"), keys.integer("num_heads")
    if channels % heads:
        raise keys.wrong("num_heads", heads, f"a divisor of embed_dims, {channels}")
    hidden = int(keys.number("mlp_ratio", 4) * channels)
    count, bias = keys.integer("num_fcs", 2, least=2, most=8), keys.flag("qkv_bias", True)
    eps, kind = layer_norm_of(keys, 1e-5), shared_activation_of(keys, {"type": "GELU"})
    layers = [
        EncoderLayer(channels, OwnAttention(channels, heads, bias), hidden, count=count, eps=eps, activation=kind)
        for _ in range(keys.integer("num_layers", most=64))
    ]
    keys.ignore("drop_path_rate", "drop_rate", "attn_drop_rate", "init_std")
    return MaskTransformerHead(shared.width, shared.classes, channels, layers, eps)


def mla_neck(keys: Keys) -> nn.Module:
    """MLANeck."""
    widths, channels = keys.integers("in_channels"), keys.integer("out_channels")
    eps, norm = layer_norm_of(keys, _EPS, "norm_layer"), norm_of(keys)
    return MultiLevelAggregation(widths, channels, eps, Units(norm, optional_activation_of(keys)))
