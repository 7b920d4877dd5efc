"""End a graph at what a task makes of its maps: class indices, bits of classes, or numbers, at the input's own size.

    maps (N, C, h, w) -> Resize to (H, W) -> ArgMax | Greater limits | Mul, Clip -> the prediction

(H, W) is the size of the network's input: where it is open, it is read from the image when the graph runs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from densecast.graph import _edit, _tensors
from densecast.graph._base import PassResult

Kind = Literal["argmax", "above", "labels", "numbers", "planes"]
_TYPES = {"uint8": TensorProto.UINT8, "int32": TensorProto.INT32, "float32": TensorProto.FLOAT}
# Since then axes are an input.
_AXES_ARE_INPUTS = 13
_RESIZES_TO_SIZES = 11


@dataclass(frozen=True, slots=True)
class Ending:
    """What the maps of output `source` become, as output `name` of type `dtype`.

    "argmax": the index of the largest plane, (N, H, W). "above": 1 where a plane is above its limit, (N, C, H, W).
    "labels": class indices that the graph already gives, brought to the size by nearest neighbour. "numbers": the plane
    times `scale`, kept within `low` and `high`. "planes": the planes themselves; a single one with a limit becomes
    two, of which the larger says on which side of it a pixel is. With `drops_channel` the axis of one plane goes.
    """

    source: str
    name: str
    kind: Kind
    dtype: str
    align_corners: bool = False
    limits: tuple[float, ...] = ()
    scale: float = 1.0
    low: float | None = None
    high: float | None = None
    drops_channel: bool = False


def apply(model: onnx.ModelProto, ending: Ending) -> PassResult:
    """Replace the output `ending.source` by the prediction; other outputs stay."""
    outputs = {value.name: value for value in model.graph.output}
    if ending.name in outputs and outputs[ending.name].doc_string == ending.kind:
        return PassResult(model, False, f"the graph already ends at its {ending.name}")
    if ending.source not in outputs:
        return PassResult(model, False, f"the graph has no output {ending.source!r}")
    if _edit.opset(model) < _RESIZES_TO_SIZES:
        return PassResult(model, False, f"opset {_RESIZES_TO_SIZES} is needed, which first resizes to a size")
    image = _tensors.inputs(model.graph)[0]
    sides = _tensors.shape(image) or ()
    given = _tensors.shape(outputs[ending.source])
    if len(sides) != 4:
        return PassResult(model, False, f"{image.name} has {len(sides)} axes; (N, C, H, W) is needed")
    changed = copy.deepcopy(model)
    graph = changed.graph
    if ending.name in {name for node in graph.node for name in node.output}:
        _tensors.rename(graph, ending.name, _tensors.unused(graph, f"{ending.name}_inside"))
    source = next(value.name for value in graph.output if value.name in (ending.source, f"{ending.source}_inside"))
    maker = _Maker(changed, source)
    rank = len(given) if given is not None else 3 if ending.kind == "labels" and not ending.drops_channel else 4
    _append(maker, ending, image.name, sides[2:], given, rank)
    last = graph.node[-1]
    last.output[0] = ending.name
    (place,) = (place for place, value in enumerate(graph.output) if value.name == source)
    has_channel = ending.kind in ("above", "planes") and not ending.drops_channel
    planes = (2 if ending.limits else None) if ending.kind == "planes" else len(ending.limits)
    shape = [sides[0], *([planes or (given or (0, None))[1]] if has_channel else []), *sides[2:]]
    value = helper.make_tensor_value_info(ending.name, _TYPES[ending.dtype], shape)
    value.doc_string = ending.kind
    graph.output[place].CopyFrom(value)
    return PassResult(changed, True, f"{source} becomes {ending.name} ({ending.kind}) at the input's size")


class _Maker:
    """Appends nodes to a graph, each to the last."""

    def __init__(self, model: onnx.ModelProto, current: str) -> None:
        self.graph, self.current, self._opset = model.graph, current, _edit.opset(model)

    def constant(self, suffix: str, values: Any) -> str:
        name = _tensors.unused(self.graph, f"prediction_{suffix}")
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, operator: str, inputs: list[str], suffix: str, **attributes: Any) -> str:
        made = _tensors.unused(self.graph, f"prediction_{suffix}")
        self.graph.node.append(helper.make_node(operator, inputs, [made], made, **attributes))
        return made

    def add(self, operator: str, suffix: str, *more: str, **attributes: Any) -> None:
        self.current = self.node(operator, [self.current, *more], suffix, **attributes)

    def add_channel(self) -> None:
        if self._opset < _AXES_ARE_INPUTS:
            self.add("Unsqueeze", "plane", axes=[1])
        else:
            self.add("Unsqueeze", "plane", self.constant("plane_axis", np.array([1], np.int64)))

    def drop_channel(self) -> None:
        # Gather by a scalar, which has one form in all opsets.
        self.add("Gather", "map", self.constant("first", np.array(0, np.int64)), axis=1)

    def resize(self, image: str, size_hw: tuple[int | None, ...], **attributes: Any) -> None:
        """Resize to the size of the image (N, C, H, W)."""
        batch = self._part(self.current, 0, 2, "kept")
        if None in size_hw:
            size = self._part(image, 2, 4, "size")
        else:
            size = self.constant("size", np.array(size_hw, np.int64))
        whole = self.node("Concat", [batch, size], "sizes", axis=0)
        # Until its axes were inputs, a resize to a size needed a region and scales as well, of no numbers.
        none = "" if self._opset >= _AXES_ARE_INPUTS else self.constant("nothing", np.array([], np.float32))
        self.add("Resize", "resized", none, none, whole, **attributes)

    def _part(self, tensor: str, first: int, last: int, suffix: str) -> str:
        shape = self.node("Shape", [tensor], f"{suffix}_shape")
        ends = [self.constant(f"{suffix}_{end}", np.array([end], np.int64)) for end in (first, last)]
        return self.node("Slice", [shape, *ends], suffix)


def _append(
    maker: _Maker,
    ending: Ending,
    image: str,
    size_hw: tuple[int | None, ...],
    given: tuple[int | None, ...] | None,
    rank: int,
) -> None:
    is_there = given is not None and None not in size_hw and given[-2:] == size_hw
    convention = "align_corners" if ending.align_corners else "half_pixel"
    if rank == 3:
        maker.add_channel()
    if ending.kind == "labels":
        if not is_there:
            maker.add("Cast", "as_float", to=TensorProto.FLOAT)
            # The pixel whose area a target's centre lies in, as Pillow has it.
            nearest = {"mode": "nearest", "nearest_mode": "round_prefer_ceil"}
            maker.resize(image, size_hw, coordinate_transformation_mode="half_pixel", **nearest)
        maker.drop_channel()
        maker.add("Cast", "cast", to=_TYPES[ending.dtype])
        return
    if not is_there:
        maker.resize(image, size_hw, coordinate_transformation_mode=convention, mode="linear")
    if ending.kind == "argmax":
        maker.add("ArgMax", "argmax", axis=1, keepdims=0)
        maker.add("Cast", "cast", to=_TYPES[ending.dtype])
    elif ending.kind == "above":
        limits = np.array(ending.limits, np.float32).reshape(1, -1, 1, 1)
        maker.add("Greater", "above", maker.constant("limits", limits))
        maker.add("Cast", "cast", to=_TYPES[ending.dtype])
        if ending.drops_channel:
            maker.drop_channel()
    elif ending.kind == "numbers":
        if ending.scale != 1:
            maker.add("Mul", "scaled", maker.constant("scale", np.float32(ending.scale)))
        if ending.low is not None:
            maker.add("Max", "floor", maker.constant("low", np.float32(ending.low)))
        if ending.high is not None:
            maker.add("Min", "ceiling", maker.constant("high", np.float32(ending.high)))
        maker.drop_channel()
    elif ending.limits:
        maker.add("Sub", "beyond", maker.constant("limit", np.float32(ending.limits[0])))
        opposite = maker.node("Neg", [maker.current], "opposite")
        maker.current = maker.node("Concat", [opposite, maker.current], "two", axis=1)
    else:
        maker.add("Identity", "planes")
