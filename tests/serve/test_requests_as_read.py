"""What a request says is what is read of it, up to the limits that the server states; no server is started."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import infer_request, multipart, openapi, tensors
from densecast.verbs.serve.body import Bodies
from densecast.verbs.serve.refusals import Refused

MIB = 1 << 20


@pytest.mark.parametrize("preamble", [b"", b"\r\n", b"this is a form\r\n\r\n", b"a line that begins with --\r\n"])
def test_the_file_of_a_form_is_found_behind_whatever_comes_before_its_first_part(preamble: bytes) -> None:
    file = b"\xff\xd8\r\n--other\r\n\xff\xd9"
    body = preamble + b'--edge\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n' + file
    content_type = 'multipart/form-data; boundary="edge"'
    assert multipart.picture(body + b"\r\n--edge--\r\n", content_type) == file
    for cut in (body, body + b"\r\n--edg", body + b"\r\n--edge"):
        with pytest.raises(Refused, match="cut off"):
            multipart.picture(cut, content_type)
    part = body[len(preamble) :] + b"\r\n"
    with pytest.raises(Refused, match="must hold one file, it holds 2"):
        multipart.picture(part + part + b"--edge--", content_type)


@pytest.mark.parametrize(
    ("datatype", "least", "most"), [("UINT8", 0, 255), ("INT8", -128, 127), ("INT16", -32768, 32767)]
)
def test_whole_numbers_of_json_are_within_both_ends_of_their_type(datatype: str, least: int, most: int) -> None:
    if datatype not in tensors.DTYPES:
        pytest.fail(f"{datatype} is a type of the protocol")
    found = tensors.from_values([least, most], datatype, (2,), "image")
    assert found.tolist() == [least, most] and found.dtype == tensors.DTYPES[datatype]
    for wrong in ([least - 1, most], [least, most + 1], [least - 1, most + 1]):
        with pytest.raises(Refused, match=f"{datatype} holds {least} to {most}"):
            tensors.from_values(wrong, datatype, (2,), "image")


def test_json_of_16_mib_is_the_largest() -> None:
    document = json.dumps({"id": "x"}).encode()
    assert infer_request.loads(document.ljust(16 * MIB)) == {"id": "x"}
    with pytest.raises(Refused, match="JSON is at most 16 MiB"):
        infer_request.loads(document.ljust(16 * MIB + 1))


def test_whoever_asks_whether_a_model_is_ready_is_told_of_no_in_the_form_of_yes() -> None:
    """A server that is not ready yet answers 503 with the same document, and no error."""
    document = openapi.document(ServeOptions(), ["tiny"], ["1"])
    for path, described in document["paths"].items():
        for answer in (each["responses"] for verb, each in described.items() if verb != "parameters"):
            is_asked = path.endswith("/ready")
            assert is_asked == (answer.get("503", {}).get("content") == answer["200"]["content"]), path


def test_what_stands_in_an_address_is_required_and_one_of_what_is_served() -> None:
    document = openapi.document(ServeOptions(), ["tiny", "other"], ["1", "7"])
    seen = 0
    for path, described in document["paths"].items():
        parameters = described.get("parameters", [])
        assert [each["name"] for each in parameters] == re.findall(r"{(\w+)}", path)
        for each in parameters:
            known = {"name": ["tiny", "other"], "version": ["1", "7"]}[each["name"]]
            expected = {"in": "path", "required": True, "schema": {"type": "string", "enum": known}}
            assert each == {"name": each["name"], **expected}
            seen += 1
    assert seen == 4 * 1 + 4 * 2


async def read(bodies: Bodies, data: bytes, **headers: str) -> bytes:
    """What a body that comes in parts is read as."""
    parts = [data[at : at + 300_000] for at in range(0, len(data), 300_000)]
    messages = [{"type": "http.request", "body": part, "more_body": part is not parts[-1]} for part in parts]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async with bodies.read(receive, {name.replace("_", "-"): value for name, value in headers.items()}) as found:
        return found


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("identity", bytes), ("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)],
)
def test_a_body_of_the_limit_is_read_whole_however_it_is_packed(
    encoding: str, packed: Callable[[bytes], bytes]
) -> None:
    bodies = Bodies(ServeOptions(max_body_mib=1))
    data = bytes(range(256)) * 4096
    whole, more = packed(data), packed(data + b"x")

    async def asked() -> None:
        # More often than there is room for: what one request held is free for the next.
        for _ in range(10):
            assert await read(bodies, whole, content_encoding=encoding) == data
        with pytest.raises(Refused, match="a body is at most 1 MiB") as refused:
            await read(bodies, more, content_encoding=encoding)
        assert refused.value.status == 413

    asyncio.run(asked())


@pytest.mark.parametrize(
    ("length", "is_taken"),
    [(str(1 << 20), True), (str((1 << 20) + 1), False), ("0", True), ("-1", True), ("²", True), ("9" * 40, False)],
)
def test_a_body_that_announces_more_than_the_limit_is_refused_before_it_comes(length: str, is_taken: bool) -> None:
    async def asked() -> None:
        bodies = Bodies(ServeOptions(max_body_mib=1))
        if is_taken:
            assert await read(bodies, b"some", content_length=length) == b"some"
            return
        with pytest.raises(Refused, match="a body is at most 1 MiB") as refused:
            await read(bodies, b"some", content_length=length)
        assert refused.value.status == 413

    asyncio.run(asked())
