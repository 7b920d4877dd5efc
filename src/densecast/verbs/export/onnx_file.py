"""Reads ONNX and TorchScript files, and checks them before anything is executed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from densecast import artifact
from densecast.artifact import FloatArtifact, FloatManifest
from densecast.errors import BadGraphError
from densecast.graph import _quantised
from densecast.io import files
from densecast.runtime import cell
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Dim, Feeds, TensorSpec
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import graph_sizes, graph_walk, output_form, outputs, parity, script_operators

# Protocol buffers end at 2 GiB; a graph with its weights beside it is loaded from its own folder only.
MAX_BYTES = 2 << 30
_TRIAL_SIDE = 256
# Another, to see which sizes follow the image's.
_SECOND_SIDE = 320


def export(path: Path, manifest: FloatManifest, options: ExportOptions, out: Path) -> FloatArtifact:
    """Export an ONNX file to a float artifact, with the tensors that the file declares.

    Raises:
        BadGraphError: see `read`; or it takes no image, takes inputs of which nothing is known, gives no output that
            fits the task, or cannot be run.
    """
    model = read(path)
    spec = replace(manifest.spec, inputs=_described_inputs(model, manifest.spec, options.input_name))
    serialised = model.SerializeToString()
    spec, size_notes = graph_sizes.fit(spec, graph_runner(serialised), model, str(path))
    described, selection, spec = outputs_of(serialised, spec, options, str(path), model)
    own = [value.name for value in model.graph.output]
    if list(selection.names) != own:
        by_name = {value.name: value for value in model.graph.output}
        ordered = [by_name[name] for name in selection.names]
        del model.graph.output[:]
        model.graph.output.extend(ordered)
        serialised = model.SerializeToString()
    notes = (
        *size_notes,
        *((selection.note,) if selection.note else ()),
        *((_quantised.NOTE,) if _quantised.is_quantised(model) else ()),
    )
    with artifact.writing(out) as draft:
        files.write_bytes(draft.folder / "model.onnx", serialised)
        draft.finish(replace(manifest, spec=replace(spec, outputs=described), passes=notes))
    return FloatArtifact.open(out)


def outputs_of(
    serialised: bytes, spec: ModelSpec, options: ExportOptions, where: str, model: Any = None
) -> tuple[tuple[TensorSpec, ...], outputs.Selection, ModelSpec]:
    """The output specs of a graph for the inputs of `spec`, from a trial run, the main output first.

    With `model`, the graph as it is found, the spec comes back with the form that the main output has.

    Raises:
        BadGraphError: it cannot be run, or its outputs do not fit the task.
    """
    run = graph_runner(serialised)

    def trial(side: int) -> tuple[outputs.Shape, Feeds]:
        shape = tuple(size if isinstance(size, int) else _some(size, side) for size in spec.input.shape)
        try:
            return shape, run(outputs.trial_feeds(spec, shape, 0))
        except Exception as error:  # engines raise their own kinds
            raise BadGraphError(f"{where} cannot be run at {list(shape)} ({str(error).splitlines()[0]}).") from None

    trials = [trial(_TRIAL_SIDE)]
    results = trials[0][1]
    settled = output_form.Settled(spec)
    if model is not None:
        settled = output_form.settle(model, results, (trials[0][0][2], trials[0][0][3]), spec, options)
        spec = settled.spec
    shapes = {name: array.shape for name, array in results.items()}
    selection = outputs.select(shapes, spec, options, settled.main)
    if settled.notes:
        selection = replace(selection, note="; ".join((*([selection.note] if selection.note else []), *settled.notes)))
    if not spec.input.is_static and any(results[name].ndim != 4 for name in selection.names):
        trials.append(trial(_SECOND_SIDE))
    return outputs.describe_all(selection.names, trials, spec.input), selection, spec


def read(path: Path) -> Any:
    """Read and check an ONNX model with its weights.

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
    graph_walk.check(model, str(path))
    cell.narrow(model.ByteSize(), graph_walk.pixels(model))
    check(model, str(path))
    return model


def check(model: Any, where: str) -> None:
    """Run ONNX's own checker, and refuse an empty graph.

    Raises:
        BadGraphError: says what the checker said.
    """
    import onnx

    if not model.graph.node:
        raise BadGraphError(f"{where} holds no operators.")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise BadGraphError(f"{where} is not valid ONNX ({str(error).splitlines()[0]}).") from None


