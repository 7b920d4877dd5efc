"""ConvNeXt (Liu et al. 2022, arXiv:2201.03545), as segmentation borrows it from the classification package."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from densecast.networks._conv import Activation, activation_of
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import TRAINING
from densecast.networks.openmmlab.units import shared_activation_of as read_activation

_ARCHITECTURES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
}


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a map."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Block(nn.Module):
    """A 7x7 of each channel, normalisation, and two layers over the channels, scaled.

    Keys: `depthwise_conv`, `norm`, `pointwise_conv1`, `pointwise_conv2`, `gamma`.
    """

    def __init__(self, channels: int, *, linear: bool, scaled: bool, eps: float, activation: Activation) -> None:
        super().__init__()
        self.depthwise_conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = ChannelNorm(channels, eps=eps)
        hidden = 4 * channels
        self.pointwise_conv1 = nn.Linear(channels, hidden) if linear else nn.Conv2d(channels, hidden, 1)
        self.act = activation_of(activation, hidden)
        self.pointwise_conv2 = nn.Linear(hidden, channels) if linear else nn.Conv2d(hidden, channels, 1)
        self._linear, self._scaled = linear, scaled
        if scaled:
            self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.depthwise_conv(x))
        out = out.permute(0, 2, 3, 1) if self._linear else out
        out = self.pointwise_conv2(self.act(self.pointwise_conv1(out)))
        out = out.permute(0, 3, 1, 2) if self._linear else out
        return x + (out * self.gamma.view(1, -1, 1, 1) if self._scaled else out)  # type: ignore[no-any-return]


class ConvNeXt(nn.Module):
    """Keys: `downsample_layers.{i}.{0,1}`, `stages.{i}.{b}`, and `norm{i}` of each stage that is given."""

    def __init__(
        self,
        depths: Sequence[int],
        channels: Sequence[int],
        *,
        in_channels: int,
        patch: int,
        out_indices: Sequence[int],
        eps: float,
        step_eps: float,
        block: dict[str, Any],
    ) -> None:
        super().__init__()
        self.out_indices = tuple(sorted(set(out_indices)))
        stem = nn.Sequential(nn.Conv2d(in_channels, channels[0], patch, patch), ChannelNorm(channels[0], eps=eps))
        steps = [
            nn.Sequential(ChannelNorm(before, eps=step_eps), nn.Conv2d(before, after, 2, 2))
            for before, after in itertools.pairwise(channels)
        ]
        self.downsample_layers = nn.ModuleList([stem, *steps])
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(width, eps=eps, **block) for _ in range(depth)))
            for depth, width in zip(depths, channels, strict=True)
        )
        for index in self.out_indices:
            self.add_module(f"norm{index}", ChannelNorm(channels[index], eps=eps))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the map of each chosen stage, normalised."""
        maps, x = [], image
        for index, (step, stage) in enumerate(zip(self.downsample_layers, self.stages, strict=True)):
            x = stage(step(x))
            if index in self.out_indices:
                maps.append(getattr(self, f"norm{index}")(x))
        return maps


def convnext(keys: Keys, *, step_eps: float | None = None) -> Any:
    """ConvNeXt of any size; `step_eps` is that of the normalisation between stages, where it is one of its own."""
    arch = keys.take("arch", "tiny")
    if isinstance(arch, str):
        if arch not in _ARCHITECTURES:
            raise keys.unknown("arch", arch, _ARCHITECTURES)
        depths, channels = _ARCHITECTURES[arch]
    else:
        own = Keys(arch, f"{keys.where}.arch")
        depths = own.integers("depths")
        channels = own.integers("channels", count=len(depths))
        own.done()
    indices = [len(depths) + each if each < 0 else each for each in keys.integers("out_indices", -1, least=-16)]
    if not all(0 <= each < len(depths) for each in indices):
        raise keys.wrong("out_indices", indices, f"stages 0 to {len(depths) - 1}")
    keys.only("gap_before_final_norm", False)
    eps = 1e-6
    given = keys.take("norm_cfg", None)
    if given is not None:
        norm = Keys(given, f"{keys.where}.norm_cfg")
        norm.only("type", "LN2d")
        eps = norm.number("eps", 1e-5)
        norm.done()
    keys.only("use_grn", False)
    network = ConvNeXt(
        depths,
        channels,
        in_channels=keys.integer("in_channels", 3),
        patch=keys.integer("stem_patch_size", 4),
        out_indices=indices,
        eps=eps,
        step_eps=eps if step_eps is None else step_eps,
        block={
            "linear": keys.flag("linear_pw_conv", True),
            "scaled": keys.number("layer_scale_init_value", 1e-6) > 0,
            "activation": read_activation(keys, {"type": "GELU"}),
        },
    )
    keys.ignore("drop_path_rate", *TRAINING)
    keys.done()
    return network
