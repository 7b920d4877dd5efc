"""Finds the tables that tools write beside masks to say what a value is, so that values are not taken by their order.

`_classes.csv` is Roboflow's (`Pixel Value, Class`), `id2label.json` Hugging Face's, `obj_class_to_machine_color.json`
Supervisely's. A `classes.txt` or `names.txt` may leave the background out, so it counts only where it names all of a
model's classes.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from densecast.datasets.pairs import _colour_tables
from densecast.datasets.pairs._classes import folded
from densecast.datasets.pairs._data_file import DataFile
from densecast.spec.data_options import Reading

_BY_VALUE = ("_classes.csv", "id2label.json")
_LISTS = ("classes.txt", "names.txt", "labels.txt")
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
        colours = _colour_tables.read_table(machine)
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
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            pairs = [(int(key), str(name)) for key, name in dict(json.loads(text)).items()]
        else:
            found = re.findall(r"^\s*(\d+)\s*[,;]\s*(.+?)\s*$", text, re.M)
            pairs = [(int(value), name) for value, name in found]
    except (ValueError, TypeError, OSError):
        return ()
    ordered = dict(sorted(pairs))
    return tuple(ordered.values()) if list(ordered) == list(range(len(ordered))) else ()


def _listed(path: Path) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (ValueError, OSError):
        return ()
    return tuple(line.strip() for line in lines if line.strip())
