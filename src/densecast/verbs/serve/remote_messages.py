"""The messages of the Open Inference Protocol over gRPC, made at run time for whatever protobuf is installed."""

from __future__ import annotations

import functools
from typing import Any

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

# Name, number and type of each field, as the protocol's text numbers them. `*` is repeated, `%` a map from names.
_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live 1 bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready 1 bool",
    "ModelReadyRequest": "name 1 string, version 2 string",
    "ModelReadyResponse": "ready 1 bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name 1 string, version 2 string, extensions 3 *string",
    "ModelMetadataRequest": "name 1 string, version 2 string",
    "TensorMetadata": "name 1 string, datatype 2 string, shape 3 *int64",
    "ModelMetadataResponse": "name 1 string, versions 2 *string, platform 3 string, inputs 4 *TensorMetadata, "
    "outputs 5 *TensorMetadata",
    "InferParameter": "bool_param 1 bool, int64_param 2 int64, string_param 3 string",
    "InferTensorContents": "bool_contents 1 *bool, int_contents 2 *int32, int64_contents 3 *int64, "
    "uint_contents 4 *uint32, uint64_contents 5 *uint64, fp32_contents 6 *float, fp64_contents 7 *double, "
    "bytes_contents 8 *bytes",
    "InferInputTensor": "name 1 string, datatype 2 string, shape 3 *int64, parameters 4 %InferParameter, "
    "contents 5 InferTensorContents",
    "InferRequestedOutputTensor": "name 1 string, parameters 2 %InferParameter",
    "InferOutputTensor": "name 1 string, datatype 2 string, shape 3 *int64, parameters 4 %InferParameter, "
    "contents 5 InferTensorContents",
    "ModelInferRequest": "model_name 1 string, model_version 2 string, id 3 string, parameters 4 %InferParameter, "
    "inputs 5 *InferInputTensor, outputs 6 *InferRequestedOutputTensor, raw_input_contents 7 *bytes",
    "ModelInferResponse": "model_name 1 string, model_version 2 string, id 3 string, parameters 4 %InferParameter, "
    "outputs 5 *InferOutputTensor, raw_output_contents 6 *bytes",
}
# The one of its fields that is set says which type a parameter has.
_ONE_OF = {"InferParameter": "parameter_choice"}


@functools.cache
def messages() -> dict[str, Any]:
    """All message classes by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="densecast/open_inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name in _ONE_OF:
            message.oneof_decl.add(name=_ONE_OF[name])
        for field in fields.split(", ") if fields else ():
            _add_field(message, *field.split(), is_choice=name in _ONE_OF)
    # A pool of its own: a client in the same process may have these names, too.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES
    }


def _add_field(message: Any, name: str, number: str, kind: str, *, is_choice: bool) -> None:
    field = message.field.add(name=name, number=int(number), label=field_label(kind))
    if is_choice:
        field.oneof_index = 0
    plain = kind.lstrip("*%")
    if kind.startswith("%"):
        entry_name = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        entry = message.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        _add_field(entry, "key", "1", "string", is_choice=False)
        _add_field(entry, "value", "2", plain, is_choice=False)
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{message.name}.{entry_name}"
    elif plain[0].isupper():
        field.type = field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{plain}"
    else:
        field.type = field.Type.Value(f"TYPE_{plain.upper()}")


def field_label(kind: str) -> int:
    """Whether a field occurs once or any number of times, as descriptors number it."""
    return 3 if kind[0] in "*%" else 1
