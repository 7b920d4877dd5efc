"""Turns networks that classify masks - MaskFormer, Mask2Former - into such as score pixels, as transformers does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from densecast.verbs.export.hf_folder import MASKS_HW

if TYPE_CHECKING:
    import torch
    from torch import nn

_NOTE = (
    "masks and their classes are combined to a score of each class and pixel, as post_process_semantic_segmentation of "
    "transformers does it. If it was trained for objects alone, pixels of no object have the likeliest class, too"
)


def by_pixel(network: nn.Module, notes: tuple[str, ...]) -> tuple[nn.Module, tuple[str, ...]]:
    """A network that classifies masks as one that scores pixels, and a note on it behind `notes`; another as it is."""
    name = type(network).__name__
    if name not in MASKS_HW:
        return network, notes
    return _combined(network, MASKS_HW[name]), (*notes, _NOTE)


def _combined(network: nn.Module, masks_hw: tuple[int, int] | None) -> nn.Module:
    """(N, 3, H, W) -> (N, classes, h, w), h × w being the masks' own size, or `masks_hw`.

    The score of a class is the sum over all masks of the probability that the mask is of the class, without that of no
    class (the last), times the probability that the pixel is in the mask (Cheng et al., "Per-Pixel Classification is
    Not All You Need for Semantic Segmentation", 2021, section 3.4).
    """
    import torch

    class ByPixel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            found = self.network(pixel_values=image)
            masks = found.masks_queries_logits
            if masks_hw is not None:
                masks = torch.nn.functional.interpolate(masks, masks_hw, mode="bilinear", align_corners=False)
            of_class = found.class_queries_logits.softmax(-1)[..., :-1]
            scores: torch.Tensor = torch.einsum("nqc,nqhw->nchw", of_class, masks.sigmoid())
            return scores

    return ByPixel().eval()
