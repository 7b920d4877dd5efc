"""Networks of a detailed and a coarse path: BiSeNet V1 and ICNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import Activation, ConvModule, Norm, Units
from densecast.networks._pyramid_heads import PooledContext
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import activation_of, batch_norm_of, plain_convolution

Backbone = Callable[[Keys], Any]


class Refinement(nn.Module):
    """A map weighed by its own mean. Keys: `conv_layer`, `atten_conv_layer.1`."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv_layer = ConvModule(in_channels, channels, 3)
        self.atten_conv_layer = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), ConvModule(channels, channels, 1, activation="none"), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, channels, h, w)."""
        x = self.conv_layer(x)
        return x * self.atten_conv_layer(x)  # type: ignore[no-any-return]


class _ContextPath(nn.Module):
    def __init__(self, backbone: nn.Module, widths: Sequence[int]) -> None:
        super().__init__()
        narrow, middle, wide = widths
        self.backbone = backbone
        self.arm16, self.arm32 = Refinement(middle, narrow), Refinement(wide, narrow)
        self.conv_head32, self.conv_head16 = ConvModule(narrow, narrow, 3), ConvModule(narrow, narrow, 3)
        self.gap_conv = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvModule(wide, narrow, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        _, eighth, sixteenth, last = self.backbone(image)
        coarse = self.arm32(last) + self.gap_conv(last)
        coarse = self.conv_head32(F.interpolate(coarse, size=sixteenth.shape[-2:], mode="nearest"))
        fine = self.arm16(sixteenth) + coarse
        fine = self.conv_head16(F.interpolate(fine, size=eighth.shape[-2:], mode="nearest"))
        return fine, coarse


class _Fusion(nn.Module):
    """Two maps joined, and the joined one weighed by its mean. Keys: `conv1`, `conv_atten.0`."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvModule(in_channels, channels, 1)
        self.conv_atten = nn.Sequential(ConvModule(channels, channels, 1), nn.Sigmoid())

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        x = self.conv1(torch.cat([first, second], dim=1))
        return x * self.conv_atten(x.mean(dim=(2, 3), keepdim=True)) + x  # type: ignore[no-any-return]


class BiSeNetV1(nn.Module):
    """Bilateral segmentation (Yu et al. 2018, arXiv:1808.00897). Keys: `context_path`, `spatial_path`, `ffm`."""

    def __init__(
        self,
        backbone: nn.Module,
        in_channels: int,
        spatial: Sequence[int],
        context: Sequence[int],
        channels: int,
        indices: Sequence[int],
    ) -> None:
        super().__init__()
        self._indices = indices
        self.context_path = _ContextPath(backbone, context)
        self.spatial_path = nn.Sequential()
        self.spatial_path.add_module("layer1", ConvModule(in_channels, spatial[0], 7, stride=2))
        self.spatial_path.add_module("layer2", ConvModule(spatial[0], spatial[1], 3, stride=2))
        self.spatial_path.add_module("layer3", ConvModule(spatial[1], spatial[2], 3, stride=2))
        self.spatial_path.add_module("layer4", ConvModule(spatial[2], spatial[3], 1))
        self.ffm = _Fusion(spatial[3] + context[0], channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the fused map of stride 8 and those of training, as chosen."""
        fine, coarse = self.context_path(image)
        maps = [self.ffm(self.spatial_path(image), fine), fine, coarse]
        return [maps[index] for index in self._indices]


def bisenet_v1(keys: Keys, backbone: Backbone) -> nn.Module:
    """BiSeNetV1. Its parts always have plain batch norm, whatever its `norm_cfg` says."""
    _plain_parts(keys)
    context = keys.integers("context_channels", (128, 256, 512), count=3)
    spatial = keys.integers("spatial_channels", (64, 64, 64, 128), count=4)
    if spatial[3] + context[0] != context[1]:
        raise keys.wrong("context_channels", context, "such that spatial and context maps together have the second")
    network = BiSeNetV1(
        backbone(keys.table("backbone_cfg")),
        keys.integer("in_channels", 3),
        spatial,
        context,
        keys.integer("out_channels", 256),
        keys.integers("out_indices", (0, 1, 2), least=0),
    )
    keys.ignore("align_corners")  # these networks bring maps up by repeating pixels
    keys.done()
    return network


def _plain_parts(keys: Keys) -> None:
    batch_norm_of(keys)
    keys.only("act_cfg", {"type": "ReLU"})
    plain_convolution(keys)
    keys.ignore("init_cfg", "pretrained")


class ICNet(nn.Module):
    """Three resolutions of one image (Zhao et al. 2018, arXiv:1704.08545). Keys: `backbone`, `psp_modules`, …"""

    def __init__(
        self,
        backbone: Any,
        in_channels: int,
        layers: Sequence[int],
        light: int,
        pooled: int,
        outs: Sequence[int],
        scales: Sequence[int],
        norm: Norm,
        activation: Activation,
        align_corners: bool,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.backbone = backbone
        self.backbone.maxpool = nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True)
        self.psp_modules = PooledContext(scales, layers[1], pooled, Units(norm, activation), align_corners)
        joined = layers[1] + len(scales) * pooled
        self.psp_bottleneck = ConvModule(joined, pooled, 3, norm=norm, activation=activation)
        self.conv_sub1 = nn.Sequential(
            ConvModule(in_channels, light, 3, stride=2, norm=norm),
            ConvModule(light, light, 3, stride=2, norm=norm),
            ConvModule(light, outs[0], 3, stride=2, norm=norm),
        )
        self.conv_sub2 = ConvModule(layers[0], outs[1], 1, norm=norm)
        self.conv_sub4 = ConvModule(pooled, outs[2], 1, norm=norm)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the maps of the whole, the half and the quarter resolution."""
        x = self._halved(image)
        x = self.backbone.maxpool(self.backbone.stem(x))
        x = self.backbone.layer2(self.backbone.layer1(x))
        middle = self.conv_sub2(x)
        x = self.backbone.layer4(self.backbone.layer3(self._halved(x)))
        x = self.psp_bottleneck(torch.cat([*self.psp_modules(x), x], dim=1))
        return [self.conv_sub1(image), middle, self.conv_sub4(x)]

    def _halved(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=self.align_corners)


def icnet(keys: Keys, backbone: Backbone) -> nn.Module:
    """ICNet, on a ResNet with the deep stem."""
    inner: Any = backbone(keys.table("backbone_cfg"))
    if getattr(inner, "stem", None) is None or getattr(inner, "layer4", None) is None:
        raise keys.wrong("backbone_cfg", type(inner).__name__, "a ResNetV1c of four stages")
    network = ICNet(
        inner,
        keys.integer("in_channels", 3),
        keys.integers("layer_channels", (512, 2048), count=2),
        keys.integer("light_branch_middle_channels", 32),
        keys.integer("psp_out_channels", 512),
        keys.integers("out_channels", (64, 256, 256), count=3),
        keys.integers("pool_scales", (1, 2, 3, 6)),
        batch_norm_of(keys),
        activation_of(keys),
        keys.flag("align_corners", False),
    )
    plain_convolution(keys)
    keys.ignore("init_cfg")
    keys.done()
    return network
