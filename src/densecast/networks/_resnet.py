"""ResNet with optional dilation: plain (7x7 stem) and with the deep stem (three 3x3 convolutions instead)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from densecast.networks._conv import BATCH_NORM, Norm, conv_bn
from densecast.networks._residual import EXPANSION, PLAIN, BlockKind, BlockStyle, residual_layer
from densecast.networks._state import count_children


class ResNet(nn.Module):
    """The plain stem (keys `conv1`, `bn1`), max pooling, up to four layers of residual blocks.

    Args:
        base_width: planes of the blocks of layer 1; each next layer has twice as many.
        strides: of each layer.
        dilations: of every block; one sequence per layer, as long as it is deep.
        kind: the blocks.
        style: what the blocks share.
        in_channels: of the image.
        stem_width: channels after the stem; `base_width` by default.
        always_project: whether layer 1 projects its identity although nothing changes.
    """

    def __init__(
        self,
        base_width: int,
        strides: Sequence[int],
        dilations: Sequence[Sequence[int]],
        *,
        kind: BlockKind = "bottleneck",
        style: BlockStyle = PLAIN,
        in_channels: int = 3,
        stem_width: int | None = None,
        always_project: bool = True,
    ) -> None:
        super().__init__()
        width = base_width if stem_width is None else stem_width
        self._make_stem(in_channels, width, style.norm)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.out_channels = width
        self._layers: list[str] = []
        for number, (stride, of_blocks) in enumerate(zip(strides, dilations, strict=True)):
            planes = base_width << number
            layer = self._make_layer(kind, self.out_channels, planes, stride, of_blocks, style, always_project)
            self.out_channels = planes * EXPANSION[kind]
            self._layers.append(f"layer{number + 1}")
            self.add_module(self._layers[-1], layer)

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
        return residual_layer(kind, in_channels, planes, stride, dilations, style, always_project=always_project)

    def _make_stem(self, in_channels: int, width: int, norm: Norm) -> None:
        self.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
        self.stem_norm = f"{norm.key}1"
        self.add_module(self.stem_norm, norm.make(width))
        self.relu = nn.ReLU()

    def _run_stem(self, image: Tensor) -> Tensor:
        out: Tensor = self.relu(getattr(self, self.stem_norm)(self.conv1(image)))
        return out

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> the map of each layer; layer l has (N, …, H / s, W / s), s = 4 * strides, rounded up."""
        x = self.maxpool(self._run_stem(image))
        maps = []
        for name in self._layers:
            x = getattr(self, name)(x)
            maps.append(x)
        return maps


class ResNetV1c(ResNet):
    """The deep stem of Inception-like 3x3 convolutions (keys `stem.{0,1,3,4,6,7}`); else as `ResNet`."""

    def _make_stem(self, in_channels: int, width: int, norm: Norm = BATCH_NORM) -> None:
        half = width // 2
        self.stem = nn.Sequential(
            *conv_bn(in_channels, half, 3, stride=2, norm=norm),
            nn.ReLU(),
            *conv_bn(half, half, 3, norm=norm),
            nn.ReLU(),
            *conv_bn(half, width, 3, norm=norm),
            nn.ReLU(),
        )

    def _run_stem(self, image: Tensor) -> Tensor:
        out: Tensor = self.stem(image)
        return out


def depths_of(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Blocks per layer of the ResNet under `backbone.`; zeros where the state dict has none."""
    return tuple(count_children(state, f"backbone.layer{layer}.") for layer in (1, 2, 3, 4))
