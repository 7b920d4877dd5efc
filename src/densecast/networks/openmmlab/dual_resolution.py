"""Networks of two and three branches at different resolutions: DDRNet and PIDNet.

DDRNet: Hong et al. 2021, arXiv:2101.06085. PIDNet: Xu et al. 2022, arXiv:2206.02066. Of their heads only the branch
that predicts is built.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import BATCH_NORM, ConvModule, Norm, conv_bn
from densecast.networks.openmmlab.dual_resolution_parts import (
    Bag,
    LightBag,
    ParallelPooling,
    PixelAttention,
    PreConv,
    SerialPooling,
    layer,
)
from densecast.networks.openmmlab.head_keys import Common
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import activation_of, batch_norm_of, plain_convolution


def _eighth(x: Tensor, image: Tensor, align_corners: bool) -> Tensor:
    """Brought to an eighth of the image's size, rounded down."""
    size = (image.shape[-2] // 8, image.shape[-1] // 8)
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def _plain(width: int, to: int, kernel: int, norm: Norm, *, stride: int = 1) -> ConvModule:
    return ConvModule(width, to, kernel, stride=stride, norm=norm, activation="none")


def _stem(in_channels: int, channels: int, blocks: int, norm: Norm, projection: Any) -> nn.Sequential:
    return nn.Sequential(
        ConvModule(in_channels, channels, 3, stride=2, norm=norm),
        ConvModule(channels, channels, 3, stride=2, norm=norm),
        layer("basic", channels, channels, blocks, 1, norm, projection),
        nn.ReLU(),
        layer("basic", channels, 2 * channels, blocks, 2, norm, projection),
        nn.ReLU(),
    )


class DDRNet(nn.Module):
    """Keys: `stem`, `context_branch_layers`, `spatial_branch_layers`, `compression_{i}`, `down_{i}`, `spp`."""

    def __init__(self, in_channels: int, channels: int, pooled: int, align_corners: bool, norm: Norm) -> None:
        super().__init__()
        self.align_corners = align_corners

        def projection(width: int, to: int, stride: int) -> nn.Module:
            return nn.Sequential(*conv_bn(width, to, 1, stride=stride, norm=norm))

        def made(kind: str, width: int, planes: int, count: int, stride: int) -> nn.Module:
            return layer(kind, width, planes, count, stride, norm, projection)

        c = channels
        self.stem = _stem(in_channels, c, 2, norm, projection)
        self.context_branch_layers = nn.ModuleList(
            [made("basic", 2 * c, 4 * c, 2, 2), made("basic", 4 * c, 8 * c, 2, 2), made("deep", 8 * c, 8 * c, 1, 2)]
        )
        self.spatial_branch_layers = nn.ModuleList(
            [made("basic", 2 * c, 2 * c, 2, 1), made("basic", 2 * c, 2 * c, 2, 1), made("deep", 2 * c, 2 * c, 1, 1)]
        )
        self.compression_1, self.compression_2 = _plain(4 * c, 2 * c, 1, norm), _plain(8 * c, 2 * c, 1, norm)
        self.down_1 = _plain(2 * c, 4 * c, 3, norm, stride=2)
        self.down_2 = nn.Sequential(
            ConvModule(2 * c, 4 * c, 3, stride=2, norm=norm), _plain(4 * c, 8 * c, 3, norm, stride=2)
        )
        self.spp = SerialPooling(16 * c, pooled, 4 * c)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> one map of H / 8 x W / 8."""
        x = self.stem(image)
        context, spatial = self.context_branch_layers[0](x), self.spatial_branch_layers[0](x)
        for index, (compression, down) in enumerate(
            ((self.compression_1, self.down_1), (self.compression_2, self.down_2)), start=1
        ):
            narrowed = compression(F.relu(context))
            context = context + down(F.relu(spatial))
            spatial = spatial + _eighth(narrowed, image, self.align_corners)
            context = self.context_branch_layers[index](F.relu(context))
            spatial = self.spatial_branch_layers[index](F.relu(spatial))
        return [spatial + _eighth(self.spp(context), image, self.align_corners)]


class PIDNet(nn.Module):
    """Keys: `stem`, `{i,p,d}_branch_layers`, `compression_{i}`, `pag_{i}`, `diff_{i}`, `spp`, `dfm`."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        pooled: int,
        stem_blocks: int,
        branch_blocks: int,
        align_corners: bool,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners

        def projection(width: int, to: int, stride: int) -> nn.Module:
            return _plain(width, to, 1, norm, stride=stride)

        def made(kind: str, width: int, planes: int, count: int, stride: int = 1) -> nn.Module:
            return layer(kind, width, planes, count, stride, norm, projection)

        def single(width: int, planes: int) -> nn.Module:
            (block,) = layer("basic", width, planes, 1, 1, norm, projection, ends_active=False)
            return block

        c, b = channels, branch_blocks
        self.stem = _stem(in_channels, c, stem_blocks, norm, projection)
        self.i_branch_layers = nn.ModuleList(
            [made("basic", 2 * c, 4 * c, b, 2), made("basic", 4 * c, 8 * c, b, 2), made("deep", 8 * c, 8 * c, 2, 2)]
        )
        self.p_branch_layers = nn.ModuleList(
            [
                made("basic", 2 * c, 2 * c, stem_blocks),
                made("basic", 2 * c, 2 * c, stem_blocks),
                made("deep", 2 * c, 2 * c, 1),
            ]
        )
        self.compression_1, self.compression_2 = _plain(4 * c, 2 * c, 1, norm), _plain(8 * c, 2 * c, 1, norm)
        self.pag_1, self.pag_2 = PixelAttention(2 * c, c), PixelAttention(2 * c, c)
        is_small = stem_blocks == 2
        if is_small:
            first, wide = [single(2 * c, c), made("deep", c, c, 1)], c
        else:
            first, wide = [single(2 * c, 2 * c), single(2 * c, 2 * c)], 2 * c
        self.d_branch_layers = nn.ModuleList([*first, made("deep", 2 * c, 2 * c, 1)])
        self.diff_1, self.diff_2 = _plain(4 * c, wide, 3, norm), _plain(8 * c, 2 * c, 3, norm)
        self.spp = (ParallelPooling if is_small else SerialPooling)(16 * c, pooled, 4 * c)
        self.dfm = LightBag(4 * c, 4 * c, norm) if is_small else Bag(4 * c, 4 * c)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> one map of H / 8 x W / 8."""
        x = self.stem(image)
        integral = F.relu(self.i_branch_layers[0](x))
        detail, edge = self.p_branch_layers[0](x), self.d_branch_layers[0](x)
        steps = ((self.compression_1, self.pag_1, self.diff_1), (self.compression_2, self.pag_2, self.diff_2))
        for index, (compression, attention, difference) in enumerate(steps, start=1):
            detail = attention(detail, compression(integral))
            edge = edge + _eighth(difference(integral), image, self.align_corners)
            integral = self.i_branch_layers[index](integral)
            if index == 1:
                integral = F.relu(integral)
            detail = self.p_branch_layers[index](F.relu(detail))
            edge = self.d_branch_layers[index](F.relu(edge))
        pooled = _eighth(self.spp(integral), image, self.align_corners)
        return [self.dfm(detail, pooled, edge)]


class PIDHead(nn.Module):
    """A convolution between two normalisations, then the logits. Keys: `i_head.{conv,norm}`, `conv_seg`."""

    def __init__(self, in_channels: int, channels: int, classes: int) -> None:
        super().__init__()
        self.i_head = nn.Module()
        self.i_head.conv = PreConv(in_channels, channels, 3)
        self.i_head.norm = nn.BatchNorm2d(channels)
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        conv: Any = self.i_head.conv
        norm: Any = self.i_head.norm
        logits: Tensor = self.conv_seg(F.relu(norm(conv(x))))
        return logits


class DDRHead(nn.Module):
    """The same under DDRNet's names: `head.{0,1}`, `conv_seg`."""

    def __init__(self, in_channels: int, channels: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Sequential(PreConv(in_channels, channels, 3), nn.BatchNorm2d(channels), nn.ReLU())
        self.conv_seg = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> logits (N, classes, h, w)."""
        logits: Tensor = self.conv_seg(self.head(x))
        return logits


def _common(keys: Keys) -> Norm:
    """The normalisation; the originals take the usual one in some places whatever a configuration says."""
    norm = batch_norm_of(keys)
    made = norm.make(1) if norm.key == BATCH_NORM.key else None
    if not isinstance(made, nn.BatchNorm2d) or made.eps != nn.BatchNorm2d(1).eps:
        raise keys.wrong("norm_cfg", norm.key, "batch normalisation with the usual eps")
    activation = activation_of(keys)
    if activation != "relu":
        raise keys.wrong("act_cfg", activation, "ReLU")
    plain_convolution(keys)
    keys.ignore("init_cfg")
    return norm


def ddrnet(keys: Keys) -> nn.Module:
    """DDRNet-23, slim or not."""
    made = DDRNet(
        keys.integer("in_channels", 3),
        keys.integer("channels", 32),
        keys.integer("ppm_channels", 128),
        keys.flag("align_corners", False),
        _common(keys),
    )
    keys.done()
    return made


def pidnet(keys: Keys) -> nn.Module:
    """PIDNet S, M and L."""
    made = PIDNet(
        keys.integer("in_channels", 3),
        keys.integer("channels", 64),
        keys.integer("ppm_channels", 96),
        keys.integer("num_stem_blocks", 2, most=16),
        keys.integer("num_branch_blocks", 3, most=16),
        keys.flag("align_corners", False),
        _common(keys),
    )
    keys.done()
    return made


def pid_head(keys: Keys, shared: Common) -> nn.Module:
    """PIDHead."""
    return PIDHead(shared.in_channels[0], shared.channels, shared.classes)


def ddr_head(keys: Keys, shared: Common) -> nn.Module:
    """DDRHead."""
    return DDRHead(shared.in_channels[0], shared.channels, shared.classes)
