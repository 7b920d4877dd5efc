"""Products over all pixels against torch: attention as OCR has it, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from rewriting import agrees, exported, kinds

from densecast.graph import channels_last_matmul

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


class Attention(torch.nn.Module):
    """Regions are gathered from all pixels, and every pixel asks all regions."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.ask = torch.nn.Conv2d(5, 3, 1), torch.nn.Conv2d(5, 5, 1)
        self.last = torch.nn.Conv2d(5, 2, 1)

    def forward(self, image: Any) -> Any:
        count, channels, height, width = image.shape
        pixels = image.view(count, channels, -1)
        share = self.score(image).flatten(2).softmax(2)
        regions = pixels @ share.transpose(1, 2)
        asked = self.ask(image).view(count, channels, -1)
        weight = (0.5 * (regions.transpose(1, 2) @ asked)).softmax(1)
        values = regions.unsqueeze(3).relu().view(count, channels, -1)
        return self.last((values @ weight).view(count, channels, height, width))


@pytest.mark.parametrize("open_axes", [("N",), ("N", "H", "W")], ids=["size fixed", "size open"])
def test_attention_over_pixels_says_the_same_with_channels_last(open_axes: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    network = Attention()
    model = exported(network, (1, 5, 6, 7), open_axes)
    rewritten = channels_last_matmul.apply(model)
    assert rewritten.changed, rewritten.notes
    assert kinds(rewritten.model).count("MatMul") == kinds(model).count("MatMul")
    agrees(rewritten.model, network, (2, 5, 6, 7))
    if "H" in open_axes:
        agrees(rewritten.model, network, (1, 5, 3, 11))


class Mixer(torch.nn.Module):
    """A product along the pixels whose other side no rewriting knows."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Linear(42, 42)

    def forward(self, image: Any) -> Any:
        return self.mix(image.flatten(2)).view(image.shape)


def test_other_products_are_left_alone() -> None:
    network = Mixer()
    model = exported(network, (1, 5, 6, 7))
    assert not channels_last_matmul.apply(model).changed
