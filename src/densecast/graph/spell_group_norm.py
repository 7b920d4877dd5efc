"""Writes GroupNormalization by operators that every opset, tool and pass knows.

ONNX infers no shapes behind it, so that nothing after it could be given fixed sizes; opset 18 had it with a scale for
each group, which ONNX has withdrawn since and its checker refuses. As InstanceNormalization of groups, which is the
same, it is what PyTorch's exporter writes for older opsets, and engines know that form as one operator again.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from densecast.graph import _tensors
from densecast.graph._base import PassResult

_NAME = "GroupNormalization"
# In this opset each channel got a scale; before it was each group.
_BY_CHANNEL = 21
_IMAGE_RANK = 4
_EPSILON = 1e-5


def apply(model: onnx.ModelProto) -> PassResult:
    """Replace each GroupNormalization by Reshape, InstanceNormalization, Reshape, Mul and Add."""
    if not any(_is_meant(node) for graph in _tensors.graphs(model.graph) for node in graph.node):
        return PassResult(model, False, f"the graph has no {_NAME}")
    changed = copy.deepcopy(model)
    opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)
    known = _known(model)
    count = sum(_spell(graph, opset, known) for graph in _tensors.graphs(changed.graph))
    if not count:
        return PassResult(model, False, f"of no {_NAME} the number of groups and channels is known")
    return PassResult(changed, True, f"{count} {_NAME} written as normalisations of groups by older operators")


def _is_meant(node: onnx.NodeProto) -> bool:
    return node.op_type == _NAME and node.domain in ("", "ai.onnx")


def _known(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """What can be inferred of tensors, where the operator gives what it takes: the same type and shape."""
    plain = copy.deepcopy(model)
    for node in plain.graph.node:
        if _is_meant(node):
            node.op_type = "Identity"
            del node.input[1:]
            del node.attribute[:]
    try:
        graph = onnx.shape_inference.infer_shapes(plain).graph
    except (onnx.shape_inference.InferenceError, ValueError):
        graph = plain.graph
    return {value.name: value for value in (*graph.input, *graph.output, *graph.value_info)}


def _spell(graph: onnx.GraphProto, opset: int, known: Mapping[str, onnx.ValueInfoProto]) -> int:
    """Replace the operators of one graph, in place; returns how many there were."""
    constants = _tensors.constants(graph)
    nodes: list[onnx.NodeProto] = []
    added: list[onnx.TensorProto] = []
    done = 0
    for node in graph.node:
        new = _spelled(node, opset, constants, known) if _is_meant(node) else None
        if new is None:
            nodes.append(node)
            continue
        nodes.extend(new[0])
        added.extend(new[1])
        done += 1
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(added)
    return done


def _spelled(
    node: onnx.NodeProto,
    opset: int,
    constants: Mapping[str, np.ndarray],
    known: Mapping[str, onnx.ValueInfoProto],
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]] | None:
    """The nodes and constants in its place; None where its scale has no known size."""
    source, scale, bias = node.input
    groups = int(_tensors.attribute(node, "num_groups", 0))
    if groups < 1 or scale not in constants:
        return None
    value = known.get(source)
    shape = _tensors.shape(value) if value is not None else None
    rank = len(shape) if shape is not None else _IMAGE_RANK
    stem = f"{node.output[0]}_by_groups"
    grouped, normal, back, scaled, size = (f"{stem}_{what}" for what in ("in", "normal", "back", "scaled", "size"))
    by_group, by_channel = f"{stem}_shape", f"{stem}_channels"
    epsilon = float(_tensors.attribute(node, "epsilon", _EPSILON))
    new = [
        helper.make_node("Shape", [source], [size], name=size),
        helper.make_node("Reshape", [source, by_group], [grouped], name=grouped),
    ]
    added = [numpy_helper.from_array(np.array([0, groups, -1]), by_group)]
    if opset < _BY_CHANNEL:
        # One number for each group, which is what the other operator takes for each of its planes.
        inside, out = (scale, bias), node.output[0]
    else:
        ones, zeros = f"{stem}_ones", f"{stem}_zeros"
        kind = constants[scale].dtype
        added += [
            numpy_helper.from_array(np.ones(groups, kind), ones),
            numpy_helper.from_array(np.zeros(groups, kind), zeros),
            numpy_helper.from_array(np.array([constants[scale].size, *(1 for _ in range(rank - 2))]), by_channel),
        ]
        inside, out = (ones, zeros), back
    new += [
        helper.make_node("InstanceNormalization", [grouped, *inside], [normal], name=normal, epsilon=epsilon),
        helper.make_node("Reshape", [normal, size], [out], name=back),
    ]
    if opset >= _BY_CHANNEL:
        factors, terms = f"{stem}_factors", f"{stem}_terms"
        new += [
            helper.make_node("Reshape", [scale, by_channel], [factors], name=factors),
            helper.make_node("Reshape", [bias, by_channel], [terms], name=terms),
            helper.make_node("Mul", [back, factors], [scaled], name=scaled),
            helper.make_node("Add", [scaled, terms], [node.output[0]], name=node.name or stem),
        ]
    return new, added
