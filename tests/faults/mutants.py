"""Damages model files: bytes, protocol buffers field by field, zip members, JSON values and numbers in XML."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from typing import Any

EXTREMES = (0, 1, -1, 2, 127, 255, 256, 2**31 - 1, -(2**31), 2**32, 2**40, 2**62, 2**63 - 1, -(2**63))
_DEEPEST = 12
Bytes = Callable[[bytes, random.Random], bytes]


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat, remove or overwrite some bytes."""
    changed = bytearray(data)
    place = rng.randrange(len(changed))
    length = rng.choice((1, 2, 4, 8, 64, 512))
    kind = rng.randrange(6)
    if kind == 0:
        for _ in range(rng.choice((1, 1, 2, 8))):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del changed[place:]
    elif kind == 2:
        del changed[place : place + length]
    elif kind == 3:
        changed[place:place] = changed[place : place + length]
    elif kind == 4:
        changed[place : place + length] = bytes([rng.choice((0, 0x7F, 0x80, 0xFF))]) * min(length, len(changed) - place)
    else:
        changed[place] = rng.randrange(256)
    return bytes(changed)


def damaged_message(data: bytes, rng: random.Random) -> bytes:
    """Change one field of a protocol buffer, at any depth, without knowing its schema; lengths stay right."""
    fields = _fields(data, 0)
    if not fields:
        return damaged_bytes(data, rng)
    holder, index = fields, _picked(fields, rng)
    while isinstance(holder[index][2], list) and holder[index][2] and rng.random() < 0.9:
        holder = holder[index][2]
        index = _picked(holder, rng)
    number, kind, value = holder[index]
    action = rng.randrange(5)
    if action == 0:
        del holder[index]
    elif action == 1:
        holder.insert(rng.randrange(len(holder) + 1), holder[index])
    elif action == 2:
        other = rng.randrange(len(holder))
        holder[index], holder[other] = holder[other], holder[index]
    elif kind == 0:
        holder[index] = (number, 0, rng.choice(EXTREMES) if rng.random() < 0.7 else rng.randrange(40))
    elif isinstance(value, bytes) and value:
        holder[index] = (number, kind, damaged_bytes(value, rng) if kind == 2 else rng.randbytes(len(value)))
    else:
        holder[index] = (rng.randrange(1, 30), kind, value)
    return _encoded(fields)


def damaged_zip(data: bytes, rng: random.Random) -> bytes:
    """Damage the contents of one member of an archive, whose checksums stay right."""
    members: list[tuple[str, bytes]] = []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    index = rng.choice([number for number, (_, content) in enumerate(members) if content])
    name, content = members[index]
    members[index] = (name, damaged_bytes(content, rng))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def damaged_json(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove or rename one value of a JSON file."""
    plain = json.loads(data)
    plain.pop("manifest_sha256", None)  # with it every change is seen at once
    holder: Any = plain
    while True:
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if not (isinstance(holder[key], (dict, list)) and holder[key]) or rng.random() < 0.1:
            break
        holder = holder[key]
    action = rng.randrange(4)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[f"{key}_"] = holder.pop(key)
    else:
        strange = [
            *EXTREMES,
            1e308,
            10**38,
            0.5,
            "",
            "x",
            "../x",
            "a:b",
            None,
            True,
            [],
            {},
            [[]],
            "\ud800",
            "0" * 4000,
        ]
        holder[key] = rng.choice(strange)
    return json.dumps(plain).encode("utf-8", "surrogatepass")


def damaged_xml(data: bytes, rng: random.Random) -> bytes:
    """Replace one number of an XML file by an extreme one."""
    numbers = list(re.finditer(rb'(?<=["> ,])-?\d+(?=["< ,])', data))
    found = rng.choice(numbers)
    return data[: found.start()] + str(rng.choice(EXTREMES)).encode() + data[found.end() :]


def _fields(data: bytes, depth: int) -> list[Any] | None:
    """(number, wire type, value) of a message; the value of what reads as a message is a list of such; else None."""
    fields, place = [], 0
    while place < len(data):
        try:
            tag, place = _varint(data, place)
            number, kind = tag >> 3, tag & 7
            if kind == 0:
                value, place = _varint(data, place)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
                value, place = data[place : place + size], place + size
            elif kind == 2:
                size, place = _varint(data, place)
                value, place = data[place : place + size], place + size
                if len(value) != size:
                    return None
                inner = _fields(value, depth + 1) if value and depth < _DEEPEST and size < 1 << 16 else None
                value = inner if inner else value
            else:
                return None
        except IndexError:
            return None
        if not number or place > len(data):
            return None
        fields.append((number, kind, value))
    return fields


def _picked(fields: list[Any], rng: random.Random) -> int:
    """The place of one field; those that hold more are picked more often."""
    return rng.choices(range(len(fields)), [_count(value) ** 0.7 for _, _, value in fields])[0]


def _count(value: Any) -> int:
    return 1 + sum(_count(inner) for _, _, inner in value) if isinstance(value, list) else 1


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80 or shift > 63:
            return value, place


def _encoded(fields: list[Any]) -> bytes:
    out = bytearray()
    for number, kind, value in fields:
        out += _as_varint(number << 3 | kind)
        if kind == 0:
            out += _as_varint(value % 2**64)
        elif kind == 2:
            content = _encoded(value) if isinstance(value, list) else value
            out += _as_varint(len(content)) + content
        else:
            out += value
    return bytes(out)


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
