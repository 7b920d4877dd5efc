"""Reads ONNX and TorchScript files, and checks them before anything is executed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from densecast import artifact
from densecast.artifact import FloatArtifact, FloatManifest
from densecast.errors import BadGraphError
from densecast.graph import _quantised, inline_functions, spell_group_norm, well_formed
from densecast.io import files
from densecast.runtime import cell, engine_words
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Letterbox
from densecast.spec.shapes import check_resize
from densecast.spec.tensor import Dim, Feeds, TensorSpec
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import (
    file_kinds,
    found_inputs,
    found_outputs,
    graph_sizes,
    graph_walk,
    heads,
    onnx_facts,
    output_form,
    outputs,
    own_sigmoid,
    parity,
    script_operators,
    trial_sizes,
)

_LOG = logging.getLogger(__name__)
# Protocol buffers end at 2 GiB; a graph with its weights beside it is loaded from its own folder only.
MAX_BYTES = 2 << 30
TRIAL_SIDE = 256
# Another, to see which sizes follow the image's.
_SECOND_SIDE = 320


def export(path: Path, manifest: FloatManifest, options: ExportOptions, out: Path) -> FloatArtifact:
    """Export an ONNX file to a float artifact, with the tensors that the file declares, brought to our layout.

    Raises:
        BadGraphError: see `read`; or it takes no image, takes inputs of which nothing is known, gives no output that
            fits the task, or cannot be run.
    """
    model = read(path)
    facts = onnx_facts.of_model(model)
    if options.output_name is None:
        own_outputs = [value.name for value in model.graph.output]
        onnx_facts.refuse_by_task(facts, manifest.spec.task, own_outputs, path.name)
    found = found_inputs.adapt(model, manifest.spec, options.input_name)
    model, output_notes = found_outputs.adapt(found.model, found.spec)
    if found.notes or output_notes:
        check(model, str(path))
    spec, serialised = found.spec, model.SerializeToString()
    spec, size_notes = graph_sizes.fit(spec, graph_runner(serialised), model, str(path))
    spec, told = _as_told(spec, facts)
    resize_note = check_resize(spec.input, spec.preprocess, spec.slide)
    if resize_note:
        _LOG.warning("%s: %s.", path.name, resize_note)
    described, selection, spec = outputs_of(serialised, spec, options, str(path), model)
    own = [value.name for value in model.graph.output]
    if list(selection.names) != own:
        by_name = {value.name: value for value in model.graph.output}
        ordered = [by_name[name] for name in selection.names]
        del model.graph.output[:]
        model.graph.output.extend(ordered)
        serialised = model.SerializeToString()
    notes = (
        *(("labels are those of the file's metadata",) if facts.labels and facts.labels == spec.labels else ()),
        *found.notes,
        *output_notes,
        *size_notes,
        *told,
        *((resize_note,) if resize_note else ()),
        *((selection.note,) if selection.note else ()),
        *((_quantised.NOTE,) if _quantised.is_quantised(model) else ()),
    )
    with artifact.writing(out) as draft:
        files.write_bytes(draft.folder / "model.onnx", serialised)
        draft.finish(replace(manifest, spec=replace(spec, outputs=described), passes=notes))
    return FloatArtifact.open(out)


def _as_told(spec: ModelSpec, facts: onnx_facts.Facts) -> tuple[ModelSpec, tuple[str, ...]]:
    """The spec with open sizes of the multiple that the file's metadata name, and notes on what they told."""
    notes = []
    if facts.maker and facts.size_hw and spec.preprocess.resize == Letterbox(facts.size_hw):
        high, wide = facts.size_hw
        notes.append(f"images are letterboxed to {high}×{wide}, as the file's metadata of {facts.maker} say")
    sides, stride = spec.input.shape[2:], facts.stride or 1
    multiples = [size.multiple for size in sides if isinstance(size, Dim)]
    if len(multiples) == len(sides) and any(stride % each == 0 and stride > each for each in multiples):
        spec = trial_sizes.with_multiple(spec, stride)
        notes.append(f"height and width are multiples of {stride}, the stride of the file's metadata")
    return spec, tuple(notes)


