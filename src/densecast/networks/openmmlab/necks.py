"""What stands between backbone and head: feature pyramids and the like."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import Norm, Units
from densecast.networks._pyramid_heads import resized
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.transformer_heads import mla_neck
from densecast.networks.openmmlab.units import (
    BN,
    activation_of,
    batch_norm_of,
    norm_of,
    optional_activation_of,
    plain_convolution,
)


class FeaturePyramid(nn.Module):
    """FPN (Lin et al. 2017, arXiv:1612.03144). Keys: `lateral_convs.{i}`, `fpn_convs.{i}`."""

    def __init__(self, in_channels: Sequence[int], channels: int, outputs: int, units: Units) -> None:
        super().__init__()
        self.extra = outputs - len(in_channels)
        self.lateral_convs = nn.ModuleList(units.conv(width, channels, 1) for width in in_channels)
        self.fpn_convs = nn.ModuleList(units.conv(channels, channels, 3) for _ in in_channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """One map a scale -> as many of one width, and further halvings of the last."""
        levels = [conv(x) for conv, x in zip(self.lateral_convs, maps, strict=True)]
        for index in range(len(levels) - 1, 0, -1):
            above = levels[index - 1]
            levels[index - 1] = above + F.interpolate(levels[index], size=above.shape[-2:], mode="nearest")
        outs = [conv(x) for conv, x in zip(self.fpn_convs, levels, strict=True)]
        for _ in range(self.extra):
            outs.append(F.max_pool2d(outs[-1], 1, stride=2))
        return outs


class MultiLevel(nn.Module):
    """Each map narrowed, resized by a factor of its own, and convolved. Keys: `lateral_convs.{i}`, `convs.{i}`."""

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        scales: Sequence[float],
        units: Units,
    ) -> None:
        super().__init__()
        self.scales = list(scales)
        self.lateral_convs = nn.ModuleList(units.conv(width, channels, 1) for width in in_channels)
        self.convs = nn.ModuleList(units.conv(channels, channels, 3) for _ in scales)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps -> as many as scales; a single one is used for all."""
        levels = [conv(x) for conv, x in zip(self.lateral_convs, maps, strict=True)]
        levels = levels * len(self.scales) if len(levels) == 1 else levels
        return [
            conv(F.interpolate(x, scale_factor=float(scale), mode="bilinear", align_corners=False))
            for conv, x, scale in zip(self.convs, levels, self.scales, strict=True)
        ]


