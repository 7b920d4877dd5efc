"""Move normalisation into the graph: bytes in, `(x - mean) / std` as the first two nodes.

    image: uint8 [N, 3, H, W] -> Cast float32 -> Sub mean -> Div std -> the network

A quarter of the bytes cross into the engine, and a program in another language needs no normalisation of its
own. Exact: the same float32 subtraction and division as `kernels.normalise`.
"""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from densecast.core.graph_pass import PassResult
from densecast.core.preprocess import Preprocess


def apply(model: onnx.ModelProto, preprocess: Preprocess) -> PassResult:
    """Give the graph's only input bytes instead of normalised floats."""
    if len(model.graph.input) != 1:
        return PassResult(model, False, f"the graph has {len(model.graph.input)} inputs; one is needed")
    if model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8:
        return PassResult(model, False, "the input already is uint8")
    changed = copy.deepcopy(model)
    graph = changed.graph
    name = graph.input[0].name
    normalised = f"{name}_normalised"
    for node in graph.node:
        node.input[:] = [normalised if wanted == name else wanted for wanted in node.input]
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    for suffix, values in (("mean", preprocess.mean), ("std", preprocess.std)):
        array = np.asarray(values, dtype=np.float32).reshape(1, 3, 1, 1)
        graph.initializer.append(numpy_helper.from_array(array, f"{name}_{suffix}"))
    first = [
        helper.make_node("Cast", [name], [f"{name}_float"], f"{name}_to_float", to=TensorProto.FLOAT),
        helper.make_node("Sub", [f"{name}_float", f"{name}_mean"], [f"{name}_centred"], f"{name}_minus_mean"),
        helper.make_node("Div", [f"{name}_centred", f"{name}_std"], [normalised], f"{name}_over_std"),
    ]
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*first, *rest])
    return PassResult(changed, True, f"{name} takes bytes; mean and std are inside")
