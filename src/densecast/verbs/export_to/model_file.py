"""Writes the model that is handed over: an artifact's graph with pixels in and the task's prediction out.

The two parts are passes over an ONNX graph. An OpenVINO build has no such graph: the passes are applied to one that
does nothing, and what comes of it is joined to the build's own model, of which no layer changes.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper

from densecast.artifact import Artifact, CompiledArtifact
from densecast.backends import _openvino_model, _ort_ready
from densecast.errors import BadGraphError, UsageError
from densecast.graph import _tensors, drop_identity_resize, end_at_prediction, fix_shape, fold_constants, pixel_input
from densecast.graph._base import PassResult
from densecast.graph.end_at_prediction import Ending
from densecast.graph.pixel_input import Pixels
from densecast.io import files
from densecast.runtime import engine_words
from densecast.spec.handover_options import ExportToOptions, Receiver
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Dim, TensorSpec

Format = Literal["onnx", "openvino"]
Facts = dict[str, dict[str, str]]
ONNX, OPENVINO = "model.onnx", "model.xml"
# The first opset whose Resize, Clip and axes all have their present form.
_OPSET = 13
_MAPS = "network_maps"
_IR_GRAPH = "OpenVINO cannot join the model"


@dataclass(frozen=True, slots=True)
class Fold:
    """What is folded in: `pixels` None leaves the network's own input, `ending` None its own outputs."""

    spec: ModelSpec
    pixels: Pixels | None
    ending: Ending | None


def chosen_format(source: Artifact, receiver: Receiver, options: ExportToOptions) -> Format:
    """The kind of file to write.

    Raises:
        UsageError: an engine whose models are none of these files, or a file that is not of this build.
    """
    asked = options.file_format
    if not isinstance(source, CompiledArtifact):
        if receiver in ("onnx-full", "tensorrt-onnx"):
            own: Format = "onnx"
        else:
            return ("onnx" if receiver == "triton" else "openvino") if asked == "auto" else asked
    else:
        backend = source.manifest.build.backend
        if backend not in ("openvino", "onnxruntime"):
            raise UsageError(
                f"{source.folder} is built for {backend}, whose models no other software reads. Hand over its exported "
                f"artifact{_parent(source)}, or a build for openvino or onnxruntime.",
                field="artifact",
            )
        own = "openvino" if backend == "openvino" else "onnx"
        if receiver == "onnx-full" and own != "onnx":
            raise UsageError(
                f"{source.folder} is built for OpenVINO, and its layers cannot be written as ONNX. Hand over its "
                f"exported artifact{_parent(source)}, or a build for onnxruntime.",
                field="artifact",
            )
    if asked not in ("auto", own):
        raise UsageError(
            f"{receiver} of this artifact is an {own} file, not {asked}: leave it out.", field="file_format"
        )
    return own


def _parent(source: CompiledArtifact) -> str:
    return f" ({source.manifest.parent_name})" if source.manifest.parent_name else ""


def write(source: Artifact, fold: Fold, form: Format, facts: Facts, path: Path) -> None:
    """Write the folded model of `source` to `path`, an `.onnx` or `.xml` file, with `facts` by group inside of it.

    Raises:
        BadGraphError: the graph cannot be had in these sizes or this form.
    """
    if form == "onnx":
        write_onnx(folded(onnx.load(source.file(ONNX)), fold), facts, path)
        return
    with engine_words.as_ours(_IR_GRAPH, "Hand the model over as ONNX (--format onnx).", BadGraphError):
        joined = _of_openvino(source, fold)
    # Where a node does nothing OpenVINO joins it with the one before, and its tensor has the names of both.
    wanted = {tensor.name for tensor in fold.spec.outputs}
    if fold.ending is not None:
        wanted = (wanted - {fold.ending.source}) | {fold.ending.name}
    for output in joined.outputs:
        output.get_tensor().set_names(wanted.intersection(output.get_names()) or output.get_names())
    for group, values in facts.items():
        for key, text in values.items():
            joined.set_rt_info(text, [group, key])
    with files.written_by_library(path.parent, "OpenVINO's model"):
        _openvino_model.imported().save_model(joined, path, compress_to_fp16=False)


