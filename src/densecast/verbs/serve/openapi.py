"""The OpenAPI description of the server: every address, parameter and answer; nothing beyond it is taken."""

from __future__ import annotations

from typing import Any

import densecast
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import tensors
from densecast.verbs.serve.infer_answer import HEADER_LENGTH

Schema = dict[str, Any]

_JSON, _PNG, _BYTES = "application/json", "image/png", "application/octet-stream"


def document(options: ServeOptions, names: list[str], versions: list[str]) -> Schema:
    """The description, as `/openapi.json` has it; `names` and `versions` are those of the models."""
    paths: dict[str, Schema] = {
        "/v2": {"get": _get("The server and its extensions", "Server")},
        "/v2/health/live": {"get": _get("Whether the process lives", "Live", open_to_all=True)},
        "/v2/health/ready": {"get": _get("Whether requests are answered", "Ready", open_to_all=True, fails=(503,))},
        "/v2/repository/index": {"post": _index()},
        "/metrics": {"get": _metrics()},
        "/predict": {verb: _predict(f"predict_only_{verb}") for verb in ("post", "put")},
    }
    for versioned in (False, True):
        suffix = "/versions/{version}" if versioned else ""
        parameters = [_path("name", names), *([_path("version", versions)] if versioned else [])]
        model = f"/v2/models/{{name}}{suffix}"
        kind = "version" if versioned else "model"
        paths[model] = {"parameters": parameters, "get": _get("Inputs and outputs", "Model", fails=(404,))}
        paths[f"{model}/ready"] = {
            "parameters": parameters,
            "get": _get("Whether it answers", "ModelReady", fails=(404, 503)),
        }
        paths[f"{model}/infer"] = {"parameters": parameters, "post": _infer(f"infer_{kind}")}
        paths[f"/predict/{{name}}{suffix}"] = {
            "parameters": parameters,
            **{verb: _predict(f"predict_{kind}_{verb}") for verb in ("post", "put")},
        }
    described: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": "densecast",
            "version": densecast.__version__,
            "description": "Open Inference Protocol (V2) with binary tensors, and plain requests with one picture.",
        },
        "paths": paths,
        "components": {"schemas": _schemas()},
    }
    if options.token_file is not None:
        described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        described["security"] = [{"token": []}]
    return described


def _path(name: str, known: list[str]) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": known}}


def _of(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _answers(content: Schema, fails: tuple[int, ...]) -> Schema:
    what = {
        400: "The request is wrong; the field is named", 401: "A token is needed", 403: "Asked by a foreign name",
        404: "There is no such model or version", 406: "No accepted form of answer is made", 408: "Too slow",
        413: "Too large", 415: "A kind of content that is not taken", 503: "Too much to do, or about to end",
    }  # fmt: skip
    found: Schema = {"200": {"description": "The answer", "content": content}}
    for status in sorted({*fails, 400, 401, 403}):
        found[str(status)] = {"description": what[status], "content": {_JSON: {"schema": _of("Error")}}}
    if "503" in found:
        found["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait"}}
    return found


def _get(summary: str, schema: str, *, open_to_all: bool = False, fails: tuple[int, ...] = ()) -> Schema:
    content = {_JSON: {"schema": _of(schema)}}
    answers = _answers(content, fails)
    if schema in ("Ready", "ModelReady"):
        answers["503"] = {"description": "Not ready", "content": content}
    return {"summary": summary, "responses": answers, **({"security": []} if open_to_all else {})}


def _index() -> Schema:
    entry = _object(name=_TEXT, version=_TEXT, state={"const": "READY"}, reason=_TEXT)
    content = {_JSON: {"schema": {"type": "array", "items": entry}}}
    return {"summary": "All models", "responses": _answers(content, (408, 413, 415, 503))}


def _metrics() -> Schema:
    content = {"text/plain": {"schema": {"type": "string"}}}
    return {"summary": "Counts and times for Prometheus", "responses": _answers(content, ())}


def _infer(operation: str) -> Schema:
    length = {
        "name": HEADER_LENGTH, "in": "header", "required": False, "schema": {"type": "integer", "minimum": 1},
        "description": "How much of the body is JSON; the tensors' bytes lie behind it.",
    }  # fmt: skip
    return {
        "operationId": operation,
        "summary": "Predictions of pictures, or the network's own outputs",
        "parameters": [length],
        "requestBody": {"required": True, "content": {_JSON: {"schema": _of("InferRequest")}}},
        "responses": _answers(
            {_JSON: {"schema": _of("InferResponse")}, _BYTES: {"schema": {"type": "string", "format": "binary"}}},
            (404, 408, 413, 415, 503),
        ),
    }


