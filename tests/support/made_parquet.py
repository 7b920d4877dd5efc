"""Parquet files as Hugging Face's `datasets` writes segmentation data, with labels that are known."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_mask_folders import labels_of, painted
from PIL import Image


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def write(path: Path, rows: Sequence[dict[str, Any]], image: str = "image", mask: str = "label") -> Path:
    """A file with the columns that `rows` have; images are structs of bytes and path."""
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs the [store] extra")
    parquet = pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    struct = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    kinds = {image: struct, **({mask: struct} if not isinstance(rows[0][mask], list) else {})}
    columns = {name: pyarrow.array([row[name] for row in rows], kinds.get(name)) for name in rows[0]}
    parquet.write_table(pyarrow.table(columns), path, row_group_size=3)
    return path


def row(index: int, image: str = "image", mask: str = "label", name: str | None = None) -> dict[str, Any]:
    labels = labels_of(index)
    return {
        "id": index,
        image: {"bytes": encoded(painted(labels)), "path": name},
        mask: {"bytes": encoded(labels), "path": None},
        "scene": f"scene {index}",
    }


def folder(root: Path, train: int = 8, val: int = 3) -> Path:
    """`data/train-…` in two files, and `data/validation-…`, as the hub has them."""
    rows = [row(index) for index in range(train + val)]
    half = train // 2
    write(root / "data" / "train-00000-of-00002.parquet", rows[:half])
    write(root / "data" / "train-00001-of-00002.parquet", rows[half:train])
    write(root / "data" / "validation-00000-of-00001.parquet", rows[train:])
    return root


def one_file(root: Path, count: int = 12) -> Path:
    """A folder with one file, whose name tells no split."""
    write(root / "images.parquet", [row(index) for index in range(count)])
    return root
