"""Keeps what was compared, cell by cell: a run of some CPUs, networks or builds replaces those cells alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

_CELL = ("cpu", "network", "variant")
_KEPT = (*_CELL, "outcome", "precision", "changed", "changed_here", "output_l2")
_PACKAGES = ("openvino", "onnxruntime", "nncf")


def write(path: Path, rows: Iterable[Mapping[str, Any]], images: int) -> None:
    """Add rows, each of so many images, to the file's; a row of the same CPU, network and build is replaced.

    Rows of builds that failed are left out: they are no figures.
    """
    held = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    cells = {tuple(row[key] for key in _CELL): row for row in held}
    versions = {name: metadata.version(name) for name in _PACKAGES}
    for row in rows:
        if row["outcome"] != "failed":
            kept = {key: row[key] for key in _KEPT if key in row}
            cells[tuple(row[key] for key in _CELL)] = {**kept, "images": images, "versions": versions}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"rows": [cells[key] for key in sorted(cells)]}, indent=1) + "\n", encoding="utf-8")
