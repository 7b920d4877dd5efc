"""Bounds what an ONNX graph asks for, from the file alone, before a checker or an engine follows it.

A few kilobytes can ask for more than a machine has: functions that call the next one twice, thirty in a row; a loop of
2^62 turns; a constant of a shape that fills the memory. Such a file is refused here, in linear time, by name. What
depends on values is left to the limits of the process.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from densecast.errors import BadGraphError

# Published networks have up to ten thousand operators, and none of their loops comes near a million steps.
MAX_STEPS = 1_000_000
MAX_DEPTH = 32
# Of what an operator makes out of a few numbers, as position grids; or of four times the file.
MAX_MADE_BYTES = 512 << 20
_MAX_CONSTANT = 64
# Elements of one tensor; of an input, 1,000 pictures of 2,000 x 2,000 pixels are fewer.
_MAX_ELEMENTS = 1 << 40
_MAX_INPUT_ELEMENTS = 1 << 34
# Numbers that a size may come from: float32, int8/16/32/64 and their unsigned kin, bool, float16, float64.
_WIDTHS = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 14: 8, 15: 16, 16: 2}
_BY_SHAPE_ATTRIBUTE = ("RandomNormal", "RandomUniform")

Constants = Mapping[str, "list[float]"]
Key = tuple[str, str]


def check(model: Any, where: str) -> None:
    """Check types and sizes of all tensors, and bound steps, depth and constant sizes of a parsed model.

    Raises:
        BadGraphError: says which node or tensor asks for too much.
    """
    allowed = max(MAX_MADE_BYTES, 4 * model.ByteSize())
    functions = {(each.domain, each.name): each for each in model.functions}
    for function in functions.values():
        _check_nodes(function.node, {}, where, allowed, 1)
    _check_inputs(model, where)
    _check_graph(model.graph, {}, where, allowed, 1)
    costs = _function_costs(functions, where)
    if _cost(model.graph.node, costs, _initial(model.graph)) > MAX_STEPS:
        raise BadGraphError(
            f"{where} takes more than {MAX_STEPS} steps, counting the calls of its functions and the turns of its "
            "loops; networks take some thousand."
        )


def pixels(model: Any) -> int:
    """The elements of the largest declared input, as pixels of three channels; open sizes count as in a trial run."""
    return max((math.prod(sizes) for _, sizes in _declared_inputs(model)), default=0) // 3


def _declared_inputs(model: Any) -> Iterator[tuple[str, list[int]]]:
    """Name and sizes of each input; open sizes, which some exporters write as -1, are those of a trial run."""
    from densecast.verbs.export import onnx_file

    trial = (1, 3, 320, 320)
    for value in onnx_file.graph_inputs(model):
        dims = value.type.tensor_type.shape.dim
        open_sizes = (*trial, *(1 for _ in dims[len(trial) :]))
        yield (
            value.name,
            [dim.dim_value if dim.dim_value > 0 else size for dim, size in zip(dims, open_sizes, strict=False)],
        )


def _check_inputs(model: Any, where: str) -> None:
    for name, sizes in _declared_inputs(model):
        if math.prod(sizes) > _MAX_INPUT_ELEMENTS:
            raise BadGraphError(f"{where}: input {name!r} has sizes that no image has, {sizes[:8]}.")


def _check_graph(graph: Any, outer: Constants, where: str, allowed: int, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BadGraphError(f"{where} nests graphs more than {MAX_DEPTH} deep.")
    for tensor in graph.initializer:
        _check_tensor(tensor, where, allowed)
    for value in (*graph.input, *graph.output, *graph.value_info):
        kind = value.type.tensor_type.elem_type
        if value.type.HasField("tensor_type") and kind and kind not in _known_types():
            raise BadGraphError(f"{where}: {value.name!r} has an unknown type of numbers, {kind}.")
    own = {tensor.name: numbers for tensor in graph.initializer if (numbers := _numbers(tensor)) is not None}
    _check_nodes(graph.node, {**outer, **own}, where, allowed, depth)


def _check_nodes(nodes: Sequence[Any], outer: Constants, where: str, allowed: int, depth: int) -> None:
    known = dict(outer)
    for node in nodes:
        for attribute in node.attribute:
            for tensor in (*([attribute.t] if attribute.HasField("t") else ()), *attribute.tensors):
                _check_tensor(tensor, where, allowed)
            for graph in _graphs(attribute):
                _check_graph(graph, known, where, allowed, depth + 1)
        if node.op_type == "Constant" and node.output and (numbers := _constant(node)) is not None:
            known[node.output[0]] = numbers
        made = _made_bytes(node, known)
        if made > allowed:
            raise BadGraphError(
                f"{where}: node {_title(node)} makes a tensor of "
                f"{made / 2**30:.3g} GiB out of a few numbers; at most {allowed / 2**30:.3g} GiB are taken."
            )


def _title(node: Any) -> str:
    return f"{node.name or ''.join(node.output[:1])!r} ({node.op_type})"


def _check_tensor(tensor: Any, where: str, allowed: int) -> None:
    if tensor.data_type not in _known_types():
        raise BadGraphError(f"{where}: {tensor.name!r} has an unknown type of numbers, {tensor.data_type}.")
    if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > _MAX_ELEMENTS:
        raise BadGraphError(f"{where}: {tensor.name!r} has sizes that no tensor has, {list(tensor.dims)[:8]}.")


def _known_types() -> frozenset[int]:
    import onnx

    return frozenset(onnx.TensorProto.DataType.values()) - {0}


def _graphs(attribute: Any) -> Iterator[Any]:
    if attribute.HasField("g"):
        yield attribute.g
    yield from attribute.graphs


def _function_costs(functions: Mapping[Key, Any], where: str) -> dict[Key, int]:
    """The steps of one call of each function; callees first, without recursion however long the chain is."""
    calls = {key: [each for each in _called(function.node) if each in functions] for key, function in functions.items()}
    callers: dict[Key, list[Key]] = {key: [] for key in functions}
    for key, called in calls.items():
        for each in called:
            callers[each].append(key)
    waiting = {key: len(called) for key, called in calls.items()}
    ready = [key for key, count in waiting.items() if count == 0]
    costs: dict[Key, int] = {}
    while ready:
        key = ready.pop()
        costs[key] = min(_cost(functions[key].node, costs, {}), MAX_STEPS + 1)
        for caller in callers[key]:
            waiting[caller] -= 1
            if waiting[caller] == 0:
                ready.append(caller)
    if len(costs) < len(functions):
        name = next(key[1] for key in functions if key not in costs)
        raise BadGraphError(f"{where}: function {name!r} calls itself, directly or through others.")
    return costs


def _called(nodes: Iterable[Any]) -> Iterator[Key]:
    for node in nodes:
        yield (node.domain, node.op_type)
        for attribute in node.attribute:
            for graph in _graphs(attribute):
                yield from _called(graph.node)


def _cost(nodes: Iterable[Any], costs: Mapping[Key, int], outer: Constants) -> int:
    """The steps of nodes: a call takes those of its function, a loop of known turns those of its body so often."""
    known, total = dict(outer), 0
    for node in nodes:
        if node.op_type == "Constant" and node.output and (numbers := _constant(node)) is not None:
            known[node.output[0]] = numbers
        inside = sum(
            _cost(graph.node, costs, {**known, **_initial(graph)})
            for attribute in node.attribute
            for graph in _graphs(attribute)
        )
        turns = 1
        if node.op_type == "Loop" and node.input:
            turns = max(1, int((known.get(node.input[0]) or [1])[0]))
        total += costs.get((node.domain, node.op_type), 1) + turns * inside
        if node.op_type == "Loop":
            total += turns
        if total > MAX_STEPS:
            return total
    return total


def _initial(graph: Any) -> dict[str, list[float]]:
    return {tensor.name: numbers for tensor in graph.initializer if (numbers := _numbers(tensor)) is not None}


def _constant(node: Any) -> list[float] | None:
    for attribute in node.attribute:
        if attribute.name == "value":
            return _numbers(attribute.t)
        if attribute.name in ("value_int", "value_float"):
            return [attribute.i if attribute.name == "value_int" else attribute.f]
        if attribute.name in ("value_ints", "value_floats"):
            return list(attribute.ints or attribute.floats)[:_MAX_CONSTANT]
    return None


def _numbers(tensor: Any) -> list[float] | None:
    """The values of a small tensor of whole numbers or floats; None of others."""
    from onnx import TensorProto, numpy_helper

    if tensor.data_type not in (TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT, TensorProto.DOUBLE):
        return None
    if math.prod(tensor.dims) > _MAX_CONSTANT or tensor.data_location == TensorProto.EXTERNAL:
        return None
    try:
        return [float(value) if value != int(value) else int(value) for value in numpy_helper.to_array(tensor).ravel()]
    except (ValueError, TypeError, OverflowError):
        return None


def _made_bytes(node: Any, known: Constants) -> int:
    """The bytes that a node makes out of constant numbers; 0 where they are not constant, or it makes nothing large."""
    inputs = [known.get(name) for name in node.input]
    if node.op_type == "ConstantOfShape" and inputs and inputs[0] is not None:
        width = next((_WIDTHS.get(each.t.data_type, 4) for each in node.attribute if each.name == "value"), 4)
        return _product(inputs[0]) * width
    if node.op_type in ("Expand", "Tile") and len(inputs) > 1 and inputs[1] is not None:
        return _product(inputs[1]) * 4
    if node.op_type == "Range" and len(inputs) == 3 and all(inputs):
        start, limit, delta = (each[0] for each in inputs if each)
        return 8 * max(0, math.ceil((limit - start) / delta)) if delta else 0
    if node.op_type in ("Pad", "Resize", "Upsample") and len(inputs) > 1:
        # Pads are added to sizes, scales multiply them; whatever the tensor is, it has at least one element.
        numbers = inputs[-1] if node.op_type != "Pad" else inputs[1]
        if numbers is None or node.op_type == "Pad":
            return 4 * int(max((abs(each) for each in numbers or ()), default=0))
        return _product([max(1, each) for each in numbers]) * 4
    if node.op_type in _BY_SHAPE_ATTRIBUTE:
        return next((_product(each.ints) for each in node.attribute if each.name == "shape"), 0) * 4
    return 0


def _product(sizes: Iterable[float]) -> int:
    return math.prod(int(size) for size in sizes if size > 0)
