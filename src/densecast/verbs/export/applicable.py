"""Which options of an export mean something for which kind of source; others are refused, not ignored."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from densecast.errors import UsageError

Kind = Literal[
    "zoo",
    "zoo_tensorflow",
    "onnx",
    "torchscript",
    "program",
    "module",
    "huggingface",
    "tensorflow",
    "openmmlab",
    "mmdeploy",
]

_WORDS: dict[Kind, str] = {
    "zoo": "a zoo model",
    "zoo_tensorflow": "a zoo model that is a TensorFlow graph",
    "onnx": "an ONNX file",
    "torchscript": "a TorchScript file",
    "program": "a torch.export file (.pt2)",
    "module": "a module",
    "huggingface": "a Hugging Face folder",
    "tensorflow": "a TensorFlow graph",
    "mmdeploy": "a folder of MMDeploy",
    "openmmlab": "an OpenMMLab checkpoint",
}
_TORCH: frozenset[Kind] = frozenset({"zoo", "torchscript", "module", "huggingface", "openmmlab"})
_RUN: frozenset[Kind] = _TORCH | {"program"}
_GRAPH: frozenset[Kind] = frozenset({"zoo_tensorflow", "tensorflow"})
_FILE: frozenset[Kind] = frozenset({"onnx", "torchscript", "program", "module", "huggingface", "tensorflow"})
_ALL: frozenset[Kind] = frozenset(_WORDS)

APPLIES: dict[str, frozenset[Kind]] = {
    "size_hw": _TORCH | _GRAPH,
    "batch": _TORCH | _GRAPH,
    "side": frozenset({"zoo"}),
    "largest_batch": frozenset({"zoo"}),
    "opset": _RUN | _GRAPH,
    "exporter": _TORCH,
    "tolerance": _RUN | _GRAPH,
    "variant": frozenset({"zoo", "zoo_tensorflow"}),
    "input_name": frozenset({"onnx", "tensorflow"}),
    "name": _ALL,
    "output_name": _ALL - {"zoo_tensorflow"},
    "slide": _ALL,
    "stride": _ALL,
    "only_main_output": _RUN | {"onnx", "mmdeploy"},
    "weights": frozenset({"zoo", "module", "openmmlab"}),
    "config": frozenset({"openmmlab"}),
    "checkpoint": frozenset({"zoo", "zoo_tensorflow", "module"}),
    "example": frozenset({"module"}),
    "task": _FILE,
    "spec": _FILE | {"zoo", "openmmlab"},
    "labels": _FILE | {"zoo", "mmdeploy", "openmmlab"},
    "preprocess": _FILE | {"zoo", "openmmlab"},
}
"""By option: a field of `ExportOptions`, or an argument of `export`. All of `--resize`, `--mean`, … are preprocess."""

_FLAGS = {
    "size_hw": "a fixed size (--static)",
    "batch": "a fixed batch (--static)",
    "preprocess": "--resize, --mean, …",
    "tolerance": "the tolerance (--tolerance)",
    "checkpoint": "a checkpoint (--checkpoint)",
    "spec": "a spec (--spec)",
    "labels": "the option labels (--labels)",
}
_INSTEAD = {
    ("mmdeploy", "preprocess"): "Its pipeline.json says how images are prepared",
    ("mmdeploy", "spec"): "Its pipeline.json says how images are prepared; labels are given by --labels",
    ("mmdeploy", "size_hw"): "Its sizes are its own; build fixes open ones (--height, --width)",
    ("onnx", "size_hw"): "Its sizes are its own; build fixes open ones (--height, --width)",
    ("onnx", "batch"): "Its sizes are its own; build fixes open ones (--batch)",
    ("onnx", "tolerance"): "It brings no framework to differ from",
    ("onnx", "opset"): "Its opset is its own",
    ("program", "size_hw"): "Its sizes are those it was exported with",
    ("program", "batch"): "Its sizes are those it was exported with",
}


def check(kind: Kind, given: Collection[str]) -> None:
    """Refuse options that would do nothing for this kind of source.

    Raises:
        UsageError: names the first such option, as `field`, and the kind.
    """
    for name in given:
        if kind not in APPLIES[name]:
            reason = _INSTEAD.get((kind, name), "Leave it out")
            raise UsageError(f"{_FLAGS.get(name, name)} has no effect on {_WORDS[kind]}. {reason}.", field=name)
