"""Convolutional backbones of general use as configurations describe them: ResNet, HRNet, UNet, MobileNetV2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from densecast.networks._hrnet import HRNet, HRStage
from densecast.networks._inverted_residual import MobileNetV2, MobileStage
from densecast.networks._residual import BlockKind, BlockStyle
from densecast.networks._resnet import ResNet, ResNetV1c
from densecast.networks._unet import UNetBackbone, UNetStage
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import TRAINING, activation_of, batch_norm_of, plain_convolution

_DEPTHS: dict[int, tuple[BlockKind, tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
_HR_BLOCKS: dict[str, BlockKind] = {"BASIC": "basic", "BOTTLENECK": "bottleneck"}


class Selected(nn.Module):
    """Mixed into a backbone: gives only some of its maps."""

    out_indices: tuple[int, ...]

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> the chosen maps, in their order."""
        maps: Sequence[Tensor] = super().forward(image)
        return [maps[index] for index in self.out_indices]


def with_outputs(network: nn.Module, indices: Sequence[int]) -> nn.Module:
    """The backbone, giving only these of its maps."""
    kind: Any = type(network)
    network.__class__ = type(f"Selected{kind.__name__}", (Selected, kind), {})
    network.out_indices = tuple(sorted(set(indices)))  # type: ignore[assignment]
    return network


def dilations_of(
    counts: Sequence[int], dilations: Sequence[int], multi_grid: Sequence[int] | None, contract: bool
) -> list[tuple[int, ...]]:
    """The dilation of every block. A multi-grid stands in place of the last layer's dilation, not beside it."""
    layers = []
    for index, (count, dilation) in enumerate(zip(counts, dilations, strict=True)):
        if multi_grid is not None and index == len(counts) - 1:
            layers.append(tuple(multi_grid))
            continue
        first = dilation // 2 if dilation > 1 and contract else dilation
        layers.append((first, *(dilation,) * (count - 1)))
    return layers


@dataclass(frozen=True, slots=True)
class ResidualLayout:
    """What all ResNets say of their layers: the dilation of every block, and which maps are given."""

    base: int
    strides: tuple[int, ...]
    dilations: list[tuple[int, ...]]
    in_channels: int
    stem_width: int
    out_indices: tuple[int, ...]

    def built(self, network: Callable[..., nn.Module], **others: Any) -> Any:
        """The network of this layout, with arguments of its own."""
        sizes: dict[str, Any] = {"in_channels": self.in_channels, "stem_width": self.stem_width}
        made = network(self.base, self.strides, self.dilations, always_project=False, **sizes, **others)
        return with_outputs(made, self.out_indices)


def residual_layout(
    keys: Keys, counts: Sequence[int], default_indices: tuple[int, ...] | None = None
) -> ResidualLayout:
    """Read what all ResNets share, and nothing else of the table; `counts` are the blocks of four layers."""
    stages = keys.integer("num_stages", 4, most=4)
    counts = counts[:stages]
    grid = keys.take("multi_grid", None)
    if grid is not None and (not isinstance(grid, (list, tuple)) or len(grid) < counts[-1]):
        raise keys.wrong("multi_grid", grid, f"{counts[-1]} numbers, one a block of the last layer")
    strides = keys.integers("strides", (1, 2, 2, 2)[:stages], count=stages)
    dilations = keys.integers("dilations", (1,) * stages, count=stages)
    contract = keys.flag("contract_dilation", False)
    last = None if grid is None else tuple(grid)[: counts[-1]]
    plain_convolution(keys)
    keys.only("plugins", None)
    keys.ignore("stage_with_dcn", *TRAINING)
    return ResidualLayout(
        keys.integer("base_channels", 64),
        strides,
        dilations_of(counts, dilations, last, contract),
        keys.integer("in_channels", 3),
        keys.integer("stem_channels", 64),
        keys.integers("out_indices", default_indices or tuple(range(stages)), least=0),
    )


def resnet(
    keys: Keys,
    *,
    deep_stem: bool | None = None,
    pool_first: bool | None = None,
    grouped: bool = False,
    default_indices: tuple[int, ...] | None = None,
) -> Any:
    """ResNet, ResNetV1c, ResNetV1d, ResNeXt; all maps where neither the table nor `default_indices` says which."""
    depth = keys.integer("depth")
    if depth not in _DEPTHS:
        raise keys.unknown("depth", depth, map(str, _DEPTHS))
    kind, counts = _DEPTHS[depth]
    style = keys.word("style", "pytorch")
    if style not in ("pytorch", "caffe"):
        raise keys.unknown("style", style, ("pytorch", "caffe"))
    layout = residual_layout(keys, counts, default_indices)
    block = BlockStyle(
        batch_norm_of(keys),
        stride_first=style == "caffe",
        groups=keys.integer("groups", 1) if grouped else 1,
        width_per_group=keys.integer("base_width", 4) if grouped else 4,
        base_planes=layout.base,
        pool_first=keys.flag("avg_down", False) if pool_first is None else pool_first,
    )
    has_deep_stem = keys.flag("deep_stem", False) if deep_stem is None else deep_stem
    network = layout.built(ResNetV1c if has_deep_stem else ResNet, kind=kind, style=block)
    keys.done()
    return network


