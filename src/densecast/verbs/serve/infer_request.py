"""Reads a V2 inference request: JSON, with the tensors' bytes behind it where its header says so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from densecast.spec.tensor import Array
from densecast.verbs.serve import tensors
from densecast.verbs.serve.refusals import Refused, bad

# The JSON alone; numbers as text grow to many times their size, and are parsed in one go.
_MOST_JSON_BYTES = 16 << 20
_LONGEST_ID = 1024
_MOST_TENSORS = 64
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_REQUEST_PARAMETERS = ("timeout", "binary_data_output")
_INPUT_PARAMETERS = ("binary_data_size", "content_type")
_OUTPUT_PARAMETERS = ("binary_data", "content_type")
_BASE64 = "base64"


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """An output that a request asks for."""

    name: str
    is_binary: bool = False
    is_base64: bool = False


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request: its tensors by name; `outputs` None for those that the model gives unasked."""

    id: str | None
    inputs: dict[str, Array]
    outputs: tuple[WantedOutput, ...] | None
    timeout_s: float | None = None
    is_binary_output: bool = False


def parse(body: bytes, header_length: int | None) -> InferRequest:
    """Read the body of an inference request; `header_length` is how much of it is JSON, None for all.

    Raises:
        Refused: anything that the protocol does not have; names the field.
    """
    if header_length is not None and not 0 < header_length <= len(body):
        raise bad(
            f"Inference-Header-Content-Length must be 1 to the body's {len(body)} bytes, got {header_length}.",
            "Inference-Header-Content-Length",
        )
    head = body if header_length is None else body[:header_length]
    document = loads(head)
    rest = memoryview(body)[len(head) :]
    parameters = _parameters(document, "parameters", _REQUEST_PARAMETERS)
    inputs = _inputs(document.get("inputs"), rest)
    return InferRequest(
        _id(document.get("id")),
        inputs,
        _outputs(document.get("outputs")),
        _timeout_s(parameters.get("timeout")),
        _flag(parameters, "binary_data_output", "parameters"),
    )


def loads(data: bytes) -> dict[str, Any]:
    """Parse a JSON object strictly.

    Raises:
        Refused: no JSON, too large or too deep, NaN, a name twice, or no object.
    """
    if len(data) > _MOST_JSON_BYTES:
        raise Refused(413, f"JSON is at most {_MOST_JSON_BYTES >> 20} MiB: send tensors as binary data.", field="body")
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_once)
    except RecursionError:
        raise bad("the JSON is nested too deeply.", "body") from None
    except UnicodeDecodeError:
        raise bad("the JSON is not UTF-8.", "body") from None
    except ValueError as error:
        raise bad(f"the body is no JSON: {str(error)[:200]}.", "body") from None
    if not isinstance(document, dict):
        raise bad("the JSON must be an object.", "body")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return found


def _inputs(given: Any, rest: memoryview) -> dict[str, Array]:
    if not isinstance(given, list) or not given:
        raise bad("inputs must be a list of at least one tensor.", "inputs")
    if len(given) > _MOST_TENSORS:
        raise bad(f"inputs: at most {_MOST_TENSORS}.", "inputs")
    found: dict[str, Array] = {}
    place = 0
    for index, each in enumerate(given):
        name, datatype, shape, parameters = _tensor(each, index)
        if name in found:
            raise bad(f"inputs[{name}] occurs twice.", f"inputs[{name}]")
        size = parameters.get("binary_data_size")
        if size is None:
            is_base64 = _content_type(parameters, f"inputs[{name}]")
            found[name] = tensors.from_json(each.get("data"), datatype, shape, name, is_base64=is_base64)
            continue
        field = f"inputs[{name}].parameters.binary_data_size"
        if "data" in each:
            raise bad(f"inputs[{name}] has data and binary_data_size: send one of the two.", field)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest) - place:
            raise bad(f"{field} must be 0 to the {len(rest) - place} bytes that are left, got {str(size)[:40]}.", field)
        found[name] = tensors.from_binary(rest[place : place + size], datatype, shape, name)
        place += size
    if place != len(rest):
        raise bad(f"{len(rest) - place} bytes behind the JSON belong to no input.", "body")
    return found


def _tensor(each: Any, index: int) -> tuple[str, str, tuple[int, ...], Mapping[str, Any]]:
    if not isinstance(each, dict):
        raise bad(f"inputs[{index}] must be an object.", f"inputs[{index}]")
    name = _name(each.get("name"), f"inputs[{index}].name")
    datatype = each.get("datatype")
    if not isinstance(datatype, str) or (datatype != tensors.BYTES and datatype not in tensors.DTYPES):
        known = ", ".join((tensors.BYTES, *tensors.DTYPES))
        raise bad(f"inputs[{name}].datatype must be one of {known}.", f"inputs[{name}].datatype")
    return (
        name,
        datatype,
        tensors.shape_of(each.get("shape"), name),
        _parameters(each, f"inputs[{name}].parameters", _INPUT_PARAMETERS),
    )


def _outputs(given: Any) -> tuple[WantedOutput, ...] | None:
    if given is None or given == []:
        return None
    if not isinstance(given, list) or len(given) > _MOST_TENSORS:
        raise bad(f"outputs must be a list of at most {_MOST_TENSORS}.", "outputs")
    wanted: list[WantedOutput] = []
    for index, each in enumerate(given):
        if not isinstance(each, dict):
            raise bad(f"outputs[{index}] must be an object.", f"outputs[{index}]")
        name = _name(each.get("name"), f"outputs[{index}].name")
        field = f"outputs[{name}].parameters"
        parameters = _parameters(each, field, _OUTPUT_PARAMETERS)
        if name in {one.name for one in wanted}:
            raise bad(f"outputs[{name}] occurs twice.", f"outputs[{name}]")
        wanted.append(
            WantedOutput(name, _flag(parameters, "binary_data", field), _content_type(parameters, f"outputs[{name}]"))
        )
    return tuple(wanted)


def _parameters(owner: Mapping[str, Any], field: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    given = owner.get("parameters")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise bad(f"{field} must be an object.", field)
    for name in given:
        if name not in known:
            raise bad(f"{field}: {name[:100]!r} has no effect here. Known: {', '.join(known)}.", field)
    return given


def _flag(parameters: Mapping[str, Any], name: str, field: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise bad(f"{field}.{name} must be true or false.", f"{field}.{name}")
    return value


def _content_type(parameters: Mapping[str, Any], field: str) -> bool:
    value = parameters.get("content_type")
    if value not in (None, _BASE64):
        raise bad(f"{field}.parameters.content_type must be {_BASE64!r}.", f"{field}.parameters.content_type")
    return value is not None


def _name(value: Any, field: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise bad(f"{field} must be a text of 1 to 200 letters.", field)
    return value


def _id(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_ID or not _is_unicode(value):
        raise bad(f"id must be a text of at most {_LONGEST_ID} letters.", "id")
    return value


def _is_unicode(text: str) -> bool:
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def _timeout_s(value: Any) -> float | None:
    """Microseconds, as Triton's clients send them; 0 for none."""
    if value is None or value == 0:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 62:
        raise bad("parameters.timeout must be a whole number of microseconds.", "parameters.timeout")
    return value / 1e6
