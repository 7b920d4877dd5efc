"""Reads a table of colours whose first line names its columns, or whose fields are quoted, as spreadsheets write it."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from densecast.spec.model import Rgb

_CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))
_NAMES = ("name", "class", "label", "classname", "labelname", "category", "classes", "labels", "title")
_WHOLE = re.compile(r"\s*(\d+)(?:\.0*)?\s*")
_LARGEST = 255

Row = tuple[str, Rgb | None]


def by_heads(lines: Sequence[str]) -> list[Row] | None:
    """Name and colour of each line below heads such as `name,r,g,b` in any order; None if the first line is no such.

    The colour is None where the line has none from 0 to 255.
    """
    delimiter = _delimiter(lines[0])
    heads = [re.sub(r"[\W_]", "", head.casefold()) for head in _fields(lines[0], delimiter)]
    places = [next((heads.index(word) for word in words if word in heads), None) for words in _CHANNELS]
    name = next((heads.index(word) for word in _NAMES if word in heads), None)
    if name is None or None in places:
        return None
    rows: list[Row] = []
    for line in lines[1:]:
        fields = _fields(line, delimiter)
        told = [_whole(fields[place]) for place in places if place is not None and place < len(fields)]
        known = [number for number in told if number is not None]
        label = fields[name].strip() if name < len(fields) else line
        rows.append((label, (known[0], known[1], known[2]) if len(known) == len(places) else None))
    return rows


def without_quotes(line: str) -> str | Row:
    """A line without quotes around its fields; of a name that is quoted and three numbers, both."""
    if '"' not in line:
        return line
    fields = [field.strip() for field in _fields(line, _delimiter(line))]
    numbers = [number for number in map(_whole, fields) if number is not None]
    others = [field for field in fields if _whole(field) is None and field]
    if len(others) == 1 and len(numbers) == len(_CHANNELS):
        return others[0], (numbers[0], numbers[1], numbers[2])
    return ",".join(fields)


def without_alpha(rows: Sequence[str]) -> list[str]:
    """Lines `name,r,g,b,a` without their last field, where it is 255 in all of them."""
    cut = []
    for row in rows:
        fields = row.rstrip(" ,;\t").rsplit(_delimiter(row), 4)
        numbers = [_whole(field) for field in fields[1:]]
        if len(fields) < 5 or None in numbers or numbers[-1] != _LARGEST or not re.search(r"\D", fields[0]):
            return [*rows]
        cut.append(_delimiter(row).join(fields[:-1]))
    return cut


def _fields(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error:  # a field beyond all bounds
        return [line]


def _delimiter(line: str) -> str:
    return next((each for each in (";", "\t", ",") if each in line), " ")


def _whole(field: str) -> int | None:
    """The whole number from 0 to 255 that a field holds."""
    found = _WHOLE.fullmatch(field)
    return int(found[1]) if found and int(found[1]) <= _LARGEST else None