class JointUpsampling(nn.Module):
    """Joint pyramid upsampling (Wu et al. 2019, arXiv:1903.11816). Keys: `conv_layers.{i}`, `dilation_layers.{i}`."""

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        start: int,
        dilations: Sequence[int],
        units: Units,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.start, self.align_corners = start, align_corners
        widths = list(in_channels)[start:]
        self.conv_layers = nn.ModuleList(nn.Sequential(units.conv(width, channels, 3)) for width in widths)
        joined = len(widths) * channels
        self.dilation_layers = nn.ModuleList(
            nn.Sequential(
                units.separable(
                    joined,
                    channels,
                    3,
                    dilation=dilation,
                    depthwise_activation="none",
                )
            )
            for dilation in dilations
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps -> the same but for the last, which is the joined one."""
        own = [conv(x) for conv, x in zip(self.conv_layers, maps[self.start :], strict=True)]
        first, *others = own
        joined = torch.cat([first, *(resized(x, first, self.align_corners) for x in others)], dim=1)
        last = torch.cat([layer(joined) for layer in self.dilation_layers], dim=1)
        return [*maps[:-1], last]


class CascadeFusion(nn.Module):
    """A coarse map raised twice and summed with a finer one. Keys: `conv_low`, `conv_high`."""

    def __init__(self, low: int, high: int, channels: int, units: Units, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.conv_low = units.conv(low, channels, 3, dilation=2)
        self.conv_high = units.conv(high, channels, 1)

    def forward(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The fused map, and the raised coarse one."""
        raised = resized(low, high, self.align_corners)
        return F.relu(self.conv_low(raised) + self.conv_high(high)), raised


class ICNeck(nn.Module):
    """ICNet's cascade of fusions (Zhao et al. 2018, arXiv:1704.08545). Keys: `cff_24`, `cff_12`."""

    def __init__(self, widths: Sequence[int], channels: int, units: Units, align_corners: bool) -> None:
        super().__init__()
        first, second, third = widths
        self.cff_24 = CascadeFusion(third, second, channels, units, align_corners)
        self.cff_12 = CascadeFusion(channels, first, channels, units, align_corners)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The three branches -> two maps for training, and the one of the head."""
        fine, middle, coarse = maps
        fused, for_training = self.cff_24(coarse, middle)
        last, second = self.cff_12(fused, fine)
        return [for_training, second, last]


class FeatureToPyramid(nn.Module):
    """Maps of one size brought to several: times 4, 2, 1, 1/2 or, of finer patches, 2, 1, 1/2, 1/4.

    Keys: `upsample_4x.{0,1,3}`, `upsample_2x.0`.
    """

    def __init__(self, channels: int, is_fine: bool, norm: Norm) -> None:
        super().__init__()
        if not is_fine:
            self.upsample_4x = nn.Sequential(
                nn.ConvTranspose2d(channels, channels, 2, 2),
                norm.make(channels),
                nn.GELU(),
                nn.ConvTranspose2d(channels, channels, 2, 2),
            )
        self.upsample_2x = nn.Sequential(nn.ConvTranspose2d(channels, channels, 2, 2))
        half, quarter = nn.MaxPool2d(2, 2), nn.MaxPool2d(4, 4)
        first = () if is_fine else (self.upsample_4x,)
        self._steps: list[nn.Module] = [*first, self.upsample_2x, nn.Identity(), half, *((quarter,) if is_fine else ())]

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Four maps -> as many, each of a scale of its own."""
        return [step(x) for step, x in zip(self._steps, maps, strict=True)]


def _to_pyramid(keys: Keys) -> nn.Module:
    scales = keys.take("rescales", [4, 2, 1, 0.5])
    if not isinstance(scales, (list, tuple)) or list(scales) not in ([4, 2, 1, 0.5], [2, 1, 0.5, 0.25]):
        raise keys.wrong("rescales", scales, "[4, 2, 1, 0.5] or [2, 1, 0.5, 0.25]")
    return FeatureToPyramid(keys.integer("embed_dim"), scales[0] == 2, batch_norm_of(keys))


def _pyramid(keys: Keys) -> nn.Module:
    widths = keys.integers("in_channels")
    neck = FeaturePyramid(
        widths,
        keys.integer("out_channels"),
        keys.integer("num_outs", least=len(widths)),
        Units(norm_of(keys), optional_activation_of(keys)),
    )
    keys.only("start_level", 0)
    keys.only("end_level", -1)
    keys.only("add_extra_convs", False)
    keys.only("extra_convs_on_inputs", False)
    keys.only("relu_before_extra_convs", False)
    keys.only("no_norm_on_lateral", False)
    keys.only("upsample_cfg", {"mode": "nearest"})
    return neck


def _multi_level(keys: Keys) -> nn.Module:
    scales = keys.take("scales", (0.5, 1, 2, 4))
    if not isinstance(scales, (list, tuple)) or not all(isinstance(each, (int, float)) for each in scales):
        raise keys.wrong("scales", scales, "a list of numbers")
    return MultiLevel(
        keys.integers("in_channels"),
        keys.integer("out_channels"),
        scales,
        Units(norm_of(keys), optional_activation_of(keys)),
    )


def _joint(keys: Keys) -> nn.Module:
    keys.only("end_level", -1)
    return JointUpsampling(
        keys.integers("in_channels"),
        keys.integer("mid_channels", 512),
        keys.integer("start_level", 0, least=0),
        keys.integers("dilations", (1, 2, 4, 8)),
        Units(norm_of(keys, BN), activation_of(keys)),
        keys.flag("align_corners", False),
    )


def _cascade(keys: Keys) -> nn.Module:
    return ICNeck(
        keys.integers("in_channels", (64, 256, 256), count=3),
        keys.integer("out_channels", 128),
        Units(norm_of(keys, BN), activation_of(keys)),
        keys.flag("align_corners", False),
    )


NECKS: dict[str, Callable[[Keys], nn.Module]] = {
    "FPN": _pyramid,
    "MultiLevelNeck": _multi_level,
    "JPU": _joint,
    "ICNeck": _cascade,
    "MLANeck": mla_neck,
    "Feature2Pyramid": _to_pyramid,
}


def neck(keys: Keys) -> nn.Module:
    """The neck of a `neck` table.

    Raises:
        BadConfigError: of a kind or with a key that densecast does not know.
    """
    kind = keys.word("type").removeprefix("mmseg.")
    if kind not in NECKS:
        raise keys.unknown("type", kind, NECKS)
    made = NECKS[kind](keys)
    plain_convolution(keys)
    keys.ignore("init_cfg")
    keys.done()
    return made
