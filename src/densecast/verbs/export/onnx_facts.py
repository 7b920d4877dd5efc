"""What an ONNX file says of itself in its metadata: labels, task, image size, as Ultralytics and others write them.

Values are text that somebody else's program wrote: JSON, or Python literals, which are parsed as such and never run.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from densecast.errors import BadConfigError, BadGraphError

# Keys under which class names are found, the likeliest first.
_LABELS = ("names", "labels", "class_names", "classes", "id2label", "label2id", "categories")
_TASK = ("task", "task_type", "model_type")
_MOST_CHARACTERS = 1 << 20
_SHOWN_OUTPUTS = 4
_LARGEST_STRIDE = 256
# Tasks of other kinds than a map of all pixels, in the words of those who export them.
_OTHERS = {
    "detect": "boxes of objects",
    "detection": "boxes of objects",
    "object-detection": "boxes of objects",
    "ssd": "boxes of objects",
    "yolo": "boxes of objects",
    "segment": "objects, each with a mask of its own",
    "instance-segmentation": "objects, each with a mask of its own",
    "instance_segmentation": "objects, each with a mask of its own",
    "maskrcnn": "objects, each with a mask of its own",
    "obb": "rotated boxes of objects",
    "classify": "one label for the whole image",
    "classification": "one label for the whole image",
    "image-classification": "one label for the whole image",
    "pose": "boxes of people with their joints",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the metadata say; empty or None where they do not. `fault` is what is wrong with labels that are there."""

    labels: tuple[str, ...] = ()
    task: str | None = None
    maker: str | None = None
    size_hw: tuple[int, int] | None = None
    stride: int | None = None
    fault: str | None = None


def of(metadata: Mapping[str, str]) -> Facts:
    """The facts in a model's `metadata_props`; what cannot be read as meant is passed over."""
    labels, fault = _labels(metadata)
    task = next((metadata[key].strip().lower() for key in _TASK if metadata.get(key, "").strip()), None)
    # Exporters write `task` for their own use as well; it is no name but a sentence then.
    task = task if task and re.fullmatch(r"[\w-]{2,40}", task) else None
    maker = "Ultralytics" if "ultralytics" in " ".join(metadata.values()).lower()[:_MOST_CHARACTERS] else None
    return Facts(labels, task, maker, _size(metadata), _stride(metadata), fault)


def of_model(model: Any) -> Facts:
    """The facts of a parsed model."""
    return of({each.key: each.value for each in model.metadata_props})


def refuse_by_task(facts: Facts, task: str, outputs: list[str], where: str) -> None:
    """Refuse a graph that says it is of another kind than a map of all pixels.

    Raises:
        BadGraphError: says what it is, and what would work instead.
    """
    gives = _OTHERS.get(facts.task or "")
    if gives is None or task not in ("segmentation", "multilabel"):
        return
    listed = ", ".join(outputs[:_SHOWN_OUTPUTS]) + (" …" if len(outputs) > _SHOWN_OUTPUTS else "")
    by = f" of {facts.maker}" if facts.maker else ""
    raise BadGraphError(
        f"{where} says of itself that it is a {facts.task!r} network{by}: its outputs ({listed}) are {gives}. "
        "densecast takes networks that give one map of class scores for all pixels: export a semantic segmentation "
        "network, or a graph that joins the objects' masks to (N, classes, H, W). If one output is such a map, name "
        "it: --output-name.",
        field="output_name",
    )


def _labels(metadata: Mapping[str, str]) -> tuple[tuple[str, ...], str | None]:
    from densecast.verbs.export.described import labels_of

    for key in _LABELS:
        text = metadata.get(key, "").strip()
        value = _parsed(text)
        if isinstance(value, Mapping) and value and not all(str(index).isdigit() for index in value):
            # From name to index, as label2id.
            value = {index: name for name, index in value.items()}
        if value is None and "," in text and not text.startswith(("{", "[", "(")):
            value = text.split(",")
        if not isinstance(value, (list, tuple, Mapping)) or not value:
            continue
        try:
            if isinstance(value, Mapping):
                return labels_of({index: _plain_name(each) for index, each in value.items()}), None
            return labels_of([_plain_name(each) for each in value]), None
        except (BadConfigError, TypeError) as error:
            return (), f"{key}: {error}"
    return (), None


def _plain_name(value: Any) -> str:
    if not isinstance(value, (str, int)):
        raise TypeError(f"a label is text, not {type(value).__name__}")
    return str(value)


def _size(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    value = _parsed(metadata.get("imgsz", ""))
    if isinstance(value, int):
        value = (value, value)
    if (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(isinstance(side, int) and side > 0 for side in value)
    ):
        return value[0], value[1]
    return None


def _stride(metadata: Mapping[str, str]) -> int | None:
    """By how much the network makes an image smaller inside: of a list the most."""
    value = _parsed(metadata.get("stride", ""))
    values = value if isinstance(value, (list, tuple)) else [value]
    found = [each for each in values if type(each) is int and 1 <= each <= _LARGEST_STRIDE]
    return max(found) if found and len(found) == len(values) else None


def _parsed(text: str) -> Any:
    """Text as JSON or as a Python literal; None where it is neither."""
    if not 0 < len(text) <= _MOST_CHARACTERS:
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return None
