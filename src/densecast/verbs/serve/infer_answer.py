"""Writes a V2 inference response: JSON, and behind it the bytes of tensors that were asked for so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from densecast.spec.tensor import Array
from densecast.verbs.serve import tensors
from densecast.verbs.serve.infer_request import InferRequest, WantedOutput

HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class Answer:
    """A body and what goes with it."""

    body: bytes
    media_type: str
    headers: tuple[tuple[str, str], ...] = ()


def timed(answer: Answer, stages_ms: Mapping[str, float]) -> Answer:
    """The answer with the milliseconds of each stage, as browsers' tools and the page show them (Server-Timing)."""
    if not stages_ms:
        return answer
    told = ", ".join(f"{stage};dur={ms:.3f}" for stage, ms in stages_ms.items())
    return replace(answer, headers=(*answer.headers, ("Server-Timing", told)))


def encode(request: InferRequest, model: str, version: str, outputs: Mapping[str, Array]) -> Answer:
    """The response to a request, with the outputs that it asked for, in that order.

    Raises:
        Refused: an output that JSON cannot carry was not asked for in binary.
    """
    wanted = request.outputs or tuple(WantedOutput(name) for name in outputs)
    listed: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for each in wanted:
        array = outputs[each.name]
        datatype = tensors.BYTES if array.dtype == object else tensors.datatype_of(str(array.dtype))
        told: dict[str, Any] = {"name": each.name, "datatype": datatype, "shape": list(array.shape)}
        if each.is_binary or (request.is_binary_output and not each.is_base64):
            part = tensors.to_binary(array)
            parts.append(part)
            told["parameters"] = {"binary_data_size": len(part)}
        elif each.is_base64 and datatype == tensors.BYTES:
            told["parameters"] = {"content_type": "base64"}
            told["data"] = tensors.to_base64(array)
        else:
            told["data"] = tensors.to_json(array, each.name)
        listed.append(told)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": listed}
    if request.id is not None:
        document["id"] = request.id
    head = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    if not parts:
        return Answer(head, "application/json")
    return Answer(b"".join([head, *parts]), "application/octet-stream", ((HEADER_LENGTH, str(len(head))),))
