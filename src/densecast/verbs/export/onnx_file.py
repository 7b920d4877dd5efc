"""Graphs and scripts that come as files: checked before anything runs them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from densecast import artifact
from densecast.artifact import Artifact, Manifest
from densecast.errors import BadGraphError
from densecast.io import files
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Dim, TensorSpec
from densecast.verbs.export import parity

# Protocol buffers end at 2 GiB; a graph with its weights beside it is loaded from its own folder only.
MAX_BYTES = 2 << 30


def export(path: Path, manifest: Manifest, out: Path) -> Artifact:
    """A ready ONNX file as a float artifact, its tensors described as the file has them.

    Raises:
        BadGraphError: see `read`; or not one image in and one map out, or it cannot be run.
    """
    model = read(path)
    serialised = model.SerializeToString()
    spec = manifest.spec
    input_spec = _described(model, spec.input)
    output = output_of(serialised, model.graph.output[0].name, replace(spec, input=input_spec), str(path))
    with artifact.writing(out) as draft:
        files.write_bytes(draft.folder / "model.onnx", serialised)
        draft.finish(replace(manifest, spec=replace(spec, input=input_spec, output=output)))
    return Artifact.open(out)


def output_of(serialised: bytes, name: str, spec: ModelSpec, where: str) -> TensorSpec:
    """What a graph gives for the input of `spec`, as one run of it has it.

    Raises:
        BadGraphError: it cannot be run, gives no map, or one of another number of classes than `spec` has labels.
    """
    shape = tuple(size if isinstance(size, int) else _some(size) for size in spec.input.shape)
    try:
        seen = runner(serialised, spec.input.name)(parity.image_like(shape, 0))
    except Exception as error:  # engines raise their own kinds
        raise BadGraphError(f"{where} cannot be run at {list(shape)} ({str(error).splitlines()[0]}).") from None
    if seen.ndim != 4:
        raise BadGraphError(f"{where} gives {list(seen.shape)}; a map (N, C, h, w) is needed.")
    check_classes(spec, seen.shape)
    sizes = tuple(
        size
        if isinstance(source, int) or axis == 1
        else Dim(source.name if axis == 0 else f"{source.name}_out", 1, source.max)
        for axis, (size, source) in enumerate(zip(seen.shape, spec.input.shape, strict=True))
    )
    return TensorSpec(name, str(seen.dtype), sizes)


def read(path: Path) -> Any:
    """An ONNX model with its weights, checked.

    Raises:
        BadGraphError: too large, not ONNX, not valid, or its weights are missing.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size > MAX_BYTES:
        raise BadGraphError(f"{path} is larger than {MAX_BYTES >> 30} GiB.")
    try:
        # onnx refuses external files outside the model's own folder.
        model = onnx.load(path)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise BadGraphError(f"{path} is not a readable ONNX file ({str(error).splitlines()[0]}).") from None
    check(model, str(path))
    return model


def check(model: Any, where: str) -> None:
    """ONNX's own checker, and that something is in there.

    Raises:
        BadGraphError: says what the checker said.
    """
    import onnx

    if not model.graph.node:
        raise BadGraphError(f"{where} holds no operators.")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BadGraphError(f"{where} is not valid ONNX ({str(error).splitlines()[0]}).") from None


def check_classes(spec: ModelSpec, output_shape: tuple[int, ...]) -> None:
    """A segmentation has one plane a label.

    Raises:
        BadGraphError: the output's second size is not the number of labels.
    """
    if spec.task == "segmentation" and output_shape[1] != len(spec.labels):
        raise BadGraphError(
            f"the network tells {output_shape[1]} classes apart, but {spec.name} has {len(spec.labels)} labels "
            f"({', '.join(spec.labels[:5])})."
        )


def runner(serialised: bytes, input_name: str) -> Callable[[parity.F32], parity.F32]:
    """The graph as a function of one array, run by ONNX Runtime in float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises several unrelated kinds
        raise BadGraphError(f"ONNX Runtime cannot load the graph ({str(error).splitlines()[0]}).") from None

    def run(feed: parity.F32) -> parity.F32:
        return np.asarray(session.run(None, {input_name: feed})[0])

    return run


def load_torchscript(path: Path) -> Any:
    """A scripted or traced module in evaluation mode.

    Raises:
        BadGraphError: not TorchScript, or cut off.
    """
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # torch announces the end of the format, not of the file
            return torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise BadGraphError(
            f"{path} is no TorchScript module ({str(error).splitlines()[0]}). "
            "For a state dict name its zoo model: densecast export MODEL --checkpoint FILE."
        ) from None


def _described(model: Any, wanted: TensorSpec) -> TensorSpec:
    """The graph's one input as the file declares it; `wanted` bounds the sizes the file leaves open."""
    import onnx

    initialised = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initialised]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise BadGraphError(f"the graph has {len(inputs)} inputs ({names}); one image input is needed.")
    tensor = inputs[0].type.tensor_type
    dims = tensor.shape.dim
    if len(dims) != 4 or tensor.elem_type != onnx.TensorProto.FLOAT:
        raise BadGraphError(f"input {inputs[0].name!r} must be float32 (N, 3, H, W); it has {len(dims)} dimensions.")
    sizes: list[int | Dim] = []
    for dim, bound in zip(dims, wanted.shape, strict=True):
        sizes.append(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else bound)
    if sizes[1] != wanted.shape[1]:
        raise BadGraphError(f"input {inputs[0].name!r} has {sizes[1]} channels; an image has {wanted.shape[1]}.")
    return TensorSpec(inputs[0].name, "float32", tuple(sizes))


def _some(size: Dim) -> int:
    return size.min if size.name == "N" else min(max(size.min, 256 // size.multiple * size.multiple), size.max)
