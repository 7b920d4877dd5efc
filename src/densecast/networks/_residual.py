"""Residual blocks of He et al. 2015 (arXiv:1512.03385): basic and bottleneck."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import conv_bn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the identity; as many channels out as in, at the same size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + x)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and the identity; the 3x3 carries stride and dilation ("pytorch" style)."""

    EXPANSION = 4

    def __init__(self, in_channels: int, planes: int, *, stride: int = 1, dilation: int = 1, project: bool) -> None:
        super().__init__()
        out_channels = planes * self.EXPANSION
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = (
            nn.Sequential(*conv_bn(in_channels, out_channels, 1, stride=stride)) if project else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, 4 * planes, ceil(H / stride), ceil(W / stride))."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.downsample(x))


def bottleneck_layer(in_channels: int, planes: int, stride: int, dilations: Sequence[int]) -> nn.Sequential:
    """One bottleneck per entry of `dilations`; the first carries the stride and projects its identity."""
    first = Bottleneck(in_channels, planes, stride=stride, dilation=dilations[0], project=True)
    out_channels = planes * Bottleneck.EXPANSION
    rest = (Bottleneck(out_channels, planes, dilation=dilation, project=False) for dilation in dilations[1:])
    return nn.Sequential(first, *rest)
