"""Graph queries: producers, constants, shapes, renaming, and removal of unused nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy.typing as npt
import onnx
from onnx import numpy_helper


def inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The graph's inputs, without initializers."""
    initialised = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in initialised]


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """The node that produces each tensor."""
    return {name: node for node in graph.node for name in node.output if name}


def reader_counts(graph: onnx.GraphProto) -> dict[str, int]:
    """How often each tensor is read; being an output of the graph counts as once."""
    counts = {value.name: 1 for value in graph.output}
    for node in graph.node:
        for name in node.input:
            counts[name] = counts.get(name, 0) + 1
    return counts


def constants(graph: onnx.GraphProto) -> dict[str, npt.NDArray[Any]]:
    """Values of initializers and Constant nodes, by name."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                values[node.output[0]] = numpy_helper.to_array(attribute.t)
    return values


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """An attribute's value; strings are decoded."""
    for each in node.attribute:
        if each.name == name:
            value = onnx.helper.get_attribute_value(each)
            return value.decode() if isinstance(value, bytes) else value
    return default


def shape(value: onnx.ValueInfoProto) -> tuple[int | None, ...] | None:
    """A tensor's sizes, None for dynamic ones; None if the rank is unknown."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)


def unused(graph: onnx.GraphProto, base: str) -> str:
    """A tensor name that the graph does not have yet: `base`, numbered if it is taken."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {tensor.name for tensor in graph.initializer} | {value.name for value in (*graph.input, *graph.output)}
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a tensor, in place, wherever it is produced or read, in branches and loops too."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
        for each in node.attribute:
            for inner in (*([each.g] if each.type == onnx.AttributeProto.GRAPH else ()), *each.graphs):
                rename(inner, old, new)
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.name == old:
            value.name = new


def drop_unneeded(graph: onnx.GraphProto) -> None:
    """Remove, in place, the nodes, initializers and shapes that no output depends on; inputs stay."""
    needed = {value.name for value in graph.output}
    needed_nodes = []
    # Nodes are sorted: whoever reads a tensor comes after who makes it.
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed_nodes.append(node)
            needed.update(name for name in node.input if name)
            needed.update(_read_inside(node))
    nodes = list(reversed(needed_nodes))
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    made = {name for node in nodes for name in node.output}
    known = [value for value in graph.value_info if value.name in made]
    for field, values in ((graph.node, nodes), (graph.initializer, weights), (graph.value_info, known)):
        del field[:]
        field.extend(values)


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The bodies of branches and loops, and then the graph itself."""
    for node in graph.node:
        for each in node.attribute:
            if each.type == onnx.AttributeProto.GRAPH:
                yield from graphs(each.g)
    yield graph


def sort(graph: onnx.GraphProto) -> None:
    """Bring the nodes, in place, into an order in which each follows those that it reads; else they stay as they are.

    ONNX asks for such an order, and engines take any.
    """
    if not is_sorted(graph):
        nodes = [onnx.NodeProto.FromString(graph.node[place].SerializeToString()) for place in _order(graph)]
        del graph.node[:]
        graph.node.extend(nodes)


def is_sorted(graph: onnx.GraphProto) -> bool:
    """Whether each node follows those that it reads."""
    return list(_order(graph)) == list(range(len(graph.node)))


def _order(graph: onnx.GraphProto) -> dict[int, None]:
    """The places of nodes, each after those of what it reads; of a circle one comes too early."""
    makers = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    done: dict[int, None] = {}
    for first in range(len(graph.node)):
        path = dict.fromkeys([first])
        while path:
            place = next(reversed(path))
            node = graph.node[place]
            read = (makers.get(name) for name in (*node.input, *_read_inside(node)))
            before = next((each for each in read if each is not None and each not in done and each not in path), None)
            if before is not None:
                path[before] = None
            else:
                done[place] = None
                del path[place]
    return done


def _read_inside(node: onnx.NodeProto) -> set[str]:
    """Names that the subgraphs of If, Loop and Scan read, including harmless local ones."""
    names: set[str] = set()
    for each in node.attribute:
        if each.type == onnx.AttributeProto.GRAPH:
            for inner in each.g.node:
                names.update(name for name in inner.input if name)
                names |= _read_inside(inner)
            names.update(value.name for value in each.g.output)
    return names
