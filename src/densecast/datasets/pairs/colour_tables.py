"""Reads tables of class colours: CVAT's and VOC's `labelmap.txt`, CamVid's `label_colors.txt`, CSV, JSON."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from densecast.datasets import _lists
from densecast.datasets.pairs import _table_columns
from densecast.errors import BadConfigError, MissingFileError
from densecast.io import codec
from densecast.spec.model import Rgb

_NAMES = ("labelmap.txt", "label_colors.txt", "label_colours.txt", "class_dict.csv")
# What may hold colours as well as anything else.
_MAYBE = ("class_dict_seg.csv", "labels_class_dict.csv", "colormap.txt", "colors.txt", "colours.txt", "classes.csv")
_MAX_BYTES = 1 << 20
_BETWEEN = r"[\s,;]+"
_COLOUR = rf"[(\[]?\s*(\d+){_BETWEEN}(\d+){_BETWEEN}(\d+)\s*[)\]]?"
# `name:r,g,b::` of CVAT and VOC, where parts and actions may follow.
_LABELMAP = re.compile(rf"([^:]+):\s*{_COLOUR}\s*(?::.*)?")
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_NAME_FIRST = re.compile(rf"(.*\D.*?)[\s,;=]+{_COLOUR}")
_COLOUR_FIRST = re.compile(rf"((?:\d+{_BETWEEN})?){_COLOUR}{_BETWEEN}(\S.*)")
_NUMBERED = re.compile(r"(\d+)[\s,;]+(\S.*)")


def found_in(root: Path) -> dict[Rgb, str]:
    """The table of colours that lies in a folder under a usual name; empty if there is none.

    Raises:
        BadConfigError: there is one, which cannot be read.
    """
    named = next((root / name for name in _NAMES if (root / name).is_file()), None)
    if named is not None:
        return read_table(named)
    for name in _MAYBE:
        with contextlib.suppress(BadConfigError, MissingFileError):
            return read_table(root / name)
    return {}


def read_table(path: Path) -> dict[Rgb, str]:
    """The class of each colour, in the file's order.

    Lines are `name:r,g,b::` (CVAT, VOC), `r g b name` (CamVid) or `name,r,g,b`, with commas, semicolons, tabs or blanks
    between, brackets, `#rrggbb`, and a number before or after them; a line of `#` alone is a comment. A first line of
    heads (`name,b,g,r`) says the order; fields may be quoted, and an alpha of 255 in all lines is left out. JSON maps
    names to colours, or lists objects with `name` (or `title`) and `color`, as Supervisely's `meta.json` in `classes`.

    Raises:
        MissingFileError: no such file.
        BadConfigError: a line of another form, or a colour twice.
    """
    if not path.is_file():
        raise MissingFileError.at(path, "colour table", field="colours")
    if path.stat().st_size > _MAX_BYTES:
        raise BadConfigError(f"{path}: larger than {_MAX_BYTES >> 20} MiB; this is no table of colours.")
    pairs = _of_json(path) if path.suffix.lower() == ".json" else _of_lines(path)
    table: dict[Rgb, str] = {}
    for name, colour in pairs:
        if colour is None:
            raise BadConfigError(f"{path}: the colour of {name!r} must be r, g and b from 0 to 255.", field="colours")
        if table.setdefault(colour, name) != name:
            raise BadConfigError(f"{path}: {table[colour]!r} and {name!r} have one colour, {colour}.", field="colours")
    if not table:
        raise BadConfigError(f"{path}: holds no colours.", field="colours")
    return table


def colour_of(value: Any) -> Rgb | None:
    """`[r, g, b]`, `"#rrggbb"` or `"r,g,b"` as a colour; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
            return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)
        value = [int(each) for each in re.split(r"[,\s]+", text)] if re.fullmatch(r"\d+([,\s]+\d+){2}", text) else None
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return None
    red, green, blue = value
    if not all(type(each) is int and 0 <= each <= 255 for each in (red, green, blue)):
        return None
    return red, green, blue


def _of_lines(path: Path) -> list[tuple[str, Rgb | None]]:
    text = _lists.text_of(path, old=True)
    if text is None:
        raise BadConfigError(f"{path}: not a text.", field="colours")
    stripped = enumerate((line.strip() for line in text.splitlines()), start=1)
    numbered = {number: line for number, line in stripped if line and (line[0] != "#" or _HEX.match(line))}
    lines = _table_columns.without_alpha([*numbered.values()])
    by_heads = _table_columns.by_heads(lines) if lines else None
    if by_heads is not None:
        return by_heads
    found: list[tuple[str, Rgb | None]] = []
    for number, line in zip(numbered, lines, strict=True):
        row = _row(line)
        if row is not None:
            found.append(row)
        elif number > 1 or any(letter.isdigit() for letter in line):  # the first line may be the heads of columns
            raise BadConfigError(
                f"{path}: line {number} must be `name:r,g,b`, `r g b name` or `name,r,g,b`, not {line[:80]!r}."
            )
    return _without_numbers(found)


def _row(line: str) -> tuple[str, Rgb | None] | None:
    """Name and colour of a line; a number before them stays with the name."""
    text = _table_columns.without_quotes(line)
    if not isinstance(text, str):
        return text
    shown = _HEX.search(text)
    if shown is not None:
        return re.sub(r"^[\s,;:=]+|[\s,;:=]+$", "", text.replace(shown[0], " ")), colour_of(shown[0])
    by_colour = _COLOUR_FIRST.fullmatch(text)
    if by_colour:
        return (by_colour[1] + by_colour[5]).strip(), colour_of([int(by_colour[k]) for k in (2, 3, 4)])
    by_name = _LABELMAP.fullmatch(text) or _NAME_FIRST.fullmatch(text)
    if by_name:
        return by_name[1].strip().rstrip(":").strip(), colour_of([int(by_name[k]) for k in (2, 3, 4)])
    return None


def _without_numbers(rows: list[tuple[str, Rgb | None]]) -> list[tuple[str, Rgb | None]]:
    """Names without the numbers before them, where every name has one of its own."""
    numbered = [_NUMBERED.fullmatch(name) for name, _ in rows]
    found = [each for each in numbered if each is not None]
    if len(found) < len(rows) or len({int(each[1]) for each in found}) < len(rows):
        return rows
    return [(each[2].strip(), colour) for each, (_, colour) in zip(found, rows, strict=True)]


def _of_json(path: Path) -> list[tuple[str, Rgb | None]]:
    plain = codec.read_plain(path)
    if isinstance(plain, dict) and isinstance(plain.get("classes"), list):
        plain = plain["classes"]
    if isinstance(plain, list) and all(isinstance(each, dict) for each in plain):
        return [(str(each.get("name", each.get("title", ""))), colour_of(each.get("color"))) for each in plain]
    if isinstance(plain, dict):
        return [(str(name), colour_of(colour)) for name, colour in plain.items()]
    raise BadConfigError(f"{path}: must map names to colours.", field="colours")
