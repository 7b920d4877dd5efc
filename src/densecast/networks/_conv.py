"""Convolution, batch norm, activation: the unit that most of the networks consist of."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Activation = Literal["relu", "relu6", "none"]

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "none": nn.Identity}


class ConvModule(nn.Module):
    """Convolution without bias, batch norm, activation; "same" padding for odd kernels.

    Keys: `conv.weight`, `bn.*`, as in mmcv 1.x, whose checkpoints load here.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.activate = _ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.activate(self.bn(self.conv(x)))
        return out


def conv_bn(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1) -> list[nn.Module]:
    """The same pair as two numbered entries of a Sequential (keys `0.weight`, `1.*`), without activation."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
