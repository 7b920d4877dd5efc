"""Vision transformers of any size (Dosovitskiy et al. 2020, arXiv:2010.11929), with positions for any image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.transformer_parts import EncoderLayer, OwnAttention, padded, to_map, to_tokens
from densecast.networks.openmmlab.units import TRAINING, layer_norm_of
from densecast.networks.openmmlab.units import shared_activation_of as read_activation

GELU = {"type": "GELU"}


class Patches(nn.Module):
    """An image's patches as tokens, and the map that they are of. Keys: `projection`, and `norm` with `eps`."""

    def __init__(self, in_channels: int, channels: int, patch: int, eps: float | None) -> None:
        super().__init__()
        self.patch, self._has_norm = patch, eps is not None
        self.projection = nn.Conv2d(in_channels, channels, patch, patch)
        if eps is not None:
            self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) -> (N, L, channels) and (N, channels, h, w)."""
        x = self.projection(padded(image, self.patch))
        tokens = to_tokens(x)
        return (self.norm(tokens) if self._has_norm else tokens), x


class VisionTransformer(nn.Module):
    """Keys: `patch_embed`, `cls_token`, `pos_embed`, `layers.{i}`, `ln1` with a last normalisation.

    Positions are resized to any image. The original leaves them alone where an image has as many patches as those of
    its training, even if in another aspect; here they are always brought to the image's aspect.
    """

    def __init__(
        self,
        *,
        channels: int,
        grid_hw: tuple[int, int],
        patches: Patches,
        layers: Sequence[EncoderLayer],
        keeps_class: bool,
        gives_class: bool,
        final_eps: float | None,
        mode: str,
        out_indices: Sequence[int],
    ) -> None:
        super().__init__()
        self.grid_hw, self.mode, self.keeps_class, self.gives_class = grid_hw, mode, keeps_class, gives_class
        self.out_indices = tuple(out_indices)
        self.patch_embed = patches
        self.cls_token = nn.Parameter(torch.zeros(1, 1, channels))
        self.pos_embed = nn.Parameter(torch.zeros(1, grid_hw[0] * grid_hw[1] + 1, channels))
        self.layers = nn.ModuleList(layers)
        self._has_final = final_eps is not None
        if final_eps is not None:
            self.ln1 = nn.LayerNorm(channels, eps=final_eps)

    def _positions(self, like: Tensor) -> Tensor:
        """(1, L, C) of an image's patches."""
        rows, columns = self.grid_hw
        grid = self.pos_embed[:, 1:].reshape(1, rows, columns, -1).permute(0, 3, 1, 2)
        align = None if self.mode == "nearest" else False
        return to_tokens(F.interpolate(grid, size=like.shape[2:], mode=self.mode, align_corners=align))

    def forward(self, image: Tensor) -> list[Any]:
        """(N, C, H, W) -> one map of H / patch x W / patch for each of the chosen layers.

        With `gives_class` each is a pair with its class token (N, channels).
        """
        x, like = self.patch_embed(image)
        x = x + self._positions(like)
        if self.keeps_class:
            first = self.cls_token + self.pos_embed[:, :1]
            x = torch.cat([first.expand(x.shape[0], -1, -1), x], dim=1)
        maps: list[Any] = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == len(self.layers) - 1 and self._has_final:
                x = self.ln1(x)
            if index in self.out_indices:
                found = to_map(x[:, 1:] if self.keeps_class else x, like)
                maps.append((found, x[:, 0]) if self.gives_class else found)
        return maps


def vision_transformer(keys: Keys) -> Any:
    """ViT and DeiT of any size."""
    sides = keys.integers("img_size", 224)
    height, width = (sides * 2)[:2]
    patch, channels = keys.integer("patch_size", 16), keys.integer("embed_dims", 768)
    count, heads = keys.integer("num_layers", 12, most=256), keys.integer("num_heads", 12)
    if channels % heads:
        raise keys.wrong("num_heads", heads, f"a divisor of embed_dims, {channels}")
    hidden = int(keys.number("mlp_ratio", 4) * channels)
    indices = keys.integers("out_indices", -1, least=-1)
    indices = tuple(count - 1 if index == -1 else index for index in indices)
    keeps_class = keys.flag("with_cls_token", True)
    gives_class = keys.flag("output_cls_token", False)
    if gives_class and not keeps_class:
        raise keys.wrong("output_cls_token", gives_class, "False without with_cls_token")
    eps = layer_norm_of(keys, 1e-5)
    activation = read_activation(keys, GELU)
    bias, fcs = keys.flag("qkv_bias", True), keys.integer("num_fcs", 2, least=2, most=8)
    mode = keys.word("interpolate_mode", "bicubic")
    if mode not in ("bicubic", "bilinear", "nearest"):
        raise keys.unknown("interpolate_mode", mode, ("bicubic", "bilinear", "nearest"))
    patches = Patches(keys.integer("in_channels", 3), channels, patch, eps if keys.flag("patch_norm", False) else None)
    layers = [
        EncoderLayer(channels, OwnAttention(channels, heads, bias), hidden, count=fcs, eps=eps, activation=activation)
        for _ in range(count)
    ]
    network = VisionTransformer(
        channels=channels,
        grid_hw=(height // patch, width // patch),
        patches=patches,
        layers=layers,
        keeps_class=keeps_class,
        gives_class=gives_class,
        final_eps=eps if keys.flag("final_norm", False) else None,
        mode=mode,
        out_indices=indices,
    )
    keys.ignore("drop_rate", "attn_drop_rate", "drop_path_rate", *TRAINING)
    keys.done()
    return network
