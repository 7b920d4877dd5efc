"""Reads tables of class colours: CVAT's and VOC's `labelmap.txt`, CamVid's `label_colors.txt`, JSON."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from densecast.errors import BadConfigError, MissingFileError
from densecast.io import codec
from densecast.spec.model import Rgb

FOUND_BY_NAME = ("labelmap.txt", "label_colors.txt", "label_colours.txt", "class_dict.csv")
_MAX_BYTES = 1 << 20
_LABELMAP = re.compile(r"([^:]+):\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(?::.*)?")
_COLOUR_FIRST = re.compile(r"(\d+)\s+(\d+)\s+(\d+)\s+(.+?)")
_COMMAS = re.compile(r"([^,]+),\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)")


def read_table(path: Path) -> dict[Rgb, str]:
    """The class of each colour, in the file's order.

    Lines are `name:r,g,b::` (CVAT, VOC), `r g b name` (CamVid) or `name,r,g,b`; `#` begins a comment. JSON maps names
    to colours, or lists objects with `name` (or `title`) and `color`, as Supervisely's `meta.json` in `classes`.

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
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except ValueError:
        raise BadConfigError(f"{path}: not a text.", field="colours") from None
    found: list[tuple[str, Rgb | None]] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        by_name = _LABELMAP.fullmatch(text) or _COMMAS.fullmatch(text)
        by_colour = _COLOUR_FIRST.fullmatch(text)
        if by_name:
            found.append((by_name[1].strip(), colour_of([int(by_name[k]) for k in (2, 3, 4)])))
        elif by_colour:
            found.append((by_colour[4].strip(), colour_of([int(by_colour[k]) for k in (1, 2, 3)])))
        elif number > 1:  # the first line may be the heads of columns
            raise BadConfigError(f"{path}: line {number} must be `name:r,g,b` or `r g b name`, not {text[:80]!r}.")
    return found


def _of_json(path: Path) -> list[tuple[str, Rgb | None]]:
    plain = codec.read_plain(path)
    if isinstance(plain, dict) and isinstance(plain.get("classes"), list):
        plain = plain["classes"]
    if isinstance(plain, list) and all(isinstance(each, dict) for each in plain):
        return [(str(each.get("name", each.get("title", ""))), colour_of(each.get("color"))) for each in plain]
    if isinstance(plain, dict):
        return [(str(name), colour_of(colour)) for name, colour in plain.items()]
    raise BadConfigError(f"{path}: must map names to colours.", field="colours")
