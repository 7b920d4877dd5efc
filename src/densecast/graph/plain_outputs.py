"""Give a graph outputs that every engine and numpy read alike: maps (N, C, h, w), and floats of 32 bits.

the graph -> Cast float32 -> Unsqueeze -> Transpose -> Cast to 0 and 1 -> the output under its own name
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from densecast.graph import _edit, _tensors
from densecast.graph._base import PassResult


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How an output of `rank` axes lies that is no (N, C, h, w): (N, h, w, C), one without its batch axis, or both.

    One without `has_channels` is a plane (N, h, w) of scores. One that is `white` holds 0 and 255 for labels 0 and 1.
    """

    rank: int
    channels_last: bool = False
    has_batch: bool = True
    has_channels: bool = True
    white: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether its axes lie as they should."""
        return not self.channels_last and self.has_batch and self.has_channels


_COLLECTIONS = ("sequence_type", "optional_type", "map_type")
_NO_NUMBERS = (TensorProto.STRING, TensorProto.COMPLEX64, TensorProto.COMPLEX128)
_CASTS = {
    TensorProto.FLOAT16: TensorProto.FLOAT,
    TensorProto.BFLOAT16: TensorProto.FLOAT,
    TensorProto.DOUBLE: TensorProto.FLOAT,
    TensorProto.BOOL: TensorProto.UINT8,
    # Engines have no arithmetic in these; labels fit into what they have.
    TensorProto.UINT16: TensorProto.INT32,
    TensorProto.INT16: TensorProto.INT32,
    TensorProto.UINT32: TensorProto.INT64,
    TensorProto.UINT64: TensorProto.INT64,
}


def apply(model: onnx.ModelProto, arrangements: Mapping[str, Arrangement] = {}) -> PassResult:
    """Cast outputs of other types than float32 and whole numbers, and rearrange those named in `arrangements`."""
    changed = copy.deepcopy(model)
    graph = changed.graph
    notes = _leave_out(graph)
    opset = _edit.opset(changed)
    fed = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    for value in graph.output:
        name = value.name
        kind = value.type.tensor_type.elem_type
        to, arrangement = _CASTS.get(kind), arrangements.get(name)
        if (to is None and arrangement is None) or name in fed:
            continue
        inner = _tensors.unused(graph, f"{name}_as_found")
        kept = onnx.ValueInfoProto()
        kept.CopyFrom(value)
        _tensors.rename(graph, name, inner)
        last = inner
        nodes = []
        if to is not None:
            made = _tensors.unused(graph, f"{name}_cast")
            nodes.append(helper.make_node("Cast", [last], [made], made, to=to))
            last = made
            notes.append(f"{name} is {_numpy_name(to)} instead of {TensorProto.DataType.Name(kind).lower()}")
        if arrangement is not None:
            for axis, is_there in ((0, arrangement.has_batch), (1, arrangement.has_channels)):
                if not is_there:
                    made = _tensors.unused(graph, f"{name}_axis_{axis}")
                    nodes.append(_unsqueeze(graph, last, made, axis, opset))
                    last = made
            if arrangement.channels_last:
                made = _tensors.unused(graph, f"{name}_channels_first")
                nodes.append(helper.make_node("Transpose", [last], [made], made, perm=(0, 3, 1, 2)))
                last = made
            if not arrangement.is_plain:
                notes.append(f"{name} is given as {'(N, C, h, w)' if _rank(arrangement) == 4 else '(N, h, w)'}")
            if arrangement.white:
                for kind in (TensorProto.BOOL, TensorProto.UINT8):
                    made = _tensors.unused(graph, f"{name}_{TensorProto.DataType.Name(kind).lower()}")
                    nodes.append(helper.make_node("Cast", [last], [made], made, to=kind))
                    last = made
                to = TensorProto.UINT8
                notes.append(f"{name} holds 0 and 255, which are given as 0 and 1")
        nodes[-1].output[0] = name
        graph.node.extend(nodes)
        value.CopyFrom(kept)
        value.type.tensor_type.elem_type = to or kind
        if arrangement is not None:
            sizes = [None] * _rank(arrangement)
            value.CopyFrom(helper.make_tensor_value_info(name, to or kind, sizes))
    if not notes:
        return PassResult(model, False, "all outputs are float32 or whole numbers, and maps have their channels first")
    return PassResult(changed, True, "; ".join(notes))


def _leave_out(graph: onnx.GraphProto) -> list[str]:
    """Take out, in place, outputs that are no arrays of numbers, as names of classes; a note if there are any."""
    others = [
        value.name
        for value in graph.output
        if value.type.WhichOneof("value") in _COLLECTIONS or value.type.tensor_type.elem_type in _NO_NUMBERS
    ]
    if not others or len(others) == len(graph.output):
        return []
    kept = [value for value in graph.output if value.name not in others]
    del graph.output[:]
    graph.output.extend(kept)
    _tensors.drop_unneeded(graph)
    return [f"left out, as no array of numbers: {', '.join(others)}"]


def _unsqueeze(graph: onnx.GraphProto, tensor: str, made: str, axis: int, opset: int) -> onnx.NodeProto:
    if opset < 13:
        return helper.make_node("Unsqueeze", [tensor], [made], made, axes=[axis])
    axes = _tensors.unused(graph, f"{made}_axes")
    graph.initializer.append(numpy_helper.from_array(np.array([axis]), axes))
    return helper.make_node("Unsqueeze", [tensor, axes], [made], made)


def _rank(arrangement: Arrangement) -> int:
    return arrangement.rank + (not arrangement.has_batch) + (not arrangement.has_channels)


def _numpy_name(kind: int) -> str:
    return str(helper.tensor_dtype_to_np_dtype(kind))
