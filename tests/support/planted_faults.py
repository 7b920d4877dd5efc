"""Faults as users meet them, planted into sound networks, each with the layer or step where it sits.

Used by the tests of `compare --locate`, and by `benchmarks/planted_faults.py`, which writes docs/compare.md's table.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from densecast.artifact import Artifact
from densecast.backends._inspection import layer_of
from densecast.backends.onnxruntime import to_float16 as float16
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Preprocess
from densecast.tasks.segmentation import SegmentationDecode


@dataclass(frozen=True, slots=True)
class Planted:
    """A faulty candidate.

    `node` is the one at fault where the layer has several; `reference` replaces the sound graph where the fault needs
    a network of its own.
    """

    graph: onnx.ModelProto
    spec: ModelSpec
    stage: str
    layer: str = ""
    node: str = ""
    reference: onnx.ModelProto | None = None


@dataclass(frozen=True, slots=True)
class Sound:
    """A network without faults: its artifact, its graph with fixed sizes, and that quantised."""

    artifact: Artifact
    graph: onnx.ModelProto
    int8: onnx.ModelProto
    spec: ModelSpec


Plant = Callable[[onnx.ModelProto, ModelSpec, np.random.Generator], Planted]


class NotHere(Exception):
    """The network has nothing that could go wrong this way."""


def transposed_weight(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """Height and width of a kernel swapped."""
    model, node = _chosen(
        model, rng, lambda node, held: node.op_type == "Conv" and held[node.input[1]].shape[2:] == (3, 3)
    )
    _change(model, node.input[1], lambda weight: np.swapaxes(weight, 2, 3))
    return Planted(model, spec, "network", layer_of(node.name))


def zeroed_bias(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """A bias lost."""
    model, node = _chosen(model, rng, lambda node, held: node.op_type == "Conv" and len(node.input) == 3)
    _change(model, node.input[2], np.zeros_like)
    return Planted(model, spec, "network", layer_of(node.name))


def zeroed_filter(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """The strongest output channel's weights gone, as after a wrong pruning."""
    model, node = _chosen(model, rng, lambda node, held: node.op_type == "Conv" and held[node.input[1]].shape[0] >= 8)

    def without(weight: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        changed = weight.copy()
        changed[np.abs(weight).sum(axis=(1, 2, 3)).argmax()] = 0
        return changed

    _change(model, node.input[1], without)
    return Planted(model, spec, "network", layer_of(node.name))


def border_repeated(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """Padding with the border's values instead of zeros."""
    model, node = _chosen(
        model, rng, lambda node, held: node.op_type == "Conv" and max(_ints(node, "pads"), default=0) > 0
    )
    pads = _ints(node, "pads")
    _set(node, "pads", [0, 0, 0, 0])
    amounts = numpy_helper.from_array(np.array([0, 0, *pads[:2], 0, 0, *pads[2:]]), "planted_pads")
    model.graph.initializer.append(amounts)
    pad = helper.make_node("Pad", [node.input[0], "planted_pads"], ["planted_padded"], "planted_pad", mode="edge")
    node.input[0] = "planted_padded"
    nodes = list(model.graph.node)
    nodes.insert(_place(model, node), pad)
    _replace_nodes(model, nodes)
    return Planted(model, spec, "network", layer_of(node.name))


def one_sided_padding(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """All padding below and to the right, as TensorFlow's SAME has it at strides of 2."""
    model, node = _chosen(
        model, rng, lambda node, held: node.op_type == "Conv" and max(_ints(node, "pads"), default=0) > 0
    )
    top, left, bottom, right = _ints(node, "pads")
    _set(node, "pads", [0, 0, top + bottom, left + right])
    return Planted(model, spec, "network", layer_of(node.name))


def wrong_dilation(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """Kernels read twice as far apart, the size kept."""

    def fits(node: Any, held: dict[str, Any]) -> bool:
        own = held[node.input[1]].shape[2:] == (3, 3) if node.op_type == "Conv" else False
        return own and _ints(node, "strides") == [1, 1] and _ints(node, "pads") == _ints(node, "dilations") * 2

    model, node = _chosen(model, rng, fits)
    twice = [2 * size for size in _ints(node, "dilations")]
    _set(node, "dilations", twice)
    _set(node, "pads", twice * 2)
    return Planted(model, spec, "network", layer_of(node.name))


def dropped_relu(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """An activation left out."""
    model, node = _chosen(model, rng, lambda node, held: node.op_type == "Relu")
    node.op_type = "Identity"
    return Planted(model, spec, "network", layer_of(node.name), node.name)


def swapped_concat(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """Branches joined in another order."""
    shaped = onnx.shape_inference.infer_shapes(model)
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in shaped.graph.value_info}
    model, node = _chosen(model, rng, lambda node, held: node.op_type == "Concat" and ranks.get(node.output[0]) == 4)
    node.input[:] = list(node.input)[1:] + list(node.input)[:1]
    return Planted(model, spec, "network", layer_of(node.name), node.name)


def flipped_align_corners(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """The other convention of a bilinear resize; of the decoding where the network has none."""
    try:
        model, node = _chosen(model, rng, lambda node, held: node.op_type == "Resize")
    except NotHere:
        assert isinstance(spec.decode, SegmentationDecode)
        decode = replace(spec.decode, align_corners=not spec.decode.align_corners)
        return Planted(model, replace(spec, decode=decode), "postprocess")
    before = next(each.s for each in node.attribute if each.name == "coordinate_transformation_mode")
    _set(node, "coordinate_transformation_mode", "half_pixel" if before == b"align_corners" else "align_corners")
    return Planted(model, spec, "network", layer_of(node.name), node.name)


def nearest_for_bilinear(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """The other interpolation of a resize; of the labels where the network has none."""
    try:
        model, node = _chosen(model, rng, lambda node, held: node.op_type == "Resize")
    except NotHere:
        assert isinstance(spec.decode, SegmentationDecode)
        return Planted(model, replace(spec, decode=replace(spec.decode, to_image="nearest_labels")), "postprocess")
    _set(node, "mode", "nearest")
    return Planted(model, spec, "network", layer_of(node.name), node.name)


def half_pixel_shift(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """A resize that reads half a pixel off; in networks without one, a map averaged with its neighbours."""
    try:
        model, node = _chosen(model, rng, lambda node, held: node.op_type == "Resize")
    except NotHere:
        model, node = _chosen(model, rng, lambda node, held: node.op_type == "MaxPool")
        inner = "planted_sharp"
        mean = helper.make_node(
            "AveragePool", [inner], [node.output[0]], "planted_mean", kernel_shape=[2, 2], pads=[0, 0, 1, 1]
        )
        node.output[0] = inner
        nodes = list(model.graph.node)
        nodes.insert(_place(model, node) + 1, mean)
        _replace_nodes(model, nodes)
        return Planted(model, spec, "network", layer_of(node.name))
    _set(node, "coordinate_transformation_mode", "asymmetric")
    return Planted(model, spec, "network", layer_of(node.name), node.name)


def saturating_range(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """In a quantised graph, one activation's range a fifth of what it has to be; `model` has to be that graph."""
    weights = {tensor.name for tensor in model.graph.initializer}
    model, node = _chosen(
        model,
        rng,
        lambda node, held: (
            node.op_type == "QuantizeLinear" and node.input[0] not in weights and "Concat" not in node.name
        ),
    )
    _change(model, node.input[1], lambda scale: (scale / 5).astype(np.float32))
    return Planted(model, spec, "network", layer_of(node.input[0]))


def overflow_in_float16(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """A layer whose values are right, and too large for float16: scaled up, and down again in the next layer."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def next_layer(node: Any) -> Any | None:
        relu = readers.get(node.output[0], [])
        after = readers.get(relu[0].output[0], []) if len(relu) == 1 and relu[0].op_type == "Relu" else []
        return after[0] if len(after) == 1 and after[0].op_type == "Conv" else None

    scaled, node = _chosen(model, rng, lambda node, held: node.op_type == "Conv" and next_layer(node) is not None)
    after = next_layer(next(each for each in model.graph.node if each.name == node.name))
    factor = np.float32(1e6)
    for name in node.input[1:]:
        _change(scaled, name, lambda array: array * factor)
    assert after is not None
    _change(scaled, after.input[1], lambda array: array / factor)
    halves = float16(copy.deepcopy(scaled))
    return Planted(halves, spec, "network", layer_of(node.name), reference=scaled)


def swapped_colours(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """BGR for RGB."""
    colour = "BGR" if spec.preprocess.colour == "RGB" else "RGB"
    return Planted(model, _prepared(spec, colour=colour), "colour order")


def wrong_mean(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """Values to -1..1 instead of the data set's mean and deviation."""
    half = tuple(127.5 / spec.preprocess.divisor for _ in range(3))
    return Planted(model, _prepared(spec, mean=half, std=half), "normalise")


def another_resampling(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """Images resized by another interpolation."""
    other = "bicubic_pillow" if spec.preprocess.interpolation == "bilinear_opencv" else "bilinear_opencv"
    return Planted(model, _prepared(spec, interpolation=other), "resize")


def ignored_orientation(model: onnx.ModelProto, spec: ModelSpec, rng: np.random.Generator) -> Planted:
    """The orientation tag of photos read by one, and not by the other."""
    return Planted(model, _prepared(spec, use_exif=not spec.preprocess.use_exif), "decode")


def wrong_epsilon(sound: Sound, rng: np.random.Generator) -> Planted:
    """A batch normalisation with TensorFlow's epsilon (1e-3) for torch's (1e-5), folded by a new export."""
    import torch
    from safetensors.torch import load_file

    from densecast.networks._base import NETWORKS
    from densecast.verbs.export.to_onnx import open_axes, to_onnx

    made_of = sound.artifact.manifest.network
    assert made_of is not None
    plugin = NETWORKS.load(made_of.name)
    network = plugin.build(plugin.options_type(**made_of.options)).eval()
    network.load_state_dict(load_file(sound.artifact.file("weights.safetensors")))
    convolutions = {layer_of(node.name) for node in sound.graph.graph.node if node.op_type == "Conv"}
    pairs = []
    before = ""
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d) and before in convolutions:
            pairs.append((before, module))
        if isinstance(module, torch.nn.Conv2d):
            before = name
    layer, norm = pairs[int(rng.integers(len(pairs)))]
    norm.eps = 1e-3
    spec = sound.artifact.spec
    axes = {tensor.name: open_axes(tensor) for tensor in spec.outputs}
    graph = to_onnx(network, spec.inputs, axes, [(256, 256)], opset=17, exporter="torchscript")
    return Planted(graph.model, sound.spec, "network", layer)


def plant(kind: str, sound: Sound, rng: np.random.Generator) -> Planted:
    """A fault of that kind, at a place drawn by `rng`.

    Raises:
        NotHere: the network has nothing that could go wrong this way.
    """
    if kind == "wrong epsilon":
        return wrong_epsilon(sound, rng)
    return KINDS[kind](sound.int8 if kind == "saturating int8 range" else sound.graph, sound.spec, rng)


KINDS: dict[str, Plant] = {
    "transposed weight": transposed_weight,
    "bias lost": zeroed_bias,
    "filter zeroed": zeroed_filter,
    "border repeated for zeros": border_repeated,
    "padding on one side": one_sided_padding,
    "wrong dilation": wrong_dilation,
    "activation left out": dropped_relu,
    "concat order swapped": swapped_concat,
    "align_corners flipped": flipped_align_corners,
    "nearest for bilinear": nearest_for_bilinear,
    "half-pixel shift": half_pixel_shift,
    "saturating int8 range": saturating_range,
    "overflow in float16": overflow_in_float16,
    "BGR for RGB": swapped_colours,
    "mean and deviation off": wrong_mean,
    "another resampling of images": another_resampling,
    "orientation tag ignored": ignored_orientation,
}


def _prepared(spec: ModelSpec, **changes: Any) -> ModelSpec:
    preprocess: Preprocess = replace(spec.preprocess, **changes)
    return replace(spec, preprocess=preprocess)


def _chosen(
    model: onnx.ModelProto, rng: np.random.Generator, fits: Callable[[Any, dict[str, Any]], bool]
) -> tuple[onnx.ModelProto, Any]:
    """A copy of the model, and one of its nodes that fit."""
    model = copy.deepcopy(model)
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    fitting = [node for node in model.graph.node if fits(node, held)]
    if not fitting:
        raise NotHere
    return model, fitting[int(rng.integers(len(fitting)))]


def _change(model: onnx.ModelProto, name: str, change: Callable[[Any], Any]) -> None:
    tensor = next(each for each in model.graph.initializer if each.name == name)
    before = numpy_helper.to_array(tensor)
    array = np.array(change(before), dtype=before.dtype, order="C").reshape(before.shape)
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def _ints(node: Any, name: str) -> list[int]:
    return next((list(each.ints) for each in node.attribute if each.name == name), [])


def _set(node: Any, name: str, value: Any) -> None:
    others = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend([*others, helper.make_attribute(name, value)])


def _place(model: onnx.ModelProto, node: Any) -> int:
    return next(place for place, each in enumerate(model.graph.node) if each.name == node.name)


def _replace_nodes(model: onnx.ModelProto, nodes: list[Any]) -> None:
    copies = [copy.deepcopy(each) for each in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def all_kinds() -> tuple[str, ...]:
    """Every kind of fault."""
    return ("wrong epsilon", *KINDS)