def graph_runner(serialised: bytes) -> Callable[[Feeds], Feeds]:
    """The graph as a function of named arrays, run by ONNX Runtime: all outputs, in the graph's order.

    Raises:
        BadGraphError: ONNX Runtime does not take it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is said by an error
    try:
        session = onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises several unrelated kinds
        raise BadGraphError(f"ONNX Runtime cannot load the graph ({str(error).splitlines()[0]}).") from None
    names = [value.name for value in session.get_outputs()]

    def run(feeds: Feeds) -> Feeds:
        return {name: np.asarray(array) for name, array in zip(names, session.run(names, feeds), strict=True)}

    return run


def runner(serialised: bytes, input_name: str) -> Callable[[parity.F32], parity.F32]:
    """The graph as a function of one array that returns its first output."""
    run_all = graph_runner(serialised)

    def run(feed: parity.F32) -> parity.F32:
        return np.asarray(next(iter(run_all({input_name: feed}).values())))

    return run


def load_torchscript(path: Path) -> Any:
    """Load a scripted or traced module in evaluation mode.

    Raises:
        BadGraphError: not TorchScript, cut off, or with operators that no network needs.
    """
    import torch

    script_operators.check_source(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # torch announces the end of the format, not of the file
            module = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise BadGraphError(
            f"{path} is no TorchScript module ({str(error).splitlines()[0]}). "
            "A state dict is the checkpoint of a zoo model: name the model, and give the file as its checkpoint."
        ) from None
    script_operators.check(module, path)
    return module


def graph_inputs(model: Any) -> list[Any]:
    """The declared inputs, without initializers."""
    initialised = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initialised]


def _described_inputs(model: Any, spec: ModelSpec, image_name: str | None) -> tuple[TensorSpec, ...]:
    """The graph's inputs as the file declares them, the image first; those of `spec` bound its dynamic sizes.

    Raises:
        BadGraphError: none is the image, or nothing says how a further one is made.
    """
    values = {value.name: value for value in graph_inputs(model)}
    candidates = [name for name in values if name not in spec.input_preprocess]
    if image_name is None and len(candidates) > 1:
        image_name = next((name for name in candidates if _is_image(values[name])), None)
    if image_name is None and len(candidates) == 1:
        image_name = candidates[0]
    if image_name not in values:
        listed = ", ".join(values) or "none"
        raise BadGraphError(
            f"which input is the image cannot be known from {listed}; it must be float32 (N, 3, H, W).",
            field="input_name",
        )
    unknown = [name for name in candidates if name != image_name]
    if unknown:
        raise BadGraphError(
            f"the graph has {len(values)} inputs; say in a spec file how {', '.join(unknown)} "
            f"{'is' if len(unknown) == 1 else 'are'} made of the image: [input_preprocess.{unknown[0]}].",
            field="input_preprocess",
        )
    absent = [name for name in spec.input_preprocess if name not in values]
    if absent:
        raise BadGraphError(f"there is no input {absent[0]!r}; the inputs are {', '.join(values)}.")
    bounds = {tensor.name: tensor for tensor in spec.inputs[1:]}
    image = _described(values[image_name], spec.input)
    return (image, *(_described(values[name], bounds[name]) for name in bounds))


def _is_image(value: Any) -> bool:
    import onnx

    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    return (
        tensor.elem_type == onnx.TensorProto.FLOAT
        and len(dims) == 4
        and (not dims[1].HasField("dim_value") or dims[1].dim_value == 3)
    )


def _described(value: Any, bounds: TensorSpec) -> TensorSpec:
    """One input as the file declares it; `bounds` bounds its dynamic sizes."""
    import onnx

    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    if len(dims) != 4 or tensor.elem_type != onnx.TensorProto.FLOAT:
        raise BadGraphError(f"input {value.name!r} must be float32 (N, 3, H, W); it has {len(dims)} dimensions.")
    sizes: list[int | Dim] = []
    for dim, bound in zip(dims, bounds.shape, strict=True):
        sizes.append(dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else bound)
    if sizes[1] != bounds.shape[1]:
        raise BadGraphError(f"input {value.name!r} has {sizes[1]} channels; an image has {bounds.shape[1]}.")
    return TensorSpec(value.name, "float32", tuple(sizes))


def _some(size: Dim, side: int) -> int:
    return size.min if size.name == "N" else min(max(size.min, side // size.multiple * size.multiple), size.max)
