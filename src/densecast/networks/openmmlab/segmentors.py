"""Whole segmentation networks: backbone, neck and heads, under the names that the published weights have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from densecast.networks.openmmlab import heads
from densecast.networks.openmmlab.head_keys import Select
from densecast.networks.openmmlab.heads import Head


class EncoderDecoder(nn.Module):
    """`backbone`, `neck` where there is one, then `decode_head`: logits at the head's own size."""

    def __init__(self, backbone: nn.Module, neck: nn.Module | None, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        if neck is not None:
            self.neck = neck
        self._has_neck, self._select = neck is not None, head.select
        self.decode_head = head.module

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) float32 -> logits (N, classes, h, w)."""
        maps: Sequence[Tensor] = self.backbone(image)
        if self._has_neck:
            maps = self.neck(maps)
        chosen: Any = self._select(maps)
        logits: Tensor = self.decode_head(*chosen) if isinstance(chosen, tuple) else self.decode_head(chosen)
        return logits


class CascadeEncoderDecoder(nn.Module):
    """The same with several heads, each of which also sees the logits of the one before."""

    def __init__(self, backbone: nn.Module, neck: nn.Module | None, cascade: Sequence[Head]) -> None:
        super().__init__()
        self.backbone = backbone
        if neck is not None:
            self.neck = neck
        self._has_neck = neck is not None
        self._selects: list[Select] = [head.select for head in cascade]
        self.decode_head = nn.ModuleList(head.module for head in cascade)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) float32 -> the last head's logits (N, classes, h, w)."""
        maps: Sequence[Tensor] = self.backbone(image)
        if self._has_neck:
            maps = self.neck(maps)
        logits: Tensor | None = None
        for head, select in zip(self.decode_head, self._selects, strict=True):
            chosen = select(maps)
            logits = head(chosen) if logits is None else head(chosen, logits)
        assert logits is not None
        return logits


__all__ = ["CascadeEncoderDecoder", "EncoderDecoder", "heads"]
