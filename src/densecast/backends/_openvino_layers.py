"""Finds groups of layers that share quantisers in an OpenVINO model, and reverts groups to their original precision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

# Quantised values pass through these unchanged, so NNCF puts one quantiser before them for everything behind.
_PASSING = frozenset(
    {
        "Broadcast",
        "Concat",
        "DepthToSpace",
        "Gather",
        "MaxPool",
        "Pad",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "StridedSlice",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "VariadicSplit",
    }
)
_WEIGHTED = frozenset({"Convolution", "ConvolutionBackpropData", "GroupConvolution", "MatMul"})
_QUANTISER = "FakeQuantize"


@dataclass(frozen=True, slots=True)
class Group:
    """Operators that share activation quantisers: all of them run in int8, or none. Uses friendly names."""

    name: str
    quantisers: tuple[str, ...]
    operators: tuple[str, ...]


def groups(model: Any) -> list[Group]:
    """The groups of a model that NNCF has quantised, in the model's order."""
    joined: list[tuple[set[str], set[str]]] = []
    ordered = list(model.get_ordered_ops())
    for node in ordered:
        if node.get_type_name() != _QUANTISER or _is_constant(node.input_value(0).get_node()):
            continue
        quantisers, operators = {node.get_friendly_name()}, {fed.get_friendly_name() for fed in _fed_by(node)}
        for other in [each for each in joined if each[1] & operators]:
            joined.remove(other)
            quantisers |= other[0]
            operators |= other[1]
        joined.append((quantisers, operators))
    place = {node.get_friendly_name(): index for index, node in enumerate(ordered)}
    weighted = {node.get_friendly_name() for node in ordered if node.get_type_name() in _WEIGHTED}
    layer_groups = []
    for quantisers, operators in joined:
        named = sorted(operators, key=lambda name: (name not in weighted, place[name]))
        name = named[0] if named else min(quantisers)
        layer_groups.append(Group(name, tuple(sorted(quantisers)), tuple(sorted(operators, key=place.__getitem__))))
    return sorted(layer_groups, key=lambda group: min(place[name] for name in group.quantisers))


def reverted(quantised: Any, original: Any, chosen: Iterable[Group]) -> Any:
    """A copy of `quantised` in which the chosen groups are as in `original`: inputs, weights and biases."""
    model = quantised.clone()
    nodes = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
    before = {node.get_friendly_name(): node for node in original.get_ordered_ops()}
    for group in chosen:
        for name in group.quantisers:
            quantiser = nodes[name]
            _redirect(quantiser.output(0), quantiser.input_value(0))
        for name in group.operators:
            node = nodes[name]
            if node.get_type_name() in _WEIGHTED and name in before:
                _restore_weights(node, before[name])
                _restore_bias(node, before)
    model.validate_nodes_and_infer_types()
    return model


def _fed_by(quantiser: Any) -> Iterator[Any]:
    """The operators that consume the quantiser's output."""
    waiting, seen = [quantiser], set[str]()
    while waiting:
        for target in waiting.pop().output(0).get_target_inputs():
            node = target.get_node()
            name, kind = node.get_friendly_name(), node.get_type_name()
            if name in seen or kind in ("Result", "ShapeOf", _QUANTISER):
                continue
            seen.add(name)
            if kind in _PASSING:
                # Split has several outputs; what they feed hangs together all the same.
                waiting += [_Output(node, index) for index in range(node.get_output_size())]
            else:
                yield node


@dataclass(frozen=True, slots=True)
class _Output:
    """One output of a node, which can be traversed like a node with a single output."""

    node: Any
    index: int

    def output(self, _: int) -> Any:
        return self.node.output(self.index)


def _restore_weights(node: Any, before: Any) -> None:
    import openvino as ov

    for port in range(1, len(before.inputs())):
        constant = _constant_of(before.input_value(port).get_node())
        if constant is not None and np.issubdtype(constant.dtype, np.floating):
            node.input(port).replace_source_output(ov.op.Constant(constant).output(0))


def _restore_bias(node: Any, before: dict[str, Any]) -> None:
    """Restore the original bias of a layer, or zero the one that NNCF's bias correction has added."""
    import openvino as ov

    for target in node.output(0).get_target_inputs():
        added = target.get_node()
        if added.get_type_name() != "Add":
            continue
        holder = _constant_node(added.input_value(1).get_node())
        if holder is None:
            continue
        shape = tuple(holder.get_output_shape(0))
        same = before.get(added.get_friendly_name())
        value = _constant_of(same.input_value(1).get_node()) if same is not None else None
        whole = np.zeros(shape, np.float32) if value is None else value.astype(np.float32).reshape(shape)
        _redirect(holder.output(0), ov.op.Constant(whole).output(0))


def _redirect(old: Any, new: Any) -> None:
    for target in old.get_target_inputs():
        target.replace_source_output(new)


def _is_constant(node: Any) -> bool:
    return _constant_node(node) is not None


def _constant_node(node: Any) -> Any:
    """The floating-point constant behind reshapes and conversions; None if the value depends on the input."""
    while node.get_type_name() in ("Convert", "Reshape", "Unsqueeze", "Squeeze", "Transpose", _QUANTISER):
        node = node.input_value(0).get_node()
    return node if node.get_type_name() == "Constant" else None


def _constant_of(node: Any) -> Any:
    """The value of a constant behind conversions and reshapes; None if it is not constant."""
    kind = node.get_type_name()
    if kind == "Constant":
        return np.asarray(node.get_data())
    if kind not in ("Convert", "Reshape", "Unsqueeze", "Squeeze", "Transpose"):
        return None
    value = _constant_of(node.input_value(0).get_node())
    if value is None:
        return None
    if kind == "Convert":
        return value.astype(node.get_output_element_type(0).to_dtype())
    if kind == "Transpose":
        return np.transpose(value, _constant_of(node.input_value(1).get_node()))
    return value.reshape(tuple(node.get_output_shape(0)))
