"""UNet of milesial/Pytorch-UNet: a four-level encoder-decoder with skips, for any size from 16 px up.

State-dict keys are those of the published files, so they load unchanged. Releases v1.0 and v2.0 have a bias
in every 3x3 convolution, v3.0 and later have none (the batch normalisation that follows has its own); later
files also carry `mask_values`, the grey values of the classes in the training masks.

Sources: Ronneberger et al., "U-Net", MICCAI 2015; https://github.com/milesial/Pytorch-UNet and its issue 333.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from densecast.errors import BadCheckpointError, BadConfigError
from densecast.networks._base import Network

INPUT_MIN_PX = 16
"""Four halvings must leave at least one pixel."""

_PREFIX = "module."  # what torch.nn.DataParallel puts in front of every key


@dataclass(frozen=True, slots=True)
class Options:
    """The shape of the network. The defaults are release v3.0, `unet_carvana_scale0.5_epoch2.pth`."""

    in_channels: int = 3
    classes: int = 2
    base_width: int = 64
    """Channels of the first level; each level down doubles them."""
    bilinear: bool = False
    """Upsample by interpolation, not by transposed convolutions; deep levels then have half the channels."""
    conv_bias: bool = False
    """A bias in the 3x3 convolutions, as the files of releases v1.0 and v2.0 have it."""

    def __post_init__(self) -> None:
        # The upper bounds keep a damaged file from asking for more memory than any real network needs.
        for name, largest in (("in_channels", 1024), ("classes", 4096), ("base_width", 512)):
            value = getattr(self, name)
            if not 1 <= value <= largest:
                raise BadConfigError(f"unet option {name!r} must be 1 to {largest}, got {value}.")


class _DoubleConv(nn.Module):
    """Twice: 3x3 convolution, batch normalisation, ReLU. (N, in, H, W) -> (N, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, mid_channels: int, conv_bias: bool) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, 3, padding=1, bias=conv_bias),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=conv_bias),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.double_conv(x)
        return y


class _Down(nn.Module):
    """Halve the size (floor), then convolve. (N, in, H, W) -> (N, out, H // 2, W // 2)."""

    def __init__(self, in_channels: int, out_channels: int, conv_bias: bool) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(
            nn.MaxPool2d(2), _DoubleConv(in_channels, out_channels, out_channels, conv_bias)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.maxpool_conv(x)
        return y


class _Up(nn.Module):
    """Double the size, pad to the skip connection's, join, convolve.

    (N, c, h, w) and skip (N, in // 2, H, W) -> (N, out, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, options: Options) -> None:
        super().__init__()
        half = in_channels // 2
        self.up: nn.Module
        if options.bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = _DoubleConv(in_channels, out_channels, half, options.conv_bias)
        else:
            self.up = nn.ConvTranspose2d(in_channels, half, kernel_size=2, stride=2)
            self.conv = _DoubleConv(in_channels, out_channels, out_channels, options.conv_bias)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        raised: Tensor = self.up(deep)
        # Arithmetic on the sizes, and no branch: exporters keep the formula, and one graph serves all sizes.
        missing_h = skip.shape[2] - raised.shape[2]
        missing_w = skip.shape[3] - raised.shape[3]
        left, top = missing_w // 2, missing_h // 2
        raised = functional.pad(raised, [left, missing_w - left, top, missing_h - top])
        y: Tensor = self.conv(torch.cat([skip, raised], dim=1))
        return y


class _OutConv(nn.Module):
    """1x1 convolution to the class logits."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, classes, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class UNet(nn.Module):
    """(N, in_channels, H, W) float -> logits (N, classes, H, W). H and W at least `INPUT_MIN_PX`."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        width, bias = options.base_width, options.conv_bias
        factor = 2 if options.bilinear else 1
        self.inc = _DoubleConv(options.in_channels, width, width, bias)
        self.down1 = _Down(width, width * 2, bias)
        self.down2 = _Down(width * 2, width * 4, bias)
        self.down3 = _Down(width * 4, width * 8, bias)
        self.down4 = _Down(width * 8, width * 16 // factor, bias)
        self.up1 = _Up(width * 16, width * 8 // factor, options)
        self.up2 = _Up(width * 8, width * 4 // factor, options)
        self.up3 = _Up(width * 4, width * 2 // factor, options)
        self.up4 = _Up(width * 2, width, options)
        self.outc = _OutConv(width, options.classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel, at the size of the input."""
        level1 = self.inc(image)
        level2 = self.down1(level1)
        level3 = self.down2(level2)
        level4 = self.down3(level3)
        x = self.down4(level4)
        x = self.up1(x, level4)
        x = self.up2(x, level3)
        x = self.up3(x, level2)
        x = self.up4(x, level1)
        logits: Tensor = self.outc(x)
        return logits


def build(options: Options = Options()) -> nn.Module:
    """The network with random weights, in training mode.

    Raises:
        BadConfigError: (already by `Options`) for a channel count out of bounds.

    """
    return UNet(options)


def clean(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Extract the network's own tensors from a published file's state dict.

    Drops `mask_values` and the `module.` that `torch.nn.DataParallel` puts before every key. Where only some
    keys have that prefix nothing is stripped: the file is not what it seems, and strict loading names them.
    """
    own = {key: value for key, value in state.items() if key.removeprefix(_PREFIX) != "mask_values"}
    if own and all(key.startswith(_PREFIX) for key in own):
        return {key.removeprefix(_PREFIX): value for key, value in own.items()}
    return own


def options_from_state(state: Mapping[str, Tensor], base: Options) -> Options:
    """`base` with the options that a cleaned state dict determines.

    Raises:
        BadCheckpointError: when the tensors' shapes give options that no network can have.

    """
    try:
        return _read_options(state, base)
    except BadConfigError as error:
        raise BadCheckpointError(f"this state dict is not a unet's: {error}") from error


def _read_options(state: Mapping[str, Tensor], base: Options) -> Options:
    options = base
    first = state.get("inc.double_conv.0.weight")
    if first is not None and first.ndim == 4:
        options = replace(
            options,
            in_channels=first.shape[1],
            base_width=first.shape[0],
            conv_bias="inc.double_conv.0.bias" in state,
        )
    last = state.get("outc.conv.weight")
    if last is not None and last.ndim == 4:
        options = replace(options, classes=last.shape[0])
    if "up1.conv.double_conv.0.weight" in state:
        options = replace(options, bilinear="up1.up.weight" not in state)
    return options


NETWORK: Network[Options] = Network(
    Options,
    build,
    clean,
    # Height and width need not be multiples of anything: every level pads to the size of its skip connection.
    input_multiple=1,
    options_from_state=options_from_state,
)
