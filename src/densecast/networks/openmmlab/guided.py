"""Light backbones with gates: BiSeNet V2 (guided aggregation) and CGNet (context-guided blocks)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import ConvModule, DepthwiseSeparableConv, Norm
from densecast.networks._pyramid_heads import resized
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import batch_norm_of, plain_convolution


class _Detail(nn.Module):
    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        stages = []
        for index, width in enumerate(widths):
            convs = [ConvModule(in_channels, width, 3, stride=2), ConvModule(width, width, 3)]
            if index > 0:
                convs.append(ConvModule(width, width, 3))
            stages.append(nn.Sequential(*convs))
            in_channels = width
        self.detail_branch = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.detail_branch:
            x = stage(x)
        return x


class _Stem(nn.Module):
    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv_first = ConvModule(in_channels, width, 3, stride=2)
        self.convs = nn.Sequential(ConvModule(width, width // 2, 1), ConvModule(width // 2, width, 3, stride=2))
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.fuse_last = ConvModule(2 * width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_first(x)
        out: Tensor = self.fuse_last(torch.cat([self.convs(x), self.pool(x)], dim=1))
        return out


class _GatherExpand(nn.Module):
    """Keys: `conv1`, `dwconv.{i}`, `conv2.0`, `shortcut.0`."""

    def __init__(self, in_channels: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.conv1 = ConvModule(in_channels, in_channels, 3)
        if stride == 1:
            self.dwconv = nn.Sequential(ConvModule(in_channels, hidden, 3, groups=in_channels))
            self.shortcut = nn.Sequential()
        else:
            self.dwconv = nn.Sequential(
                ConvModule(in_channels, hidden, 3, stride=stride, groups=in_channels, activation="none"),
                ConvModule(hidden, hidden, 3, groups=hidden),
            )
            self.shortcut = nn.Sequential(
                DepthwiseSeparableConv(in_channels, channels, 3, stride=stride, activation="none")
            )
        self.conv2 = nn.Sequential(ConvModule(hidden, channels, 1, activation="none"))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(self.dwconv(self.conv1(x))) + self.shortcut(x))


class _ContextEmbedding(nn.Module):
    """Keys: `gap.1`, `conv_gap`, `conv_last`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gap = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(width))
        self.conv_gap = ConvModule(width, width, 1)
        self.conv_last = ConvModule(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv_last(x + self.conv_gap(self.gap(x)))
        return out


class _Semantic(nn.Module):
    def __init__(self, in_channels: int, widths: Sequence[int], expansion: int) -> None:
        super().__init__()
        self._count = len(widths)
        for index, width in enumerate(widths):
            if index == 0:
                self.stage1 = _Stem(in_channels, width)
            else:
                last = index == len(widths) - 1
                strides = (2, 1, 1, 1) if last else (2, 1)
                blocks = []
                for stride in strides:
                    blocks.append(_GatherExpand(in_channels, width, expansion, stride))
                    in_channels = width
                self.add_module(f"stage{index + 1}", nn.Sequential(*blocks))
            in_channels = width
        self._embedding = f"stage{len(widths)}_CEBlock"
        self.add_module(self._embedding, _ContextEmbedding(in_channels))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for index in range(self._count):
            x = getattr(self, f"stage{index + 1}")(x)
            maps.append(x)
        maps.append(getattr(self, self._embedding)(x))
        return maps


class _GuidedAggregation(nn.Module):
    """Each path gated by the other. Keys: `detail_dwconv.0`, `detail_down.0`, `semantic_conv.0`, …"""

    def __init__(self, width: int, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.detail_dwconv = nn.Sequential(_separable(width))
        self.detail_down = nn.Sequential(
            ConvModule(width, width, 3, stride=2, activation="none"), nn.AvgPool2d(3, stride=2, padding=1)
        )
        self.semantic_conv = nn.Sequential(ConvModule(width, width, 3, activation="none"))
        self.semantic_dwconv = nn.Sequential(_separable(width))
        self.conv = ConvModule(width, width, 3)

    def forward(self, detail: Tensor, semantic: Tensor) -> Tensor:
        fine = self.detail_dwconv(detail)
        gate = resized(self.semantic_conv(semantic), fine, self.align_corners)
        coarse = self.detail_down(detail) * torch.sigmoid(self.semantic_dwconv(semantic))
        coarse = resized(coarse, fine, self.align_corners)
        out: Tensor = self.conv(fine * torch.sigmoid(gate) + coarse)
        return out


def _separable(width: int) -> DepthwiseSeparableConv:
    """A separable convolution whose second half is bare."""
    made = DepthwiseSeparableConv(width, width, 3, activation="none")
    made.pointwise_conv = ConvModule(width, width, 1, norm=None, activation="none")
    return made


class BiSeNetV2(nn.Module):
    """Bilateral segmentation, second version (Yu et al. 2020, arXiv:2004.02147). Keys: `detail`, `semantic`, `bga`."""

    def __init__(
        self,
        in_channels: int,
        detail: Sequence[int],
        semantic: Sequence[int],
        expansion: int,
        channels: int,
        indices: Sequence[int],
        align_corners: bool,
    ) -> None:
        super().__init__()
        self._indices = indices
        self.detail = _Detail(in_channels, detail)
        self.semantic = _Semantic(in_channels, semantic, expansion)
        self.bga = _GuidedAggregation(channels, align_corners)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the aggregated map of stride 8, then those of training, as chosen."""
        semantic = self.semantic(image)
        maps = [self.bga(self.detail(image), semantic[-1]), *semantic[:-1]]
        return [maps[index] for index in self._indices]


def bisenet_v2(keys: Keys) -> nn.Module:
    """BiSeNetV2. Its parts always have plain batch norm and ReLU, whatever its `norm_cfg` says."""
    batch_norm_of(keys)
    keys.only("act_cfg", {"type": "ReLU"})
    network = BiSeNetV2(
        keys.integer("in_channels", 3),
        keys.integers("detail_channels", (64, 64, 128), count=3),
        keys.integers("semantic_channels", (16, 32, 64, 128), count=4),
        keys.integer("semantic_expansion_ratio", 6),
        keys.integer("bga_channels", 128),
        keys.integers("out_indices", (0, 1, 2, 3, 4), least=0),
        keys.flag("align_corners", False),
    )
    plain_convolution(keys)
    keys.ignore("init_cfg", "pretrained")
    keys.done()
    return network


class _GlobalGate(nn.Module):
    """Keys: `fc.{0,2}`."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        inner = width // reduction
        self.fc = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.fc(x.mean(dim=(2, 3)))
        return x * gate.unsqueeze(2).unsqueeze(3)


class _ContextGuided(nn.Module):
    """Keys: `conv1x1`, `f_loc`, `f_sur`, `bn`, `activate`, `bottleneck`, `f_glo`."""

    def __init__(
        self, in_channels: int, channels: int, dilation: int, reduction: int, downsample: bool, norm: Norm
    ) -> None:
        super().__init__()
        width = channels if downsample else channels // 2
        kernel, stride = (3, 2) if downsample else (1, 1)
        self.conv1x1 = ConvModule(in_channels, width, kernel, stride=stride, norm=norm, activation="prelu_each")
        self.f_loc = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.f_sur = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, groups=width, bias=False)
        self.bn = norm.make(2 * width)
        self.activate = nn.PReLU(2 * width)
        self.bottleneck = nn.Conv2d(2 * width, channels, 1, bias=False) if downsample else None
        self.f_glo = _GlobalGate(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv1x1(x)
        out = self.activate(self.bn(torch.cat([self.f_loc(out), self.f_sur(out)], dim=1)))
        if self.bottleneck is not None:
            gated: Tensor = self.f_glo(self.bottleneck(out))
            return gated
        return x + self.f_glo(out)  # type: ignore[no-any-return]


class CGNet(nn.Module):
    """Context-guided network (Wu et al. 2018, arXiv:1811.08201). Keys: `stem`, `norm_prelu_{i}`, `level{1,2}`."""

    def __init__(
        self,
        in_channels: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        dilations: Sequence[int],
        reductions: Sequence[int],
        norm: Norm,
    ) -> None:
        super().__init__()
        first = [ConvModule(in_channels, widths[0], 3, stride=2, norm=norm, activation="prelu_each")]
        rest = [ConvModule(widths[0], widths[0], 3, norm=norm, activation="prelu_each") for _ in range(2)]
        self.stem = nn.ModuleList([*first, *rest])
        self.halve = nn.AvgPool2d(3, stride=2, padding=1)
        joined = widths[0] + in_channels
        self.norm_prelu_0 = nn.Sequential(norm.make(joined), nn.PReLU(joined))
        for level in (1, 2):
            width, layers = widths[level], []
            for index in range(blocks[level - 1]):
                layers.append(
                    _ContextGuided(
                        joined if index == 0 else width,
                        width,
                        dilations[level - 1],
                        reductions[level - 1],
                        index == 0,
                        norm,
                    )
                )
            self.add_module(f"level{level}", nn.ModuleList(layers))
            joined = 2 * width + (in_channels if level == 1 else 0)
            self.add_module(f"norm_prelu_{level}", nn.Sequential(norm.make(joined), nn.PReLU(joined)))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the maps of strides 2, 4 and 8."""
        half = self.halve(image)
        x = image
        for layer in self.stem:
            x = layer(x)
        maps = [self.norm_prelu_0(torch.cat([x, half], dim=1))]
        for level in (1, 2):
            x = first = maps[-1]
            for index, layer in enumerate(getattr(self, f"level{level}")):
                x = layer(x)
                first = x if index == 0 else first
            parts = [x, first, self.halve(half)] if level == 1 else [first, x]
            maps.append(getattr(self, f"norm_prelu_{level}")(torch.cat(parts, dim=1)))
        return maps


def cgnet(keys: Keys) -> nn.Module:
    """CGNet."""
    keys.only("act_cfg", {"type": "PReLU"})
    network = CGNet(
        keys.integer("in_channels", 3),
        keys.integers("num_channels", (32, 64, 128), count=3),
        keys.integers("num_blocks", (3, 21), count=2),
        keys.integers("dilations", (2, 4), count=2),
        keys.integers("reductions", (8, 16), count=2),
        batch_norm_of(keys),
    )
    plain_convolution(keys)
    keys.ignore("init_cfg", "pretrained", "norm_eval", "with_cp")
    keys.done()
    return network
