"""What files say of the networks in them: ONNX, TorchScript, torch.export, TensorFlow, weights, Hugging Face folders.

Foreign files are read in a confined process, and nothing in them is run but constant arithmetic.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from densecast.errors import BadCheckpointError, BadGraphError, BadShapeError, MissingFileError, UsageError
from densecast.graph import _layers as graph_layers
from densecast.io import codec, files
from densecast.results.info import ModelInfo, TensorText
from densecast.runtime import cell
from densecast.spec.layer import Layer, total_macs
from densecast.spec.tensor import Dim, TensorSpec
from densecast.verbs.export import checkpoint as checkpoints
from densecast.verbs.export import foreign, hf_folder, sources, tensorflow_source

_SIDE = 512
_LARGEST_SIDE = 65536
_HEADER_BYTES = 100 << 20
_INSIDE = "densecast.verbs.info.inside"
_LIBRARIES = {
    "onnx": ("onnx", "onnxruntime", "densecast.verbs.export.preload"),
    "torchscript": ("onnx", "onnxruntime", "torch", "densecast.verbs.export.preload"),
    "program": ("onnx", "onnxruntime", "torch", "densecast.verbs.export.preload"),
    "tensorflow": ("tensorflow", "tf2onnx", "onnx", "onnxruntime", "densecast.verbs.export.preload"),
}
_KINDS = {
    "onnx": "ONNX file",
    "torchscript": "TorchScript file",
    "program": "torch.export file",
    "tensorflow": "TensorFlow graph",
}


def of_file(path: Path, size_hw: tuple[int, int] | None) -> ModelInfo:
    """What a file or folder says of itself.

    Raises:
        MissingFileError, BadGraphError, BadCheckpointError, MissingExtraError: see `info`.
        UsageError: a size, of which nothing depends here.
    """
    if not path.exists():
        raise MissingFileError.at(path)
    if path.suffix == ".safetensors":
        _refuse_size(size_hw, "weights")
        return _of_tensors(path, "weights", _safetensors(path))
    kind = sources.kind_of(path)
    if kind in ("torchscript", "program") and not tensorflow_source.is_tensorflow(path):
        checkpoints.require_torch(f"reading {path.name}")
    if kind == "huggingface":
        _refuse_size(size_hw, "a Hugging Face folder")
        return _of_hugging_face(path)
    if kind == "openmmlab" or (kind == "torchscript" and sources.holds_weights(path)):
        _refuse_size(size_hw, "weights")
        return _of_checkpoint(path)
    if kind not in _KINDS:
        raise BadGraphError(f"info knows no layers of {path}: export it first, and ask about the artifact.")
    if kind != "onnx":
        _refuse_size(size_hw, f"a {_KINDS[kind]}")
    if kind == "tensorflow":
        tensorflow_source.require_tensorflow()
    size = sum(each.stat().st_size for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file())
    with tempfile.TemporaryDirectory(prefix="densecast-") as scratch:
        plain = cell.run_in_cell(
            f"{_INSIDE}:{kind}",
            {"path": str(path.absolute()), "size_hw": size_hw},
            files.real(Path(scratch)),
            subject=str(path),
            bounds=cell.limits(size, _SIDE * _SIDE),
            readable=foreign.readable(files.real(path)),
            libraries=_LIBRARIES[kind],
        )
    found = replace(codec.from_plain(plain, ModelInfo, str(path)), path=str(path), kind=_KINDS[kind], size_bytes=size)
    facts = foreign.facts(path) if kind == "onnx" else None
    return replace(found, labels=facts.labels, task=facts.task) if facts else found


def with_layers(
    known: ModelInfo, model: Any, inputs: Sequence[TensorSpec], size_hw: tuple[int, int] | None, *, side: int = _SIDE
) -> ModelInfo:
    """`known` with the layers of an ONNX graph, its multiplications for one image of a size.

    Raises:
        BadShapeError: the network does not take the size.
    """
    at = [graph_layers.shape_at(tensor, size_hw if place == 0 else None, side) for place, tensor in enumerate(inputs)]
    notes = known.notes
    try:
        model = graph_layers.fixed(
            model, tuple(replace(tensor, shape=shape) for tensor, shape in zip(inputs, at, strict=True))
        )
    except BadGraphError as error:
        at, notes = [], (*notes, f"its multiplications are not known: {error}")
    layers = graph_layers.layers_of(model)
    return replace(
        known,
        layers=layers,
        parameters=graph_layers.parameters(model),
        macs=total_macs(layers) if at else None,
        at_shape=at[0] if at else None,
        notes=notes,
    )


def tensors_of(values: Sequence[Any]) -> tuple[TensorSpec, ...]:
    """ONNX's declared inputs as specs, open sizes as ranges; sizes that nobody declares are left out.

    Raises:
        BadShapeError: sizes that no tensor has.
    """
    import onnx

    specs = []
    for value in values:
        tensor = value.type.tensor_type
        shape: list[int | Dim] = []
        for place, dim in enumerate(tensor.shape.dim):
            shape.append(dim.dim_value or Dim(dim.dim_param or f"size_{place}", 1, _LARGEST_SIDE))
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        try:
            specs.append(TensorSpec(value.name, dtype, tuple(shape)))
        except ValueError as error:
            raise BadShapeError(str(error)) from None
    return tuple(specs)


def texts_of(values: Sequence[Any]) -> tuple[TensorText, ...]:
    """ONNX's declared tensors, with the names of open sizes."""
    import onnx

    return tuple(
        TensorText(
            value.name,
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
            tuple(dim.dim_value or dim.dim_param or "?" for dim in value.type.tensor_type.shape.dim),
        )
        for value in values
    )


