"""Convolution, normalisation, activation: the unit that most of the networks consist of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

Activation = Literal[
    "relu",
    "relu6",
    "none",
    "hswish",
    "hsigmoid",
    "sigmoid",
    "gelu",
    "swish",
    "prelu",
    "prelu_each",
    "leaky_relu",
    "elu",
]


@dataclass(frozen=True, slots=True)
class Norm:
    """A kind of normalisation: the name that its module has beside a convolution, and what makes one of a width."""

    key: str
    make: Callable[[int], nn.Module]


BATCH_NORM = Norm("bn", nn.BatchNorm2d)


class HardSigmoid(nn.Module):
    """`clip((x + shift) / divisor, 0, 1)`; the defaults are MMCV 1.7's for MobileNetV3's gates."""

    def __init__(self, shift: float = 3.0, divisor: float = 6.0) -> None:
        super().__init__()
        self.shift, self.divisor = shift, divisor

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        return ((x + self.shift) / self.divisor).clamp(0.0, 1.0)


def activation_of(name: Activation, channels: int) -> nn.Module:
    """The module of an activation; "prelu" has one weight and "prelu_each" one a channel, others have none."""
    if name == "prelu_each":
        return nn.PReLU(channels)
    simple: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU,
        "relu6": nn.ReLU6,
        "none": nn.Identity,
        "hswish": nn.Hardswish,
        "hsigmoid": HardSigmoid,
        "sigmoid": nn.Sigmoid,
        "gelu": nn.GELU,
        "swish": nn.SiLU,
        "prelu": nn.PReLU,
        "leaky_relu": lambda: nn.LeakyReLU(0.01),
        "elu": nn.ELU,
    }
    return simple[name]()


class ConvModule(nn.Module):
    """Convolution, normalisation, activation; "same" padding for odd kernels unless `padding` says otherwise.

    The convolution has a bias where nothing normalises after it, unless `bias` says otherwise. Keys: `conv.weight`,
    `bn.*`, as in mmcv 1.x, whose checkpoints load here.
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
        norm: Norm | None = BATCH_NORM,
        padding: int | None = None,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2) if padding is None else padding
        has_bias = norm is None if bias is None else bias
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, dilation, groups=groups, bias=has_bias
        )
        self._norm = norm.key if norm is not None else None
        if norm is not None:
            self.add_module(norm.key, norm.make(out_channels))
        self.activate = activation_of(activation, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        x = self.conv(x)
        if self._norm is not None:
            x = getattr(self, self._norm)(x)
        out: Tensor = self.activate(x)
        return out


class DepthwiseSeparableConv(nn.Module):
    """A convolution of each channel by itself, then a 1x1 over all. Keys: `depthwise_conv.*`, `pointwise_conv.*`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        activation: Activation = "relu",
        depthwise_activation: Activation | None = None,
        norm: Norm | None = BATCH_NORM,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.depthwise_conv = ConvModule(
            in_channels,
            in_channels,
            kernel,
            stride=stride,
            dilation=dilation,
            groups=in_channels,
            activation=activation if depthwise_activation is None else depthwise_activation,
            norm=norm,
            padding=padding,
        )
        self.pointwise_conv = ConvModule(in_channels, out_channels, 1, activation=activation, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.pointwise_conv(self.depthwise_conv(x))
        return out


@dataclass(frozen=True, slots=True)
class Units:
    """What the convolutions of a part share: what normalises behind each, and the activation."""

    norm: Norm | None = BATCH_NORM
    activation: Activation = "relu"

    def conv(self, in_channels: int, out_channels: int, kernel: int, **others: Any) -> ConvModule:
        """A `ConvModule` of this kind; `others` are its further arguments."""
        own: dict[str, Any] = {"norm": self.norm, "activation": self.activation}
        return ConvModule(in_channels, out_channels, kernel, **own | others)

    def separable(self, in_channels: int, out_channels: int, kernel: int, **others: Any) -> DepthwiseSeparableConv:
        """A `DepthwiseSeparableConv` of this kind."""
        own: dict[str, Any] = {"norm": self.norm, "activation": self.activation}
        return DepthwiseSeparableConv(in_channels, out_channels, kernel, **own | others)


USUAL = Units()


def conv_bn(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, norm: Norm = BATCH_NORM
) -> list[nn.Module]:
    """The same pair as two numbered entries of a Sequential (keys `0.weight`, `1.*`), without activation."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        norm.make(out_channels),
    ]
