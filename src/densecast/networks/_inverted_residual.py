"""Inverted residual blocks of Sandler et al. 2018 (arXiv:1801.04381), and MobileNetV2 of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from densecast.networks._conv import BATCH_NORM, Activation, ConvModule, Norm


class InvertedResidual(nn.Module):
    """Widen (unless the expansion is 1), filter each channel, narrow without activation; add the input."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        expansion: int,
        *,
        dilation: int = 1,
        norm: Norm = BATCH_NORM,
        activation: Activation = "relu6",
    ) -> None:
        super().__init__()
        hidden = round(in_channels * expansion)
        widen = [ConvModule(in_channels, hidden, 1, activation=activation, norm=norm)] if expansion > 1 else []
        self.conv = nn.Sequential(
            *widen,
            ConvModule(
                hidden, hidden, 3, stride=stride, dilation=dilation, groups=hidden, activation=activation, norm=norm
            ),
            ConvModule(hidden, channels, 1, activation="none", norm=norm),
        )
        self.residual = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, channels, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


@dataclass(frozen=True, slots=True)
class MobileStage:
    """One stage: the width of its blocks, how many, their expansion, and stride and dilation of the first."""

    width: int
    blocks: int
    expansion: int
    stride: int = 1
    dilation: int = 1


class MobileNetV2(nn.Module):
    """The published backbone's parts under its names: `conv1`, `layer1` … `layer7`, and `conv2` where there is one."""

    def __init__(
        self,
        stem_width: int,
        stages: Sequence[MobileStage],
        last_width: int | None,
        *,
        norm: Norm = BATCH_NORM,
        activation: Activation = "relu6",
    ) -> None:
        super().__init__()
        self.conv1 = ConvModule(3, stem_width, 3, stride=2, activation=activation, norm=norm)
        channels = stem_width
        for number, stage in enumerate(stages, start=1):
            blocks = []
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                dilation = stage.dilation if index == 0 else 1
                blocks.append(
                    InvertedResidual(
                        channels,
                        stage.width,
                        stride,
                        stage.expansion,
                        dilation=dilation,
                        norm=norm,
                        activation=activation,
                    )
                )
                channels = stage.width
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        if last_width is not None:
            self.conv2 = ConvModule(channels, last_width, 1, activation=activation, norm=norm)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> the map of each stage, each halving rounded up, then `conv2`'s where there is one."""
        x, maps = image, []
        for part in self.children():  # in the order they were added
            x = part(x)
            maps.append(x)
        return maps[1:]
