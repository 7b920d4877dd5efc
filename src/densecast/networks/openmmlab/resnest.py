"""ResNeSt: residual blocks that attend to splits of their channels (Zhang et al. 2020, arXiv:2004.08955)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._residual import BlockKind, BlockStyle, projection
from densecast.networks._resnet import ResNetV1c
from densecast.networks.openmmlab.convolutional import residual_layout
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import batch_norm_of

_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
_EXPANSION = 4


class SplitAttention(nn.Module):
    """A grouped convolution to `radix` splits, summed by weights that their means give.

    Keys: `conv`, `bn0`, `fc1`, `bn1`, `fc2`.
    """

    def __init__(
        self, channels: int, stride: int, dilation: int, groups: int, radix: int, reduction: int, style: BlockStyle
    ) -> None:
        super().__init__()
        self.radix, self.groups = radix, groups
        inner = max(channels * radix // reduction, 32)
        self.names = tuple(f"{style.norm.key}{number}" for number in (0, 1))
        self.conv = nn.Conv2d(
            channels, channels * radix, 3, stride, dilation, dilation, groups=groups * radix, bias=False
        )
        self.add_module(self.names[0], style.norm.make(channels * radix))
        self.fc1 = nn.Conv2d(channels, inner, 1, groups=groups)
        self.add_module(self.names[1], style.norm.make(inner))
        self.fc2 = nn.Conv2d(inner, channels * radix, 1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / stride, W / stride)."""
        first, second = (getattr(self, name) for name in self.names)
        splits = F.relu(first(self.conv(x))).chunk(self.radix, dim=1)
        total = splits[0]
        for split in splits[1:]:
            total = total + split
        weights = self.fc2(F.relu(second(self.fc1(total.mean(dim=(2, 3), keepdim=True)))))
        if self.radix == 1:
            return splits[0] * weights.sigmoid()  # type: ignore[no-any-return]
        # Of each group of channels, one weight for each split; splits then come first, as in the maps.
        channels = weights.shape[1] // self.radix
        grouped = weights.reshape(-1, self.groups, self.radix, channels // self.groups)
        shares = (
            grouped.transpose(1, 2).softmax(dim=1).reshape(-1, self.radix * channels, 1, 1).chunk(self.radix, dim=1)
        )
        out: Tensor = splits[0] * shares[0]
        for split, share in zip(splits[1:], shares[1:], strict=True):
            out = out + split * share
        return out


class SplitBottleneck(nn.Module):
    """1x1, split attention, a mean over 3x3 for a stride above 1, 1x1, and the identity. Keys as `Bottleneck`."""

    def __init__(
        self,
        in_channels: int,
        planes: int,
        *,
        stride: int,
        dilation: int,
        project: bool,
        style: BlockStyle,
        radix: int,
        reduction: int,
        pools: bool,
    ) -> None:
        super().__init__()
        width, out_channels = style.width(planes), planes * _EXPANSION
        pools = pools and stride > 1
        self.names = tuple(f"{style.norm.key}{number}" for number in (1, 3))
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.add_module(self.names[0], style.norm.make(width))
        self.conv2 = SplitAttention(width, 1 if pools else stride, dilation, style.groups, radix, reduction, style)
        self.avd_layer = nn.AvgPool2d(3, stride, padding=1) if pools else nn.Identity()
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.add_module(self.names[1], style.norm.make(out_channels))
        self.downsample = projection(in_channels, out_channels, stride, style) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, 4 * planes, H / stride, W / stride)."""
        first, third = (getattr(self, name) for name in self.names)
        out = self.avd_layer(self.conv2(F.relu(first(self.conv1(x)))))
        return F.relu(third(self.conv3(out)) + self.downsample(x))


class ResNeSt(ResNetV1c):
    """The deep stem, and layers of `SplitBottleneck`."""

    def __init__(self, *args: Any, radix: int, reduction: int, pools: bool, **others: Any) -> None:
        self._own: dict[str, Any] = {"radix": radix, "reduction": reduction, "pools": pools}
        super().__init__(*args, **others)

    def _make_layer(
        self,
        kind: BlockKind,
        in_channels: int,
        planes: int,
        stride: int,
        dilations: Sequence[int],
        style: BlockStyle,
        always_project: bool,
    ) -> nn.Module:
        blocks = []
        for index, dilation in enumerate(dilations):
            own_stride = stride if index == 0 else 1
            project = index == 0 and (own_stride != 1 or in_channels != planes * _EXPANSION)
            blocks.append(
                SplitBottleneck(
                    in_channels,
                    planes,
                    stride=own_stride,
                    dilation=dilation,
                    project=project,
                    style=style,
                    **self._own,
                )
            )
            in_channels = planes * _EXPANSION
        return nn.Sequential(*blocks)


def resnest(keys: Keys) -> Any:
    """ResNeSt-50 to 200."""
    depth = keys.integer("depth")
    if depth not in _DEPTHS:
        raise keys.unknown("depth", depth, map(str, _DEPTHS))
    keys.only("style", "pytorch")
    layout = residual_layout(keys, _DEPTHS[depth])
    style = BlockStyle(
        batch_norm_of(keys),
        groups=keys.integer("groups", 1),
        width_per_group=keys.integer("base_width", 4),
        base_planes=layout.base,
        pool_first=True,
    )
    network = layout.built(
        ResNeSt,
        style=style,
        radix=keys.integer("radix", 2),
        reduction=keys.integer("reduction_factor", 4),
        pools=keys.flag("avg_down_stride", True),
    )
    keys.done()
    return network
