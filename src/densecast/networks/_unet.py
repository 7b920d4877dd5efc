"""UNet (Ronneberger et al. 2015, arXiv:1505.04597) with "same" padding, as mmsegmentation 0.x lays it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from densecast.networks._conv import BATCH_NORM, Activation, ConvModule, Norm, activation_of


@dataclass(frozen=True, slots=True)
class UNetStage:
    """One level. `convs` are those of the encoder, `up_convs` of the decoder that comes back to this level.

    `stride` is of the first convolution; `pools` says that the level starts by halving.
    """

    width: int
    convs: int = 2
    up_convs: int = 2
    stride: int = 1
    pools: bool = True
    dilation: int = 1
    up_dilation: int = 1


def uniform(base_width: int, stages: int) -> tuple[UNetStage, ...]:
    """The published layout: each level has half the size and twice the width of the one before."""
    return tuple(UNetStage(base_width << index, pools=index > 0) for index in range(stages))


class _ConvBlock(nn.Module):
    """3x3 convolutions; the first carries the stride, the others the dilation."""

    def __init__(
        self, in_channels: int, channels: int, count: int, stride: int, dilation: int, norm: Norm, act: Activation
    ) -> None:
        super().__init__()
        convs = [
            ConvModule(
                in_channels if index == 0 else channels,
                channels,
                3,
                stride=stride if index == 0 else 1,
                dilation=1 if index == 0 else dilation,
                norm=norm,
                activation=act,
            )
            for index in range(count)
        ]
        self.convs = nn.Sequential(*convs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.convs(x)
        return out


class _Raise(nn.Module):
    """Twice the size, then half the channels: the ReLU after the 1x1 convolution makes the order matter."""

    def __init__(self, in_channels: int, channels: int, norm: Norm, act: Activation) -> None:
        super().__init__()
        self.interp_upsample = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
            ConvModule(in_channels, channels, 1, norm=norm, activation=act),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.interp_upsample(x)
        return out


class _Deconvolve(nn.Module):
    """A transposed convolution of kernel 4 that doubles the size, with normalisation and activation."""

    def __init__(self, in_channels: int, channels: int, norm: Norm, act: Activation) -> None:
        super().__init__()
        self.deconv_upsamping = nn.Sequential(  # the published spelling
            nn.ConvTranspose2d(in_channels, channels, 4, stride=2, padding=1),
            norm.make(channels),
            activation_of(act, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.deconv_upsamping(x)
        return out


class _UpBlock(nn.Module):
    """Raise the deeper map to the skip's size, and join them, skip first."""

    def __init__(
        self, deeper: int, stage: UNetStage, upsample: bool, norm: Norm, act: Activation, *, deconvolve: bool
    ) -> None:
        super().__init__()
        width = stage.width
        self.conv_block = _ConvBlock(2 * width, width, stage.up_convs, 1, stage.up_dilation, norm, act)
        raising: type[_Raise | _Deconvolve] = _Deconvolve if deconvolve else _Raise
        self.upsample = (
            raising(deeper, width, norm, act) if upsample else ConvModule(deeper, width, 1, norm=norm, activation=act)
        )

    def forward(self, skip: Tensor, deeper: Tensor) -> Tensor:
        out: Tensor = self.conv_block(torch.cat([skip, self.upsample(deeper)], dim=1))
        return out


class UNetBackbone(nn.Module):
    """Encoder levels, and decoder blocks back to the first.

    Keys: `encoder.{i}.{0,1}.convs.*`, `decoder.{i}.conv_block.*`, `decoder.{i}.upsample.*`.
    """

    def __init__(
        self,
        stages: Sequence[UNetStage],
        *,
        in_channels: int = 3,
        norm: Norm = BATCH_NORM,
        activation: Activation = "relu",
        deconvolve: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for index, stage in enumerate(stages):
            block = _ConvBlock(in_channels, stage.width, stage.convs, stage.stride, stage.dilation, norm, activation)
            self.encoder.append(nn.Sequential(nn.MaxPool2d(2), block) if stage.pools else nn.Sequential(block))
            if index > 0:
                above, raises = stages[index - 1], stage.stride != 1 or stage.pools
                self.decoder.append(_UpBlock(stage.width, above, raises, norm, activation, deconvolve=deconvolve))
            in_channels = stage.width

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> maps from the deepest level up to the first; sides are multiples of all halvings."""
        x = image
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        maps = [x]
        for block, skip in zip(reversed(self.decoder), reversed(skips[:-1]), strict=True):
            x = block(skip, x)
            maps.append(x)
        return maps
