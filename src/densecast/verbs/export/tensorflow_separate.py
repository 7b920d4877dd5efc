"""Separates the network in a converted TensorFlow graph from its pre- and postprocessing, which are then declared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from densecast.errors import BadGraphError, BadShapeError
from densecast.graph import channels_first_input, end_at_logits, fix_shape, open_sizes, start_at_network
from densecast.graph._base import PassResult
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import FitInto, Native, Preprocess, Stretch
from densecast.spec.tensor import Dim, TensorSpec
from densecast.spec.verb_options import ExportOptions
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import onnx_file, own_normalisation, tensorflow_prefix
from densecast.verbs.export.tensorflow_prefix import Measured

_CHANNELS = 3
_TYPES = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8"}


@dataclass(frozen=True, slots=True)
class Separated:
    """The separated network (N, 3, H, W) -> (N, C, h, w), and the parts that were removed.

    `frozen` takes the size that the graph was frozen for, `model` those that `spec` names. `logits` is the name of the
    output inside the converted graph. `dtype` is what the graph itself takes, floats as `fed` prepares them; `prefix`
    what it does to that, None where the network still does it.
    """

    model: onnx.ModelProto
    frozen: onnx.ModelProto
    spec: ModelSpec
    logits: str
    dtype: str
    fed: Preprocess
    prefix: Measured | None
    frozen_hw: tuple[int, int] | None
    notes: tuple[str, ...]


def separate(converted: onnx.ModelProto, spec: ModelSpec, options: ExportOptions, *, declared: bool) -> Separated:
    """Remove pre- and postprocessing from the graph, and declare them in the spec.

    With `declared` the spec already says what the graph does to images, and must agree. Otherwise the normalisation
    that is measured takes effect after that of `spec`, or instead of it for a graph that takes bytes.

    Raises:
        BadGraphError: the graph is not built like one image in and one class a pixel out, or contradicts `spec`.
        BadShapeError: sizes were requested that the network does not accept.
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
    started, prefix = _without_prefix(ended.model, value.name, dtype, fixed_hw, must_have_one=declared)
    if prefix is None:
        if declared:
            raise BadGraphError(f"the graph does not start as {spec.name} does: {started.notes}.")
        transposed = _applied(channels_first_input.apply(ended.model))
        notes = [ended.notes, f"its own preprocessing stays: {started.notes}", transposed.notes]
        network, frozen_hw = transposed.model, fixed_hw
    else:
        notes = [ended.notes, f"{started.notes}: {_in_words(prefix)}"]
        network, frozen_hw = started.model, prefix.size_hw or fixed_hw
    fed, said = (spec.preprocess, ()) if declared or dtype == "uint8" else _fed(network, spec.preprocess, prefix)
    notes += said
    spec = replace(spec, preprocess=_agreed(spec, prefix) if declared else _declared(fed, prefix, dtype))
    if logits.align_corners is not None:
        assert isinstance(spec.decode, SegmentationDecode), "checked on the way in"
        spec = replace(spec, decode=replace(spec.decode, align_corners=logits.align_corners))
    batch: int | Dim = options.batch or spec.input.shape[0]
    if prefix is None and sizes[0]:
        batch = sizes[0]
    model = frozen = network
    sizes_hw = _sizes(spec, options, frozen_hw)
    if frozen_hw is not None:
        frozen = _applied(fix_shape.apply(network, _input(batch, frozen_hw)), needed=False).model
        model = frozen
        if sizes_hw != frozen_hw:
            opened = open_sizes.apply(frozen)
            notes.append(opened.notes)
            model = opened.model
    image = _input(batch, sizes_hw)
    fixed = fix_shape.apply(model, image)
    output = TensorSpec(end_at_logits.NAME, "float32", spec.output.shape)
    spec = replace(spec, inputs=(image,), outputs=(output,))
    return Separated(fixed.model, frozen, spec, logits.tensor, dtype, fed, prefix, frozen_hw, tuple(notes))


def _without_prefix(
    model: onnx.ModelProto, input_name: str, dtype: str, fixed_hw: tuple[int, int] | None, *, must_have_one: bool
) -> tuple[PassResult, Measured | None]:
    """The graph from its first layer on, and the removed prefix; the unchanged graph if the prefix is not recognised.

    Raises:
        BadGraphError: a prefix that must be there does something unknown.
    """
    started = start_at_network.apply(model)
    if not started.changed:
        return started, None
    cut_off = start_at_network.preprocessing_prefix(model)
    try:
        run_prefix = onnx_file.runner(cut_off.SerializeToString(), input_name)
        return started, tensorflow_prefix.measure(run_prefix, dtype, fixed_hw)
    except BadGraphError as error:
        if must_have_one:
            raise
        return PassResult(model, False, str(error)), None


