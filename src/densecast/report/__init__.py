"""Writes the scores and timings of a run as `report.json`, `report.md` and `report.html`, and a row per image."""

from __future__ import annotations

from pathlib import Path

from densecast.errors import MissingFileError
from densecast.io import codec, files
from densecast.report import image_rows, markdown, page
from densecast.report.data import Report

__all__ = ["Report", "read", "write"]

_JSON = "report.json"


def write(report: Report, folder: Path) -> tuple[Path, Path, Path]:
    """Write all three files into `folder`, where the report's images already are; beside them `images.csv`.

    Raises:
        MissingExtraError: the [report] extra is not installed; JSON and Markdown are written all the same.
    """
    files.write_text(folder / _JSON, codec.to_json(report))
    files.write_text(folder / "report.md", markdown.render(report))
    image_rows.write(report, folder)
    files.write_text(folder / "report.html", page.render(report, folder))
    return folder / _JSON, folder / "report.md", folder / "report.html"


def read(folder: Path) -> Report:
    """Read the report of an earlier run.

    Raises:
        MissingFileError: no `report.json` there.
        BadConfigError: it is none of ours.
    """
    if not (folder / _JSON).is_file():
        what = f"holds no {_JSON}" if folder.is_dir() else "is no folder" if folder.exists() else "does not exist"
        raise MissingFileError(
            f"{folder} {what}. Name the folder of a run: `densecast run MODEL --out FOLDER` makes one."
        )
    return codec.read(folder / _JSON, Report)
