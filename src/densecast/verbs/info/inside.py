"""The part of `info` in the confined process: reads a foreign file, and replies with plain data."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

from densecast.results.info import ModelInfo, TensorText
from densecast.verbs.info import files_info

_MOST_LISTED = 12


def onnx(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """An ONNX file: tensors, layers, what it says of itself."""
    from densecast.verbs.export import onnx_file

    model = onnx_file.read(Path(job["path"]))
    inputs = onnx_file.graph_inputs(model)
    opsets = ", ".join(f"{each.domain or 'ai.onnx'} {each.version}" for each in model.opset_import)
    origin = {"opset": opsets, "producer": f"{model.producer_name} {model.producer_version}".strip()}
    if model.metadata_props:
        origin["metadata"] = ", ".join(each.key for each in model.metadata_props)
    known = ModelInfo(
        "",
        "",
        inputs=files_info.texts_of(inputs),
        outputs=files_info.texts_of(model.graph.output),
        origin={name: text for name, text in origin.items() if text},
        notes=_operators(Counter(node.op_type for node in model.graph.node)),
    )
    size_hw = tuple(job["size_hw"]) if job["size_hw"] else None
    return _plain(files_info.with_layers(known, model, files_info.tensors_of(inputs), size_hw))


def torchscript(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A TorchScript file: its parameters; layers are known once it is exported."""
    from densecast.verbs.export import onnx_file

    state = onnx_file.load_torchscript(Path(job["path"])).state_dict()
    return _plain(_of_state(state, ()))


def program(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A torch.export file: its inputs and parameters; layers are known once it is exported."""
    from densecast.verbs.export import torch_file

    loaded = torch_file.load_program(Path(job["path"]))
    wanted = set(loaded.graph_signature.user_inputs)
    inputs = tuple(
        TensorText(
            node.name, str(node.meta["val"].dtype).removeprefix("torch."), tuple(map(_size, node.meta["val"].shape))
        )
        for node in loaded.graph.nodes
        if node.op == "placeholder" and node.name in wanted
    )
    return _plain(_of_state(loaded.state_dict, inputs))


def tensorflow(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A frozen graph: its placeholders, constants and operators."""
    import tensorflow as tf

    from densecast.errors import BadGraphError

    path = Path(job["path"])
    if not path.name.endswith(".pb"):
        raise BadGraphError(f"info reads frozen graphs (.pb); export {path.name} first, and ask about the artifact.")
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf raises its own kinds
        raise BadGraphError(f"{path} is no frozen graph ({error}).") from None
    inputs = tuple(
        TensorText(
            node.name,
            tf.dtypes.as_dtype(node.attr["dtype"].type).name,
            tuple("?" if each.size < 0 else each.size for each in node.attr["shape"].shape.dim),
        )
        for node in graph.node
        if node.op == "Placeholder"
    )
    constants = [node.attr["value"].tensor for node in graph.node if node.op == "Const"]
    floats = [each for each in constants if tf.dtypes.as_dtype(each.dtype).is_floating]
    return _plain(
        ModelInfo(
            "",
            "",
            inputs=inputs,
            parameters=sum(math.prod(dim.size for dim in each.tensor_shape.dim) for each in floats),
            notes=(*_operators(Counter(node.op for node in graph.node)), _EXPORT_FIRST),
        )
    )


_EXPORT_FIRST = "layers and multiplications are known once it is exported"


def _of_state(state: dict[str, Any], inputs: tuple[TensorText, ...]) -> ModelInfo:
    kinds = Counter(str(each.dtype).removeprefix("torch.") for each in state.values())
    count = sum(each.numel() for name, each in state.items() if not name.endswith("num_batches_tracked"))
    origin = {"number types": ", ".join(f"{number} {name}" for name, number in kinds.most_common())} if kinds else {}
    return ModelInfo("", "", inputs=inputs, parameters=count, origin=origin, notes=(_EXPORT_FIRST,))


def _operators(counts: Counter[str]) -> tuple[str, ...]:
    listed = ", ".join(f"{count} {name}" for name, count in counts.most_common(_MOST_LISTED))
    more = " …" if len(counts) > _MOST_LISTED else ""
    return (f"{counts.total()} operators: {listed}{more}",)


def _size(size: Any) -> int | str:
    return size if isinstance(size, int) else str(size)


def _plain(found: ModelInfo) -> dict[str, Any]:
    plain = found.plain()
    plain.pop("format")
    return plain
