"""Parquet files of records: encoding and decoding."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from densecast.measure.store import arrow
from densecast.measure.store.count_columns import Columns
from densecast.measure.store.record import Failure, Maker, Record

DONE, FAILED = "done", "failed"
"""The folders of the parts with results, and of those with failures."""
SHOWN = "other_reading"
"""The column of what images show of another reading of the ground truth."""

_META = b"densecast"
_DIGITS = 16
_NAME = re.compile(rf"(?:{DONE}|{FAILED})/[0-9a-f]{{{_DIGITS}}}-([0-9a-f]{{{_DIGITS}}})\.parquet")
_STAGES = ("decode", "infer", "postprocess", "total")
_ESCAPED = re.compile(r"\\(x[0-9a-f]{2}|\\)")


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a store: its name, which tells its ids and contents, and its bytes."""

    name: str
    data: bytes


def part_of(folder: str, records: Sequence[Record], maker: Maker, columns: Columns | None, run: str = "") -> Part:
    """Records as one Parquet file, named by the hashes of their ids and of its bytes; `run` is its key's hash."""
    pa, parquet = arrow.load()
    table = pa.table(_columns(pa, folder, records, maker, columns))
    table = with_facts(table, maker.precision, run)
    return named(folder, [record.id for record in records], _bytes_of(parquet, table))


def named(folder: str, ids: Sequence[str], data: bytes) -> Part:
    """A file's bytes under the name that they have."""
    of_data = hashlib.sha256(data).hexdigest()
    return Part(f"{folder}/{hash_of(ids)}-{of_data[:_DIGITS]}.parquet", data)


def hash_of(ids: Sequence[str]) -> str:
    """The hash of ids that a part's name begins with."""
    return hashlib.sha256("\n".join(ids).encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def is_part(name: str) -> bool:
    """Whether a file's name is that of a part."""
    return _NAME.fullmatch(name) is not None


def is_whole(name: str, data: bytes) -> bool:
    """Whether a part's bytes are those that its name promises."""
    match = _NAME.fullmatch(name)
    return match is not None and hashlib.sha256(data).hexdigest().startswith(match[1])


def _bytes_of(parquet: Any, table: Any) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def _columns(pa: Any, folder: str, records: Sequence[Record], maker: Maker, columns: Columns | None) -> dict[str, Any]:
    """Everything of the records, by column name."""

    def repeated(value: str) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array([0] * len(records), pa.int32()), pa.array([value]))

    found: dict[str, Any] = {
        "id": pa.array([portable(record.id) for record in records], pa.string()),
        "status": repeated(folder),
    }
    if folder == FAILED:
        failures = [record.failure or Failure("", "") for record in records]
        found["error"] = pa.array([each.code for each in failures], pa.string())
        found["error_text"] = pa.array([portable(each.text) for each in failures], pa.string())
    for name, of in (("", "image"), ("target_", "target")):
        facts = [getattr(record, of) for record in records]
        found[f"{name}sha256"] = pa.array([each.sha256 for each in facts], pa.string())
        found[f"{name}size_bytes"] = pa.array([each.size_bytes for each in facts], pa.int64())
        found[f"{name}stamp"] = pa.array([each.stamp for each in facts], pa.string())
    sizes = [record.size_hw or (None, None) for record in records]
    for place, name in enumerate(("height", "width")):
        found[name] = pa.array([size[place] for size in sizes], pa.int32())
    for stage in _STAGES:
        found[f"{stage}_ms"] = pa.array([record.stages_ms.get(stage) for record in records], pa.float64())
    if folder == DONE and columns is not None:
        found |= columns.encode([record.count for record in records])
        found[SHOWN] = pa.array([record.shown for record in records], pa.list_(pa.float64()))
    if folder == DONE:
        found["prediction"] = pa.array([record.prediction for record in records], pa.binary())
        found["prediction_suffix"] = pa.array([record.prediction_suffix for record in records], pa.string())
        files = [None if record.file is None else portable(record.file) for record in records]
        found["file"] = pa.array(files, pa.string())
    found["finished"] = pa.array([record.finished for record in records], pa.timestamp("ms", tz="UTC"))
    for name in ("artifact", "precision", "version", "host", "cpu"):
        found[name] = repeated(getattr(maker, name) if name != "precision" else _compute(maker.precision))
    return found


def _compute(precision: str) -> str:
    """The type that a precision's JSON names."""
    return str(json.loads(precision).get("compute", "")) if precision else ""


def precision_in(schema: Any) -> str:
    """The precision that ran, as JSON, from a part's schema; "" where it is not told."""
    return _fact(schema, "precision")


def run_in(schema: Any) -> str:
    """The hash of the key of the run that a part is of, from its schema; "" where it is not told."""
    return _fact(schema, "run")


def _fact(schema: Any, name: str) -> str:
    metadata = schema.metadata or {}
    return str(json.loads(metadata[_META]).get(name, "")) if _META in metadata else ""


def with_facts(table: Any, precision: str, run: str) -> Any:
    """A table whose schema tells the precision and the run."""
    return table.replace_schema_metadata({_META: json.dumps({"precision": precision, "run": run}).encode()})


def write_table(table: Any, folder: str) -> Part:
    """A table of records as a part."""
    _, parquet = arrow.load()
    return named(folder, ids_of(table.column("id")), _bytes_of(parquet, table))


def ids_of(column: Any) -> list[str]:
    """A column of ids as texts."""
    return [plain(text) for text in column.to_pylist()]


def batches(source: Any, columns: Sequence[str] | None, rows: int = 8192) -> Iterator[Any]:
    """The rows of a part, so many at a time."""
    _, parquet = arrow.load()
    with parquet.ParquetFile(source) as file:
        yield from file.iter_batches(rows, columns=None if columns is None else list(columns))


def portable(text: str) -> str:
    r"""A text that may hold bytes which are not UTF-8 (of file names) -> one that is, and can be turned back.

    >>> portable("a/b.jpg"), portable("caf\udce9"), plain(portable("caf\udce9")) == "caf\udce9"
    ('a/b.jpg', 'caf\\xe9', True)
    """
    if "\\" not in text and text.isprintable():
        return text
    return "".join(
        "\\\\" if letter == "\\" else f"\\x{ord(letter) - 0xDC00:02x}" if "\udc80" <= letter <= "\udcff" else letter
        for letter in text
    )


def plain(text: str) -> str:
    """The text that `portable` was given."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda each: "\\" if each[1] == "\\" else chr(0xDC00 + int(each[1][1:], 16)), text)
