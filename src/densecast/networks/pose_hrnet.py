"""HRNet-W32 for bottom-up pose by associative embedding, as mmpose 0.x publishes it for COCO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from densecast.networks._base import Network
from densecast.networks._hrnet import HRNet, shape_of, uniform_stages
from densecast.networks._keypoint_head import KeypointHead, joints_of
from densecast.networks._options import require_int, require_ints
from densecast.networks._state import clean, explain_difference


@dataclass(frozen=True, slots=True)
class Options:
    """The defaults are W32 for COCO's 17 joints.

    Raises:
        BadConfigError: a value outside its bounds.
    """

    joints: int = 17
    base_width: int = 32
    stem_width: int = 64
    stem_blocks: int = 4
    modules: tuple[int, ...] = (1, 4, 3)
    blocks: int = 4

    def __post_init__(self) -> None:
        require_int("joints", self.joints, 1, 256)
        require_int("base_width", self.base_width, 1, 64)
        require_int("stem_width", self.stem_width, 1, 128)
        require_int("stem_blocks", self.stem_blocks, 1, 8)
        require_ints("modules", self.modules, 3, 1, 8)
        require_int("blocks", self.blocks, 1, 8)


class PoseHRNet(nn.Module):
    """HRNet, of which only the largest branch is used, and a single 1x1 convolution as the head."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        stages = uniform_stages(
            options.base_width, options.stem_width, options.stem_blocks, options.modules, options.blocks
        )
        self.backbone = HRNet(stages, stem_width=options.stem_width, fusion="nearest", outputs=1)
        self.keypoint_head = KeypointHead(options.base_width, options.joints)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) float32 -> (N, 2 * joints, H / 4, W / 4): joints heatmaps, then joints tags."""
        (largest,) = self.backbone(image)
        maps: Tensor = self.keypoint_head(largest)
        return maps


def build(options: Options | None = None) -> nn.Module:
    """The network with fresh weights; the published W32 when no options are given."""
    return PoseHRNet(options or Options())


def explain_mismatch(state: Mapping[str, Tensor], options: Options) -> str | None:
    """Why these weights cannot belong to a network with these options, as a sentence; None if unknown."""
    state = clean(state)
    return explain_difference(shape_of(state) | {"joints": joints_of(state)}, options)


NETWORK: Network[Options] = Network(
    Options,
    build,
    clean,
    # The network itself needs multiples of 32; the published results were measured with multiples of 64.
    input_multiple=64,
    explain_mismatch=explain_mismatch,
)
