"""Exports a torch module to ONNX with dynamic or fixed batch, height and width."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from densecast.errors import BadGraphError
from densecast.graph import scripted_sizes, spell_group_norm
from densecast.runtime import engine_words
from densecast.spec.tensor import Dim, TensorSpec
from densecast.spec.verb_options import Exporter, ExportOptions
from densecast.verbs.export import open_folding, open_pooling

if TYPE_CHECKING:
    import onnx
    import torch
    from torch import nn

Axes = Mapping[int, str]
log = logging.getLogger(__name__)
_ADDED = re.compile(r"added in version (\d+)")
_OF_SCRIPTS = (
    " It is a script, of whose code the exporter knows a part: trace it instead (torch.jit.trace), or export the "
    "network it was made of from Python."
)


@dataclass(frozen=True, slots=True)
class Made:
    """The graph, which of torch's two exporters made it, and where the network's code decides by sizes or values.

    Of what the code decides a traced graph has one way alone; `decides` are places such as `net.py:12`. The newer
    exporter refuses such networks itself.
    """

    model: onnx.ModelProto
    exporter: str
    decides: tuple[str, ...] = ()


def open_axes(tensor: TensorSpec) -> dict[int, str]:
    """Names of a tensor's dynamic axes."""
    return {axis: size.name for axis, size in enumerate(tensor.shape) if isinstance(size, Dim)}


def to_onnx(
    network: nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Mapping[str, Axes],
    example_sizes_hw: Sequence[tuple[int, int]],
    *,
    opset: int,
    exporter: Exporter,
) -> Made:
    """Export the module to a graph.

    "auto" takes the tracing exporter, which folds batch normalisation and gives small graphs for these
    networks, and goes to the newer one where tracing fails. The network takes a tensor for each of `inputs`, and is
    traced with their height and width in `example_sizes_hw`; it returns one for each of `outputs`, which names the open
    sizes by axis.

    Raises:
        BadGraphError: neither exporter could; names both reasons.
    """
    import torch

    order: tuple[Exporter, ...] = ("torchscript", "dynamo") if exporter == "auto" else (exporter,)
    reasons = []
    is_open = any(not tensor.is_static for tensor in inputs)
    for name in order:
        try:
            with open_pooling.replaced(is_open=is_open):
                if name == "torchscript":
                    return _at_least(opset, partial(_trace, network, inputs, outputs, example_sizes_hw))
                return Made(_dynamo(network, inputs, outputs, example_sizes_hw, opset), name)
        except open_folding.OpenFoldError as error:
            raise BadGraphError(
                f"the network takes one size alone: {error}. Export it for that one: --static 1xHEIGHTxWIDTH."
            ) from None
        except Exception as error:  # torch raises whatever the network's code or its own passes raise
            reasons.append(f"{name}: {type(error).__name__}: {engine_words.last_telling(error)}")
            log.debug("%s exporter failed", name, exc_info=True)
    cure = _OF_SCRIPTS if isinstance(network, torch.jit.ScriptModule) else ""
    raise BadGraphError(f"the network could not be exported to ONNX ({'; '.join(reasons)}).{cure}")


def _examples(
    inputs: Sequence[TensorSpec], sizes_hw: Sequence[tuple[int, int]], batch: int
) -> tuple[torch.Tensor, ...]:
    import torch

    examples = []
    for tensor, size_hw in zip(inputs, sizes_hw, strict=True):
        sizes = (batch, 0, *size_hw)
        shape = [size if isinstance(size, int) else sizes[axis] for axis, size in enumerate(tensor.shape)]
        examples.append(torch.zeros(shape))
    return tuple(examples)


def _at_least(opset: int, trace: Callable[[int], Made]) -> Made:
    """Trace for an opset; where it is the default, for a newer one that an operator needs, if torch names one."""
    from torch.onnx.errors import UnsupportedOperatorError

    try:
        return trace(opset)
    except UnsupportedOperatorError as error:
        newer = _ADDED.search(str(error))
        if opset != ExportOptions().opset or newer is None:
            raise
        return trace(int(newer[1]))


