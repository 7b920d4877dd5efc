"""Residual blocks of He et al. 2015 (arXiv:1512.03385): basic and bottleneck, plain and in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import BATCH_NORM, Norm, conv_bn

BlockKind = Literal["basic", "bottleneck"]
EXPANSION: dict[BlockKind, int] = {"basic": 1, "bottleneck": 4}


@dataclass(frozen=True, slots=True)
class BlockStyle:
    """What all blocks of a network share.

    With `stride_first` a bottleneck's stride is in its first 1x1 ("caffe" style), else in the 3x3 ("pytorch"). `groups`
    and `width_per_group` are ResNeXt's (arXiv:1611.05431), the latter for blocks of 64 planes. With `pool_first` the
    identity is averaged over 2x2 instead of read at every second pixel (ResNet-D, arXiv:1812.01187).
    """

    norm: Norm = BATCH_NORM
    stride_first: bool = False
    groups: int = 1
    width_per_group: int = 4
    base_planes: int = 64
    pool_first: bool = False

    def width(self, planes: int) -> int:
        """Channels inside a bottleneck."""
        if self.groups == 1:
            return planes
        return int(planes * (self.width_per_group / self.base_planes)) * self.groups


PLAIN = BlockStyle()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, of which the first carries stride and dilation, and the identity."""

    EXPANSION = 1

    def __init__(
        self,
        in_channels: int,
        planes: int | None = None,
        *,
        stride: int = 1,
        dilation: int = 1,
        project: bool = False,
        style: BlockStyle = PLAIN,
    ) -> None:
        super().__init__()
        channels = in_channels if planes is None else planes
        self.names = tuple(f"{style.norm.key}{number}" for number in (1, 2))
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.add_module(self.names[0], style.norm.make(channels))
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.add_module(self.names[1], style.norm.make(channels))
        self.downsample = projection(in_channels, channels, stride, style) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, planes, ceil(H / stride), ceil(W / stride))."""
        first, second = (getattr(self, name) for name in self.names)
        out = F.relu(first(self.conv1(x)))
        return F.relu(second(self.conv2(out)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and the identity; the 3x3 carries the dilation, and the stride unless the style says.

    Keys: `conv1`, `bn1`, … `downsample.*`.
    """

    EXPANSION = 4

    def __init__(
        self,
        in_channels: int,
        planes: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        project: bool,
        style: BlockStyle = PLAIN,
    ) -> None:
        super().__init__()
        out_channels, width = planes * self.EXPANSION, style.width(planes)
        first, second = (stride, 1) if style.stride_first else (1, stride)
        self.names = tuple(f"{style.norm.key}{number}" for number in (1, 2, 3))
        self.conv1 = nn.Conv2d(in_channels, width, 1, first, bias=False)
        self.add_module(self.names[0], style.norm.make(width))
        self.conv2 = nn.Conv2d(
            width, width, 3, second, padding=dilation, dilation=dilation, groups=style.groups, bias=False
        )
        self.add_module(self.names[1], style.norm.make(width))
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.add_module(self.names[2], style.norm.make(out_channels))
        self.downsample = projection(in_channels, out_channels, stride, style) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, 4 * planes, ceil(H / stride), ceil(W / stride))."""
        first, second, third = (getattr(self, name) for name in self.names)
        out = F.relu(first(self.conv1(x)))
        out = F.relu(second(self.conv2(out)))
        return F.relu(third(self.conv3(out)) + self.downsample(x))


def projection(in_channels: int, out_channels: int, stride: int, style: BlockStyle) -> nn.Sequential:
    """The identity brought to a block's width and size."""
    if not style.pool_first:
        return nn.Sequential(*conv_bn(in_channels, out_channels, 1, stride=stride, norm=style.norm))
    pool = nn.AvgPool2d(stride, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool, *conv_bn(in_channels, out_channels, 1, norm=style.norm))


def residual_layer(
    kind: BlockKind,
    in_channels: int,
    planes: int,
    stride: int,
    dilations: Sequence[int],
    style: BlockStyle = PLAIN,
    *,
    always_project: bool = False,
) -> nn.Sequential:
    """One block per entry of `dilations`; the first carries the stride.

    It projects its identity where size or width change, and with `always_project` anyway.
    """
    block: type[BasicBlock | Bottleneck] = BasicBlock if kind == "basic" else Bottleneck
    out_channels = planes * EXPANSION[kind]
    project = always_project or stride != 1 or in_channels != out_channels
    first = block(in_channels, planes, stride=stride, dilation=dilations[0], project=project, style=style)
    rest = (block(out_channels, planes, dilation=dilation, project=False, style=style) for dilation in dilations[1:])
    return nn.Sequential(first, *rest)