def outputs_of(
    serialised: bytes, spec: ModelSpec, options: ExportOptions, where: str, model: Any = None
) -> tuple[tuple[TensorSpec, ...], outputs.Selection, ModelSpec]:
    """The output specs of a graph for the inputs of `spec`, from a trial run, the main output first.

    With `model`, the graph as it is found, the spec comes back with the form that the main output has.

    Raises:
        BadGraphError: it cannot be run, or its outputs do not fit the task.
    """
    run = graph_runner(serialised)

    def trial(side: int, images: int | None = None) -> tuple[outputs.Shape, Feeds]:
        shape = tuple(size if isinstance(size, int) else _some(size, side) for size in spec.input.shape)
        shape = (images, *shape[1:]) if images is not None else shape
        try:
            return shape, run(outputs.trial_feeds(spec, shape, 0))
        except Exception as error:  # engines raise their own kinds
            raise BadGraphError(f"{where} cannot be run at {list(shape)} ({engine_words.reason(error)}).") from None

    trials = [trial(TRIAL_SIDE)]
    results = trials[0][1]
    settled = output_form.Settled(spec)
    if model is not None:
        settled = output_form.settle(model, results, (trials[0][0][2], trials[0][0][3]), spec, options)
        spec = settled.spec
    shapes = {name: array.shape for name, array in results.items()}
    selection = outputs.select(shapes, spec, options, settled.main)
    if settled.notes:
        selection = replace(selection, note="; ".join((*([selection.note] if selection.note else []), *settled.notes)))
    if len(selection.names) > 1:
        runs = [trials[0]] + ([trial(TRIAL_SIDE, 2)] if isinstance(spec.input.shape[0], Dim) else [])
        shown = [(shape[0], {name: array.shape for name, array in each.items()}) for shape, each in runs]
        selection, losses = heads.without_losses(selection, shown)
        selection = replace(selection, note="; ".join(filter(None, (selection.note, *losses))))
    if model is not None:
        spec, said = own_sigmoid.settle(model, selection.names[0], spec)
        selection = replace(selection, note="; ".join(filter(None, (selection.note, *said))) or None)
    heads.check_main(results[selection.names[0]], selection.names[0], spec, where)
    heads.check_padding(selection.names[0], trials[0][0], results[selection.names[0]].shape, where)
    heads.check_repeats(run, spec, trials[0], where)
    if not spec.input.is_static and any(results[name].ndim != 4 for name in selection.names):
        trials.append(trial(_SECOND_SIDE))
    return outputs.describe_all(selection.names, trials, spec.input), selection, spec


def read(path: Path) -> Any:
    """Read and check an ONNX model with its weights, in the form that ONNX asks for.

    Raises:
        BadGraphError: too large, not ONNX, not valid, or its weights are missing.
    """
    model = load(path)
    graph_walk.check(model, str(path))
    cell.narrow(model.ByteSize(), graph_walk.pixels(model))
    for each in (inline_functions, well_formed, spell_group_norm):
        model = each.apply(model).model
    check(model, str(path))
    return model


def load(path: Path, *, weights: bool = True) -> Any:
    """Parse an ONNX file, with the weights beside it.

    Raises:
        BadGraphError: too large, not ONNX, or its weights are missing.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size > MAX_BYTES:
        raise BadGraphError(f"{path} is larger than {MAX_BYTES >> 30} GiB.")
    if (what := file_kinds.other(path)) is not None:
        raise BadGraphError(f"{path} is no ONNX file but {what}.")
    try:
        # onnx refuses external files outside the model's own folder.
        model = onnx.load(path, load_external_data=weights)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise BadGraphError(f"{path} is not a readable ONNX file ({engine_words.reason(error)}).") from None
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
        raise BadGraphError(f"{where} is not valid ONNX ({engine_words.reason(error)}).") from None


def graph_runner(serialised: bytes) -> Callable[[Feeds], Feeds]:
    """The graph as a function of named arrays, run by ONNX Runtime: all outputs, in the graph's order.

    Raises:
        BadGraphError: ONNX Runtime does not take it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is said by an error
    # Between a few runs of one image each, threads that wait for the next would only take CPUs from others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(serialised, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises several unrelated kinds
        raise BadGraphError(f"ONNX Runtime cannot load the graph ({engine_words.reason(error)}).") from None
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
            f"{path} is no TorchScript module ({engine_words.reason(error)}). "
            "A state dict is the checkpoint of a zoo model: name the model, and give the file as its checkpoint."
        ) from None
    script_operators.check(module, path)
    return module


def graph_inputs(model: Any) -> list[Any]:
    """The declared inputs, without initializers."""
    initialised = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initialised]


def _some(size: Dim, side: int) -> int:
    return size.min if size.name == "N" else min(max(size.min, side // size.multiple * size.multiple), size.max)
