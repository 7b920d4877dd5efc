"""A converted TensorFlow graph taken apart: the network proper, and what is declared instead of the rest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import onnx
from onnx import TensorProto

from densecast.errors import BadGraphError, BadShapeError
from densecast.graph import channels_first_input, end_at_logits, fix_shape, open_sizes, start_at_network
from densecast.graph._base import PassResult
from densecast.spec.model import ModelSpec, SegmentationDecode
from densecast.spec.preprocess import FitInto, Native, Preprocess, Stretch
from densecast.spec.tensor import Dim, TensorSpec
from densecast.verbs.export import onnx_file, tensorflow_head
from densecast.verbs.export.options import ExportOptions
from densecast.verbs.export.tensorflow_head import Measured

_TYPES = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8"}


@dataclass(frozen=True, slots=True)
class Separated:
    """The network (N, 3, H, W) -> (N, C, h, w), and what it was separated from.

    `frozen` takes the size that the graph was frozen for, `model` those that `spec` names. `logits` is the name of the
    output inside the converted graph. `dtype` is what the graph itself takes; `head` what it does to that, None where
    the network still does it.
    """

    model: onnx.ModelProto
    frozen: onnx.ModelProto
    spec: ModelSpec
    logits: str
    dtype: str
    head: Measured | None
    frozen_hw: tuple[int, int] | None
    notes: tuple[str, ...]


def separate(converted: onnx.ModelProto, spec: ModelSpec, options: ExportOptions, *, declared: bool) -> Separated:
    """Cut off what surrounds the network, and declare it in the spec.

    With `declared` the spec already says what the graph does to images, and must agree. Otherwise the normalisation
    that is measured takes effect after that of `spec`, or instead of it for a graph that takes bytes.

    Raises:
        BadGraphError: the graph is not built like one image in and one class a pixel out, or contradicts `spec`.
        BadShapeError: sizes were asked that the network does not take.
    """
    converted = _without_empty_inputs(converted)
    (value,) = _one_input(converted)
    dtype = _TYPES.get(value.type.tensor_type.elem_type)
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim]
    if dtype is None or len(sizes) != 4 or sizes[3] not in (3, None):
        raise BadGraphError(f"input {value.name} must be uint8 or float32 (1, H, W, 3), its sizes are {sizes}.")
    fixed_hw = (sizes[1], sizes[2]) if sizes[1] and sizes[2] else None
    logits = end_at_logits.find(converted)
    ended = _applied(end_at_logits.apply(converted))
    started = start_at_network.apply(ended.model)
    head: Measured | None = None
    if started.changed:
        run_head = onnx_file.runner(start_at_network.head(ended.model).SerializeToString(), value.name)
        try:
            head = tensorflow_head.measure(run_head, dtype, fixed_hw)
        except BadGraphError as error:
            if declared:
                raise
            started = PassResult(ended.model, False, str(error))
    if head is None:
        if declared:
            raise BadGraphError(f"the graph does not start as {spec.name} does: {started.notes}.")
        kept = _applied(channels_first_input.apply(ended.model))
        notes = [ended.notes, f"its own preprocessing stays: {started.notes}", kept.notes]
        network, frozen_hw = kept.model, fixed_hw
    else:
        notes = [ended.notes, f"{started.notes}: {_in_words(head)}"]
        network, frozen_hw = started.model, head.size_hw or fixed_hw
    preprocess = _declared(spec, head, dtype) if not declared else _agreed(spec, head)
    spec = replace(spec, preprocess=preprocess)
    assert isinstance(spec.decode, SegmentationDecode)
    if logits.align_corners is not None:
        spec = replace(spec, decode=replace(spec.decode, align_corners=logits.align_corners))
    batch: int | Dim = options.batch or spec.input.shape[0]
    if head is None and sizes[0]:
        batch = sizes[0]
    model = frozen = network
    wanted = _wanted_sizes(spec, options, frozen_hw)
    if frozen_hw is not None:
        frozen = _applied(fix_shape.apply(network, _input(batch, frozen_hw)), needed=False).model
        model = frozen
        if wanted != frozen_hw:
            opened = open_sizes.apply(frozen)
            notes.append(opened.notes)
            model = opened.model
    asked = _input(batch, wanted)
    fixed = fix_shape.apply(model, asked)
    spec = replace(spec, input=asked, output=TensorSpec(end_at_logits.NAME, "float32", spec.output.shape))
    return Separated(fixed.model, frozen, spec, logits.tensor, dtype, head, frozen_hw, tuple(notes))


def _without_empty_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Resize nodes whose absent inputs are absent.

    tf2onnx gives them tensors of no elements, which ONNX Runtime takes for given ones once their type changes.
    """
    tidy = onnx.ModelProto()
    tidy.CopyFrom(model)
    empty = {tensor.name for tensor in tidy.graph.initializer if 0 in tensor.dims}
    for node in tidy.graph.node:
        if node.op_type == "Resize":
            node.input[:] = ["" if name in empty else name for name in node.input]
    return tidy