def _refuse_size(size_hw: tuple[int, int] | None, what: str) -> None:
    if size_hw is not None:
        raise UsageError(
            f"a size has no effect on {what}: export it first, and ask about the artifact.", field="size_hw"
        )


def _of_checkpoint(path: Path) -> ModelInfo:
    opened = checkpoints.open_checkpoint(path)
    tensors = {name: (tuple(each.shape), str(each.dtype).removeprefix("torch.")) for name, each in opened.state.items()}
    found = _of_tensors(path, "weights", tensors)
    origin = {"configuration": "in the file: densecast export reads it"} if opened.config is not None else {}
    return replace(found, labels=opened.labels or (), origin=origin, notes=(*opened.notes, *found.notes))


def _of_hugging_face(folder: Path) -> ModelInfo:
    labels, preprocess = hf_folder.labels(folder), hf_folder.preprocess_of(folder)
    tensors: dict[str, tuple[tuple[int, ...], str]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= _safetensors(path)
    found = _of_tensors(folder, "Hugging Face folder", tensors)
    return replace(
        found,
        name=files.real(folder).name,
        labels=labels,
        preprocess=codec.to_plain(preprocess) if preprocess is not None else None,
        notes=(*found.notes, "layers and multiplications are known once it is exported"),
    )


def _of_tensors(path: Path, kind: str, tensors: dict[str, tuple[tuple[int, ...], str]]) -> ModelInfo:
    """Weights, of which each tensor is told of as a layer."""
    layers = tuple(
        Layer(name, "tensor", shape, math.prod(shape), None, dtype) for name, (shape, dtype) in tensors.items()
    )
    kinds = Counter(dtype for _, dtype in tensors.values())
    return ModelInfo(
        str(path),
        kind,
        size_bytes=path.stat().st_size if path.is_file() else None,
        parameters=sum(layer.parameters for layer in layers),
        layers=layers,
        origin={"number types": ", ".join(f"{count} {name}" for name, count in kinds.most_common())} if kinds else {},
    )


def _safetensors(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes and number types from the header of a file: eight bytes of its length, then JSON.

    Raises:
        BadCheckpointError: it is none.
    """
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(_HEADER_BYTES, path.stat().st_size):
                raise ValueError("its header has no length that fits")
            header = json.loads(stream.read(length))
        return {
            str(name): (tuple(int(size) for size in each["shape"]), str(each["dtype"]))
            for name, each in header.items()
            if name != "__metadata__"
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadCheckpointError(f"{path} is no safetensors file ({error}).") from None
