"""Vision transformers with a bias for each distance between patches: BEiT and MAE's fine-tuned form, of one image size.

BEiT (Bao et al. 2021, arXiv:2106.08254), MAE (He et al. 2021, arXiv:2111.06377).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.transformer_parts import EncoderLayer, attended, to_map
from densecast.networks.openmmlab.units import TRAINING, layer_norm_of
from densecast.networks.openmmlab.units import shared_activation_of as read_activation
from densecast.networks.openmmlab.vision_transformer import GELU, Patches


def distances(rows: int, columns: int) -> Tensor:
    """(1 + rows * columns) squared: which entry of the bias table is for each pair of tokens, the class token first.

    The last three entries are for pairs with the class token: to it, from it, with itself.
    """
    places = torch.stack(torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")).flatten(1)
    apart = places[:, :, None] - places[:, None, :]
    patches = (apart[0] + rows - 1) * (2 * columns - 1) + apart[1] + columns - 1
    count = (2 * rows - 1) * (2 * columns - 1) + 3
    table = torch.zeros(rows * columns + 1, rows * columns + 1, dtype=torch.int64)
    table[1:, 1:] = patches
    table[0, :], table[:, 0] = count - 3, count - 2
    table[0, 0] = count - 1
    return table


class _Attention(nn.Module):
    """Keys: `relative_position_bias_table`, `relative_position_index`, `qkv`, `proj`, and `q_bias`, `v_bias`.

    `bias` is "qv" where only queries and values have one, in tensors of their own.
    """

    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int, grid_hw: tuple[int, int], bias: str | None) -> None:
        super().__init__()
        self.heads = heads
        self._has_own = bias == "qv"
        if self._has_own:
            self.q_bias = nn.Parameter(torch.zeros(channels))
            self.v_bias = nn.Parameter(torch.zeros(channels))
        count = (2 * grid_hw[0] - 1) * (2 * grid_hw[1] - 1) + 3
        self.relative_position_bias_table = nn.Parameter(torch.zeros(count, heads))
        self.register_buffer("relative_position_index", distances(*grid_hw))
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias == "all")
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        images, count, channels = tokens.shape
        mixed = self.qkv(tokens)
        if self._has_own:
            mixed = mixed + torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        mixed = mixed.reshape(images, count, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = mixed[0], mixed[1], mixed[2]
        index = self.relative_position_index
        bias = self.relative_position_bias_table[index.flatten()].reshape(*index.shape, -1).permute(2, 0, 1)
        found = attended(query, key, value, (channels // self.heads) ** -0.5, bias.unsqueeze(0)).reshape(
            images, count, channels
        )
        out: Tensor = self.proj(found)
        return out


class RelativeTransformer(nn.Module):
    """Keys: `patch_embed`, `cls_token`, `layers.{i}`, `pos_embed` of MAE, `ln1` with a last normalisation.

    `fixed_hw` is the one size of images that it takes.
    """

    def __init__(
        self,
        channels: int,
        fixed_hw: tuple[int, int],
        patches: Patches,
        layers: Sequence[EncoderLayer],
        *,
        positions: int | None,
        final_eps: float | None,
        out_indices: Sequence[int],
    ) -> None:
        super().__init__()
        self.fixed_hw, self.out_indices = fixed_hw, tuple(out_indices)
        self.patch_embed, self.layers = patches, nn.ModuleList(layers)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, channels))
        self._has_positions, self._has_final = positions is not None, final_eps is not None
        if positions is not None:
            self.pos_embed = nn.Parameter(torch.zeros(1, positions, channels))
        if final_eps is not None:
            self.ln1 = nn.LayerNorm(channels, eps=final_eps)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, *fixed_hw) -> one map of H / patch x W / patch for each of the chosen layers."""
        x, like = self.patch_embed(image)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1)
        x = x + self.pos_embed if self._has_positions else x
        maps = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == len(self.layers) - 1 and self._has_final:
                x = self.ln1(x)
            if index in self.out_indices:
                maps.append(to_map(x[:, 1:], like))
        return maps


def relative_transformer(keys: Keys, *, is_mae: bool = False) -> Any:
    """BEiT, and MAE with biases of all three and positions."""
    sides = keys.integers("img_size", 224)
    height, width = (sides * 2)[:2]
    patch, channels = keys.integer("patch_size", 16), keys.integer("embed_dims", 768)
    count, heads = keys.integer("num_layers", 12, most=256), keys.integer("num_heads", 12)
    if channels % heads:
        raise keys.wrong("num_heads", heads, f"a divisor of embed_dims, {channels}")
    grid_hw = (height // patch, width // patch)
    if height % patch or width % patch:
        raise keys.wrong("img_size", sides, f"a multiple of patch_size, {patch}")
    if 0 in grid_hw or grid_hw[0] * grid_hw[1] > 1 << 14:
        raise keys.wrong("img_size", sides, f"1 to {1 << 14} patches of {patch}")
    hidden = int(keys.number("mlp_ratio", 4) * channels)
    indices = tuple(count - 1 if each == -1 else each for each in keys.integers("out_indices", -1, least=-1))
    bias = "all" if is_mae else "qv" if keys.flag("qv_bias", True) else None
    eps, activation = layer_norm_of(keys, 1e-5), read_activation(keys, GELU)
    fcs = keys.integer("num_fcs", 2, least=2, most=8)
    patches = Patches(keys.integer("in_channels", 3), channels, patch, eps if keys.flag("patch_norm", False) else None)
    network = RelativeTransformer(
        channels,
        (grid_hw[0] * patch, grid_hw[1] * patch),
        patches,
        [
            EncoderLayer(
                channels,
                _Attention(channels, heads, grid_hw, bias),
                hidden,
                count=fcs,
                eps=eps,
                activation=activation,
                is_scaled=True,
            )
            for _ in range(count)
        ],
        positions=grid_hw[0] * grid_hw[1] + 1 if is_mae else None,
        final_eps=eps if keys.flag("final_norm", False) else None,
        out_indices=indices,
    )
    keys.ignore("attn_drop_rate", "drop_path_rate", "init_values", *TRAINING)
    keys.done()
    return network
