"""PointRend's head (Kirillov et al. 2019, arXiv:1912.08193): logits enlarged, and decided anew where unsure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import Activation, activation_of
from densecast.networks.openmmlab.head_keys import Common
from densecast.networks.openmmlab.keys import Keys


class _Layer(nn.Module):
    """A layer over the features of points. Key: `conv`."""

    def __init__(self, width: int, channels: int, activation: Activation) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, channels, 1)
        self.activate = activation_of(activation, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activate(self.conv(x))
        return out


def sampled(maps: Tensor, points: Tensor, align_corners: bool) -> Tensor:
    """(N, C, h, w) at (N, P, 2) points x, y in 0..1 -> (N, C, P), bilinear, zero outside."""
    grid = points.unsqueeze(2) * 2.0 - 1.0
    return F.grid_sample(maps, grid, align_corners=align_corners).squeeze(3)


class PointHead(nn.Module):
    """Keys: `fcs.{i}.conv`, `fc_seg`."""

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        classes: int,
        *,
        layers: int,
        repeats_coarse: bool,
        activation: Activation,
        steps: int,
        points: int,
        factor: int,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.steps, self.points, self.factor = steps, points, factor
        self.repeats_coarse, self.align_corners = repeats_coarse, align_corners
        added = classes if repeats_coarse else 0
        widths = [sum(in_channels) + classes, *[channels + added] * layers]
        self.fcs = nn.ModuleList(_Layer(width, channels, activation) for width in widths[:-1])
        self.fc_seg = nn.Conv1d(widths[-1], classes, 1)

    def _decided(self, maps: Sequence[Tensor], coarse: Tensor, points: Tensor) -> Tensor:
        """Logits (N, classes, P) of points."""
        before = sampled(coarse, points, self.align_corners)
        x = torch.cat([*(sampled(each, points, self.align_corners) for each in maps), before], dim=1)
        for layer in self.fcs:
            x = layer(x)
            x = torch.cat([x, before], dim=1) if self.repeats_coarse else x
        logits: Tensor = self.fc_seg(x)
        return logits

    def forward(self, maps: Sequence[Tensor], coarse: Tensor) -> Tensor:
        """Maps, and logits (N, classes, h, w) -> the same, `factor` times as large for each step."""
        refined = coarse
        for _ in range(self.steps):
            refined = F.interpolate(
                refined, scale_factor=float(self.factor), mode="bilinear", align_corners=self.align_corners
            )
            height, width = refined.shape[2:]
            best = refined.topk(2, dim=1)[0]
            unsure = (best[:, 1] - best[:, 0]).flatten(1)
            index = unsure.topk(self._count(height, width), dim=1)[1]
            column, row = (index % width).to(refined.dtype), torch.div(index, width, rounding_mode="floor")
            places = [(column + 0.5) * (1.0 / width), (row.to(refined.dtype) + 0.5) * (1.0 / height)]
            decided = self._decided(maps, coarse, torch.stack(places, dim=2))
            flat = refined.flatten(2).scatter(2, index.unsqueeze(1).expand(-1, refined.shape[1], -1), decided)
            refined = flat.reshape(refined.shape)
        return refined

    def _count(self, height: Any, width: Any) -> Any:
        """How many points are decided anew: all, where there are fewer than asked for."""
        if isinstance(height, Tensor):  # while a graph is traced, which has to count by itself
            return torch.minimum(torch.as_tensor(height * width), torch.tensor(self.points))
        return min(height * width, self.points)


def point_head(keys: Keys, shared: Common) -> nn.Module:
    """PointHead, with the keys of `openmmlab.SUBDIVISION` beside its own."""
    if shared.units.norm is not None:
        raise keys.wrong("norm_cfg", shared.units.norm.key, "None")
    factor = keys.number("scale_factor", 2)
    if factor != int(factor) or not 1 <= factor <= 8:
        raise keys.wrong("scale_factor", factor, "a whole number, 1 to 8")
    return PointHead(
        shared.in_channels,
        shared.channels,
        shared.classes,
        layers=keys.integer("num_fcs", 3, most=64),
        repeats_coarse=keys.flag("coarse_pred_each_layer", True),
        activation=shared.units.activation,
        steps=keys.integer("subdivision_steps", 2, most=8),
        points=keys.integer("subdivision_num_points", 8196, most=1 << 20),
        factor=int(factor),
        align_corners=shared.align_corners,
    )
