"""MobileNetV3 with dilation in its last stages (Howard et al. 2019, arXiv:1905.02244)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import Activation, ConvModule, Norm
from densecast.networks.openmmlab.convolutional import divisible, with_outputs
from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import TRAINING, batch_norm_of, plain_convolution


@dataclass(frozen=True, slots=True)
class _Block:
    """Kernel, inner width, width, whether channels are weighed, activation, stride and dilation of a block."""

    kernel: int
    inner: int
    width: int
    weighs: bool
    activation: Activation
    stride: int = 1
    dilation: int = 1


def _blocks(rows: str) -> tuple[_Block, ...]:
    """One block a row: kernel, inner width, width, `+` for weighed channels, activation, stride."""
    made = []
    for row in rows.split(","):
        kernel, inner, width, weighs, activation, stride = row.split()
        act: Activation = "hswish" if activation == "hswish" else "relu"
        made.append(_Block(int(kernel), int(inner), int(width), weighs == "+", act, int(stride)))
    return tuple(made)


# Tables 1 and 2 of the paper.
_LARGE = _blocks(
    "3 16 16 - relu 1, 3 64 24 - relu 2, 3 72 24 - relu 1, 5 72 40 + relu 2, 5 120 40 + relu 1, 5 120 40 + relu 1,"
    "3 240 80 - hswish 2, 3 200 80 - hswish 1, 3 184 80 - hswish 1, 3 184 80 - hswish 1, 3 480 112 + hswish 1,"
    "3 672 112 + hswish 1, 5 672 160 + hswish 2, 5 960 160 + hswish 1, 5 960 160 + hswish 1"
)
_SMALL = _blocks(
    "3 16 16 + relu 2, 3 72 24 - relu 2, 3 88 24 - relu 1, 5 96 40 + hswish 2, 5 240 40 + hswish 1,"
    "5 240 40 + hswish 1, 5 120 48 + hswish 1, 5 144 48 + hswish 1, 5 288 96 + hswish 2, 5 576 96 + hswish 1,"
    "5 576 96 + hswish 1"
)
# Of each: the blocks, the first that is dilated by 2 and the first by 4, and the last width.
_ARCHITECTURES = {"large": (_LARGE, 6, 12, 960), "small": (_SMALL, 3, 8, 576)}


class _SameConv(ConvModule):
    """A ConvModule of stride 2 whose output begins where TensorFlow's "same" padding begins it.

    For an even side that is one pixel later than symmetric padding has it.
    """

    def forward(self, x: Tensor) -> Tensor:
        reach = int(self.conv.padding[0])
        padded = F.pad(x, (reach, reach, reach, reach))
        rows, columns = (x.shape[2] + 1) % 2, (x.shape[3] + 1) % 2
        x = F.conv2d(padded[:, :, rows:, columns:], self.conv.weight, self.conv.bias, 2, 0, 1, self.conv.groups)
        if self._norm is not None:
            x = getattr(self, self._norm)(x)
        out: Tensor = self.activate(x)
        return out


class _Weighing(nn.Module):
    """A gate for each channel by the means of all. Keys: `conv1`, `conv2`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = divisible(channels // 4)
        self.conv1 = ConvModule(channels, inner, 1, norm=None)
        self.conv2 = ConvModule(inner, channels, 1, norm=None, activation="hsigmoid")

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.conv2(self.conv1(x.mean(dim=(2, 3), keepdim=True)))
        return x * gate


class _InvertedResidual(nn.Module):
    """Widen, filter each channel, weigh channels, narrow; add the input where `residual` and the width is the same.

    Keys: `expand_conv`, `depthwise_conv`, `se`, `linear_conv`.
    """

    def __init__(self, in_channels: int, block: _Block, residual: bool, norm: Norm) -> None:
        super().__init__()
        self.residual = residual and in_channels == block.width
        own: dict[str, Any] = {"norm": norm, "activation": block.activation}
        if in_channels != block.inner:
            self.expand_conv = ConvModule(in_channels, block.inner, 1, **own)
        self._expands = in_channels != block.inner
        kind = _SameConv if block.stride == 2 else ConvModule
        self.depthwise_conv = kind(
            block.inner,
            block.inner,
            block.kernel,
            stride=block.stride,
            dilation=block.dilation,
            groups=block.inner,
            **own,
        )
        self._weighs = block.weighs
        if block.weighs:
            self.se = _Weighing(block.inner)
        self.linear_conv = ConvModule(block.inner, block.width, 1, norm=norm, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        out = self.depthwise_conv(self.expand_conv(x) if self._expands else x)
        out = self.linear_conv(self.se(out) if self._weighs else out)
        return x + out if self.residual else out  # type: ignore[no-any-return]


class MobileNetV3(nn.Module):
    """Keys: `layer0` (the stem), `layer1` …, and a 1x1 convolution as the last."""

    def __init__(self, blocks: Sequence[tuple[_Block, bool]], last: int, norm: Norm) -> None:
        super().__init__()
        self.layer0 = _SameConv(3, 16, 3, stride=2, norm=norm, activation="hswish")
        width = 16
        for index, (block, residual) in enumerate(blocks, start=1):
            self.add_module(f"layer{index}", _InvertedResidual(width, block, residual, norm))
            width = block.width
        self.add_module(f"layer{len(blocks) + 1}", ConvModule(width, last, 1, norm=norm, activation="hswish"))

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> the map of each layer."""
        maps, x = [], image
        for layer in self.children():
            x = layer(x)
            maps.append(x)
        return maps


def mobilenet_v3(keys: Keys) -> Any:
    """MobileNetV3, small or large."""
    arch = keys.word("arch", "small")
    if arch not in _ARCHITECTURES:
        raise keys.unknown("arch", arch, _ARCHITECTURES)
    published, twice, four_times, last = _ARCHITECTURES[arch]
    reduction = keys.integer("reduction_factor", 1, most=16)
    blocks = []
    for index, block in enumerate(published):
        if index >= four_times:
            block = replace(block, inner=block.inner // reduction, width=block.width // reduction)
        if index >= twice:
            dilated = replace(block, stride=1, dilation=4 if index >= four_times else 2)
            # Only what was of stride 1 from the start adds its input.
            blocks.append((dilated, block.stride == 1))
        else:
            blocks.append((block, block.stride == 1))
    network = MobileNetV3(blocks, last, batch_norm_of(keys))
    indices = keys.integers("out_indices", (0, 1, 12), least=0)
    if max(indices) > len(blocks) + 1:
        raise keys.wrong("out_indices", indices, f"at most {len(blocks) + 1}")
    plain_convolution(keys)
    keys.ignore(*TRAINING)
    keys.done()
    return with_outputs(network, indices)