def _without_empty_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace empty inputs of Resize nodes by absent ones.

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
    values = onnx_file.graph_inputs(model)
    if len(values) != 1:
        raise BadGraphError(f"the graph has {len(values)} inputs; one image is needed.")
    return values


def _applied(result: PassResult, *, needed: bool = True) -> PassResult:
    """Apply a required pass, and refuse the graph if it does not apply.

    Raises:
        BadGraphError: it did not apply; says why.
    """
    if needed and not result.changed:
        raise BadGraphError(f"the graph cannot be separated: {result.notes}.")
    return result


def _agreed(spec: ModelSpec, prefix: Measured | None) -> Preprocess:
    assert prefix is not None
    difference = tensorflow_prefix.agrees(prefix, spec.preprocess)
    if difference:
        raise BadGraphError(f"this graph is not {spec.name}'s: {difference}.")
    return spec.preprocess


def _fed(network: onnx.ModelProto, declared: Preprocess, prefix: Measured | None) -> tuple[Preprocess, tuple[str, ...]]:
    """What a graph of floats is fed: what is declared, or 0..255 where nothing is and it normalises these itself.

    Raises:
        BadConfigError: with what is declared, its first layer would see next to nothing of the image.
    """
    (value,) = _one_input(network)
    if prefix is None:
        rule, said = own_normalisation.settle(network, value.name, declared)
    else:
        mean, std = np.array(prefix.mean, np.float64), np.array(prefix.std, np.float64)
        rule, said = own_normalisation.fed(declared, lambda values: (values - mean) / std, value.name)
    return rule.for_channels(_CHANNELS), said


def _declared(declared: Preprocess, prefix: Measured | None, dtype: str) -> Preprocess:
    """The preprocessing that the user declared, followed by that of the graph."""
    if dtype == "uint8":
        if (declared.mean, declared.std, declared.divisor) not in (
            ((0.0,) * 3, (255.0,) * 3, 1.0),
            ((0.0,) * 3, (1.0,) * 3, 1.0),
        ):
            raise BadGraphError(
                "this graph takes bytes and normalises them itself: leave mean and std out.", field="mean"
            )
        declared = replace(declared, mean=(0.0,) * 3, std=(1.0,) * 3)
    if prefix is None:
        return declared
    if declared.colour == "BGR" and prefix.colour == "BGR":
        raise BadGraphError("this graph turns RGB into BGR itself: leave the colour order out.", field="colour")
    mean = [m + own * s for m, s, own in zip(declared.mean, declared.std, prefix.mean, strict=True)]
    std = [s * own for s, own in zip(declared.std, prefix.std, strict=True)]
    resize = declared.resize
    if isinstance(resize, Native) and prefix.size_hw is not None:
        resize = FitInto(prefix.size_hw, prefix.fill)
    return replace(
        declared,
        resize=resize,
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        colour="BGR" if "BGR" in (declared.colour, prefix.colour) else "RGB",
    )


def _sizes(spec: ModelSpec, options: ExportOptions, frozen_hw: tuple[int, int] | None) -> tuple[int | Dim, int | Dim]:
    """The fixed size that all images are resized to, the requested one, or the spec's dynamic sizes.

    Images that are not resized have the size that the graph was frozen for, if there is one.
    """
    resize = spec.preprocess.resize
    one = resize.size_hw if isinstance(resize, (Stretch, FitInto)) else None
    if isinstance(resize, Native):
        one = frozen_hw
    if one is not None and options.size_hw not in (None, one):
        raise BadShapeError(
            f"every image is brought to {one[0]}×{one[1]}; another fixed size was requested.", field="size_hw"
        )
    height, width = one or options.size_hw or spec.input.shape[2:]
    return height, width


def _input(batch: int | Dim, sizes: tuple[int | Dim, int | Dim]) -> TensorSpec:
    return TensorSpec(start_at_network.NAME, "float32", (batch, 3, *sizes))


def _in_words(prefix: Measured) -> str:
    padding = f", padded to {prefix.size_hw[0]}×{prefix.size_hw[1]} with {prefix.fill}" if prefix.size_hw else ""
    return f"{prefix.colour}, (x - {prefix.mean}) / {prefix.std}{padding}"
