"""Parts of DDRNet and PIDNet: residual blocks with an open end, pooling at many scales, and fusion of branches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import BATCH_NORM, ConvModule, Norm
from densecast.networks._pyramid_heads import resized

Projection = Callable[[int, int, int], nn.Module]
"""Makes what brings an identity to a width and a stride."""
# Kernel and stride of the pools; half the kernel is padded.
_POOLS = ((5, 2), (9, 4), (17, 8))


class PreConv(nn.Module):
    """Normalisation, ReLU, convolution. Keys: `bn`, `conv`."""

    def __init__(self, in_channels: int, channels: int, kernel: int, *, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, channels, h, w)."""
        out: Tensor = self.conv(F.relu(self.bn(x)))
        return out


class _Block(nn.Module):
    """Two 3x3 or, `deep`, a bottleneck that doubles its width. Keys: `conv{i}`, `downsample`."""

    def __init__(
        self,
        deep: bool,
        in_channels: int,
        planes: int,
        stride: int,
        norm: Norm,
        projection: nn.Module | None,
        active: bool,
    ) -> None:
        super().__init__()
        self.deep, self.active = deep, active
        if deep:
            self.conv1 = ConvModule(in_channels, planes, 1, norm=norm)
            self.conv2 = ConvModule(planes, planes, 3, stride=stride, norm=norm)
            self.conv3 = ConvModule(planes, 2 * planes, 1, norm=norm, activation="none")
        else:
            self.conv1 = ConvModule(in_channels, planes, 3, stride=stride, norm=norm)
            self.conv2 = ConvModule(planes, planes, 3, norm=norm, activation="none")
        self.downsample = nn.Identity() if projection is None else projection

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x))
        out = (self.conv3(out) if self.deep else out) + self.downsample(x)
        return F.relu(out) if self.active else out


def layer(
    kind: str,
    in_channels: int,
    planes: int,
    count: int,
    stride: int,
    norm: Norm,
    projection: Projection,
    *,
    ends_active: bool = True,
) -> nn.Sequential:
    """`count` blocks, "basic" or "deep"; the last of several has no activation at its end, and no deep one has.

    A single basic block has one, unless `ends_active` says no.
    """
    deep = kind == "deep"
    width = planes * (2 if deep else 1)
    blocks = []
    for index in range(count):
        own_stride = stride if index == 0 else 1
        changes = index == 0 and (own_stride != 1 or in_channels != width)
        between = index < count - 1 if count > 1 else ends_active
        # The original gives deep blocks an activation only where they are neither the first nor the last.
        active = between if not deep else 0 < index < count - 1
        made = projection(in_channels, width, own_stride) if changes else None
        blocks.append(_Block(deep, in_channels, planes, own_stride, norm, made, active))
        in_channels = width
    return nn.Sequential(*blocks)


class SerialPooling(nn.Module):
    """DAPPM: means over ever larger squares, each added to the one before. Keys: `scales`, `processes`, …"""

    def __init__(self, in_channels: int, inner: int, channels: int) -> None:
        super().__init__()
        self._make_scales(in_channels, inner, channels)
        self.processes = nn.ModuleList(PreConv(inner, inner, 3) for _ in range(len(self.scales) - 1))

    def _make_scales(self, in_channels: int, inner: int, channels: int) -> None:
        pools = [nn.AvgPool2d(kernel, stride, kernel // 2) for kernel, stride in _POOLS]
        self.scales = nn.ModuleList(
            [
                PreConv(in_channels, inner, 1),
                *(nn.Sequential(pool, PreConv(in_channels, inner, 1)) for pool in pools),
                nn.Sequential(nn.AdaptiveAvgPool2d(1), PreConv(in_channels, inner, 1)),
            ]
        )
        self.compression = PreConv(inner * len(self.scales), channels, 1)
        self.shortcut = PreConv(in_channels, channels, 1)

    def _raised(self, x: Tensor) -> list[Tensor]:
        return [resized(scale(x), x, align_corners=False) for scale in list(self.scales)[1:]]

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, channels, h, w)."""
        found = [self.scales[0](x)]
        for process, raised in zip(self.processes, self._raised(x), strict=True):
            found.append(process(raised + found[-1]))
        out: Tensor = self.compression(torch.cat(found, dim=1)) + self.shortcut(x)
        return out


class ParallelPooling(SerialPooling):
    """PAPPM: the same with all of them added to the first, and filtered in groups. Keys: `scales`, `processes`, …"""

    def __init__(self, in_channels: int, inner: int, channels: int) -> None:
        nn.Module.__init__(self)
        self._make_scales(in_channels, inner, channels)
        others = len(self.scales) - 1
        self.processes = PreConv(inner * others, inner * others, 3, groups=others)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, channels, h, w)."""
        first = self.scales[0](x)
        filtered = self.processes(torch.cat([raised + first for raised in self._raised(x)], dim=1))
        out: Tensor = self.compression(torch.cat([first, filtered], dim=1)) + self.shortcut(x)
        return out


class PixelAttention(nn.Module):
    """Two maps mixed by how alike their pixels are. Keys: `f_i`, `f_p`."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.f_i = ConvModule(in_channels, channels, 1, norm=BATCH_NORM, activation="none")
        self.f_p = ConvModule(in_channels, channels, 1, norm=BATCH_NORM, activation="none")

    def forward(self, detail: Tensor, integral: Tensor) -> Tensor:
        """(N, C, H, W) and (N, C, h, w) -> (N, C, H, W)."""
        likeness = (self.f_p(detail) * resized(self.f_i(integral), detail, align_corners=False)).sum(
            dim=1, keepdim=True
        )
        share = likeness.sigmoid()
        mixed: Tensor = share * resized(integral, detail, align_corners=False) + (1 - share) * detail
        return mixed


class Bag(nn.Module):
    """Two maps mixed by edges, then convolved. Keys: `conv`."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = PreConv(in_channels, channels, 3)

    def forward(self, detail: Tensor, integral: Tensor, edge: Tensor) -> Tensor:
        """Three (N, C, h, w) -> (N, channels, h, w)."""
        share = edge.sigmoid()
        out: Tensor = self.conv(share * detail + (1 - share) * integral)
        return out


class LightBag(nn.Module):
    """Two maps, each with what edges take of the other. Keys: `f_p`, `f_i`."""

    def __init__(self, in_channels: int, channels: int, norm: Norm) -> None:
        super().__init__()
        self.f_p = ConvModule(in_channels, channels, 1, norm=norm, activation="none")
        self.f_i = ConvModule(in_channels, channels, 1, norm=norm, activation="none")

    def forward(self, detail: Tensor, integral: Tensor, edge: Tensor) -> Tensor:
        """Three (N, C, h, w) -> (N, channels, h, w)."""
        share = edge.sigmoid()
        out: Tensor = self.f_p((1 - share) * integral + detail) + self.f_i(integral + share * detail)
        return out