def write_onnx(model: onnx.ModelProto, facts: Facts, path: Path) -> None:
    """Write an ONNX graph with `facts` in its metadata, beside what it says already."""
    named = {f"{group} {key}": text for group, values in facts.items() for key, text in values.items()}
    helper.set_model_props(model, {each.key: each.value for each in model.metadata_props} | named)
    files.write_bytes(path, model.SerializeToString())


def folded(model: onnx.ModelProto, fold: Fold) -> onnx.ModelProto:
    """The ONNX graph with the fold, of the fold's sizes.

    Raises:
        BadGraphError: it cannot be had.
    """
    if _ort_ready.opset(model) < _OPSET:
        model = onnx.version_converter.convert_version(model, _OPSET)
    # Graphs that ONNX Runtime's tools have made float16 are in no order.
    _tensors.sort(model.graph)
    model = fix_shape.apply(model, fold.spec.input).model
    for graph_pass in (fold_constants, drop_identity_resize):
        model = graph_pass.apply(model).model
    model = _folded(model, fold)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BadGraphError(f"the folded graph is not valid ONNX ({engine_words.reason(error)}).") from None
    return model


def _folded(model: onnx.ModelProto, fold: Fold) -> onnx.ModelProto:
    if fold.ending is not None:
        model = _applied(end_at_prediction.apply(model, fold.ending), fold)
    if fold.pixels is not None:
        rule = fold.spec.preprocess_of(fold.spec.input.name)
        model = _applied(pixel_input.apply(model, rule, fold.pixels), fold)
    return model


def _applied(result: PassResult, fold: Fold) -> onnx.ModelProto:
    if not result.changed:
        raise BadGraphError(f"{fold.spec.name} cannot be folded: {result.notes}.")
    return result.model


def _of_openvino(source: Artifact, fold: Fold) -> Any:
    """The build's own model between what the passes make of graphs that do nothing."""
    ov = _openvino_model.imported()
    core, spec = ov.Core(), fold.spec
    if not isinstance(source, CompiledArtifact) or source.manifest.build.backend != "openvino":
        return _read(core, folded(onnx.load(source.file(ONNX)), fold))
    model = _openvino_model.with_sizes(ov, core.read_model(source.file(OPENVINO)), spec.inputs, None)
    parameters, results = list(model.get_parameters()), list(model.get_results())
    image = parameters[0].output(0)
    if fold.pixels is not None:
        before = _read(core, _folded(_nothing(spec.input, "network_input"), replace(fold, ending=None)))
        readers = list(image.get_target_inputs())
        parameters, image = list(before.get_parameters()), before.get_results()[0].input_value(0)
        for reader in readers:
            reader.replace_source_output(image)
    if fold.ending is not None:
        maps = replace(spec.output, name=_MAPS)
        ends = _folded(_nothing(maps, spec.output.name, spec.input), replace(fold, pixels=None))
        after = _read(core, ends)
        given = {spec.input.name: image, _MAPS: results[0].input_value(0)}
        for each in after.get_parameters():
            for reader in each.output(0).get_target_inputs():
                reader.replace_source_output(given[each.get_friendly_name()])
        results[0] = after.get_results()[0]
    return ov.Model(results, parameters, spec.name)


def _read(core: Any, model: onnx.ModelProto) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, Path(folder) / ONNX)
        return core.read_model(Path(folder) / ONNX)


def _nothing(given: TensorSpec, output: str, beside: TensorSpec | None = None) -> onnx.ModelProto:
    """A graph that gives what it is given, as `output`; it takes `beside` first, and does nothing with it."""

    def value(tensor: TensorSpec, name: str) -> onnx.ValueInfoProto:
        sizes = [size.name if isinstance(size, Dim) else size for size in tensor.shape]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), sizes)

    inputs = [*([value(beside, beside.name)] if beside else []), value(given, given.name)]
    nodes = [helper.make_node("Identity", [given.name], [output], output)]
    graph = helper.make_graph(nodes, "nothing", inputs, [value(given, output)])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
