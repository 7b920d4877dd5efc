"""Takes the inputs of an ONNX graph as they are found: any layout, number type and count of channels.

The graph that comes out takes float32 (N, C, H, W), as all of densecast does; what was changed is said in notes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from densecast.errors import BadGraphError
from densecast.graph import _tensors, image_input
from densecast.graph.image_input import Layout
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Preprocess
from densecast.spec.tensor import Dim, TensorSpec
from densecast.verbs.export import own_normalisation

# Images of more bands have to be declared: a map inside a network has as many channels.
_MOST_CHANNELS = 32
# What lies between the image and the first layer without mixing channels, and without moving them.
_PER_VALUE = {
    *("Add", "Sub", "Mul", "Div", "Cast", "Identity", "Clip", "Floor", "Round", "Neg", "Relu", "Pow", "Sqrt"),
    *("QuantizeLinear", "DequantizeLinear", "Min", "Max", "Dropout", "Pad", "Resize", "BatchNormalization"),
}
_CONVOLUTIONS = {"Conv", "QLinearConv", "ConvInteger"}
# A range of values below this is that of divided ones, of which whole numbers keep nothing.
_LEAST_SPAN = 16.0
_LIMITS = {2: (0, 255), 3: (-128, 127), 4: (0, 65535), 5: (-32768, 32767), 12: (0, 2**32 - 1), 13: (0, 2**64 - 1)}


@dataclass(frozen=True, slots=True)
class Found:
    """The graph with plain inputs, the spec with their tensors and the preprocessing that they need, and notes."""

    model: Any
    spec: ModelSpec
    notes: tuple[str, ...]


def adapt(model: Any, spec: ModelSpec, image_name: str | None) -> Found:
    """Bring a graph's inputs to float32 (N, C, H, W), the image first; those of `spec` bound its dynamic sizes.

    Raises:
        BadGraphError: none is the image, or nothing says how a further one is made of it.
        BadConfigError: the declared preprocessing is for another number of channels.
    """
    _drop_initialised(model)
    _open_impossible_sizes(model)
    values = {value.name: value for value in model.graph.input}
    image_name = _image_name(model, values, spec, image_name)
    notes: list[str] = []
    bounds = {tensor.name: tensor for tensor in spec.inputs[1:]} | {image_name: spec.input}
    rules = {image_name: spec.preprocess, **spec.input_preprocess}
    tensors: dict[str, TensorSpec] = {}
    for name, bound in bounds.items():
        layout = _layout(model, values[name], bound, name == image_name)
        rules[name], said = _for_type(rules[name], values[name], name)
        notes += said
        result = image_input.apply(model, name, layout)
        model = result.model
        notes += [result.notes] if result.changed else []
        if layout.channels != bound.shape[1]:
            what = "images are made grey" if layout.channels == 1 else "the bands of the files, in their order"
            notes.append(f"{name} takes {layout.channels} channel{'s' * (layout.channels > 1)}: {what}")
        rules[name], said = own_normalisation.settle(model, name, rules[name])
        notes += said
        tensors[name] = _described(model, name, bound, layout)
    further = {name: rules[name] for name in spec.input_preprocess}
    ordered = (tensors[image_name], *(tensors[name] for name in further))
    found = replace(spec, inputs=ordered, preprocess=rules[image_name], input_preprocess=further)
    return Found(model, found, tuple(notes))


def _drop_initialised(model: Any) -> None:
    """Take weights that are listed as inputs off the list: they are constants to whoever runs the graph."""
    inputs = _tensors.inputs(model.graph)
    if len(inputs) < len(model.graph.input):
        kept = [value.SerializeToString() for value in inputs]
        del model.graph.input[:]
        for each in kept:
            model.graph.input.add().ParseFromString(each)
        # Up to version 3 every weight had to be listed.
        model.ir_version = max(model.ir_version, 4)


def _open_impossible_sizes(model: Any) -> None:
    """Sizes of 0 and -1, as some exporters write what is open, become open ones."""
    for value in (*model.graph.input, *model.graph.output):
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value <= 0:
                dim.Clear()
                dim.dim_param = f"{value.name}_{axis}"


def _image_name(model: Any, values: dict[str, Any], spec: ModelSpec, name: str | None) -> str:
    """The name of the image input.

    Raises:
        BadGraphError: it cannot be known, or nothing is known of another input.
    """
    candidates = [each for each in values if each not in spec.input_preprocess]
    image_like = [each for each in candidates if _layout_of(model, values[each], spec.input) is not None]
    if name is None and (len(candidates) == 1 or image_like):
        name = next(iter(image_like or candidates))
    if name is None or name not in values:
        raise BadGraphError(
            f"which input is the image cannot be known from {_listed(values.values()) or 'none'}; an image is "
            "(N, C, H, W) or (N, H, W, C) of floats or whole numbers.",
            field="input_name",
        )
    absent = [each for each in spec.input_preprocess if each not in values]
    if absent:
        raise BadGraphError(f"there is no input {absent[0]!r}; the inputs are {', '.join(values)}.")
    if name not in image_like:
        _layout(model, values[name], spec.input, True)
    unknown = [each for each in candidates if each != name]
    if not unknown:
        return name
    others = [each for each in unknown if each not in image_like]
    if others:
        raise BadGraphError(
            f"the graph takes {_listed([values[each] for each in others])} beside the image {name!r}, which cannot be "
            "made of an image. Export the network with it as a constant, or without what needs it.",
            field="input_name",
        )
    raise BadGraphError(
        f"the graph has {len(values)} inputs; say in a spec file how {', '.join(unknown)} "
        f"{'is' if len(unknown) == 1 else 'are'} made of the image: [input_preprocess.{unknown[0]}]. "
        "A second picture (optical flow, stereo, depth) cannot be given.",
        field="input_preprocess",
    )


def _layout(model: Any, value: Any, bound: TensorSpec, is_image: bool) -> Layout:
    """The layout of an input that is used as an image.

    Raises:
        BadGraphError: it is no image, or one of another number of channels than declared.
    """
    layout = _layout_of(model, value, bound)
    declared = bound.shape[1]
    if layout is None:
        raise BadGraphError(
            f"input {_listed([value])} is no image: it must be (N, C, H, W) or (N, H, W, C) with {declared} channels, "
            "of floats or whole numbers."
        )
    # Three are what a spec has that says nothing.
    if layout.channels != declared and (declared != 3 or not is_image or layout.channels > _MOST_CHANNELS):
        raise BadGraphError(
            f"input {_listed([value])} has {layout.channels} channels; {declared} are declared (channels).",
            field="channels",
        )
    return layout


def _layout_of(model: Any, value: Any, bound: TensorSpec) -> Layout | None:
    """How an input is an image, from its sizes and the first layer that reads it; None if it is none."""
    tensor = value.type.tensor_type
    if tensor.elem_type not in image_input.WHOLE | image_input.FLOATS:
        return None
    channels = bound.shape[1]
    assert isinstance(channels, int)
    perm, read = _first_layer(model, value.name)
    if not tensor.HasField("shape"):
        return Layout(perm == [0, 3, 1, 2], read or channels) if perm or read else None
    sizes = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    if len(sizes) not in (3, 4):
        return None
    has_batch = len(sizes) == 4
    second, last = sizes[-3], sizes[-1]
    if has_batch and perm == [0, 3, 1, 2] and last in (None, read, channels):
        return Layout(True, last or read or channels)
    if perm is None and read is not None and second in (None, read):
        return Layout(False, read, has_batch)
    for known in (channels, None):
        if second is not None and (second == known or (known is None and second <= _MOST_CHANNELS)):
            return Layout(False, second, has_batch)
        if last is not None and (last == known or (known is None and last <= _MOST_CHANNELS)):
            return Layout(True, last, has_batch)
    # Nothing tells channels from sides: as most graphs have it, if the axis may be the channels at all.
    return Layout(False, second or channels, has_batch)


def _first_layer(model: Any, name: str) -> tuple[list[int] | None, int | None]:
    """The permutation of the first Transpose that reads a tensor, if any, and the channels of the first convolution."""
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for each in node.input:
            readers.setdefault(each, []).append(node)
    shapes = _weight_shapes(model.graph)
    perm: list[int] | None = None
    tensor, seen = name, 0
    while tensor in readers and seen < len(model.graph.node):
        seen += 1
        node = readers[tensor][0]
        if node.op_type == "Transpose" and perm is None:
            perm = list(_tensors.attribute(node, "perm", []))
        elif node.op_type in _CONVOLUTIONS and node.input[0] == tensor:
            weight = shapes.get(node.input[3 if node.op_type == "QLinearConv" else 1])
            group = int(_tensors.attribute(node, "group", 1))
            return perm, weight[1] * group if weight and len(weight) == 4 else None
        elif node.op_type not in _PER_VALUE:
            break
        tensor = node.output[0]
    return perm, None


def _weight_shapes(graph: Any) -> dict[str, list[int]]:
    """Shapes of constants, also of such that are cast or dequantised before they are read."""
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                shapes[node.output[0]] = list(attribute.t.dims)
        if node.op_type in ("Cast", "Identity", "DequantizeLinear") and node.input[0] in shapes:
            shapes[node.output[0]] = shapes[node.input[0]]
    return shapes


def _for_type(rule: Preprocess, value: Any, name: str) -> tuple[Preprocess, tuple[str, ...]]:
    """The preprocessing for an input of this number type: whole numbers are fed 0..255 unless more is said.

    Raises:
        BadGraphError: what is declared gives values that the type does not hold.
    """
    kind = value.type.tensor_type.elem_type
    if kind not in image_input.WHOLE:
        return rule, ()
    notes: list[str] = []
    if own_normalisation.is_undeclared(rule):
        rule = replace(rule, std=(1.0,))
        notes.append(f"{name} takes whole numbers: it is fed 0..255, which the graph normalises itself")
    ends = [
        (end / rule.divisor - mean) / std
        for end in (0, 255)
        for mean, std in zip(*_spread(rule.mean, rule.std), strict=True)
    ]
    low, high = _LIMITS.get(kind, (-(2**31), 2**31 - 1))
    if min(ends) < low - 0.5 or max(ends) > high + 0.5 or max(ends) - min(ends) < _LEAST_SPAN:
        from onnx import TensorProto

        raise BadGraphError(
            f"input {name!r} takes whole numbers ({TensorProto.DataType.Name(kind).lower()}, {low}..{high}), but the "
            f"declared mean and std make images {min(ends):.3g}..{max(ends):.3g}. Such a graph normalises images "
            "itself: leave mean and std out"
            + (", or say mean = 128 and std = 1 if it takes 0..255 less 128." if low == -128 else "."),
            field="mean",
        )
    return rule, tuple(notes)


def _spread(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    count = max(len(mean), len(std))
    return mean * (count if len(mean) == 1 else 1), std * (count if len(std) == 1 else 1)


def _described(model: Any, name: str, bound: TensorSpec, layout: Layout) -> TensorSpec:
    """An adapted input as the file declares it; `bound` bounds its dynamic sizes."""
    value = next(each for each in model.graph.input if each.name == name)
    dims = value.type.tensor_type.shape.dim
    sizes: list[int | Dim] = [
        dim.dim_value if dim.dim_value > 0 else size for dim, size in zip(dims, bound.shape, strict=True)
    ]
    sizes[1] = layout.channels
    return TensorSpec(name, "float32", tuple(sizes))


def _listed(values: Any) -> str:
    """Inputs with types and shapes, for a sentence."""
    from onnx import TensorProto

    def said(value: Any) -> str:
        tensor = value.type.tensor_type
        sizes = [str(dim.dim_value if dim.dim_value > 0 else dim.dim_param or "?") for dim in tensor.shape.dim]
        return f"{value.name} ({TensorProto.DataType.Name(tensor.elem_type).lower()} [{', '.join(sizes)}])"

    return ", ".join(said(value) for value in values)
