"""Takes the one picture out of a request: the body itself, or the file of a form (RFC 7578)."""

from __future__ import annotations

import re

from densecast.verbs.serve.refusals import Refused, bad

_BOUNDARY = re.compile(r"""boundary=(?:"([^"\r\n]{1,70})"|([^\s;",]{1,70}))""", re.IGNORECASE)
_FILENAME = re.compile(rb";\s*filename\*?=", re.IGNORECASE)
_NAME = re.compile(rb';\s*name="?([^";\r\n]*)', re.IGNORECASE)
_LONGEST_HEADER = 16 << 10
_MOST_PARTS = 32
_RAW = ("application/octet-stream", "application/x-www-form-urlencoded", "binary/octet-stream", "")


def picture(body: bytes, content_type: str) -> bytes:
    """The picture's file in a body.

    `curl --data-binary` sends a file as a form that it is not; what the bytes are decides.

    Raises:
        Refused: another content type, a form that is cut off, or not exactly one file in it.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _file_of(body, content_type)
    if kind not in _RAW and not kind.startswith("image/"):
        of_json = " JSON goes to /v2/models/NAME/infer." if kind == "application/json" else ""
        raise Refused(
            415, f"send a picture as image/jpeg, image/png … or as multipart/form-data, not {kind[:100]!r}.{of_json}",
            field="Content-Type",
        )  # fmt: skip
    if not body:
        raise bad("the body is empty: send an image file.", "image")
    return body


def _file_of(body: bytes, content_type: str) -> bytes:
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise bad("multipart/form-data needs a boundary of 1 to 70 letters.", "Content-Type")
    try:
        boundary = b"--" + (match[1] or match[2]).encode("ascii")
    except UnicodeEncodeError:
        raise bad("the boundary of multipart/form-data is ASCII.", "Content-Type") from None
    place = _start(body, boundary)
    files: list[bytes] = []
    for _ in range(_MOST_PARTS):
        header_end = body.find(b"\r\n\r\n", place, place + _LONGEST_HEADER)
        end = body.find(b"\r\n" + boundary, max(place, header_end))
        if header_end < 0 or end < header_end:
            raise bad("the multipart form is cut off.", "body")
        # A part without content ends where its header does.
        content = body[header_end + 4 : end] if end >= header_end + 4 else b""
        if _FILENAME.search(body, place, header_end):
            files.append(content)
        else:
            named = _NAME.search(body, place, header_end)
            name = named[1][:100].decode("utf-8", "replace") if named else "?"
            raise bad(
                f"the form's field {name!r} has no effect: parameters are part of the address, and a picture is a part "
                "with a file name, as curl -F file=@photo.jpg sends it.",
                name,
            )
        place = end + 2 + len(boundary)
        if body[place : place + 2] == b"--":
            break
        if body[place : place + 2] != b"\r\n":
            raise bad("the multipart form is cut off.", "body")
        place += 2
    else:
        raise bad(f"the multipart form has more than {_MOST_PARTS} parts.", "body")
    if len(files) != 1:
        raise bad(f"the form must hold one file, it holds {len(files)}.", "image")
    return files[0]


def _start(body: bytes, boundary: bytes) -> int:
    if body.startswith(boundary + b"\r\n"):
        return len(boundary) + 2
    found = body.find(b"\r\n" + boundary + b"\r\n", 0, _LONGEST_HEADER)
    if found < 0:
        raise bad("the body does not begin with the boundary of its multipart form.", "body")
    return found + len(boundary) + 4
