"""The tiny segmentation graph as a torch module, a TorchScript file, and UNets of a few channels as checkpoints."""

from __future__ import annotations

import warnings
from pathlib import Path

import tiny_graphs
import torch
from onnx import numpy_helper

from densecast.networks import unet


def segmentation() -> torch.nn.Module:
    """`tiny_graphs.segmentation` with the same weights."""
    stored = {each.name: each for each in tiny_graphs.segmentation().graph.initializer}
    weights = {name: torch.from_numpy(numpy_helper.to_array(each).copy()) for name, each in stored.items()}
    first, last = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 2, 1, bias=False)
    network = torch.nn.Sequential(first, torch.nn.ReLU(), last).eval()
    network.load_state_dict({"0.weight": weights["w1"], "0.bias": weights["b1"], "2.weight": weights["w2"]})
    return network


def write_script(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript
        torch.jit.save(torch.jit.trace(segmentation(), torch.zeros(1, 3, 16, 16)), str(path))
    return path


def unet_state(base_width: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    """The state dict of a UNet as `unet_tiny` has it, far narrower, with every tensor drawn from `seed`."""
    torch.manual_seed(seed)
    network = unet.build(unet.Options(base_width=base_width))
    for name, tensor in network.state_dict().items():
        if "running_var" in name:
            tensor.uniform_(0.5, 1.5)
    return network.state_dict()


def write_checkpoint(path: Path, content: object | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(unet_state() if content is None else content, path)
    return path
