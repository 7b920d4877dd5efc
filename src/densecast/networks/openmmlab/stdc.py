"""STDC's backbones: short-term dense concatenation, alone and with refined context."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import Activation, ConvModule, Norm
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.two_path import Backbone, Refinement
from densecast.networks.openmmlab.units import activation_of, batch_norm_of


class _STDCModule(nn.Module):
    """Convolutions one after the other, all of whose results are joined. Keys: `layers.{i}`, `downsample`."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, count: int, norm: Norm, activation: Activation
    ) -> None:
        super().__init__()
        half = channels // 2
        self.layers = nn.ModuleList([ConvModule(in_channels, half, 1, norm=norm)])
        self.downsample = (
            ConvModule(half, half, 3, stride=2, groups=half, norm=norm, activation="none") if stride == 2 else None
        )
        self.skip = nn.AvgPool2d(3, stride=2, padding=1)
        for index in range(1, count):
            width = channels // 2 ** (index if index == count - 1 else index + 1)
            self.layers.append(ConvModule(channels // 2**index, width, 3, norm=norm, activation=activation))

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.layers[0](x)
        if self.downsample is not None:
            x, first = self.downsample(x), self.skip(first)
        results = [first]
        for layer in self.layers[1:]:
            x = layer(x)
            results.append(x)
        return torch.cat(results, dim=1)


_STDC: dict[str, tuple[tuple[int, ...], ...]] = {
    "STDCNet1": ((2, 1), (2, 1), (2, 1)),
    "STDCNet2": ((2, 1, 1, 1), (2, 1, 1, 1, 1), (2, 1, 1)),
}


class STDCNet(nn.Module):
    """Short-term dense concatenation (Fan et al. 2021, arXiv:2104.13188). Keys: `stages.{i}`."""

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        strides: Sequence[Sequence[int]],
        count: int,
        norm: Norm,
        activation: Activation,
        has_last: bool,
    ) -> None:
        super().__init__()
        first = ConvModule(in_channels, widths[0], 3, stride=2, norm=norm, activation=activation)
        second = ConvModule(widths[0], widths[1], 3, stride=2, norm=norm, activation=activation)
        self.stages = nn.ModuleList([first, second])
        for index, of_stage in enumerate(strides, start=1):
            width, modules = widths[index], []
            for stride in of_stage:
                modules.append(_STDCModule(width, widths[index + 1], stride, count, norm, activation))
                width = widths[index + 1]
            self.stages.append(nn.Sequential(*modules))
        self._has_last = has_last
        if has_last:
            self.final_conv = ConvModule(widths[-1], max(1024, widths[-1]), 1, norm=norm, activation=activation)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the maps of strides 8, 16 and 32."""
        x, maps = image, []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        if self._has_last:
            maps[-1] = self.final_conv(maps[-1])
        return maps[2:]


def stdc(keys: Keys) -> nn.Module:
    """STDCNet."""
    kind = keys.word("stdc_type")
    if kind not in _STDC:
        raise keys.unknown("stdc_type", kind, _STDC)
    keys.only("bottleneck_type", "cat")
    network = STDCNet(
        keys.integer("in_channels", 3),
        keys.integers("channels", count=5),
        _STDC[kind],
        keys.integer("num_convs", 4, least=2),
        batch_norm_of(keys),
        activation_of(keys),
        keys.flag("with_final_conv", False),
    )
    keys.ignore("init_cfg", "pretrained")
    keys.done()
    return network


class _GatedFusion(nn.Module):
    """Keys: `conv0`, `attention.{1,2}`."""

    def __init__(self, in_channels: int, channels: int, factor: int) -> None:
        super().__init__()
        inner = channels // factor
        self.conv0 = ConvModule(in_channels, channels, 1)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            ConvModule(channels, inner, 1, norm=None, bias=False),
            ConvModule(inner, channels, 1, norm=None, bias=False, activation="none"),
            nn.Sigmoid(),
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        x = self.conv0(torch.cat([first, second], dim=1))
        return x * self.attention(x) + x  # type: ignore[no-any-return]


class STDCContextPath(nn.Module):
    """STDC with refined context. Keys: `backbone`, `arms.{i}`, `convs.{i}`, `conv_avg`, `ffm`."""

    def __init__(
        self, backbone: nn.Module, widths: Sequence[int], channels: int, fusion: tuple[int, int, int], norm: Norm
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.arms = nn.ModuleList(Refinement(width, channels) for width in widths)
        self.convs = nn.ModuleList(ConvModule(channels, channels, 3, norm=norm) for _ in widths)
        self.conv_avg = ConvModule(widths[0], channels, 1, norm=norm)
        self.ffm = _GatedFusion(*fusion)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the early map, the two refined ones, the fused one."""
        maps = list(self.backbone(image))
        # Repeated to the map's size by the sum.
        up = self.conv_avg(maps[-1].mean(dim=(2, 3), keepdim=True))
        refined = []
        for index, (arm, conv) in enumerate(zip(self.arms, self.convs, strict=True)):
            x = arm(maps[-1 - index]) + up
            up = conv(F.interpolate(x, size=maps[-2 - index].shape[-2:], mode="nearest"))
            refined.append(up)
        return [maps[0], *refined, self.ffm(maps[0], refined[1])]


def stdc_context_path(keys: Keys, backbone: Backbone) -> nn.Module:
    """STDCContextPathNet."""
    table = keys.table("ffm_cfg", {"in_channels": 512, "out_channels": 256, "scale_factor": 4})
    fusion = (table.integer("in_channels"), table.integer("out_channels"), table.integer("scale_factor", 4))
    batch_norm_of(table)
    table.only("act_cfg", {"type": "ReLU"})
    table.done()
    keys.only("upsample_mode", "nearest")
    keys.only("align_corners", None)
    network = STDCContextPath(
        backbone(keys.table("backbone_cfg")),
        keys.integers("last_in_channels", (1024, 512), count=2),
        keys.integer("out_channels", 128),
        fusion,
        batch_norm_of(keys),
    )
    keys.ignore("init_cfg")
    keys.done()
    return network
