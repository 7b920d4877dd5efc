"""Finds the tables that tools write beside masks to say what a value is, so that values are not taken by their order.

`_classes.csv` is Roboflow's (`Pixel Value, Class`), `id2label.json` Hugging Face's, `dataset.json` nnU-Net's,
`obj_class_to_machine_color.json` Supervisely's. A `classes.txt`, `codes.txt` or the like may leave the background out,
so it counts only where it names all of a model's classes.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from densecast.datasets import _lists
from densecast.datasets.pairs import colour_tables
from densecast.datasets.pairs.classes import folded
from densecast.datasets.pairs.data_file import DataFile
from densecast.spec.data_options import Reading

_BY_VALUE = ("_classes.csv", "id2label.json", "dataset.json")
_LISTS = ("classes.txt", "names.txt", "labels.txt", "codes.txt", "class_names.txt", "classes.json", "labels.json")
_SUPERVISELY = "obj_class_to_machine_color.json"
_BELOW = ("train", "valid", "val", "data")
_MAX_BYTES = 1 << 20
_BLACK, _BACKGROUND = (0, 0, 0), "background"


def with_found(file: DataFile, reading: Reading) -> tuple[DataFile, tuple[str, ...]]:
    """The data file with what a table beside the data says, where nobody has said it; and in words which was read."""
    if file.names or file.colours or file.model_colours or reading.options.colours or not file.root.is_dir():
        return file, ()
    machine = _first(file.root, (_SUPERVISELY,))
    if machine is not None:
        colours = colour_tables.read_table(machine)
        ignore = file.ignore
        if _BLACK not in colours:
            # Where nothing is annotated Supervisely's masks are black.
            colours = {_BLACK: _BACKGROUND, **colours}
            if reading.labels and _BACKGROUND not in {folded(label) for label in reading.labels}:
                ignore = (*ignore, _BACKGROUND)
        return replace(file, colours=colours, ignore=ignore), (f"colours of {machine.name}",)
    for names_of, path in ((_by_value, _first(file.root, _BY_VALUE)), (_listed, _first(file.root, _LISTS))):
        names = names_of(path) if path is not None else ()
        if not names or path is None:
            continue
        plain, labels = [folded(name) for name in names], [folded(label) for label in reading.labels]
        if names_of is _listed and sorted(plain) != sorted(labels):
            continue
        return replace(file, names=names), (f"names of {path.name}",)
    return file, ()


def _first(root: Path, names: tuple[str, ...]) -> Path | None:
    folders = [root, *(root / name for name in _BELOW)]
    found = (folder / name for folder in folders for name in names)
    return next((path for path in found if path.is_file() and path.stat().st_size <= _MAX_BYTES), None)


def _by_value(path: Path) -> tuple[str, ...]:
    """Names in the order of their values; empty unless every value from 0 has one."""
    if path.suffix == ".json":
        return _in_order(_plain(path))
    text = _lists.text_of(path, old=True) or ""
    return _in_order(dict(re.findall(r"^\s*(\d+)\s*[,;]\s*(.+?)\s*$", text, re.M)))


def _listed(path: Path) -> tuple[str, ...]:
    """Names in the order of the list, or of the numbers where every one has its own."""
    if path.suffix == ".json":
        plain = _plain(path)
        whole = isinstance(plain, list) and all(isinstance(each, str) for each in plain)
        return tuple(plain) if whole else _in_order(plain)
    text = _lists.text_of(path, old=True) or ""
    return tuple(_lists.by_numbers([line.strip() for line in text.splitlines() if line.strip()]))


def _in_order(table: Any) -> tuple[str, ...]:
    """Names by value, or values by name (below `labels` too), in the order of the values, which are all from 0 on."""
    if isinstance(table, dict) and isinstance(table.get("labels"), dict):
        table = table["labels"]
    if not isinstance(table, dict):
        return ()
    pairs = [
        (key, name) if isinstance(name, str) and not name.isdecimal() else (name, key) for key, name in table.items()
    ]
    try:
        ordered = {int(value): str(name) for value, name in pairs}
    except (ValueError, TypeError):
        return ()
    whole = len(ordered) == len(table) and sorted(ordered) == list(range(len(ordered)))
    return tuple(ordered[value] for value in sorted(ordered)) if whole else ()


def _plain(path: Path) -> Any:
    """What a JSON file holds; None of one that cannot be read."""
    try:
        return json.loads(_lists.text_of(path) or "null")
    except (ValueError, RecursionError):
        return None
