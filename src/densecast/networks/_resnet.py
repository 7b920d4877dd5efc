"""ResNet with bottlenecks and optional dilation: plain (7x7 stem) and V1c (three 3x3 convolutions instead)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from densecast.networks._conv import conv_bn
from densecast.networks._residual import Bottleneck, bottleneck_layer
from densecast.networks._state import count_children


class ResNet(nn.Module):
    """The plain stem (keys `conv1`, `bn1`), max pooling, four layers of bottlenecks; the last is the output.

    Args:
        base_width: channels inside the blocks of layer 1; each next layer has twice as many.
        strides: of each of the four layers.
        dilations: of the 3x3 convolution of every block; one sequence per layer, as long as it is deep.
    """

    def __init__(self, base_width: int, strides: Sequence[int], dilations: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self._make_stem(base_width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        planes = [base_width << layer for layer in range(4)]
        inputs = [base_width, *(width * Bottleneck.EXPANSION for width in planes)]
        self.layer1 = bottleneck_layer(inputs[0], planes[0], strides[0], dilations[0])
        self.layer2 = bottleneck_layer(inputs[1], planes[1], strides[1], dilations[1])
        self.layer3 = bottleneck_layer(inputs[2], planes[2], strides[2], dilations[2])
        self.layer4 = bottleneck_layer(inputs[3], planes[3], strides[3], dilations[3])
        self.out_channels = inputs[4]

    def _make_stem(self, width: int) -> None:
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()

    def _run_stem(self, image: Tensor) -> Tensor:
        out: Tensor = self.relu(self.bn1(self.conv1(image)))
        return out

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 32 * base_width, H / s, W / s), s = 4 * product(strides), rounded up."""
        x = self.maxpool(self._run_stem(image))
        x = self.layer2(self.layer1(x))
        out: Tensor = self.layer4(self.layer3(x))
        return out


class ResNetV1c(ResNet):
    """The deep stem of Inception-like 3x3 convolutions (keys `stem.{0,1,3,4,6,7}`); else as `ResNet`."""

    def _make_stem(self, width: int) -> None:
        half = width // 2
        self.stem = nn.Sequential(
            *conv_bn(3, half, 3, stride=2),
            nn.ReLU(),
            *conv_bn(half, half, 3),
            nn.ReLU(),
            *conv_bn(half, width, 3),
            nn.ReLU(),
        )

    def _run_stem(self, image: Tensor) -> Tensor:
        out: Tensor = self.stem(image)
        return out


def depths_of(state: Mapping[str, Tensor]) -> tuple[int, ...]:
    """Blocks per layer of the ResNet under `backbone.`; zeros where the state dict has none."""
    return tuple(count_children(state, f"backbone.layer{layer}.") for layer in (1, 2, 3, 4))
