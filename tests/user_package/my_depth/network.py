"""The network: a few convolutions with two outputs, the confidence first and the depth second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from densecast import Network


@dataclass(frozen=True, slots=True)
class Options:
    """`width` is the number of channels inside."""

    width: int = 16


class DepthNet(nn.Module):
    """(N, 3, H, W) in 0..1 -> confidence and depth, (N, 1, H / 2, W / 2) each."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        width = options.width
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.body = nn.Conv2d(width, width, 3, padding=1)
        self.depth = nn.Conv2d(width, 1, 3, padding=1)
        self.confidence = nn.Conv2d(width, 1, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Both outputs by name."""
        features = torch.relu(self.body(torch.relu(self.stem(image))))
        return {"confidence": torch.sigmoid(self.confidence(features)), "depth": torch.relu(self.depth(features))}


def build(options: Options) -> DepthNet:
    """Without weights."""
    return DepthNet(options)


def clean(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Nothing but the network's own."""
    return dict(state)


NETWORK = Network(options_type=Options, build=build, clean=clean, input_multiple=2)


def trained(root: str, steps: int = 150) -> DepthNet:
    """Trained on the split `train` of a folder as `my_depth.data` writes it: seconds on one core."""
    from pathlib import Path

    import cv2
    import numpy as np

    from my_depth.data import open_folder

    torch.manual_seed(0)
    network = build(Options())
    data = open_folder(Path(root), "train")
    images = np.stack([cv2.imread(str(sample.image))[:, :, ::-1] for sample in data.samples])
    depths = np.stack([data.read_target(sample) for sample in data.samples])
    inputs = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    targets = torch.nn.functional.avg_pool2d(torch.from_numpy(depths)[:, None], 2)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (network(inputs)["depth"] - targets).abs().mean()
        loss.backward()
        optimiser.step()
    return network.eval()
