"""A tiny model with data, and evaluations of it with a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_artifacts
import tiny_graphs
from made_images import carvana

import densecast
from densecast.pipeline import Pipeline
from densecast.results.predictions import EvaluateResult
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.store_options import StoreOptions

ALL = densecast.EvaluateOptions(split="all")


def prepare(root: Path, count: int = 20) -> Path:
    """`built` and `data`."""
    root.mkdir(parents=True, exist_ok=True)
    fixed = BuildOptions("reference", shape=InputShape(height=24, width=32))
    tiny_artifacts.compiled(root, fixed, tiny_graphs.brightness())
    carvana(root / "data", count=count)
    return root


def evaluated(pipeline: Pipeline | Path, data: Path, store: Path | str | None = None, **options: Any) -> EvaluateResult:
    """The evaluation of all images, in this process."""
    stored = StoreOptions(None if store is None else str(store), **options)
    return densecast.evaluate(pipeline, data, ALL, stored=stored)


def rows(store: Path, folder: str = "done") -> list[dict[str, Any]]:
    """All records, as any program reads them."""
    import pyarrow.parquet

    found: list[dict[str, Any]] = []
    for path in sorted((store / folder).glob("*.parquet")):
        found += pyarrow.parquet.read_table(path).to_pylist()
    return found
