"""Tensors as the Open Inference Protocol (V2) carries them: datatypes, JSON numbers, and bytes behind the JSON."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from densecast.spec.tensor import Array
from densecast.verbs.serve.refusals import bad

DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
BYTES = "BYTES"
_NAMES = {dtype: name for name, dtype in DTYPES.items()}

_JSON_TYPES: dict[str, set[type]] = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}}

_MOST_AXES = 8
_LARGEST_SIDE = (1 << 31) - 1
# A list of so many numbers is some 100 MB of text and Python objects.
_MOST_JSON_NUMBERS = 1 << 22


def datatype_of(dtype: str) -> str:
    """The protocol's name of a numpy type: `FP32` of float32."""
    return _NAMES[str(np.dtype(dtype))]


def shape_of(value: Any, name: str) -> tuple[int, ...]:
    """Check a shape: a list of a few whole numbers of at least 0.

    Raises:
        Refused: it is none.
    """
    field = f"inputs[{name}].shape"
    if not isinstance(value, list) or not value or len(value) > _MOST_AXES:
        raise bad(f"{field} must be a list of 1 to {_MOST_AXES} whole numbers.", field)
    for side in value:
        if not isinstance(side, int) or isinstance(side, bool) or not 0 <= side <= _LARGEST_SIDE:
            raise bad(f"{field} must hold whole numbers from 0 to {_LARGEST_SIDE}, got {str(side)[:40]!r}.", field)
    return tuple(value)


def from_binary(data: memoryview, datatype: str, shape: tuple[int, ...], name: str) -> Array:
    """The tensor in a part of the body; elements of BYTES are an object array of `bytes`.

    Raises:
        Refused: another number of bytes than the shape has.
    """
    field = f"inputs[{name}].parameters.binary_data_size"
    count = math.prod(shape)
    if datatype == BYTES:
        return _objects(_split(data, count, field), shape)
    dtype = np.dtype(DTYPES[datatype]).newbyteorder("<")
    if len(data) != count * dtype.itemsize:
        raise bad(f"{field}: {datatype} {list(shape)} has {count * dtype.itemsize} bytes, got {len(data)}.", field)
    return np.frombuffer(data, dtype).reshape(shape)


def from_json(data: Any, datatype: str, shape: tuple[int, ...], name: str, *, is_base64: bool) -> Array:
    """The tensor in a JSON list, flat or nested.

    Raises:
        Refused: no list, values that the datatype does not hold, or another number of them.
    """
    field = f"inputs[{name}].data"
    if not isinstance(data, list):
        raise bad(f"{field} must be a list.", field)
    flat = _flat(data, shape, field) if any(isinstance(each, list) for each in data) else data
    if datatype == BYTES:
        return _objects([_text(each, field, is_base64=is_base64) for each in flat], shape, field)
    return from_values(flat, datatype, shape, name)


def from_values(flat: list[Any], datatype: str, shape: tuple[int, ...], name: str) -> Array:
    """The tensor of values in order.

    Raises:
        Refused: values that the datatype does not hold, or another number of them.
    """
    field = f"inputs[{name}].data"
    if datatype == BYTES:
        return _objects(flat, shape, field)
    dtype = np.dtype(DTYPES[datatype])
    # Before numpy sees them: among a million numbers one long text would make each of them as long.
    if not set(map(type, flat)) <= _JSON_TYPES[dtype.kind]:
        raise bad(f"{field} must hold values of {datatype} only.", field)
    if len(flat) != math.prod(shape):
        raise bad(f"{field}: shape {list(shape)} has {math.prod(shape)} values, got {len(flat)}.", field)
    try:
        given = np.asarray(flat, dtype=None if dtype.kind in "iu" else dtype)
    except OverflowError:
        given = np.asarray([None])
    if given.size and given.dtype.kind == "O":
        raise bad(f"{field} holds numbers that {datatype} does not have.", field)
    if dtype.kind in "iu" and given.size:
        limits = np.iinfo(dtype)
        if int(given.min()) < limits.min or int(given.max()) > limits.max:
            raise bad(f"{field}: {datatype} holds {limits.min} to {limits.max}.", field)
    return given.astype(dtype).reshape(shape)


def to_json(array: Array, name: str) -> list[Any]:
    """A tensor as a flat JSON list.

    Raises:
        Refused: too large, or values that JSON does not have.
    """
    field = f"outputs[{name}]"
    if array.dtype == object:
        raise bad(f"{field} holds bytes, which JSON cannot carry: ask for it with binary_data, or base64.", field)
    if array.size > _MOST_JSON_NUMBERS:
        raise bad(f"{field}: {array.size} numbers are too many for JSON: ask for it with binary_data.", field)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise bad(f"{field} holds NaN or infinity, which JSON does not have: ask for it with binary_data.", field)
    values: list[Any] = array.ravel().tolist()
    return values


def to_binary(array: Array) -> bytes:
    """A tensor as little-endian bytes; elements of BYTES each behind their length in 4 bytes."""
    if array.dtype == object:
        return b"".join(struct.pack("<I", len(each)) + each for each in elements(array))
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()


def to_base64(array: Array) -> list[str]:
    """Elements of BYTES as base64 text."""
    return [base64.b64encode(each).decode("ascii") for each in elements(array)]


def elements(array: Array) -> list[bytes]:
    """The elements of a tensor of BYTES, in order."""
    found: list[bytes] = array.ravel().tolist()
    return found


def of_bytes(each: Sequence[bytes]) -> Array:
    """A one-dimensional tensor of BYTES."""
    return _objects(each, (len(each),))


def _objects(elements: Sequence[bytes], shape: tuple[int, ...], field: str = "") -> Array:
    if len(elements) != math.prod(shape):
        raise bad(f"{field}: shape {list(shape)} has {math.prod(shape)} elements, got {len(elements)}.", field)
    array = np.empty(len(elements), dtype=object)
    array[:] = list(elements)
    return array.reshape(shape)


def _split(data: memoryview, count: int, field: str) -> list[bytes]:
    elements: list[bytes] = []
    place = 0
    while place < len(data):
        if len(elements) == count or place + 4 > len(data):
            break
        (size,) = struct.unpack_from("<I", data, place)
        place += 4
        if size > len(data) - place:
            raise bad(f"{field}: an element of {size} bytes, but {len(data) - place} are left.", field)
        elements.append(bytes(data[place : place + size]))
        place += size
    if place != len(data) or len(elements) != count:
        raise bad(f"{field}: BYTES needs {count} elements, each behind its length in 4 bytes, and no more.", field)
    return elements


def _flat(data: Any, shape: tuple[int, ...], field: str) -> list[Any]:
    """Nested lists of exactly this shape, as one list."""
    if not isinstance(data, list) or len(data) != shape[0]:
        raise bad(f"{field} must be a list of values, flat or nested as the tensor's shape is.", field)
    if len(shape) == 1:
        return data
    return [value for each in data for value in _flat(each, shape[1:], field)]


def _text(value: Any, field: str, *, is_base64: bool) -> bytes:
    if not isinstance(value, str):
        raise bad(f"{field} of BYTES must hold texts.", field)
    if not is_base64:
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise bad(f"{field} holds text that is not Unicode.", field) from None
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise bad(f"{field} is not base64.", field) from None
