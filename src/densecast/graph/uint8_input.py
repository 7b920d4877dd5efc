"""Move normalisation into the graph: uint8 input, `(x / divisor - mean) / std` as the first nodes.

    image: uint8 [N, 3, H, W] -> Cast float32 (-> Div divisor) -> Sub mean -> Div std -> the network

A quarter of the bytes cross into the engine, and a program in another language needs no normalisation of its
own. Exact: the same float32 operations as `kernels.normalise`.
"""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from densecast.graph._base import PassResult
from densecast.spec.preprocess import Preprocess


def apply(model: onnx.ModelProto, preprocess: Preprocess) -> PassResult:
    """Make the graph's only input uint8 instead of normalised floats."""
    if len(model.graph.input) != 1:
        return PassResult(model, False, f"the graph has {len(model.graph.input)} inputs; one is needed")
    if model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8:
        return PassResult(model, False, "the input already is uint8")
    changed = copy.deepcopy(model)
    graph = changed.graph
    name = graph.input[0].name
    normalised = f"{name}_normalised"
    for node in graph.node:
        node.input[:] = [normalised if tensor == name else tensor for tensor in node.input]
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    channels = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    preprocess = preprocess.for_channels(channels) if channels else preprocess
    for suffix, values in (("mean", preprocess.mean), ("std", preprocess.std)):
        array = np.asarray(values, dtype=np.float32).reshape(1, -1, 1, 1)
        graph.initializer.append(numpy_helper.from_array(array, f"{name}_{suffix}"))
    scaled = f"{name}_float"
    first = [helper.make_node("Cast", [name], [scaled], f"{name}_to_float", to=TensorProto.FLOAT)]
    if preprocess.divisor != 1:
        divisor = numpy_helper.from_array(np.float32(preprocess.divisor).reshape(1), f"{name}_divisor")
        graph.initializer.append(divisor)
        first.append(helper.make_node("Div", [scaled, divisor.name], [f"{name}_scaled"], f"{name}_over_divisor"))
        scaled = f"{name}_scaled"
    first += [
        helper.make_node("Sub", [scaled, f"{name}_mean"], [f"{name}_centred"], f"{name}_minus_mean"),
        helper.make_node("Div", [f"{name}_centred", f"{name}_std"], [normalised], f"{name}_over_std"),
    ]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*first, *rest])
    return PassResult(changed, True, f"{name} takes bytes; mean and std are inside")