def _one_input(model: onnx.ModelProto) -> list[Any]:
    initialised = {tensor.name for tensor in model.graph.initializer}
    found = [value for value in model.graph.input if value.name not in initialised]
    if len(found) != 1:
        raise BadGraphError(f"the graph has {len(found)} inputs; one image is needed.")
    return found


def _applied(result: PassResult, *, needed: bool = True) -> PassResult:
    """The result of a pass without which the graph cannot be used.

    Raises:
        BadGraphError: it did not apply; says why.
    """
    if needed and not result.changed:
        raise BadGraphError(f"the graph cannot be separated: {result.notes}.")
    return result


def _agreed(spec: ModelSpec, head: Measured | None) -> Preprocess:
    assert head is not None
    difference = tensorflow_head.agrees(head, spec.preprocess)
    if difference:
        raise BadGraphError(f"this graph is not {spec.name}'s: {difference}.")
    return spec.preprocess


def _declared(spec: ModelSpec, head: Measured | None, dtype: str) -> Preprocess:
    """What the user declared and the graph does, one after the other."""
    given = spec.preprocess
    if dtype == "uint8":
        if (given.mean, given.std, given.divisor) not in (
            ((0.0,) * 3, (255.0,) * 3, 1.0),
            ((0.0,) * 3, (1.0,) * 3, 1.0),
        ):
            raise BadGraphError("this graph takes bytes and normalises them itself: leave --mean and --std out.")
        given = replace(given, mean=(0.0,) * 3, std=(1.0,) * 3)
    if head is None:
        return given
    if given.colour == "BGR" and head.colour == "BGR":
        raise BadGraphError("this graph turns RGB into BGR itself: leave --colour out.")
    mean = [m + own * s for m, s, own in zip(given.mean, given.std, head.mean, strict=True)]
    std = [s * own for s, own in zip(given.std, head.std, strict=True)]
    resize = given.resize
    if isinstance(resize, Native) and head.size_hw is not None:
        resize = FitInto(head.size_hw, head.fill)
    return replace(
        given,
        resize=resize,
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        colour="BGR" if "BGR" in (given.colour, head.colour) else "RGB",
    )


def _wanted_sizes(
    spec: ModelSpec, options: ExportOptions, frozen_hw: tuple[int, int] | None
) -> tuple[int | Dim, int | Dim]:
    """The one size that every image is brought to, that which was asked, or the spec's open ones.

    Images that are not resized have the size that the graph was frozen for, if there is one.
    """
    resize = spec.preprocess.resize
    one = resize.size_hw if isinstance(resize, (Stretch, FitInto)) else None
    if isinstance(resize, Native):
        one = frozen_hw
    if one is not None and options.size_hw not in (None, one):
        raise BadShapeError(f"every image is brought to {one[0]}×{one[1]}; --static asks for another size.")
    height, width = one or options.size_hw or spec.input.shape[2:]
    return height, width


def _input(batch: int | Dim, sizes: tuple[int | Dim, int | Dim]) -> TensorSpec:
    return TensorSpec(start_at_network.NAME, "float32", (batch, 3, *sizes))


def _in_words(head: Measured) -> str:
    padding = f", padded to {head.size_hw[0]}×{head.size_hw[1]} with {head.fill}" if head.size_hw else ""
    return f"{head.colour}, (x - {head.mean}) / {head.std}{padding}"
