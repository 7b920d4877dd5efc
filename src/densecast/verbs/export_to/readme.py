"""Writes the README of a model that is handed over: what goes in, what comes out, how it is run, and what is equal."""

from __future__ import annotations

from densecast.results.handover import ExportToResult
from densecast.spec.handover_options import Receiver
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import TensorSpec
from densecast.verbs.export_to.receivers import Handed, card_head

_RUN: dict[str, str] = {
    "ovms": """docker run --rm -p 8000:8000 -v "$PWD:/models:ro" openvino/model_server:latest \\
  --config_path /models/config.json --rest_port 8000
# V2 protocol: POST /v2/models/{name}/infer. A JPEG or PNG of any size may be sent as BYTES: the server decodes it and
# brings it to the network's size by itself, by stretching.""",
    "triton": """docker run --rm -p 8000:8000 -p 8001:8001 -v "$PWD:/models:ro" nvcr.io/nvidia/tritonserver:YY.MM-py3 \\
  tritonserver --model-repository=/models
# V2 protocol: POST /v2/models/{name}/infer, input {input} as binary data.""",
    "model-api": """import cv2
from model_api.adapters import OpenvinoAdapter, create_core
from model_api.models import Model

adapter = OpenvinoAdapter(create_core(), "{file}", device="CPU", plugin_config={settings})
model = Model.create_model(adapter)
labels = model(cv2.imread("photo.jpg"))  # (H, W), the image's own size""",
    "openvino": """import openvino

model = openvino.Core().compile_model("{file}", "CPU", {settings})
answer = model(pixels)["{output}"]  # pixels: {input_words}""",
    "onnx": """import onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
answer = session.run(["{output}"], {{"{input}": pixels}})[0]  # pixels: {input_words}""",
    "tensorrt-onnx": """trtexec --onnx={file} --stronglyTyped""",
}
_LANGUAGES = {"model-api": "python", "openvino": "python", "onnx": "python"}


def text(result: ExportToResult, receiver: Receiver, spec: ModelSpec, handed: Handed) -> str:
    """The whole README."""
    (image,), main = result.inputs, result.outputs[0]
    way = receiver if receiver in _RUN else handed.form
    words = {
        "name": handed.name,
        "file": result.model_file,
        "settings": repr(handed.settings),
        "input": image.name,
        "output": main.name,
        "input_words": f"{image}, {result.input_colour}",
    }
    agreed = result.agreement
    lines = [
        f"# {handed.name}",
        "",
        f"{spec.name} ({spec.task}, {result.precision}) for {receiver}, by densecast {result.version}.",
        "",
        "| | |",
        "|---|---|",
        f"| in | `{image.name}`: {image}, colours {result.input_colour} |",
        f"| before | {result.resize} |",
        *(f"| out | `{each.name}`: {each} |" for each in result.outputs),
        f"| labels | {', '.join(spec.labels) or 'none'} |",
        f"| licence | {result.licence or 'not stated'} |",
        f"| agrees | {agreed.difference:g} {agreed.measure} from the artifact, at most {agreed.allowed:g}, "
        f"{agreed.engine} on {agreed.images} test images |",
        "",
        f"```{_LANGUAGES.get(way, 'bash')}",
        _RUN[way].format(**words),
        "```",
        "",
        *(f"- {remark}" for remark in result.remarks),
    ]
    head = card_head(handed) if receiver == "hf" else ""
    return head + "\n".join(lines).rstrip() + "\n"


def out_of(tensors: tuple[TensorSpec, ...]) -> str:
    """Tensors in one line, for people."""
    return ", ".join(f"{tensor.name} {tensor}" for tensor in tensors)
