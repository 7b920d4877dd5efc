"""What each receiver needs beside the model file: where it lies, and the receiver's own configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from densecast.spec.handover_options import Receiver
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import TensorSpec
from densecast.verbs.export_to.folding import described
from densecast.verbs.export_to.model_file import ONNX, OPENVINO, Format

_TRITON_TYPES = {
    "uint8": "TYPE_UINT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
}
# Pictures that may wait at a server, as `densecast serve` has it: more are refused at once.
_QUEUE = 16
_PIPELINE_TAGS = {"monocular_depth": "depth-estimation", "pose": "keypoint-detection"}


@dataclass(frozen=True, slots=True)
class Handed:
    """What a receiver's files are made of."""

    name: str
    spec: ModelSpec
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    form: Format
    settings: dict[str, str]
    licence: str | None
    precision: str


def model_path(receiver: Receiver, name: str, form: Format) -> str:
    """Where the model file lies in the folder."""
    file = OPENVINO if form == "openvino" else ONNX
    if receiver in ("ovms", "triton"):
        return f"{name}/1/{file}"
    return f"openvino_{file}" if receiver == "hf" and form == "openvino" else file


def files_for(receiver: Receiver, handed: Handed) -> dict[str, str]:
    """The receiver's configuration: texts by path."""
    made: dict[str, Callable[[Handed], dict[str, str]]] = {"ovms": _ovms, "triton": _triton, "hf": _hugging_face}
    return made[receiver](handed) if receiver in made else {}


def _ovms(handed: Handed) -> dict[str, str]:
    # Without the hint it runs what is float32 in 16 bits, on CPUs that have them.
    config = {
        "name": handed.name,
        "base_path": f"/models/{handed.name}",
        "target_device": "CPU",
        "plugin_config": {key: str(value) for key, value in handed.settings.items()},
    }
    return {"config.json": json.dumps({"model_config_list": [{"config": config}]}, indent=2) + "\n"}


def _triton(handed: Handed) -> dict[str, str]:
    is_onnx = handed.form == "onnx"
    largest = _largest_batch(handed.inputs[0])
    lines = [f'name: "{handed.name}"', f'backend: "{"onnxruntime" if is_onnx else "openvino"}"']
    lines += [f'default_model_filename: "{ONNX if is_onnx else OPENVINO}"', f"max_batch_size: {largest}"]
    for what, tensors in (("input", handed.inputs), ("output", handed.outputs)):
        for tensor in tensors:
            sizes = described(tensor)[1 if largest else 0 :]
            lines.append(f"{what} [")
            lines.append(f'  {{ name: "{tensor.name}", data_type: {_TRITON_TYPES[tensor.dtype]}, dims: {sizes} }}')
            lines.append("]")
    lines.append("instance_group [ { count: 1, kind: KIND_CPU } ]")
    if largest:
        # Without a bound requests wait for ever, and memory grows with them.
        lines.append(f"dynamic_batching {{ default_queue_policy {{ max_queue_size: {_QUEUE} }} }}")
    folder = handed.name
    return {
        f"{folder}/config.pbtxt": "\n".join(lines) + "\n",
        **({f"{folder}/labels.txt": "\n".join(handed.spec.labels) + "\n"} if handed.spec.labels else {}),
    }


def _largest_batch(image: TensorSpec) -> int:
    """What Triton may put together: 0 where the network takes a number of its own."""
    first = image.shape[0]
    return 0 if isinstance(first, int) else first.max


def _hugging_face(handed: Handed) -> dict[str, str]:
    labels = handed.spec.labels
    config = {
        "model_type": "densecast",
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    return {"config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n"}


def card_head(handed: Handed) -> str:
    """The front matter of a model card on the Hugging Face hub."""
    spec = handed.spec
    tags = [spec.task, handed.precision, "densecast"]
    lines = [f"library_name: {'openvino' if handed.form == 'openvino' else 'onnx'}"]
    lines.append(f"pipeline_tag: {_PIPELINE_TAGS.get(spec.task, 'image-segmentation')}")
    lines += ["tags:", *(f"- {json.dumps(tag)}" for tag in tags)]
    if handed.licence is not None:
        first = handed.licence.split()[0].lower()
        known = {"apache-2.0", "mit", "bsd-3-clause", "gpl-3.0", "agpl-3.0", "cc-by-4.0", "cc-by-nc-4.0", "cc0-1.0"}
        lines.append(f"license: {first if first in known else 'other'}")
        if first not in known or first != handed.licence.lower():
            lines.append(f"license_name: {json.dumps(handed.licence, ensure_ascii=False)}")
    return "\n".join(["---", *lines, "---", ""])
