"""Checks that a JPEG is whole: every scan holds all of its blocks, and the file goes to its end marker.

Decoders fill what is missing with grey, and say so on standard error at most. Here the headers are read, and
`kernels.jpeg_scan` walks through the scans. Nothing behind the end marker of the first picture is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), (0xC2,)
_OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_TABLES, _SCAN, _QUANTISERS, _RESTART, _END, _LINES = 0xC4, 0xDA, 0xDB, 0xDD, 0xD9, 0xDC
_MAX_BLOCKS = 1 << 25
# Eight bits transformed are at most 1024; the double is beyond any encoder's rounding and clipping.
_LARGEST_DC = 2048
_NO_CODES = bytes(16)


@dataclass(frozen=True, slots=True)
class State:
    """`is_whole`: down to the end marker, or of a kind that is not looked into; `damage`: what is wrong, if known."""

    is_whole: bool
    damage: str = ""


@dataclass(slots=True)
class _Component:
    identifier: int
    across: int
    down: int
    quantiser: int
    # How many bits of each coefficient are still to come; -1 if none came.
    missing_bits: list[int] = field(default_factory=lambda: [-1] * 64)
    seen: npt.NDArray[np.uint8] | None = None


@dataclass(slots=True)
class _Frame:
    is_progressive: bool
    height: int
    width: int
    components: list[_Component]

    @property
    def mcu_hw(self) -> tuple[int, int]:
        return 8 * max(each.down for each in self.components), 8 * max(each.across for each in self.components)

    def blocks(self, component: _Component) -> tuple[int, int]:
        """Blocks down and across of a component alone."""
        high, wide = (side // 8 for side in self.mcu_hw)
        height, width = -(-self.height * component.down // high), -(-self.width * component.across // wide)
        return -(-height // 8), -(-width // 8)


class _Unknown(Exception):
    """Of a kind that is not looked into."""


def check(data: bytes) -> State:
    """Whether the first picture of a JPEG file is whole."""
    try:
        return _check(data)
    except (_Unknown, IndexError, ValueError, ZeroDivisionError):
        # Arithmetic coding, lossless, hierarchical, or a broken header, which decoders refuse themselves.
        return State(b"\xff\xd9" in data[-64:])


def _check(data: bytes) -> State:
    values = np.frombuffer(data, np.uint8)
    tables: dict[int, bytes] = {}
    quantisers: dict[int, int] = {}
    frame: _Frame | None = None
    restart, pos = 0, 2
    while True:
        while data[pos] != 0xFF or data[pos + 1] in (0, 0xFF):
            pos += 1
            if pos + 1 >= len(data):
                return State(False)
        marker, pos = data[pos + 1], pos + 2
        if marker == _END:
            return State(True, "" if frame is None else _unfinished(frame))
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:
            continue
        length = data[pos] << 8 | data[pos + 1]
        body, pos = data[pos + 2 : pos + length], pos + length
        if marker in _SEQUENTIAL + _PROGRESSIVE and frame is None:
            frame = _frame(body, marker in _PROGRESSIVE)
        elif marker in _OTHER_FRAMES or marker == _LINES:
            raise _Unknown
        elif marker == _TABLES:
            read_tables(body, tables)
        elif marker == _QUANTISERS:
            _read_quantisers(body, quantisers)
        elif marker == _RESTART:
            restart = body[0] << 8 | body[1]
        elif marker == _SCAN:
            if frame is None:
                raise _Unknown
            state, pos = _scan(values, pos, body, frame, tables, quantisers, restart)
            if state:
                return State(False, damage(state))


def _frame(body: bytes, is_progressive: bool) -> _Frame:
    if body[0] != 8:
        raise _Unknown
    height, width = body[1] << 8 | body[2], body[3] << 8 | body[4]
    parts = [body[6 + 3 * index : 9 + 3 * index] for index in range(body[5])]
    components = [_Component(part[0], part[1] >> 4, part[1] & 15, part[2]) for part in parts]
    if not (height and width and components and all(each.across and each.down for each in components)):
        raise _Unknown
    if height * width // 64 * len(components) > _MAX_BLOCKS:
        raise _Unknown
    return _Frame(is_progressive, height, width, components)


def read_tables(body: bytes, tables: dict[int, bytes]) -> None:
    """Huffman tables as in the file, the counts of codes by length and then the symbols; by class and place."""
    at = 0
    while at < len(body):
        end = at + 17 + sum(body[at + 1 : at + 17])
        tables[body[at]] = body[at + 1 : end]
        at = end


# Most files have the same few tables: those of the standard's annex K.
@lru_cache(maxsize=32)
def looked_up(coded: tuple[bytes, ...]) -> npt.NDArray[np.uint16]:
    """Tables (T.81, B.2.4.2) as (n, 65536): the next 16 bits -> length * 256 + symbol, 0 for no code."""
    tables = np.zeros((len(coded), 1 << 16), np.uint16)
    for table, text in zip(tables, coded, strict=True):
        lengths = np.repeat(np.arange(1, 17), list(text[:16]))
        symbols = np.frombuffer(text[16:], np.uint8)[: len(lengths)].astype(np.uint16)
        entries = np.repeat(lengths[: len(symbols)].astype(np.uint16) << 8 | symbols, 1 << 16 - lengths[: len(symbols)])
        table[: len(entries)] = entries[: 1 << 16]
    tables.flags.writeable = False
    return tables


def _read_quantisers(body: bytes, quantisers: dict[int, int]) -> None:
    """The divisor of the mean of a block, by table."""
    at = 0
    while at < len(body):
        wide = body[at] >> 4
        quantisers[body[at] & 15] = max(1, body[at + 1] << 8 | body[at + 2] if wide else body[at + 1])
        at += 129 if wide else 65


def _scan(
    data: npt.NDArray[np.uint8],
    pos: int,
    body: bytes,
    frame: _Frame,
    tables: dict[int, bytes],
    quantisers: dict[int, int],
    restart: int,
) -> tuple[int, int]:
    from densecast.kernels import jpeg_scan

    count = body[0]
    by_identifier = {each.identifier: each for each in frame.components}
    chosen = [(by_identifier.get(body[1 + 2 * index]), body[2 + 2 * index]) for index in range(count)]
    begin, end, bits = body[1 + 2 * count], body[2 + 2 * count], body[3 + 2 * count]
    if not frame.is_progressive:
        begin, end, bits = 0, 63, 0
    earlier, later = bits >> 4, bits & 15
    if not chosen or end > 63 or begin > end or (begin and count > 1):
        raise _Unknown
    mode = 0 if not frame.is_progressive else (1 if earlier == 0 else 2) if begin == 0 else (3 if earlier == 0 else 4)
    units, pairs = [], list[tuple[bytes, bytes]]()
    for index, (component, selected) in enumerate(chosen):
        if component is None:
            raise _Unknown
        repeats = component.across * component.down if count > 1 else 1
        pair = tables.get(selected >> 4, _NO_CODES), tables.get(0x10 | selected & 15, _NO_CODES)
        if pair not in pairs:
            pairs.append(pair)
        units += [(index, pairs.index(pair))] * repeats
        component.missing_bits[begin : end + 1] = [later] * (end + 1 - begin)
    components = [component for component, _ in chosen if component is not None]
    high, wide = frame.mcu_hw
    rows, columns = (-(-frame.height // high), -(-frame.width // wide)) if count > 1 else frame.blocks(components[0])
    seen = np.zeros((1, 64), np.uint8)
    if mode >= 3:
        if components[0].seen is None:
            components[0].seen = np.zeros((rows * columns, 64), np.uint8)
        seen = components[0].seen
    limits = [
        _LARGEST_DC // quantisers.get(each.quantiser, 1) + 2 >> (later if mode == 1 else 0) for each in components
    ]
    both = tuple(looked_up(tuple(each)) for each in zip(*pairs, strict=True))
    scan_of = (data, pos, rows * columns, restart, np.asarray(units, np.int64), *both)
    most = np.asarray(limits, np.int64) + 1
    if mode == 0:
        state, pos = jpeg_scan.sequential(*scan_of, most)
    else:
        state, pos = jpeg_scan.scan(*scan_of, mode, np.asarray([begin, end], np.int64), seen, most)
    return int(state), int(pos)


def damage(state: int) -> str:
    """What is wrong with a scan, by its state in `kernels.jpeg_bits`; empty for one that ends with its file."""
    from densecast.kernels import jpeg_bits

    words = {
        jpeg_bits.BAD_CODE: "a code that its tables do not have",
        jpeg_bits.EARLY_MARKER: "it ends before its last pixel",
        jpeg_bits.LEFT_OVER: "data without a place in the picture",
        jpeg_bits.BAD_RESTART: "restart markers out of order",
        jpeg_bits.BAD_VALUE: "values beyond black and white",
    }
    return words.get(state, "")


def _unfinished(frame: _Frame) -> str:
    """What a file that ends properly lacks: a component, or the last bits of coefficients."""
    if any(each.missing_bits[0] < 0 for each in frame.components):
        return "a colour has no data"
    if frame.is_progressive and any(bits for each in frame.components for bits in each.missing_bits):
        return "its last scans are missing"
    return ""
