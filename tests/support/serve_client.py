"""A client of the server as programs write them: http.client and bytes, nothing of the package."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_NUMPY = {
    "UINT8": "u1", "UINT16": "<u2", "INT64": "<i8", "FP32": "<f4",
}  # fmt: skip
LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Reply:
    """A status, headers by lower-case name, and a body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def ask(url: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
    connection = http.client.HTTPConnection(url.split("/")[2], timeout=30)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def talk(url: str, sent: bytes, timeout_s: float = 10.0) -> bytes:
    """Everything that comes back on a connection to which these bytes were sent, until it is closed or silent."""
    host, port = url.split("/")[2].rsplit(":", 1)
    received = b""
    with socket.create_connection((host, int(port)), timeout=timeout_s) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                received += part
        except (ConnectionError, TimeoutError):
            pass
    return received


def elements(*each: bytes) -> bytes:
    """A tensor of BYTES, as it lies behind the JSON."""
    return b"".join(struct.pack("<I", len(one)) + one for one in each)


def v2(
    tensors: Sequence[tuple[str, str, Sequence[int], bytes]],
    outputs: Sequence[str] = (),
    *,
    binary: bool = True,
    **more: Any,
) -> tuple[bytes, dict[str, str]]:
    """The body and headers of an inference request with these inputs in binary."""
    document: dict[str, Any] = {
        "inputs": [
            {"name": name, "datatype": datatype, "shape": list(shape), "parameters": {"binary_data_size": len(data)}}
            for name, datatype, shape, data in tensors
        ],
        **more,
    }
    if outputs:
        document["outputs"] = [{"name": name, "parameters": {"binary_data": binary}} for name in outputs]
    head = json.dumps(document).encode()
    return head + b"".join(data for *_, data in tensors), {LENGTH: str(len(head))}


def pictures(*files: bytes, outputs: Sequence[str] = (), **more: Any) -> tuple[bytes, dict[str, str]]:
    """A request with encoded pictures."""
    return v2([("image", "BYTES", [len(files)], elements(*files))], outputs, **more)


def tensors_of(reply: Reply) -> dict[str, Any]:
    """The outputs of an inference response: arrays, and lists of bytes."""
    assert reply.status == 200, reply.body
    length = int(reply.headers.get(LENGTH.lower(), len(reply.body)))
    document, rest = json.loads(reply.body[:length]), reply.body[length:]
    found: dict[str, Any] = {}
    for each in document["outputs"]:
        size = each.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[each["name"]] = np.array(each["data"], _NUMPY[each["datatype"]]).reshape(each["shape"])
            continue
        part, rest = rest[:size], rest[size:]
        if each["datatype"] == "BYTES":
            found[each["name"]] = []
            while part:
                (count,) = struct.unpack("<I", part[:4])
                found[each["name"]].append(part[4 : 4 + count])
                part = part[4 + count :]
        else:
            found[each["name"]] = np.frombuffer(part, _NUMPY[each["datatype"]]).reshape(each["shape"])
    assert not rest
    return found
