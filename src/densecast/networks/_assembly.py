"""A backbone and a head under the module names that published weights use."""

from __future__ import annotations

from torch import Tensor, nn


class Segmenter(nn.Module):
    """`backbone`, then `decode_head` on its last map: logits at the head's own size, not brought up to the input's."""

    def __init__(self, backbone: nn.Module, decode_head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) float32 -> logits (N, classes, h, w)."""
        logits: Tensor = self.decode_head(self.backbone(image)[-1])
        return logits


class BottomUpPose(nn.Module):
    """`backbone`, then `keypoint_head` on its last map: heatmaps and tags of all joints in one map."""

    def __init__(self, backbone: nn.Module, keypoint_head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.keypoint_head = keypoint_head

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) float32 -> (N, 2 * joints, H / 4, W / 4): joints heatmaps, then joints tags."""
        maps: Tensor = self.keypoint_head(self.backbone(image)[-1])
        return maps