def _predict(operation: str) -> Schema:
    def query(name: str, schema: Schema, what: str) -> Schema:
        return {"name": name, "in": "query", "required": False, "schema": schema, "description": what}

    binary = {"schema": {"type": "string", "format": "binary"}}
    form = {"schema": _object(file={"type": "string", "format": "binary"}, is_open=True)}
    return {
        "operationId": operation,
        "summary": "The prediction of one picture",
        "parameters": [
            query("overlay", _FLAG, "Draw over the picture; a PNG unless JSON is accepted."),
            query("scores", _FLAG, "Each pixel's probability as well."),
            query("response_mask_format", {"type": "string", "enum": ["png", "rle"]}, "How JSON holds classes."),
            query("timeout_ms", {"type": "number", "exclusiveMinimum": 0, "maximum": 86_400_000}, "Longest wait."),
        ],
        "requestBody": {
            "required": True,
            "content": {"image/jpeg": binary, "image/png": binary, _BYTES: binary, "multipart/form-data": form},
        },
        "responses": _answers({_JSON: {"schema": _of("Prediction")}, _PNG: binary}, (404, 406, 408, 413, 415, 503)),
    }


_TEXT: Schema = {"type": "string"}
_TRUTH: Schema = {"type": "boolean"}
_FLAG: Schema = {"type": "string", "enum": ["0", "1", "false", "true"]}
_SHAPE: Schema = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 8}
_TENSOR_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 200}


def _object(*, required: tuple[str, ...] | None = None, is_open: bool = False, **fields: Schema) -> Schema:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields if required is None else required),
        "additionalProperties": is_open,
    }


def _schemas() -> dict[str, Schema]:
    datatype: Schema = {"enum": [tensors.BYTES, *tensors.DTYPES]}
    told = _object(name=_TEXT, datatype=datatype, shape={"type": "array", "items": {"type": "integer", "minimum": -1}})
    size = {"type": "integer", "minimum": 0}
    base64 = {"const": "base64"}
    given = _object(
        name=_TENSOR_NAME, datatype=datatype, shape=_SHAPE, data={"type": "array"},
        parameters=_object(required=(), binary_data_size=size, content_type=base64),
        required=("name", "datatype", "shape"), is_open=True,
    )  # fmt: skip
    wanted = _object(
        name=_TENSOR_NAME, parameters=_object(required=(), binary_data=_TRUTH, content_type=base64),
        required=("name",), is_open=True,
    )  # fmt: skip
    answered = _object(
        name=_TEXT, datatype=datatype, shape=_SHAPE, data={"type": "array"},
        parameters=_object(required=(), binary_data_size=size, content_type=base64),
        required=("name", "datatype", "shape"),
    )  # fmt: skip
    image = _object(width=size, height=size)
    return {
        "Error": _object(error=_TEXT, request_id=_TEXT, field=_TEXT, required=("error",)),
        "Live": _object(live=_TRUTH),
        "Ready": _object(ready=_TRUTH),
        "ModelReady": _object(name=_TEXT, ready=_TRUTH),
        "Server": _object(name=_TEXT, version=_TEXT, extensions={"type": "array", "items": _TEXT}),
        "Model": _object(
            name=_TEXT, versions={"type": "array", "items": _TEXT}, platform=_TEXT,
            inputs={"type": "array", "items": told}, outputs={"type": "array", "items": told},
            parameters={"type": "object"},
        ),
        "InferRequest": _object(
            id={"type": "string", "maxLength": 1024},
            parameters=_object(required=(), timeout=size, binary_data_output=_TRUTH),
            inputs={"type": "array", "items": given, "minItems": 1, "maxItems": 64},
            outputs={"type": "array", "items": wanted, "maxItems": 64},
            required=("inputs",), is_open=True,
        ),
        "InferResponse": _object(
            model_name=_TEXT, model_version=_TEXT, id=_TEXT, outputs={"type": "array", "items": answered},
            required=("model_name", "model_version", "outputs"),
        ),
        "Prediction": _object(
            model=_TEXT, version=_TEXT, id=_TEXT, image=image, stages_ms={"type": "object"},
            required=("model", "version", "id", "image", "stages_ms"), is_open=True,
        ),
    }  # fmt: skip
