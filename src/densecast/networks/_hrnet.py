"""HRNet (Sun et al. 2019, arXiv:1902.09212): parallel branches of stride 4 to 32 with repeated fusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from densecast.networks._conv import conv_bn
from densecast.networks._residual import BasicBlock, Bottleneck, bottleneck_layer
from densecast.networks._state import ProvenOptions, count_children, out_channels

Fusion = Literal["bilinear", "nearest"]


class HRModule(nn.Module):
    """Residual blocks on every branch, then every output sums all branches brought to its size.

    Args:
        widths: channels of each branch.
        blocks: residual blocks on each branch.
        fusion: how a smaller branch is brought up. mmsegmentation interpolates bilinearly, first by the
            power of two and then to the exact size (they differ when a size is odd); mmpose repeats pixels,
            which fits only when the network's input is a multiple of 32.
        outputs: how many branches are output, from the largest.
    """

    def __init__(self, widths: Sequence[int], blocks: int, fusion: Fusion, outputs: int) -> None:
        super().__init__()
        self.fusion = fusion
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self._path(widths, source, target) for source in range(len(widths)))
            for target in range(outputs)
        )

    def _path(self, widths: Sequence[int], source: int, target: int) -> nn.Module:
        if source == target:
            return nn.Identity()
        if source > target:
            align = False if self.fusion == "bilinear" else None
            up = nn.Upsample(scale_factor=float(2 ** (source - target)), mode=self.fusion, align_corners=align)
            return nn.Sequential(*conv_bn(widths[source], widths[target], 1), up)
        # Down by one power of two a step; only the last step changes the width, and has no ReLU after it.
        keep = widths[source]
        steps = [nn.Sequential(*conv_bn(keep, keep, 3, stride=2), nn.ReLU()) for _ in range(target - source - 1)]
        return nn.Sequential(*steps, nn.Sequential(*conv_bn(keep, widths[target], 3, stride=2)))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """One (N, width, h, w) per branch -> the first `outputs` of them, at the same sizes."""
        features = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        fused = []
        for target, paths in enumerate(self.fuse_layers):
            assert isinstance(paths, nn.ModuleList)
            size = features[target].shape[-2:]
            terms = []
            for source, path in enumerate(paths):
                term: Tensor = path(features[source])
                if source > target and self.fusion == "bilinear":
                    # No test whether sizes differ already: that would be frozen into an exported graph.
                    term = F.interpolate(term, size=size, mode="bilinear", align_corners=False)
                terms.append(term)
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            fused.append(F.relu(total))
        return fused


class HRNet(nn.Module):
    """Stem, one layer of bottlenecks, and three stages with 2, 3 and 4 branches.

    Args:
        base_width: channels of the largest branch; each next one has twice as many.
        stem_width: channels of the stem, and inside the bottlenecks of layer 1.
        stem_blocks: bottlenecks in layer 1.
        modules: `HRModule`s in stages 2, 3 and 4.
        blocks: residual blocks per branch of a module.
        fusion: see `HRModule`.
        outputs: branches that come out of the last module, from the largest.
    """

    def __init__(
        self,
        *,
        base_width: int,
        stem_width: int,
        stem_blocks: int,
        modules: tuple[int, ...],
        blocks: int,
        fusion: Fusion,
        outputs: int,
    ) -> None:
        super().__init__()
        widths = [base_width << branch for branch in range(4)]
        self.conv1, self.bn1 = conv_bn(3, stem_width, 3, stride=2)
        self.conv2, self.bn2 = conv_bn(stem_width, stem_width, 3, stride=2)
        self.layer1 = bottleneck_layer(stem_width, stem_width, 1, [1] * stem_blocks)
        stem_channels = stem_width * Bottleneck.EXPANSION

        self.transition1 = nn.ModuleList(
            [
                nn.Sequential(*conv_bn(stem_channels, widths[0], 3), nn.ReLU()),
                _smaller_branch(stem_channels, widths[1]),
            ]
        )
        # Branches that exist already pass through; the new one is made from the smallest.
        self.transition2 = nn.ModuleList([nn.Identity(), nn.Identity(), _smaller_branch(widths[1], widths[2])])
        self.transition3 = nn.ModuleList(
            [nn.Identity(), nn.Identity(), nn.Identity(), _smaller_branch(widths[2], widths[3])]
        )
        self.stage2 = nn.Sequential(*(HRModule(widths[:2], blocks, fusion, 2) for _ in range(modules[0])))
        self.stage3 = nn.Sequential(*(HRModule(widths[:3], blocks, fusion, 3) for _ in range(modules[1])))
        self.stage4 = nn.Sequential(
            *(HRModule(widths, blocks, fusion, 4) for _ in range(modules[2] - 1)),
            HRModule(widths, blocks, fusion, outputs),
        )
        self.out_channels = widths[:outputs]

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> `outputs` maps (N, base_width * 2**b, H / 4 / 2**b, W / 4 / 2**b), rounded up."""
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.relu(self.bn2(self.conv2(x)))
        x = self.layer1(x)
        features: list[Tensor] = self.stage2([branch(x) for branch in self.transition1])
        features = self.stage3([*features, self.transition2[-1](features[-1])])
        features = self.stage4([*features, self.transition3[-1](features[-1])])
        return features


def _smaller_branch(in_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Sequential(*conv_bn(in_channels, width, 3, stride=2), nn.ReLU()))


def shape_of(state: Mapping[str, Tensor]) -> ProvenOptions:
    """`base_width`, `stem_blocks`, `modules`, `blocks` of the HRNet under `backbone.`; 0 if unknown."""
    return {
        "base_width": out_channels(state, "backbone.stage2.0.branches.0.0.conv1.weight"),
        "stem_blocks": count_children(state, "backbone.layer1."),
        "modules": tuple(count_children(state, f"backbone.stage{stage}.") for stage in (2, 3, 4)),
        "blocks": count_children(state, "backbone.stage2.0.branches.0."),
    }
