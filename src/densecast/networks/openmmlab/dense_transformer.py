"""DPT's head: maps of a vision transformer at four scales, fused (Ranftl et al. 2021, arXiv:2103.13413)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from densecast.networks._conv import Activation, Norm, Units, activation_of
from densecast.networks._pyramid_heads import resized
from densecast.networks.openmmlab.head_keys import Common
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.transformer_parts import to_map, to_tokens

_READOUTS = ("ignore", "add", "project")
_PLAIN = Units(None, "none")
_SCALES = 4


class _Reassembly(nn.Module):
    """Maps with their class tokens -> maps at 4, 2, 1 and 1/2 of their size.

    Keys: `projects.{i}`, `resize_layers.{0,1,3}`, `readout_projects.{i}.0` of "project".
    """

    def __init__(self, channels: int, widths: Sequence[int], readout: str) -> None:
        super().__init__()
        self.readout = readout
        self.projects = nn.ModuleList(_PLAIN.conv(channels, width, 1) for width in widths)
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(widths[0], widths[0], 4, stride=4),
                nn.ConvTranspose2d(widths[1], widths[1], 2, stride=2),
                nn.Identity(),
                nn.Conv2d(widths[3], widths[3], 3, stride=2, padding=1),
            ]
        )
        if readout == "project":
            self.readout_projects = nn.ModuleList(
                nn.Sequential(nn.Linear(2 * channels, channels), nn.GELU()) for _ in widths
            )

    def forward(self, maps: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        made = []
        for index, (x, token) in enumerate(maps):
            if self.readout == "add":
                x = x + token.unsqueeze(-1).unsqueeze(-1)
            if self.readout == "project":
                tokens = to_tokens(x)
                joined = torch.cat([tokens, token.unsqueeze(1).expand_as(tokens)], dim=-1)
                x = to_map(self.readout_projects[index](joined), x)
            made.append(self.resize_layers[index](self.projects[index](x)))
        return made


class _Convolution(nn.Module):
    """Activation, 3x3, normalisation. Keys: `conv`, `bn`."""

    def __init__(self, channels: int, norm: Norm | None, activation: Activation) -> None:
        super().__init__()
        self.activate = activation_of(activation, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self._norm = None if norm is None else norm.key
        if norm is not None:
            self.add_module(norm.key, norm.make(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(self.activate(x))
        out: Tensor = x if self._norm is None else getattr(self, self._norm)(x)
        return out


class _Residual(nn.Module):
    """Keys: `conv1`, `conv2`."""

    def __init__(self, channels: int, norm: Norm | None, activation: Activation) -> None:
        super().__init__()
        self.conv1, self.conv2 = (_Convolution(channels, norm, activation) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))  # type: ignore[no-any-return]


class _Fusion(nn.Module):
    """A map joined by the next one, refined, doubled. Keys: `project`, `res_conv_unit1` but of the first, `…2`."""

    def __init__(self, channels: int, norm: Norm | None, activation: Activation, is_first: bool) -> None:
        super().__init__()
        self.project = _PLAIN.conv(channels, channels, 1)
        self.res_conv_unit1 = None if is_first else _Residual(channels, norm, activation)
        self.res_conv_unit2 = _Residual(channels, norm, activation)
        self._double = nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=True)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        if self.res_conv_unit1 is not None and other is not None:
            x = x + self.res_conv_unit1(resized(other, x, align_corners=False))
        out: Tensor = self.project(self._double(self.res_conv_unit2(x)))
        return out


class DPTHead(nn.Module):
    """Keys: `reassemble_blocks`, `convs.{i}`, `fusion_blocks.{i}`, `project`, `conv_seg`."""

    def __init__(
        self,
        embedding: int,
        widths: Sequence[int],
        readout: str,
        channels: int,
        classes: int,
        *,
        norm: Norm | None,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.reassemble_blocks = _Reassembly(embedding, widths, readout)
        self.convs = nn.ModuleList(_PLAIN.conv(width, channels, 3, bias=False) for width in widths)
        self.fusion_blocks = nn.ModuleList(
            _Fusion(channels, norm, activation, is_first=index == 0) for index in range(len(widths))
        )
        self.project = Units(norm).conv(channels, channels, 3)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Four maps (N, embedding, h, w) with their class tokens (N, embedding) -> logits (N, classes, 8h, 8w)."""
        *others, last = (conv(x) for conv, x in zip(self.convs, self.reassemble_blocks(maps), strict=True))
        first, *rest = self.fusion_blocks
        x = first(last)
        for fusion, other in zip(rest, reversed(others), strict=True):
            x = fusion(x, other)
        logits: Tensor = self.conv_seg(self.project(x))
        return logits


def dpt(keys: Keys, shared: Common) -> nn.Module:
    """DPTHead."""
    embedding = keys.integer("embed_dims", 768)
    widths = keys.integers("post_process_channels", (96, 192, 384, 768), count=_SCALES)
    if shared.in_channels != (embedding,) * _SCALES:
        raise keys.wrong("in_channels", shared.in_channels, f"{_SCALES} times embed_dims, {embedding}")
    readout = keys.word("readout_type", "ignore")
    if readout not in _READOUTS:
        raise keys.unknown("readout_type", readout, _READOUTS)
    keys.only("expand_channels", False)
    keys.ignore("patch_size")  # the original reads it nowhere
    return DPTHead(
        embedding,
        widths,
        readout,
        shared.channels,
        shared.classes,
        norm=shared.units.norm,
        activation=shared.units.activation,
    )
