"""Reads intermediate tensors of a PyTorch module: the result of every operator call, by sub-module."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from densecast.backends._inspection import TensorPoint, Tensors, WeightType, moved_as_stored
from densecast.spec.tensor import Array

if TYPE_CHECKING:
    import torch
    from torch import nn

# Torch's names of operators for ONNX's; tensors of other operators are not recorded.
_KINDS = {
    "conv2d": "Conv",
    "conv_transpose2d": "ConvTranspose",
    "batch_norm": "BatchNormalization",
    "relu": "Relu",
    "relu_": "Relu",
    "max_pool2d": "MaxPool",
    "boolean_dispatch": "MaxPool",
    "avg_pool2d": "AveragePool",
    "adaptive_avg_pool2d": "GlobalAveragePool",
    "interpolate": "Resize",
    "cat": "Concat",
    "pad": "Pad",
    "matmul": "MatMul",
    "bmm": "MatMul",
    "softmax": "Softmax",
    "add": "Add",
    "__add__": "Add",
    "add_": "Add",
    "__iadd__": "Add",
    "mul": "Mul",
    "__mul__": "Mul",
    "sigmoid": "Sigmoid",
}


class TorchInspector:
    """A module in evaluation mode, at one input shape."""

    def __init__(self, network: nn.Module, feed_shape: Sequence[int]) -> None:
        self._network = network
        self._points = tuple(self._trace(np.zeros(feed_shape, np.float32), lambda name, value: None))

    @property
    def points(self) -> tuple[TensorPoint, ...]:
        """Tensors in the order of computation."""
        return self._points

    def run(self, feed: Array, names: Sequence[str]) -> Tensors:
        """Run one forward pass and return the named tensors."""
        selected, tensors = set(names), {}

        def keep(name: str, value: torch.Tensor) -> None:
            if name in selected:
                tensors[name] = value.detach().float().numpy().copy()  # a later operator may write into it

        self._trace(np.ascontiguousarray(feed), keep)
        return tensors

    def rounded(self, kind: WeightType) -> TorchInspector:
        """A copy of the module with perturbed weights."""
        import torch

        moved = copy.copy(self)
        moved._network = copy.deepcopy(self._network)
        with torch.no_grad():
            for seed, parameter in enumerate(moved._network.parameters()):
                if parameter.ndim >= 2:
                    parameter.copy_(torch.from_numpy(moved_as_stored(parameter.numpy().copy(), kind, seed)))
        return moved

    def weights(self) -> Tensors:
        """Parameters of two or more dimensions, by module."""
        named = self._network.named_parameters()
        return {name.rpartition(".")[0]: value.detach().numpy().copy() for name, value in named if value.ndim >= 2}

    def _trace(self, feed: Array, keep: Callable[[str, torch.Tensor], None]) -> list[TensorPoint]:
        import torch
        from torch.overrides import TorchFunctionMode

        points: list[TensorPoint] = []
        counts: Counter[tuple[str, str]] = Counter()
        traced: dict[int, tuple[torch.Tensor, tuple[str, ...]]] = {}  # alive, so that no id is given twice
        stack: list[str] = [""]

        def sources(values: object) -> Iterator[str]:
            if isinstance(values, torch.Tensor):
                yield from traced.get(id(values), (None, ()))[1]
            elif isinstance(values, (list, tuple)):
                for value in values:
                    yield from sources(value)

        class Record(TorchFunctionMode):
            def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                result = func(*args, **(kwargs or {}))
                if isinstance(result, torch.Tensor) and result.is_floating_point():
                    came_from = tuple(dict.fromkeys(sources((args, tuple((kwargs or {}).values())))))
                    kind = _KINDS.get(getattr(func, "__name__", ""))
                    if kind is None or not came_from:
                        traced[id(result)] = result, came_from
                        return result
                    name = f"{stack[-1]}/{kind}_{counts[stack[-1], kind]}"
                    counts[stack[-1], kind] += 1
                    points.append(TensorPoint(name, name, kind, stack[-1], came_from, (), result.numel()))
                    traced[id(result)] = result, (name,)
                    keep(name, result)
                return result

        image = torch.from_numpy(feed)
        traced[id(image)] = image, ("input",)
        with torch.inference_mode(), _entered(self._network, stack), Record():
            self._network(image)
        return points


@contextmanager
def _entered(network: nn.Module, stack: list[str]) -> Iterator[None]:
    """Push the name of the running sub-module onto `stack` for the block."""
    with ExitStack() as hooks:
        for name, module in network.named_modules():

            def enter(module: Any, args: Any, name: str = name) -> None:
                stack.append(name)

            def leave(module: Any, args: Any, output: Any) -> None:
                stack.pop()

            hooks.callback(module.register_forward_pre_hook(enter).remove)
            hooks.callback(module.register_forward_hook(leave, always_call=True).remove)
        yield
