"""Head of bottom-up pose networks: optional transposed convolutions, then heatmaps and tags."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from densecast.networks._state import out_channels

DECONVOLUTIONS = 3
"""How many transposed convolutions bring a map of stride 32 to stride 4."""


def deconvolution(in_channels: int, channels: int, kernel: int = 4) -> list[nn.Module]:
    """A transposed convolution of kernel 2, 3 or 4 that doubles the size, normalisation, activation."""
    padding = 0 if kernel == 2 else 1
    return [
        nn.ConvTranspose2d(
            in_channels, channels, kernel, stride=2, padding=padding, output_padding=int(kernel == 3), bias=False
        ),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]


class KeypointHead(nn.Module):
    """Each of `deconv_channels` doubles the size; `final_layer` gives joints heatmaps, then joints tags.

    Keys: `deconv_layers.{3 * i, 3 * i + 1}`, `final_layer`. The tags are those of associative embedding
    (Newell et al. 2016, arXiv:1611.05424).
    """

    def __init__(self, in_channels: int, joints: int, deconv_channels: tuple[int, ...] = ()) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in deconv_channels:
            layers += deconvolution(in_channels, channels)
            in_channels = channels
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(in_channels, 2 * joints, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, h, w) -> (N, 2 * joints, h * 2**d, w * 2**d) for d transposed convolutions."""
        maps: Tensor = self.final_layer(self.deconv_layers(x))
        return maps


def joints_of(state: Mapping[str, Tensor]) -> int:
    """Number of joints of the head under `keypoint_head.`: half of its output channels; 0 if there is none."""
    return out_channels(state, "keypoint_head.final_layer.weight") // 2
