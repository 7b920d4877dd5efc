"""ERFNet's factorised residual network, encoder and decoder (Romera et al. 2018, doi:10.1109/TITS.2017.2750080)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks.openmmlab.keys import Keys
from densecast.networks.openmmlab.units import TRAINING, activation_of, batch_norm_of, plain_convolution

# The original gives its blocks neither the normalisation nor the activation of its table.
_EPS = 1e-3


class _Down(nn.Module):
    """A convolution of stride 2 beside the largest of 2x2, normalised together. Keys: `conv`, `bn`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels - in_channels, 3, stride=2, padding=1)
        self.bn = nn.BatchNorm2d(out_channels, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        convolved = self.conv(x)
        # Of an odd side the pooled map is a line shorter.
        pooled = F.interpolate(F.max_pool2d(x, 2, 2), size=convolved.shape[-2:], mode="bilinear", align_corners=False)
        return F.relu(self.bn(torch.cat([convolved, pooled], dim=1)))


class _Factorised(nn.Module):
    """3x1 and 1x3, twice, the second pair dilated, and the identity. Keys: `convs_layers.{0,2,3,5,7,8}`."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for apart in (1, dilation):
            layers += [
                nn.Conv2d(channels, channels, (3, 1), padding=(apart, 0), dilation=(apart, 1)),
                nn.ReLU(),
                nn.Conv2d(channels, channels, (1, 3), padding=(0, apart), dilation=(1, apart)),
                nn.BatchNorm2d(channels, eps=_EPS),
                nn.ReLU(),
            ]
        self.convs_layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.convs_layers(x) + x)


class _Up(nn.Module):
    """A transposed convolution of stride 2. Keys: `conv`, `bn`."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
        self.bn = nn.BatchNorm2d(out_channels, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class ERFNet(nn.Module):
    """Keys: `encoder.{i}`, `decoder.{i}`."""

    def __init__(
        self,
        in_channels: int,
        down: Sequence[int],
        blocks: Sequence[int],
        dilations: Sequence[int],
        up: Sequence[int],
        up_blocks: Sequence[int],
    ) -> None:
        super().__init__()
        encoder: list[nn.Module] = [_Down(in_channels, down[0])]
        for index, (count, before, after) in enumerate(zip(blocks, down, down[1:], strict=False)):
            encoder.append(_Down(before, after))
            if index < len(blocks) - 1:
                encoder += [_Factorised(after) for _ in range(count)]
            else:
                encoder += [_Factorised(after, each) for _ in range(count // len(dilations)) for each in dilations]
        decoder: list[nn.Module] = []
        for count, before, after in zip(up_blocks, (down[-1], *up), up, strict=False):
            decoder += [_Up(before, after), *(_Factorised(after) for _ in range(count))]
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> one map of twice the last level's size: half the image's with the usual three levels."""
        return [self.decoder(self.encoder(image))]


def erfnet(keys: Keys) -> Any:
    """ERFNet."""
    down = keys.integers("enc_downsample_channels", (16, 64, 128))
    levels = len(down) - 1
    blocks = keys.integers("enc_stage_non_bottlenecks", (5, 8), count=levels)
    dilations = keys.integers("enc_non_bottleneck_dilations", (2, 4, 8, 16))
    if levels < 1 or blocks[-1] % len(dilations):
        raise keys.wrong("enc_stage_non_bottlenecks", blocks, f"at its end a multiple of {len(dilations)} dilations")
    # Of these two the original reads the length alone.
    for name, usual in (("enc_non_bottleneck_channels", (64, 128)), ("dec_upsample_channels", (64, 16))):
        keys.integers(name, usual, count=levels)
    in_channels = keys.integer("in_channels", 3)
    for before, after in zip((in_channels, *down), down, strict=False):
        if after <= before:
            raise keys.wrong("enc_downsample_channels", down, "more channels at each level than before it")
    up_blocks = keys.integers("dec_stages_non_bottleneck", (2, 2), count=levels)
    network = ERFNet(
        in_channels,
        down,
        blocks,
        dilations,
        keys.integers("dec_non_bottleneck_channels", (64, 16), count=levels),
        up_blocks,
    )
    # Checked and without effect, as in the original: see above.
    batch_norm_of(keys)
    activation_of(keys)
    plain_convolution(keys)
    keys.ignore("dropout_ratio", *TRAINING)
    keys.done()
    return network
