"""UNet-S5-D16 with an FCN head, as mmsegmentation 0.x publishes it for Cityscapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from densecast.networks._assembly import Segmenter
from densecast.networks._base import Network
from densecast.networks._conv import ConvModule
from densecast.networks._fcn_head import FCNHead
from densecast.networks._options import require_int
from densecast.networks._state import ProvenOptions, clean, explain_difference, out_channels, with_proven

_STAGES = 5


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults are the published network.

    Raises:
        BadConfigError: a value outside its bounds.
    """

    classes: int = 19
    base_width: int = 64

    def __post_init__(self) -> None:
        require_int("classes", self.classes, 1, 256)
        require_int("base_width", self.base_width, 1, 128)


class _ConvBlock(nn.Module):
    """Two 3x3 convolutions."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(ConvModule(in_channels, channels, 3), ConvModule(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.convs(x)
        return out


class _Raise(nn.Module):
    """Twice the size, then half the channels: the ReLU after the 1x1 convolution makes the order matter."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.interp_upsample = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
            ConvModule(in_channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.interp_upsample(x)
        return out


class _UpBlock(nn.Module):
    """Raise the deeper map to the skip's size, and join them, skip first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = _ConvBlock(2 * channels, channels)
        self.upsample = _Raise(2 * channels, channels)

    def forward(self, skip: Tensor, deeper: Tensor) -> Tensor:
        out: Tensor = self.conv_block(torch.cat([skip, self.upsample(deeper)], dim=1))
        return out


class UNetS5(nn.Module):
    """Five encoder stages, each half the size and twice the width of the one before; four decoder stages."""

    def __init__(self, base_width: int) -> None:
        super().__init__()
        widths = [base_width << stage for stage in range(_STAGES)]
        self.encoder = nn.ModuleList([nn.Sequential(_ConvBlock(3, widths[0]))])
        for in_width, out_width in pairwise(widths):
            self.encoder.append(nn.Sequential(nn.MaxPool2d(2), _ConvBlock(in_width, out_width)))
        self.decoder = nn.ModuleList(_UpBlock(width) for width in widths[:-1])

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, base_width, H, W); H and W multiples of 16."""
        x = image
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        for block, skip in zip(reversed(self.decoder), reversed(skips[:-1]), strict=True):
            x = block(skip, x)
        return x


def build(options: Options | None = None) -> nn.Module:
    """(N, 3, H, W) -> logits (N, classes, H, W) at full size; H and W multiples of 16. Fresh weights."""
    options = options or Options()
    head = FCNHead(options.base_width, options.base_width, options.classes, count=1)
    return Segmenter(UNetS5(options.base_width), head)


def explain_mismatch(state: Mapping[str, Tensor], options: Options) -> str | None:
    """Why these weights cannot belong to a network with these options, as a sentence; None if unknown."""
    state = clean(state)
    proven: ProvenOptions = {
        "base_width": out_channels(state, "backbone.encoder.0.0.convs.0.conv.weight"),
        "classes": out_channels(state, "decode_head.conv_seg.weight"),
    }
    return explain_difference(proven, options)


def options_from_state(state: Mapping[str, Tensor], base: Options) -> Options:
    """`base` with the classes and widths that a cleaned state dict determines; which network it is stays as named.

    Raises:
        BadCheckpointError: no network has such weights.
    """
    return with_proven(
        {
            "base_width": out_channels(state, "backbone.encoder.0.0.convs.0.conv.weight"),
            "classes": out_channels(state, "decode_head.conv_seg.weight"),
        },
        base,
    )


NETWORK: Network[Options] = Network(
    Options,
    build,
    clean,
    input_multiple=16,
    explain_mismatch=explain_mismatch,
    options_from_state=options_from_state,
)
