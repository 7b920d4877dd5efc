"""Writes a row per image beside a report: every build's value of the metric, as CSV and, with pyarrow, as Parquet."""

from __future__ import annotations

import csv
import importlib.util
import io
from pathlib import Path

from densecast.io import files
from densecast.report.data import Report
from densecast.report.verdict import name

CSV, PARQUET = "images.csv", "images.parquet"


def write(report: Report, folder: Path) -> list[Path]:
    """Write the rows, worst images of the first build first; nothing for metrics that no single image has."""
    columns = columns_of(report)
    if not columns:
        return []
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(zip(*columns.values(), strict=True))
    files.write_text(folder / CSV, text.getvalue())
    written = [folder / CSV]
    if importlib.util.find_spec("pyarrow") is not None:
        import pyarrow
        import pyarrow.parquet

        packed = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), packed)
        files.write_bytes(folder / PARQUET, packed.getvalue())
        written.append(folder / PARQUET)
    return written


def columns_of(report: Report) -> dict[str, list[str] | list[float | None]]:
    """`image`, and the metric of each build by its name; a value that a build lacks is None."""
    first = report.rows[0].score
    ids = sorted(first.per_image, key=lambda each: first.per_image[each], reverse=first.better == "lower")
    if not ids:
        return {}
    columns: dict[str, list[str] | list[float | None]] = {"image": ids}
    for row in report.rows:
        column = f"{name(row)} {row.score.name}"
        while column in columns:
            column += "'"
        columns[column] = [row.score.per_image.get(each) for each in ids]
    return columns
