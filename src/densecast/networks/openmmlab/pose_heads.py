"""Heads of bottom-up pose networks: heatmaps and tags at one resolution, at several, or of several stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from densecast.networks._conv import BATCH_NORM
from densecast.networks._keypoint_head import deconvolution
from densecast.networks._residual import BlockStyle, residual_layer

Upsampling = Sequence[tuple[int, int]]
"""Channels and kernel of each transposed convolution, which doubles the size."""


class SimpleHead(nn.Module):
    """Transposed convolutions, further ones of `final_kernels`, then the outputs.

    Keys: `deconv_layers.{3 * i, 3 * i + 1}`, `final_layer` or, with further convolutions, `final_layer.{i}`.
    """

    def __init__(
        self, in_channels: int, outputs: int, up: Upsampling, final_kernel: int, inner_kernels: Sequence[int] = ()
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, kernel in up:
            layers += deconvolution(in_channels, channels, kernel)
            in_channels = channels
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = _final(in_channels, outputs, final_kernel, inner_kernels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The first of the maps (N, in_channels, h, w) -> one output (N, outputs, h * 2**d, w * 2**d)."""
        return [self.final_layer(self.deconv_layers(maps[0]))]


class HigherResolutionHead(nn.Module):
    """Outputs at the map's own resolution, then at twice of it, … (Cheng et al. 2020, arXiv:1908.10357).

    `joins` says of each step whether it also sees the output before it. Keys: `final_layers.{i}`,
    `deconv_layers.{i}.0.{0, 1}`, `deconv_layers.{i}.{1 + b}.0`.
    """

    def __init__(
        self,
        in_channels: int,
        outputs: Sequence[int],
        up: Upsampling,
        joins: Sequence[bool],
        blocks: int,
        final_kernel: int,
    ) -> None:
        super().__init__()
        self._joins = tuple(joins)
        widths = [in_channels, *(channels for channels, _ in up)]
        self.final_layers = nn.ModuleList(
            nn.Conv2d(width, count, final_kernel, padding=final_kernel // 2)
            for width, count in zip(widths, outputs, strict=True)
        )
        self.deconv_layers = nn.ModuleList()
        for index, (channels, kernel) in enumerate(up):
            joined = widths[index] + (outputs[index] if joins[index] else 0)
            step = [nn.Sequential(*deconvolution(joined, channels, kernel))]
            step += [
                residual_layer("basic", channels, channels, 1, [1], BlockStyle(BATCH_NORM), always_project=False)
                for _ in range(blocks)
            ]
            self.deconv_layers.append(nn.Sequential(*step))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The first of the maps (N, in_channels, h, w) -> outputs of h x w, 2h x 2w, …"""
        x = maps[0]
        found: list[Tensor] = [self.final_layers[0](x)]
        for step, final, joins in zip(self.deconv_layers, list(self.final_layers)[1:], self._joins, strict=True):
            x = step(torch.cat([x, found[-1]], dim=1) if joins else x)
            found.append(final(x))
        return found


class StageHead(nn.Module):
    """A head for each stage of a stacked network. Keys: `multi_deconv_layers.{i}.…`, `multi_final_layers.{i}`."""

    def __init__(self, in_channels: int, outputs: int, stages: int, up: Upsampling, final_kernel: int) -> None:
        super().__init__()
        self.multi_deconv_layers, self.multi_final_layers = nn.ModuleList(), nn.ModuleList()
        width = in_channels
        for _ in range(stages):
            layers: list[nn.Module] = []
            for channels, kernel in up:
                # As in the original, the channels of one stage go on in the next.
                layers += deconvolution(width, channels, kernel)
                width = channels
            self.multi_deconv_layers.append(nn.Sequential(*layers))
            last = up[-1][0] if up else in_channels
            self.multi_final_layers.append(_final(last, outputs, final_kernel))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map a stage -> one output a stage."""
        return [
            final(up(x)) for up, final, x in zip(self.multi_deconv_layers, self.multi_final_layers, maps, strict=False)
        ]


def _final(in_channels: int, outputs: int, kernel: int, inner_kernels: Sequence[int] = ()) -> nn.Module:
    """The convolution to the outputs behind those of `inner_kernels`; nothing at all for the kernel 0."""
    if kernel == 0:
        return nn.Identity()
    last = nn.Conv2d(in_channels, outputs, kernel, padding=kernel // 2)
    if not inner_kernels:
        return last
    layers: list[nn.Module] = []
    for inner in inner_kernels:
        layers += [
            nn.Conv2d(in_channels, in_channels, inner, padding=(inner - 1) // 2),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, last)
