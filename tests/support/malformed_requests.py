"""Some hundred requests that are wrong in every way that we could think of, each with a name; all are complete.

Made anew from rules, so that a reader sees what is tried; `wrong` are answered 4xx whatever the server serves.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image
from serve_client import elements

Case = tuple[str, bytes]

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
DEEP = "[" * 100_000 + "]" * 100_000


def request(
    path: str, body: bytes = b"", headers: tuple[str, ...] = (), *, method: str = "POST", length: str | None = None
) -> bytes:
    """A request as it goes over the wire."""
    size = str(len(body)) if length is None else length
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def infer(body: bytes, header_length: int | str | None = None, *headers: str) -> bytes:
    own = () if header_length is None else (f"Inference-Header-Content-Length: {header_length}",)
    return request("/v2/models/tiny/infer", body, (*own, *headers))


def valid_tensor() -> dict[str, Any]:
    """What the cases below spoil: a document that is right."""
    return {
        "id": "1",
        "parameters": {"timeout": 1000000},
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 3, 8, 8], "parameters": {}, "data": [0.5] * 192}],
        "outputs": [{"name": "logits", "parameters": {"binary_data": False}}],
    }


# Where it is spoilt, and values that are right or mean "none" there.
_FIELDS: dict[tuple[Any, ...], tuple[Any, ...]] = {
    ("id",): (None, "", "x", "../../etc/passwd"),
    ("parameters",): (None, {}),
    ("parameters", "timeout"): (None, 0, 10**15),
    ("parameters", "binary_data_output"): (True, None),
    ("inputs",): (),
    ("inputs", 0): (),
    ("inputs", 0, "name"): (),
    ("inputs", 0, "datatype"): (),
    ("inputs", 0, "shape"): (),
    ("inputs", 0, "shape", 0): (),
    ("inputs", 0, "shape", 3): (),
    ("inputs", 0, "parameters"): (None, {}),
    ("inputs", 0, "parameters", "binary_data_size"): (None,),
    ("inputs", 0, "parameters", "content_type"): (None,),
    ("inputs", 0, "data"): (),
    ("inputs", 0, "data", 5): (0, 1, -1, 1.5, 10**15, True),
    ("outputs",): (None, []),
    ("outputs", 0): (),
    ("outputs", 0, "name"): (),
    ("outputs", 0, "parameters"): (None, {}),
    ("outputs", 0, "parameters", "binary_data"): (True, None),
    ("outputs", 0, "parameters", "content_type"): (None,),
}
_VALUES = (
    None,
    True,
    0,
    -1,
    1.5,
    10**15,
    10**400,
    "",
    "x",
    "\ud800",
    "../../etc/passwd",
    [],
    [[]],
    [None],
    {},
    {"a": 1},
)
_RAW_VALUES = ("NaN", "-Infinity", "1e999", "9" * 5000, DEEP, "tru", '"\\x"', '{"a":1,"a":2}')
_HOLE = "a hole in the document"


def documents() -> Iterator[Case]:
    for field, right in _FIELDS.items():
        name = ".".join(map(str, field))
        for value in _VALUES:
            if not any(type(value) is type(each) and value == each for each in right):
                yield f"{name} = {str(value)[:20]!r}", infer(json.dumps(_spoilt(field, value)).encode())
        for raw in _RAW_VALUES:
            text = json.dumps(_spoilt(field, _HOLE)).replace(json.dumps(_HOLE), raw)
            yield f"{name} = {raw[:12]}", infer(text.encode())
    for name in ("inputs",):
        document = valid_tensor()
        del document[name]
        yield f"no {name}", infer(json.dumps(document).encode())
    for name in ("name", "datatype", "shape", "data"):
        document = valid_tensor()
        del document["inputs"][0][name]
        yield f"no inputs.0.{name}", infer(json.dumps(document).encode())
    for body in (b"", b"[]", b"1", b"null", b'"a"', b"{", b"\xff\xfe{\0}\0", b"\0", DEEP.encode(), b"{}", b"{}{}"):
        yield f"document {body[:10]!r}", infer(body)
    for unknown in ("priority", "sequence_id", "classification", "shared_memory_region", "headers"):
        for place in ("parameters", "inputs", "outputs"):
            document = valid_tensor()
            owner = document if place == "parameters" else document[place][0]
            owner.setdefault("parameters", {})[unknown] = 1
            yield f"{place} with {unknown}", infer(json.dumps(document).encode())


def _spoilt(field: tuple[Any, ...], value: Any) -> Any:
    document: Any = valid_tensor()
    owner = document
    for step in field[:-1]:
        owner = owner[step]
    owner[field[-1]] = value
    return document


def binary() -> Iterator[Case]:
    picture = jpeg()
    right = elements(picture)
    for length in (-1, 0, 1, 10**6, 10**30, "", "abc", "1.0", "0x10", "+5", " ", "10, 10", "\xb2"):
        yield f"header length {length!r}", infer(_head([1], len(right)) + right, length)
    for size in (-1, 0, 1, len(right) - 1, len(right) + 1, 10**12, 1.5, "7", True, [1]):
        head = _head([1], size)
        yield f"binary size {size!r}", infer(head + right, len(head))
    for shape in (
        [0],
        [2],
        [-1],
        [1, 2],
        [1, 1, 1],
        [],
        [10**9],
        [2**31],
        [2**40, 2**40],
        [1.0],
        ["1"],
        [True],
        [None],
    ):
        head = _head(shape, len(right))
        yield f"shape of files {shape}", infer(head + right, len(head))
    for name, data in (
        ("an element longer than the body", struct.pack("<I", 2**32 - 1) + picture),
        ("an element shorter", struct.pack("<I", 3) + picture),
        ("half a length", b"\1\0"),
        ("nothing", b""),
        ("two elements", right + right),
        ("bytes behind", right + b"x"),
        ("an empty file", elements(b"")),
        ("a file of zeros", elements(bytes(100))),
    ):
        head = _head([1], len(data))
        yield f"binary with {name}", infer(head + data, len(head))
    for shape in (
        [1, 3, 8, 8],
        [1, 8, 8, 3],
        [0, 3, 8, 8],
        [1, 4, 8, 8],
        [1, 3, 4, 4],
        [1, 3, 8, 10**6],
        [192],
        [1] * 9,
    ):
        for datatype in ("FP32", "FP64", "INT32", "BOOL", "FP16", "BYTES", "UINT64", "FP31", "fp32", ""):
            if (shape, datatype) == ([1, 3, 8, 8], "FP32"):
                continue
            data = bytes(768)
            head = _head(shape, len(data), datatype)
            yield f"{datatype} {shape}", infer(head + data, len(head))
    for value in (np.nan, np.inf, -np.inf):
        data = np.full(192, value, np.float32).tobytes()
        head = _head([1, 3, 8, 8], len(data), "FP32")
        yield f"a tensor of {value}", infer(head + data, len(head))
    head = json.dumps({"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [1], "data": [1.0]}]}).encode()
    yield "an unknown input", infer(head)
    yield "a BYTES output as JSON", infer(*_with_output(right, "class_id_png", False))
    yield "an unknown output", infer(*_with_output(right, "logits2", True))
    yield "the network's output of a picture", infer(*_with_output(right, "logits", True))


def _head(shape: Any, size: Any, datatype: str = "BYTES") -> bytes:
    one = {"name": "image", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    return json.dumps({"inputs": [one]}).encode()


def _with_output(data: bytes, name: str, is_binary: bool) -> tuple[bytes, int]:
    document = json.loads(_head([1], len(data)))
    document["outputs"] = [{"name": name, "parameters": {"binary_data": is_binary}}]
    head = json.dumps(document).encode()
    return head + data, len(head)


def jpeg(size_hw: tuple[int, int] = (32, 40)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size_hw, 3), dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()


def png_of(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG whose header says so, whatever is in it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _PNG_HEAD + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def bad_pictures() -> Iterator[Case]:
    whole = jpeg()
    for cut in (1, 2, 3, 10, 20, 100, len(whole) // 2, len(whole) - 100, len(whole) - 3):
        yield f"a JPEG of {cut} bytes", whole[:cut]
    for place in (2, 20, 165):
        yield f"a JPEG spoilt at {place}", whole[:place] + b"\xff\xff\xff\xff" + whole[place + 4 :]
    for width, height in ((0, 0), (0, 5), (2**31 - 1, 2**31 - 1), (100_000, 100_000), (9000, 8000), (1, 1), (4096, 1)):
        yield f"a PNG of {width}x{height}", png_of(width, height)
    frames = [Image.new("RGB", (40, 32), (shade, 0, 0)) for shade in (0, 200)]
    for kind in ("GIF", "TIFF", "WEBP"):
        file = io.BytesIO()
        frames[0].save(file, kind, save_all=True, append_images=frames[1:])
        yield f"a {kind} of several pictures", file.getvalue()
    yield "a PNG cut off", png_of(40, 40, b"\0" * 4840)[:-24]
    yield "a PNG with little in it", png_of(40, 40, b"abc")
    for start in (
        b"GIF89a",
        b"BM",
        b"II*\0",
        b"MM\0*",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"P6 99999999 9999999 255\n",
        b"P5\n4 4\n70000\n",
    ):
        yield f"a file of {start[:6]!r}", start + bytes(64)
    for text in (
        b"<svg onload='x'/>",
        b"http://127.0.0.1:1/a.jpg",
        b"file:///etc/passwd",
        b"\0",
        b" " * 10,
        b"{}",
        b"%PDF-1.4",
    ):
        yield f"text {text[:12]!r}", text


def plain() -> Iterator[Case]:
    whole = jpeg()
    jpeg_type = ("Content-Type: image/jpeg",)
    for name, data in (("nothing", b""), *bad_pictures()):
        yield f"predict: {name}", request("/predict/tiny", data, jpeg_type)
        head = _head([1], len(elements(data)))
        yield f"infer: {name}", infer(head + elements(data), len(head))
    for query in (
        "overlay=2",
        "overlay=1&overlay=1",
        "scores=x",
        "timeout_ms=-1",
        "timeout_ms=nan",
        "timeout_ms=inf",
        "url=http://a/",
        "response_mask_format=polygon",
        "a=1",
        "overlay=",
        "%00=1",
        "scores=%FF",
    ):
        yield f"predict?{query}", request(f"/predict/tiny?{query}", whole, jpeg_type)
    for kind in (
        "text/plain",
        "application/json",
        "application/xml",
        "video/mp4",
        "multipart/mixed; boundary=a",
        "x",
        "/",
    ):
        yield f"predict as {kind}", request("/predict/tiny", whole, (f"Content-Type: {kind}",))
    for accept in (
        "text/html",
        "image/webp",
        "application/xml;q=0.9",
        "image/png;q=0",
        "*/*;q=0",
        "image/png;q=x",
        ";",
        ",,",
    ):
        yield f"predict accepting {accept}", request("/predict/tiny", whole, (*jpeg_type, f"Accept: {accept}"))
    yield "predict: a PNG with scores", request("/predict/tiny?scores=1", whole, (*jpeg_type, "Accept: image/png"))
    yield "predict: people as a PNG", request("/predict/people", whole, (*jpeg_type, "Accept: image/png"))
    yield "predict: scores of people", request("/predict/people?scores=1", whole, jpeg_type)
    yield "predict: which model", request("/predict", whole, jpeg_type)


def forms() -> Iterator[Case]:
    kind = ("Content-Type: multipart/form-data; boundary=edge",)
    part = b'Content-Disposition: form-data; name="file"; filename="../../a.jpg"\r\n\r\n' + jpeg() + b"\r\n"
    form = b"--edge\r\n" + part + b"--edge--\r\n"
    for cut in (0, 1, 5, 8, 20, 60, 90, 200, len(form) // 2, len(form) - 60, len(form) - 10, len(form) - 5):
        yield f"form cut at {cut}", request("/predict/tiny", form[:cut], kind)
    for boundary in (
        "",
        "boundary=",
        'boundary=""',
        f"boundary={'a' * 71}",
        "boundary=other",
        "boundary=\xe4",
        "boundary=edge-",
    ):
        yield (
            f"form, {boundary[:20]}",
            request("/predict/tiny", form, (f"Content-Type: multipart/form-data; {boundary}",)),
        )
    yield "form of two files", request("/predict/tiny", (b"--edge\r\n" + part) * 2 + b"--edge--\r\n", kind)
    yield (
        "form of no file",
        request("/predict/tiny", b"--edge\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--edge--", kind),
    )
    yield "form of no part", request("/predict/tiny", b"--edge--\r\n", kind)
    yield "form of many parts", request("/predict/tiny", b"--edge\r\n\r\n\r\n" * 10_000 + b"--edge--\r\n", kind)
    yield (
        "form with an endless header",
        request("/predict/tiny", b"--edge\r\nA: " + b"a" * 100_000 + b"\r\n\r\nb\r\n--edge--", kind),
    )


def addresses() -> Iterator[Case]:
    names = (
        "..",
        ".",
        "../tiny",
        "..%2ftiny",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..\\tiny",
        "tiny%00",
        "tiny%0d%0aX:1",
        "tiny/",
        "tiny/../tiny",
        "%ff",
        "%",
        "%zz",
        "tiny;a",
        "tiny%20",
        "'",
        "%22",
        "<script>",
        "a" * 5000,
        "tiny:1",
        "TINY",
        "*",
    )
    for name, rest in itertools.product(names, ("", "/infer", "/versions/1")):
        method = "POST" if rest == "/infer" else "GET"
        yield f"{method} models/{name[:20]}{rest}", request(f"/v2/models/{name}{rest}", method=method)
    for version in ("2", "0", "-1", "..", "1%00", "latest"):
        yield f"version {version}", request(f"/v2/models/tiny/versions/{version}/infer")
    for path in (
        "/v2/../v2",
        "/page/..%2findex.html",
        "/page/page.py",
        "/v2/systemsharedmemory/status",
        "/v3",
        "//v2",
        "/v2/",
        "http://127.0.0.1/v2",
        "/.git/config",
        "/v2/models",
        "/predict/tiny/extra",
    ):
        yield f"GET {path}", request(path, method="GET")
    for method, path in (
        ("GET", "/predict"),
        ("DELETE", "/v2/models/tiny"),
        ("PUT", "/v2"),
        ("POST", "/metrics"),
        ("POST", "/"),
        ("TRACE", "/"),
        ("OPTIONS", "/v2"),
        ("PATCH", "/predict"),
        ("get", "/v2"),
        ("A" * 50, "/v2"),
    ):
        yield f"{method[:8]} {path}", request(path, method=method)


def compressed() -> Iterator[Case]:
    body = json.dumps(valid_tensor()).encode()
    packed = gzip.compress(body)
    for cut in (0, 1, 5, 10, 15, len(packed) - 8, len(packed) - 1):
        yield f"gzip of {cut} bytes", infer(packed[:cut], None, "Content-Encoding: gzip")
    yield "gzip that is none", infer(body, None, "Content-Encoding: gzip")
    yield "deflate that is gzip", infer(packed, None, "Content-Encoding: deflate")
    yield "gzip and more", infer(packed + b"more", None, "Content-Encoding: gzip")
    yield "gzip with a wrong sum", infer(packed[:-6] + b"\0\0" + packed[-4:], None, "Content-Encoding: gzip")
    bomb = gzip.compress(bytes(70 << 20), 1)
    yield "a gzip bomb", infer(bomb, None, "Content-Encoding: gzip")
    yield "a bomb in a bomb", infer(gzip.compress(bomb), None, "Content-Encoding: gzip")
    for encoding in ("br", "zstd", "gzip, gzip", "compress", "x", "gzip;q=1"):
        yield f"encoding {encoding}", infer(packed, None, f"Content-Encoding: {encoding}")


def framing() -> Iterator[Case]:
    start = "POST /v2/models/tiny/infer HTTP/1.1\r\nHost: localhost\r\n"
    smuggled = "0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    heads = (
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: -5",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 1e3",
        "Content-Length: " + "9" * 400,
        "Content-Length: \xb2",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:chunked\r\nTransfer-Encoding: identity",
        " Transfer-Encoding: chunked",
        "Content-Length: 99999999999",
        "Content-Length: 67108865",
        "Content-Length : 5",
        "Content-Length: 5\r\nHost: other",
        "A\x00: 1",
        "A: \x00",
        "A\xe4: 1",
        ": 1",
        "A",
        "A B: 1",
        "A: 1\rB: 2",
        "X: " + "a" * 70_000,
        "\r\n".join(f"X{n}: {n}" for n in range(5000)),
    )
    for head in heads:
        yield f"header {head[:45]!r}", f"{start}{head}\r\n\r\n{smuggled}".encode("latin-1")
    chunked = f"{start}Transfer-Encoding: chunked\r\n\r\n"
    for chunk in (
        "-1\r\n",
        "0x5\r\nhello",
        "g\r\n",
        "\r\n",
        "5;" + "a" * 70_000 + "\r\nhello",
        "fffffffffffffffffffff\r\n",
        "5\nhello",
        " 5\r\nhello",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "+5\r\nhello",
    ):
        yield f"chunk {chunk[:12]!r}", (chunked + chunk + "\r\n\r\n").encode()
    yield "a million chunks", (chunked + "1\r\nx\r\n" * 1_000_000 + "0\r\n\r\n").encode()
    for line in (
        "GET",
        "GET /",
        "GET / HTTP/9.9",
        "GET / HTTP/1",
        "GET  / HTTP/1.1",
        "G\x00T / HTTP/1.1",
        "GET /\x00 HTTP/1.1",
        "GET /\xe4 HTTP/1.1",
        "GET / v2 HTTP/1.1",
        "PRI * HTTP/2.0",
        "\x16\x03\x01\x02\x00\x01\x00",
        "GET / HTTP/1.1 x",
        "\x05\x01\x00",
        "HTTP/1.1 200 OK",
        "A" * 70_000,
    ):
        yield f"line {line[:20]!r}", f"{line}\r\nHost: localhost\r\n\r\n".encode("latin-1")
    yield "no host", b"GET /v2 HTTP/1.1\r\n\r\n"
    yield "two hosts", b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"
    for host in (
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "evil.example:80",
        "localhost@evil",
    ):
        yield f"host {host}", f"GET /v2 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


def wrong() -> list[Case]:
    """All of them."""
    return [*documents(), *binary(), *plain(), *forms(), *addresses(), *compressed(), *framing()]
