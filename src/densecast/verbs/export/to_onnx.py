"""A torch module as an ONNX graph with open or fixed batch, height and width."""

from __future__ import annotations

import io
import logging
import warnings
from typing import TYPE_CHECKING, Any, Literal, cast

from densecast.errors import BadGraphError
from densecast.spec.tensor import Dim, TensorSpec

if TYPE_CHECKING:
    import onnx
    from torch import nn

Exporter = Literal["auto", "torchscript", "dynamo"]
log = logging.getLogger(__name__)


def to_onnx(
    network: nn.Module,
    input_spec: TensorSpec,
    output_name: str,
    example_size_hw: tuple[int, int],
    *,
    opset: int,
    exporter: Exporter,
) -> tuple[onnx.ModelProto, str]:
    """The graph, and which of torch's two exporters made it.

    "auto" takes the tracing exporter, which folds batch normalisation and gives small graphs for these
    networks, and goes to the newer one where tracing fails.

    Raises:
        BadGraphError: neither exporter could; names both reasons.
    """
    order: tuple[Exporter, ...] = ("torchscript", "dynamo") if exporter == "auto" else (exporter,)
    reasons = []
    for name in order:
        try:
            if name == "torchscript":
                return _trace(network, input_spec, output_name, example_size_hw, opset), name
            return _dynamo(network, input_spec, output_name, example_size_hw, opset), name
        except Exception as error:  # torch raises whatever the network's code or its own passes raise
            reasons.append(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            log.debug("%s exporter failed", name, exc_info=True)
    raise BadGraphError(f"the network could not be exported to ONNX ({'; '.join(reasons)}).")


def _example(input_spec: TensorSpec, example_size_hw: tuple[int, int], batch: int) -> tuple[int, ...]:
    sizes = (batch, 0, *example_size_hw)
    return tuple(size if isinstance(size, int) else sizes[axis] for axis, size in enumerate(input_spec.shape))


def _trace(
    network: nn.Module, input_spec: TensorSpec, output_name: str, size_hw: tuple[int, int], opset: int
) -> onnx.ModelProto:
    import onnx
    import torch

    axes = {axis: size.name for axis, size in enumerate(input_spec.shape) if isinstance(size, Dim)}
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The tracer warns of its deprecation and of sizes turned into constants; parity at a second size tells.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(_example(input_spec, size_hw, 1)),),
            cast(Any, stream),  # annotated as a path, takes a stream too
            dynamo=False,
            opset_version=opset,
            input_names=[input_spec.name],
            output_names=[output_name],
            dynamic_axes={input_spec.name: axes, output_name: axes} if axes else None,
        )
    return onnx.load_from_string(stream.getvalue())


def _dynamo(
    network: nn.Module, input_spec: TensorSpec, output_name: str, size_hw: tuple[int, int], opset: int
) -> onnx.ModelProto:
    import torch

    axes = {
        axis: torch.export.Dim(size.name, min=max(2, size.min), max=size.max)
        for axis, size in enumerate(input_spec.shape)
        if isinstance(size, Dim)
    }
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (torch.zeros(_example(input_spec, size_hw, 2 if 0 in axes else 1)),),
                dynamo=True,
                opset_version=max(opset, 18),
                input_names=[input_spec.name],
                output_names=[output_name],
                dynamic_shapes=(axes,) if axes else None,
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
    if program is None:
        raise RuntimeError("the exporter returned nothing")
    return program.model_proto
