"""A copy of somebody's module to export from, so that theirs is left as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from densecast.errors import BadGraphError, UsageError
from densecast.runtime import engine_words

if TYPE_CHECKING:
    import torch
    from torch import nn


_QUANTISED = (
    "torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.sparse.quantized", "torchao.",
    "bitsandbytes.",
)  # fmt: skip


def unwrapped(module: nn.Module) -> nn.Module:
    """The network inside of what only holds or runs it.

    That is torch.export's program, torch.compile's module, DataParallel, and averaged weights (SWA, EMA).

    Raises:
        UsageError: it is no module.
    """
    import torch

    if isinstance(module, torch.export.ExportedProgram):
        module = module.module()
    if not isinstance(module, torch.nn.Module):
        raise UsageError(
            f"export takes a name, a file, a folder or a torch.nn.Module, got {type(module).__qualname__}. An ONNX "
            "model in memory is saved first: onnx.save(model, 'model.onnx')."
        )
    wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel)
    while True:
        inner = module.module if isinstance(module, wrappers) else getattr(module, "_orig_mod", None)
        if not isinstance(inner, torch.nn.Module):
            return module
        module = inner


def of(module: nn.Module) -> nn.Module:
    """The module's copy on the CPU, in evaluation mode.

    Raises:
        BadGraphError: it has layers that never were initialised, or holds what cannot be copied.
    """
    _refuse_uninitialised(module)
    _refuse_quantised(module)
    # Tensors of a training step that it keeps (an attention map, the weight of an old weight_norm) have a history,
    # with which torch copies none.
    kept = {id(each): each.detach().clone() for part in module.modules() for each in _tensors(vars(part))}
    try:
        return copy.deepcopy(module, kept).cpu().eval()
    except Exception as error:  # whatever the module holds raises its own kinds
        raise BadGraphError(
            f"{type(module).__name__} cannot be copied, as an export does to leave yours as it was "
            f"({engine_words.reason(error)}). Take out of it what is no part of the network, as locks and open files."
        ) from error


QUANTISED_WORDS = (
    "{} is quantised in PyTorch, in layers that engines do not run. Export the float network that it was made of, and "
    "let build choose the ranges of int8 (-p int8)."
)
"""What to say of a quantised network, with its name."""


def _is_quantised(part: nn.Module) -> bool:
    """Whether a module computes in integers: torch.ao's layers and graphs, weights of torchao's and bitsandbytes'."""
    import torch

    kinds = (type(part), *(type(each) for each in (*part.parameters(recurse=False), *part.buffers(recurse=False))))
    if any(kind.__module__.startswith(_QUANTISED) for kind in kinds):
        return True
    nodes = part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ()
    return any(node.op == "call_function" and "quantized" in str(node.target) for node in nodes)


def _refuse_quantised(module: nn.Module) -> None:
    """Refuse a network that is quantised, or prepared for training with quantisation: no graph of floats holds that.

    Raises:
        BadGraphError: says what to export instead.
    """
    import torch

    if any(_is_quantised(part) for part in module.modules()):
        raise BadGraphError(QUANTISED_WORDS.format(type(module).__name__))
    if any(isinstance(part, torch.ao.quantization.FakeQuantizeBase) for part in module.modules()):
        raise BadGraphError(
            f"{type(module).__name__} is prepared for quantisation-aware training (torch.ao's FakeQuantize), which "
            "engines do not run. Make the plain network, load its trained weights (checkpoint=), and let build choose "
            "the ranges of int8 again."
        )


def _tensors(held: Any) -> Iterator[torch.Tensor]:
    """Tensors with a history in attributes, and in the lists and tables among them."""
    import torch

    if isinstance(held, torch.Tensor):
        if not held.is_leaf:
            yield held
    elif isinstance(held, dict):
        for each in held.values():
            yield from _tensors(each)
    elif isinstance(held, (list, tuple)):
        for each in held:
            yield from _tensors(each)


def _refuse_uninitialised(module: nn.Module) -> None:
    """Refuse lazy layers, which the first image would fill with random numbers.

    Raises:
        BadGraphError: names them.
    """
    from torch.nn.parameter import is_lazy

    lacking = [
        name or type(part).__name__
        for name, part in module.named_modules()
        if any(is_lazy(each) for each in (*part.parameters(recurse=False), *part.buffers(recurse=False)))
    ]
    if lacking:
        raise BadGraphError(
            f"{type(module).__name__} has layers that no image was ever given to and whose weights are nothing yet "
            f"({', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''}). Run it once on an image, load its trained "
            "weights, and export it then."
        )
