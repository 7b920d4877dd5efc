"""ResNet-50 for bottom-up pose by associative embedding, as mmpose 0.x publishes it for COCO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from densecast.networks._assembly import BottomUpPose
from densecast.networks._base import Network
from densecast.networks._keypoint_head import DECONVOLUTIONS, KeypointHead, joints_of
from densecast.networks._options import require_int, require_ints
from densecast.networks._resnet import ResNet, depths_of
from densecast.networks._state import ProvenOptions, clean, explain_difference, out_channels


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults are ResNet-50 for COCO's 17 joints.

    Raises:
        BadConfigError: a value outside its bounds.
    """

    joints: int = 17
    base_width: int = 64
    blocks: tuple[int, ...] = (3, 4, 6, 3)
    head_channels: int = 256

    def __post_init__(self) -> None:
        require_int("joints", self.joints, 1, 256)
        require_int("base_width", self.base_width, 1, 128)
        require_ints("blocks", self.blocks, 4, 1, 64)
        require_int("head_channels", self.head_channels, 1, 1024)


def build(options: Options | None = None) -> nn.Module:
    """(N, 3, H, W) -> (N, 2 * joints, H / 4, W / 4); H and W multiples of 32. Fresh weights."""
    options = options or Options()
    dilations = [(1,) * count for count in options.blocks]
    backbone = ResNet(options.base_width, strides=(1, 2, 2, 2), dilations=dilations)
    head = KeypointHead(backbone.out_channels, options.joints, (options.head_channels,) * DECONVOLUTIONS)
    return BottomUpPose(backbone, head)


def explain_mismatch(state: Mapping[str, Tensor], options: Options) -> str | None:
    """Why these weights cannot belong to a network with these options, as a sentence; None if unknown."""
    state = clean(state)
    proven: ProvenOptions = {
        "blocks": depths_of(state),
        "base_width": out_channels(state, "backbone.conv1.weight"),
        "joints": joints_of(state),
    }
    return explain_difference(proven, options)


NETWORK: Network[Options] = Network(
    Options,
    build,
    clean,
    # The network itself needs multiples of 32; the published results were measured with multiples of 64.
    input_multiple=64,
    explain_mismatch=explain_mismatch,
)
