"""PoolFormer: blocks that mix positions by pooling alone (Yu et al. 2022, arXiv:2111.11418)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from densecast.networks._conv import Activation, Norm, activation_of
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import TRAINING, norm_of
from densecast.networks.openmmlab.units import shared_activation_of as read_activation

# Table 1 of the paper: blocks and channels of each stage.
_NARROW, _WIDE = (64, 128, 320, 512), (96, 192, 384, 768)
_ARCHITECTURES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "s12": ((2, 2, 6, 2), _NARROW),
    "s24": ((4, 4, 12, 4), _NARROW),
    "s36": ((6, 6, 18, 6), _NARROW),
    "m36": ((6, 6, 18, 6), _WIDE),
    "m48": ((8, 8, 24, 8), _WIDE),
}


class _Patches(nn.Module):
    """Key: `proj`."""

    def __init__(self, in_channels: int, channels: int, size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, channels, size, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.proj(x)
        return out


class _Convolutions(nn.Module):
    """Keys: `fc1`, `fc2`."""

    def __init__(self, channels: int, hidden: int, activation: Activation) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)
        self.act = activation_of(activation, hidden)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class _Block(nn.Module):
    """What a position's surroundings are apart from it, then two 1x1. Keys: `norm1`, `layer_scale_1`, `norm2`, ….

    The mean counts no padding, so that it is that of what is there.
    """

    def __init__(self, channels: int, pool: int, hidden: int, norm: Norm, activation: Activation) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm.make(channels), norm.make(channels)
        self.token_mixer = nn.AvgPool2d(pool, stride=1, padding=pool // 2, count_include_pad=False)
        self.mlp = _Convolutions(channels, hidden, activation)
        self.layer_scale_1, self.layer_scale_2 = (nn.Parameter(torch.ones(channels)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        first, second = (each.unsqueeze(-1).unsqueeze(-1) for each in (self.layer_scale_1, self.layer_scale_2))
        normed = self.norm1(x)
        x = x + first * (self.token_mixer(normed) - normed)
        return x + second * self.mlp(self.norm2(x))  # type: ignore[no-any-return]


class PoolFormer(nn.Module):
    """Keys: `patch_embed`, `network.{i}` of stages and the patches between them, `norm{i}` of those that are given."""

    def __init__(self, patches: nn.Module, steps: Sequence[nn.Module], norms: dict[int, nn.Module]) -> None:
        super().__init__()
        self.patch_embed, self.network = patches, nn.ModuleList(steps)
        self.out_indices = tuple(norms)
        for index, norm in norms.items():
            self.add_module(f"norm{index}", norm)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> the chosen maps, normalised."""
        x, maps = self.patch_embed(image), []
        for index, step in enumerate(self.network):
            x = step(x)
            if index in self.out_indices:
                maps.append(getattr(self, f"norm{index}")(x))
        return maps


def _architecture(keys: Keys) -> tuple[tuple[int, ...], tuple[int, ...], list[float]]:
    """Blocks, channels and widening of each stage, by a name or a table."""
    value = keys.take("arch", "s12")
    if isinstance(value, str):
        if value not in _ARCHITECTURES:
            raise keys.unknown("arch", value, _ARCHITECTURES)
        depths, widths = _ARCHITECTURES[value]
        return depths, widths, [4.0] * len(depths)
    table = Keys(value, f"{keys.where}.arch")
    depths = table.integers("layers")
    widths = table.integers("embed_dims", count=len(depths))
    if any(first == second for first, second in itertools.pairwise(widths)):
        raise table.wrong("embed_dims", widths, "another at each stage than at the one before")
    given = table.take("mlp_ratios", [4] * len(depths))
    if (
        not isinstance(given, (list, tuple))
        or len(given) < len(depths)
        or not all(isinstance(each, (int, float)) and 0 < each < 64 for each in given)
    ):
        raise table.wrong("mlp_ratios", given, f"{len(depths)} numbers")
    table.ignore("layer_scale_init_value")
    table.done()
    return depths, widths, [float(each) for each in given]


def pool_former(keys: Keys) -> Any:
    """PoolFormer of MMClassification and MMPretrain."""
    depths, widths, ratios = _architecture(keys)
    norm = norm_of(keys, {"type": "GN", "num_groups": 1})
    if norm is None:
        raise keys.wrong("norm_cfg", None, "a normalisation")
    activation, pool = read_activation(keys, {"type": "GELU"}), keys.integer("pool_size", 3, most=63)
    if pool % 2 == 0:
        raise keys.wrong("pool_size", pool, "odd")
    first = (keys.integer("in_patch_size", 7), keys.integer("in_stride", 4), keys.integer("in_pad", 2, least=0))
    between = (keys.integer("down_patch_size", 3), keys.integer("down_stride", 2), keys.integer("down_pad", 1, least=0))
    steps: list[nn.Module] = []
    for index, (depth, width, ratio) in enumerate(zip(depths, widths, ratios, strict=False)):
        if index:
            steps.append(_Patches(widths[index - 1], width, *between))
        steps.append(nn.Sequential(*(_Block(width, pool, int(width * ratio), norm, activation) for _ in range(depth))))
    # Counted from the end as of four stages, whatever there is.
    chosen = [7 + each if each < 0 else each for each in keys.integers("out_indices", -1, least=-7)]
    if max(chosen) >= len(steps):
        raise keys.wrong("out_indices", chosen, f"below {len(steps)}, the number of stages and of what is between them")
    norms = {index: norm.make(widths[(index + 1) // 2]) for index in sorted(set(chosen))}
    keys.ignore("drop_rate", "drop_path_rate", *TRAINING)
    keys.done()
    return PoolFormer(_Patches(3, widths[0], *first), steps, norms)
