"""Convert a graph to ONNX opset 11, which the vendors' compilers of the reference deployments read.

Most of what dense networks are made of means the same in opsets 11 and 17 for floats: there the graph only says
another number. Where an attribute became an input in between (opset 13: Squeeze, Unsqueeze, Split, ReduceSum), a
constant input becomes the attribute again; Resize gets the empty inputs that opset 11 did not allow to be left out.
"""

from __future__ import annotations

import copy

import numpy as np
import onnx
from onnx import helper, numpy_helper

from densecast.errors import BadGraphError
from densecast.graph._base import PassResult
from densecast.runtime import engine_words

OPSET = 11
_IR_VERSION = 6  # of ONNX 1.6, which brought opset 11
_BECAME_INPUT = {"Squeeze": "axes", "Unsqueeze": "axes", "ReduceSum": "axes", "Split": "split"}
_NOTHING = "opset_11_nothing"


def apply(model: onnx.ModelProto) -> PassResult:
    """Convert the graph to opset 11.

    Raises:
        BadGraphError: an operator that has no equal there.
    """
    before = _version(model)
    if before <= OPSET:
        return PassResult(model, False, f"the graph already is in opset {before}")
    changed = copy.deepcopy(model)
    graph = changed.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants.update({node.output[0]: _value(node) for node in graph.node if _is_constant(node)})
    ranks = _ranks(model)
    for node in graph.node:
        if node.op_type in _BECAME_INPUT and len(node.input) > 1 and node.input[1]:
            _to_attribute(node, constants)
        elif node.op_type == "Resize":
            node.input[:] = [name or _NOTHING for name in (*node.input, "", "")[: max(3, len(node.input))]]
        elif node.op_type in ("Softmax", "LogSoftmax"):
            _check_softmax(node, ranks)
    if any(_NOTHING in node.input for node in graph.node):
        graph.initializer.append(numpy_helper.from_array(np.empty(0, np.float32), _NOTHING))
    used = {name for node in graph.node for name in node.input}
    used_initializers = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(used_initializers)
    del changed.opset_import[:]
    changed.opset_import.extend([helper.make_opsetid("", OPSET)])
    changed.ir_version = _IR_VERSION
    try:
        onnx.checker.check_model(changed, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BadGraphError(f"the graph has no form in opset {OPSET} ({engine_words.reason(error)}).") from None
    return PassResult(changed, True, f"opset {before} written as {OPSET}")


def _version(model: onnx.ModelProto) -> int:
    domains = {each.domain: int(each.version) for each in model.opset_import}
    foreign = sorted({node.domain for node in model.graph.node} - {"", "ai.onnx"})
    if foreign:
        raise BadGraphError(f"the graph has operators of {', '.join(foreign)}, which no vendor's compiler reads.")
    return domains.get("", domains.get("ai.onnx", OPSET))


def _is_constant(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant" and any(each.name == "value" for each in node.attribute)


def _value(node: onnx.NodeProto) -> onnx.TensorProto:
    tensor: onnx.TensorProto = next(each.t for each in node.attribute if each.name == "value")
    return tensor


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values}


def _to_attribute(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> None:
    if node.input[1] not in constants:
        raise BadGraphError(f"{node.op_type} {node.name!r} computes its axes; opset {OPSET} wants them constant.")
    numbers = numpy_helper.to_array(constants[node.input[1]]).tolist()
    del node.input[1:]
    node.attribute.append(helper.make_attribute(_BECAME_INPUT[node.op_type], numbers))


def _check_softmax(node: onnx.NodeProto, ranks: dict[str, int]) -> None:
    """Check a Softmax: up to opset 12 it flattens all axes from `axis` on, which is the same only along the last."""
    axis = next((each.i for each in node.attribute if each.name == "axis"), None)
    rank = ranks.get(node.input[0])
    last = axis in (None, -1) or (rank is not None and axis == rank - 1)
    if not last or rank is None:
        raise BadGraphError(f"{node.op_type} {node.name!r} is along axis {axis}; opset {OPSET} has the last one only.")
    if axis != rank - 1:
        attributes = [each for each in node.attribute if each.name != "axis"]
        del node.attribute[:]
        node.attribute.extend([*attributes, helper.make_attribute("axis", rank - 1)])
