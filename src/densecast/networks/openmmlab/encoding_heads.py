"""Heads that describe a map by a few learned vectors: EMANet and EncNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import ConvModule, Norm, Units
from densecast.networks._pyramid_heads import resized


class _Bases(nn.Module):
    """Expectation and maximisation of a few bases. Key: `bases` (1, channels, count)."""

    bases: Tensor

    def __init__(self, channels: int, count: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.register_buffer("bases", torch.zeros(1, channels, count))

    def forward(self, x: Tensor) -> Tensor:
        flat, bases = x.flatten(2), self.bases
        weights = flat
        for _ in range(self.steps):
            weights = torch.matmul(flat.transpose(1, 2), bases).softmax(dim=2)
            shares = weights / weights.sum(dim=1, keepdim=True).clamp_min(1e-12)
            bases = torch.matmul(flat, shares)
            bases = bases / bases.square().sum(dim=1, keepdim=True).sqrt().clamp_min(1e-12)
        return torch.matmul(bases, weights.transpose(1, 2)).reshape(x.shape)


class ExpectationHead(nn.Module):
    """Expectation-maximisation attention (Li et al. 2019, arXiv:1907.13426)."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        classes: int,
        inner: int,
        bases: int,
        steps: int,
        concat_input: bool,
        units: Units,
    ) -> None:
        super().__init__()

        def conv(width: int, out: int, kernel: int) -> ConvModule:
            return units.conv(width, out, kernel)

        self.ema_in_conv = conv(in_channels, inner, 3)
        self.ema_mid_conv = ConvModule(inner, inner, 1, norm=None, activation="none")
        self.ema_module = _Bases(inner, bases, steps)
        self.ema_out_conv = units.conv(inner, inner, 1, activation="none")
        self.bottleneck = conv(inner, channels, 3)
        self.conv_cat = conv(in_channels + channels, channels, 3) if concat_input else None
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        identity = self.ema_in_conv(x)
        found = self.ema_out_conv(F.relu(self.ema_module(self.ema_mid_conv(identity))))
        out = self.bottleneck(F.relu(identity + found))
        if self.conv_cat is not None:
            out = self.conv_cat(torch.cat([x, out], dim=1))
        logits: Tensor = self.conv_seg(out)
        return logits


class _Encoding(nn.Module):
    """Residuals to learned codewords, softly assigned and summed. Keys: `codewords`, `scale`."""

    def __init__(self, channels: int, codes: int) -> None:
        super().__init__()
        self.codewords = nn.Parameter(torch.zeros(codes, channels))
        self.scale = nn.Parameter(torch.zeros(codes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, codes, channels)."""
        flat = x.flatten(2).transpose(1, 2)
        # |x - c|^2 as |x|^2 - 2xc + |c|^2: the differences themselves are codes times as large as the map.
        squares = flat.square().sum(dim=2, keepdim=True) + self.codewords.square().sum(dim=1)
        distances = squares - 2 * torch.matmul(flat, self.codewords.transpose(0, 1))
        weights = (self.scale * distances).softmax(dim=2)
        return torch.matmul(weights.transpose(1, 2), flat) - weights.sum(dim=1).unsqueeze(2) * self.codewords


def _along(norm: Norm | None, codes: int) -> nn.Module:
    """What normalises (N, codes, channels): the units' own kind, batch normalisation where they have none."""
    kind = None if norm is None else norm.make(codes)
    if isinstance(kind, nn.InstanceNorm2d):
        return nn.InstanceNorm1d(codes, eps=kind.eps, affine=kind.affine)
    if isinstance(kind, nn.GroupNorm):
        return kind
    return nn.BatchNorm1d(codes, eps=kind.eps if isinstance(kind, nn.BatchNorm2d) else 1e-5)


class _EncodingModule(nn.Module):
    """Channels weighed by an encoding of the whole map. Keys: `encoding_project`, `encoding.{0,1}`, `fc.0`."""

    def __init__(self, channels: int, codes: int, units: Units) -> None:
        super().__init__()
        self.encoding_project = units.conv(channels, channels, 1)
        self.encoding = nn.Sequential(_Encoding(channels, codes), _along(units.norm, codes), nn.ReLU())
        self.fc = nn.Sequential(nn.Linear(channels, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc(self.encoding(self.encoding_project(x)).mean(dim=1))
        return F.relu(x + x * gate.unsqueeze(2).unsqueeze(3))


class EncodingHead(nn.Module):
    """Context encoding (Zhang et al. 2018, arXiv:1803.08904); with `lateral` earlier maps are joined first."""

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        classes: int,
        codes: int,
        *,
        lateral: bool,
        se_loss: bool,
        units: Units,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.align_corners, self.lateral = align_corners, lateral

        def conv(width: int, kernel: int) -> ConvModule:
            return units.conv(width, channels, kernel)

        self.bottleneck = conv(in_channels[-1], 3)
        if lateral:
            self.lateral_convs = nn.ModuleList(conv(width, 1) for width in in_channels[:-1])
            self.fusion = conv(len(in_channels) * channels, 3)
        self.enc_module = _EncodingModule(channels, codes, units)
        if se_loss:
            self.se_layer = nn.Linear(channels, classes)  # of training only; its weights are in the files
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps, the last of which counts -> logits (N, classes, h, w) of it."""
        x = self.bottleneck(maps[-1])
        if self.lateral:
            sides = [
                resized(conv(each), x, self.align_corners)
                for conv, each in zip(self.lateral_convs, maps[:-1], strict=True)
            ]
            x = self.fusion(torch.cat([x, *sides], dim=1))
        logits: Tensor = self.conv_seg(self.enc_module(x))
        return logits