def hrnet(keys: Keys, *, for_pose: bool = False) -> Any:
    """HRNet with any layout of stages; of pose networks it repeats pixels, and gives the largest branch alone."""
    extra = keys.table("extra")
    stages, all_outputs = [], not for_pose
    for number in range(1, 5):
        stage = extra.table(f"stage{number}")
        block = stage.word("block")
        if block not in _HR_BLOCKS:
            raise stage.unknown("block", block, _HR_BLOCKS)
        branches = stage.integer("num_branches", least=number, most=number)
        blocks = stage.integers("num_blocks", count=branches)
        planes = stage.integers("num_channels", count=branches)
        stages.append(HRStage(stage.integer("num_modules"), blocks, planes, _HR_BLOCKS[block]))
        if for_pose and number == 4:
            all_outputs = stage.flag("multiscale_output", False)
        stage.done()
    if stages[0].modules != 1:
        raise extra.wrong("stage1.num_modules", stages[0].modules, "1")
    if for_pose:
        extra.only("upsample", {"mode": "nearest", "align_corners": None})
        keys.only("multiscale_output", False)
    else:
        all_outputs = keys.flag("multiscale_output", True)
    extra.done()
    network = HRNet(
        stages,
        fusion="nearest" if for_pose else "bilinear",
        outputs=None if all_outputs else 1,
        norm=batch_norm_of(keys),
        in_channels=keys.integer("in_channels", 3),
    )
    plain_convolution(keys)
    keys.ignore(*TRAINING)
    keys.done()
    return network


def unet(keys: Keys) -> Any:
    """UNet with any number of levels."""
    count = keys.integer("num_stages", 5, most=8)
    base = keys.integer("base_channels", 64)
    strides = keys.integers("strides", (1,) * 5, count=count)
    convs = keys.integers("enc_num_convs", (2,) * 5, count=count)
    up_convs = keys.integers("dec_num_convs", (2,) * 4, count=count - 1)
    pools = keys.flags("downsamples", (True,) * 4, count - 1)
    dilations = keys.integers("enc_dilations", (1,) * 5, count=count)
    up_dilations = keys.integers("dec_dilations", (1,) * 4, count=count - 1)
    stages = [
        UNetStage(
            base << index,
            convs[index],
            up_convs[index] if index < count - 1 else 2,
            strides[index],
            index > 0 and strides[index] == 1 and pools[index - 1],
            dilations[index],
            up_dilations[index] if index < count - 1 else 1,
        )
        for index in range(count)
    ]
    raising = keys.table("upsample_cfg", {"type": "InterpConv"})
    kind = raising.word("type")
    if kind not in ("InterpConv", "DeconvModule"):
        raise raising.unknown("type", kind, ("InterpConv", "DeconvModule"))
    if kind == "DeconvModule":
        raising.only("kernel_size", 4)
        raising.only("scale_factor", 2)
    raising.done()
    network = UNetBackbone(
        stages,
        in_channels=keys.integer("in_channels", 3),
        norm=batch_norm_of(keys),
        activation=activation_of(keys),
        deconvolve=kind == "DeconvModule",
    )
    plain_convolution(keys)
    keys.only("plugins", None)
    keys.ignore(*TRAINING)
    keys.done()
    return network


# Table 2 of the paper: expansion, width, blocks, stride.
_MOBILE = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def divisible(value: float, divisor: int = 8) -> int:
    """The nearest multiple, at least one, and never less than nine tenths of the value."""
    near = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.9 * value else near


def mobilenet_v2(keys: Keys, *, has_last: bool = False) -> Any:
    """MobileNetV2; `has_last` is of frameworks that go on with the 1280 channels before the classes."""
    widen = keys.number("widen_factor", 1.0)
    strides = keys.integers("strides", tuple(each[3] for each in _MOBILE), count=7) if not has_last else None
    dilations = keys.integers("dilations", (1,) * 7, count=7) if not has_last else (1,) * 7
    stages = [
        MobileStage(
            divisible(width * widen), blocks, expansion, strides[index] if strides else stride, dilations[index]
        )
        for index, (expansion, width, blocks, stride) in enumerate(_MOBILE)
    ]
    last = int(1280 * max(widen, 1.0)) if has_last else None
    network = MobileNetV2(
        divisible(32 * widen),
        stages,
        last,
        norm=batch_norm_of(keys),
        activation=activation_of(keys, {"type": "ReLU6"}),
    )
    default = (7,) if has_last else (1, 2, 4, 6)
    indices = keys.integers("out_indices", default, least=0)
    plain_convolution(keys)
    keys.ignore(*TRAINING)
    keys.done()
    return with_outputs(network, indices)
