"""Wraps torch modules so that they return their outputs selected, named, or as an expression of TorchScript."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


def selecting(network: nn.Module, names: tuple[str, ...], selected: tuple[str, ...]) -> nn.Module:
    """Wrap the module so that it returns only the `selected` ones of its outputs, as a tuple."""
    import torch

    from densecast.networks._outputs import named_outputs

    class Selecting(torch.nn.Module):
        """Wrapper that returns a selection of the network's outputs, in a given order."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            """(N, 3, H, W) of each input -> the outputs."""
            result = named_outputs(self.network(*images), names)
            return tuple(result[name] for name in selected)

    return Selecting().eval()


def naming(selecting: nn.Module, names: Sequence[str]) -> nn.Module:
    """Wrap the module so that its tuple is named; a module that returns a tensor is unchanged."""
    import torch

    class Naming(torch.nn.Module):
        """(N, 3, H, W) of each input -> a tensor, or a dict of several."""

        def __init__(self) -> None:
            super().__init__()
            self.network = selecting

        def forward(self, *images: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
            result = self.network(*images)
            return result if isinstance(result, torch.Tensor) else dict(zip(names, result, strict=True))

    return Naming().eval()


def script_around(network: nn.Module, result: str, inputs: int) -> torch.jit.ScriptModule:
    """TorchScript wrapper that returns `result`, an expression of `results`, the return value of `network`."""
    import torch

    class Around(torch.jit.ScriptModule):
        """Wrapper whose contents become part of the script."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

    script = Around()
    arguments = ", ".join(f"x{index}" for index in range(inputs))
    script.define(f"def forward(self, {arguments}):\n    results = self.network({arguments})\n    return {result}\n")
    script.eval()
    return script
