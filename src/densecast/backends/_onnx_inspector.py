"""Reads intermediate tensors of an ONNX graph by adding them as outputs and running ONNX Runtime."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from densecast.backends._inspection import (
    TensorPoint,
    Tensors,
    WeightType,
    layer_of,
    layer_of_weights,
    moved_as_stored,
    transposed_points,
    upright,
)
from densecast.errors import BadGraphError
from densecast.runtime import engine_words
from densecast.spec.tensor import Array

_WEIGHTED = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
_STEPPED = {*_WEIGHTED, "Add"}
_FLOATS = {1, 10, 16}  # float32, float16, bfloat16


class OnnxInspector:
    """A graph at one input shape."""

    def __init__(self, model: Any, feed_shape: Sequence[int], threads: int) -> None:
        """Prepare `model` (an `onnx.ModelProto`) for inputs of `feed_shape`.

        Raises:
            BadGraphError: the graph does not take that shape.
        """
        import onnx

        fixed = copy.deepcopy(model)
        nodes = list(_in_order(fixed.graph))
        del fixed.graph.node[:]
        fixed.graph.node.extend(nodes)
        for number, node in enumerate(fixed.graph.node):
            node.name = node.name or f"{node.op_type}_{number}"
        initialised = {tensor.name for tensor in fixed.graph.initializer}
        (value,) = (each for each in fixed.graph.input if each.name not in initialised)
        for dim, size in zip(value.type.tensor_type.shape.dim, feed_shape, strict=True):
            dim.Clear()
            dim.dim_value = size
        del fixed.graph.value_info[:]
        for output in fixed.graph.output:
            output.type.tensor_type.ClearField("shape")
        try:
            self._model = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            raise BadGraphError(f"the graph cannot take {list(feed_shape)} ({engine_words.reason(error)}).") from None
        self._is_stepped = False
        self._input, self._threads, self._shape = value.name, threads, tuple(feed_shape)
        points = list(_points(self._model, self._input))
        output_name = self._model.graph.output[0].name
        self._points = tuple(sorted(points, key=lambda point: point.name == output_name))  # stable: the output last
        self._transposed = transposed_points(self._points)

    @property
    def points(self) -> tuple[TensorPoint, ...]:
        """Tensors in the graph's own order."""
        return self._points

    def run(self, feed: Array, names: Sequence[str]) -> Tensors:
        """Run the graph once with `names` as additional outputs."""
        import onnx
        import onnxruntime

        # Half a graph's outputs may be inner tensors; their types are the inferred ones.
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        known = {value.name: value for value in (*model.graph.value_info, *model.graph.output)}
        extra_outputs = [known[name] for name in names]
        del model.graph.output[:]
        model.graph.output.extend(extra_outputs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False  # every run is another graph: nothing is worth keeping
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if self._is_stepped and feed.dtype == np.float32:
            # An image's values lie on 256 levels already: stepping over its own range would find just these again.
            values = np.asarray(feed, dtype=np.float32)
            step = float(np.ptp(values)) / 255
            noise = np.random.default_rng(0).uniform(-0.5, 0.5, values.shape)
            feed = np.asarray(values + step * noise, dtype=np.float32)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        arrays = session.run(list(names), {self._input: feed})
        tensors = {name: np.asarray(array, dtype=np.float32) for name, array in zip(names, arrays, strict=True)}
        return upright(tensors, self._transposed)

    def rounded(self, kind: WeightType) -> OnnxInspector:
        """The graph with perturbed weights."""
        from onnx import numpy_helper

        moved = copy.copy(self)
        model = copy.deepcopy(self._model)
        weight_names = {name for node in model.graph.node if node.op_type in _WEIGHTED for name in node.input[1:]}
        for seed, tensor in enumerate(model.graph.initializer):
            if tensor.name in weight_names and tensor.data_type == 1 and len(tensor.dims) >= 2:
                array = moved_as_stored(numpy_helper.to_array(tensor), kind, seed)
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        moved._is_stepped = kind == "int8"
        moved._model = _stepped(model, {point.name for point in self._points}) if kind == "int8" else model
        return moved

    def weights(self) -> Tensors:
        """Initializers of convolutions and matrix products."""
        from onnx import numpy_helper

        initializers = {tensor.name: tensor for tensor in self._model.graph.initializer}
        weights = {}
        for node in self._model.graph.node:
            if node.op_type in _WEIGHTED and len(node.input) > 1 and node.input[1] in initializers:
                array = np.asarray(numpy_helper.to_array(initializers[node.input[1]]), dtype=np.float32)
                outputs_second = node.op_type in ("ConvTranspose", "MatMul")
                weights[node.name] = np.swapaxes(array, 0, 1) if outputs_second and array.ndim >= 2 else array
        return weights


def _stepped(model: Any, tensors: set[str]) -> Any:
    """The graph with 8-bit copies of all tensors that its arithmetic reads; the tensors keep their names and values."""
    from onnx import helper

    nodes, copied = [], set()
    for node in model.graph.node:
        if node.op_type in _STEPPED:
            for place, name in enumerate(node.input):
                if name not in tensors:
                    continue
                if name not in copied:
                    steps = [f"{name}/{part}" for part in ("steps", "scale", "zero")]
                    nodes.append(helper.make_node("DynamicQuantizeLinear", [name], steps))
                    nodes.append(helper.make_node("DequantizeLinear", steps, [f"{name}/stepped"]))
                    copied.add(name)
                node.input[place] = f"{name}/stepped"
        nodes.append(node)
    stepped = type(model)()
    stepped.CopyFrom(model)
    del stepped.graph.node[:]
    stepped.graph.node.extend(nodes)
    return stepped


def _points(model: Any, input_name: str) -> Iterator[TensorPoint]:
    """Floating-point tensors that depend on the input; shape arithmetic in between is skipped."""
    values = (*model.graph.value_info, *model.graph.output)
    types = {value.name: value.type.tensor_type for value in values}
    constants = {tensor.name for tensor in model.graph.initializer}
    reach: dict[str, tuple[str, ...]] = {input_name: (input_name,)}
    for node in model.graph.node:
        sources = tuple(dict.fromkeys(name for each in node.input for name in reach.get(each, ())))
        if not sources:
            continue
        for output in node.output:
            kind = types.get(output)
            if kind is None or kind.elem_type not in _FLOATS:
                # Sizes of a tensor are not its values: what is computed from them does not depend on the input.
                if node.op_type not in ("Shape", "Size"):
                    reach[output] = sources
                continue
            reach[output] = (output,)
            weights = tuple(name for name in node.input if name in constants)
            sizes = [dim.dim_value for dim in kind.shape.dim]
            layer = layer_of(node.name) or layer_of_weights(weights)
            yield TensorPoint(
                output, node.name, node.op_type, layer, sources, weights, int(np.prod(sizes)) if sizes else 0
            )


def _in_order(graph: Any) -> Iterator[Any]:
    """The nodes in topological order: some converters append nodes out of order."""
    made = {name for node in graph.node for name in node.output}
    waiting = list(graph.node)
    while waiting:
        late = []
        for node in waiting:
            if made.isdisjoint(node.input):
                made.difference_update(node.output)
                yield node
            else:
                late.append(node)
        if len(late) == len(waiting):
            raise BadGraphError("the graph's nodes depend on each other in a circle.")
        waiting = late