def _trace(
    network: nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Mapping[str, Axes],
    sizes_hw: Sequence[tuple[int, int]],
    opset: int,
) -> Made:
    import onnx
    import torch

    axes = {tensor.name: open_axes(tensor) for tensor in inputs if not tensor.is_static}
    axes |= {name: dict(open_sizes) for name, open_sizes in outputs.items() if open_sizes}
    stream = io.BytesIO()
    sides_are_open = any(isinstance(size, Dim) for tensor in inputs for size in tensor.shape[2:])
    folding = open_folding.refused(is_open=sides_are_open)
    with warnings.catch_warnings(record=True) as said, _without_graphs(), folding:
        # The tracer warns of its deprecation, and of sizes that become constants, which parity at a second size checks.
        warnings.simplefilter("always")
        torch.onnx.export(
            network,
            _examples(inputs, sizes_hw, 1),
            cast(Any, stream),  # annotated as a path, takes a stream too
            dynamo=False,
            opset_version=opset,
            input_names=[tensor.name for tensor in inputs],
            output_names=list(outputs),
            dynamic_axes=axes or None,
        )
    model = onnx.load_from_string(stream.getvalue())
    return Made(scripted_sizes.apply(model).model, "torchscript", _decisions(said))


def _decisions(said: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """Where code that is not torch's made truths of tensors, sizes among them, while it was traced."""
    import torch

    own = Path(torch.__file__).parent
    warned: Any = torch.jit
    places = [
        f"{Path(each.filename).name}:{each.lineno}"
        for each in said
        if issubclass(each.category, warned.TracerWarning)
        and "Python boolean" in str(each.message)
        and own not in Path(each.filename).parents
    ]
    return tuple(dict.fromkeys(places))


@contextlib.contextmanager
def _without_graphs() -> Iterator[None]:
    """Keep torch from printing its representation of the network to standard output.

    It switches that log on for each export, because it takes the function that tells whether it is on for the answer.
    """
    import torch

    name = "_jit_set_onnx_log_enabled"
    switch = getattr(torch._C, name, None)
    if switch is None:  # another version
        yield
        return
    switch(False)
    setattr(torch._C, name, lambda is_enabled: None)
    try:
        yield
    finally:
        setattr(torch._C, name, switch)


def _dynamo(
    network: nn.Module,
    inputs: Sequence[TensorSpec],
    outputs: Mapping[str, Axes],
    sizes_hw: Sequence[tuple[int, int]],
    opset: int,
) -> onnx.ModelProto:
    import torch

    # One object a size: sizes of one name are the same size.
    sizes = {size.name: size for tensor in inputs for size in tensor.shape if isinstance(size, Dim)}
    symbols = {name: torch.export.Dim(name, min=max(2, size.min), max=size.max) for name, size in sizes.items()}
    shapes: tuple[Any, ...] = tuple(
        {axis: symbols[name] for axis, name in open_axes(tensor).items()} for tensor in inputs
    )
    parameters = inspect.signature(network.forward).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
        shapes = (shapes,)
    has_open_batch = isinstance(inputs[0].shape[0], Dim)
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                _examples(inputs, sizes_hw, 2 if has_open_batch else 1),
                dynamo=True,
                opset_version=max(opset, 18),
                input_names=[tensor.name for tensor in inputs],
                output_names=list(outputs),
                dynamic_shapes=shapes if symbols else None,
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    return spell_group_norm.apply(program.model_proto).model


def declared_axes(tensor: TensorSpec, image: TensorSpec) -> Mapping[int, str]:
    """Names of dynamic axes for the graph; a map's are those of the image."""
    return open_axes(image) if len(tensor.shape) == 4 else open_axes(tensor)
