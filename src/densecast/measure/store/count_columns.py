"""A metric's counts as columns of a table, and back, to the last bit; without pickle.

A count is a dataclass. Whole numbers, floats, texts and arrays of numbers become columns of that type, which any
program reads; other fields, such as people, become JSON.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from densecast.errors import BadStoreError, UsageError
from densecast.io import codec
from densecast.measure.store import arrow
from densecast.metrics._base import CountBlock, Metric
from densecast.runtime import engine_words

PREFIX = "count_"
_ID = "sample_id"
_PLAIN = {int: "int64", float: "float64", bool: "bool_", str: "string"}
_NUMBERS = (int, float, bool)
# Texts that come again and again, as an empty list; longer ones are not kept.
_SHORT = 64


class Columns(Protocol):
    """What makes columns of what records count."""

    def encode(self, counts: Sequence[Any]) -> dict[str, Any]:
        """Counts -> Arrow arrays by column name."""


@dataclasses.dataclass(frozen=True)
class CountColumns:
    """The columns of one kind of count: for each field but the image's id, its name, after a prefix, and type."""

    kind: type[Any]
    hints: dict[str, Any]
    prefix: str = PREFIX

    @classmethod
    def of_kind(cls, kind: type[Any], prefix: str) -> CountColumns:
        """The columns of a dataclass with a `sample_id`."""
        hints = typing.get_type_hints(kind)
        return cls(kind, {each.name: hints[each.name] for each in dataclasses.fields(kind) if each.name != _ID}, prefix)

    @classmethod
    def of(cls, metric: Metric[Any, Any, Any], prefix: str = PREFIX) -> CountColumns:
        """The columns of a metric's counts, from what its `count` says that it returns.

        Raises:
            UsageError: it does not return a dataclass, or does not say so.
        """
        try:
            kind = typing.get_type_hints(type(metric).count).get("return")
            hints = typing.get_type_hints(kind) if isinstance(kind, type) else {}
        except (NameError, TypeError, AttributeError):
            kind, hints = None, {}
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind) and _ID in hints):
            raise UsageError(
                f"the counts of metric {metric.name} cannot be kept: its `count` has to return a dataclass with a "
                f"`{_ID}`, and to be annotated with it.",
                field="store",
            )
        named = {each.name: hints[each.name] for each in dataclasses.fields(kind) if each.name != _ID and each.init}
        return cls(kind, named, prefix)

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [self.prefix + name for name in self.hints]

    def encode(self, counts: Sequence[Any]) -> dict[str, Any]:
        """Counts -> Arrow arrays by column name.

        Raises:
            UsageError: a field of a count that cannot be kept.
        """
        pa, _ = arrow.load()
        columns = {}
        for name, hint in self.hints.items():
            values = [getattr(count, name) for count in counts]
            try:
                columns[self.prefix + name] = _column(pa, hint, values)
            except (TypeError, ValueError, OverflowError, pa.ArrowException) as error:
                raise UsageError(
                    f"{self.kind.__name__}.{name} cannot be kept in a store: {engine_words.reason(error)}.",
                    field="store",
                ) from None
        return columns

    def decode(self, ids: Sequence[str], columns: dict[str, Any]) -> Iterator[Any]:
        """Arrow arrays by column name -> counts, one for each id.

        Raises:
            BadStoreError: a column is missing.
        """
        fields = {name: _values(hint, self._column(name, columns)) for name, hint in self.hints.items()}
        for place, sample_id in enumerate(ids):
            yield self.kind(**{_ID: sample_id}, **{name: each[place] for name, each in fields.items()})

    def decode_block(self, ids: Sequence[str], columns: dict[str, Any]) -> CountBlock:
        """The same, field by field.

        Raises:
            BadStoreError: a column is missing.
        """
        fields = {}
        for name, hint in self.hints.items():
            column = self._column(name, columns)
            fields[name] = column.to_numpy(zero_copy_only=False) if hint in _NUMBERS else _values(hint, column)
        return CountBlock(ids, fields)

    def _column(self, name: str, columns: dict[str, Any]) -> Any:
        if self.prefix + name not in columns:
            raise BadStoreError(f"the records lack the column {self.prefix + name}: another metric has made them.")
        return columns[self.prefix + name]


def _column(pa: Any, hint: Any, values: Sequence[Any]) -> Any:
    if hint in _PLAIN:
        return pa.array(values, type=getattr(pa, _PLAIN[hint])())
    if values and all(isinstance(value, np.ndarray) for value in values):
        return _nested(pa, values)
    plain = [json.dumps(codec.to_plain(value) if dataclasses.is_dataclass(value) else value) for value in values]
    return pa.array(plain, type=pa.string())


def _nested(pa: Any, arrays: Sequence[Any]) -> Any:
    """Arrays of one type and number of dimensions -> a column of lists, as deep as they have dimensions."""
    dtypes, ndims = {array.dtype for array in arrays}, {array.ndim for array in arrays}
    if len(dtypes) > 1 or len(ndims) > 1 or next(iter(ndims)) == 0 or next(iter(dtypes)).kind not in "biuf":
        raise TypeError(f"arrays of {sorted(map(str, dtypes))} and {sorted(ndims)} dimensions")
    column = pa.array(np.concatenate([np.ascontiguousarray(array).reshape(-1) for array in arrays]))
    for axis in reversed(range(next(iter(ndims)))):
        # One list for each place along the axes before this one.
        lengths = np.concatenate([np.full(int(np.prod(array.shape[:axis])), array.shape[axis]) for array in arrays])
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        column = pa.ListArray.from_arrays(pa.array(offsets, type=pa.int32()), column)
    return column


def _values(hint: Any, column: Any) -> Any:
    """A column -> its values, by place."""
    pa, _ = arrow.load()
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if hint in _PLAIN:
        return column.to_pylist()
    if pa.types.is_list(column.type):
        return _arrays(pa, column)
    return [_from_json(hint, text) for text in column.to_pylist()]


def _arrays(pa: Any, column: Any) -> Any:
    """A column of nested lists -> arrays; of one shape, they are rows of one large array."""
    shape, level = [len(column)], column
    while pa.types.is_list(level.type):
        lengths = np.unique(np.diff(level.offsets.to_numpy()))
        if len(lengths) != 1:
            dtype = _innermost(pa, column.type).to_pandas_dtype()
            return [np.array(value, dtype=dtype) for value in column.to_pylist()]
        shape.append(int(lengths[0]))
        level = level.flatten()
    return level.to_numpy(zero_copy_only=False).reshape(shape)


def _innermost(pa: Any, kind: Any) -> Any:
    while pa.types.is_list(kind):
        kind = kind.value_type
    return kind


def _from_json(hint: Any, text: str) -> Any:
    return _short(hint, text) if len(text) < _SHORT else _reader(hint)(json.loads(text))


@lru_cache(maxsize=4096)
def _short(hint: Any, text: str) -> Any:
    return _reader(hint)(json.loads(text))


@lru_cache(maxsize=64)
def _reader(hint: Any) -> Callable[[Any], Any]:
    """What gives tuples and the like back that JSON has no word for."""
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a dataclass takes no config of others
        adapter = TypeAdapter(hint)
    return adapter.validate_python
