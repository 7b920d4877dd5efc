"""Knows densecast's own pages again, so that no other page is written over."""

from __future__ import annotations

from pathlib import Path

from densecast.artifact import MANIFEST
from densecast.errors import UsageError
from densecast.io import files, own_json
from densecast.report.image_rows import CSV, PARQUET
from densecast.report.page import require_jinja

# `<meta name="generator" …>` of all templates; pages of before had their title end so.
_MARKS = (b'<meta name="generator" content="densecast">', " · densecast</title>".encode())
_LOOKED_AT_BYTES = 8192
_BESIDE = ("report.json", "report.md", CSV, PARQUET)


def require(path: Path) -> None:
    """Check, before any work, that a page can be made and written there.

    Raises:
        MissingExtraError: jinja2 is not installed.
        UsageError: as `refuse_others`.
    """
    require_jinja()
    refuse_others(path)


def refuse_others(path: Path, field: str = "html") -> None:
    """Refuse to write a page over something that densecast did not write; called before any work.

    Raises:
        UsageError: a folder, or a file without the mark of densecast's pages.
        WriteError: it cannot be written there.
    """
    files.require_place(path, field)
    if not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT_BYTES)
    if not any(mark in start for mark in _MARKS):
        raise UsageError(f"{path} is there already, and densecast did not write it. Name another file.", field=field)


def refuse_other_reports(folder: Path) -> None:
    """The same for all that a run writes beside its artifacts: the report's files, and the folder of its images.

    What lies there is a run's if its report does, and the images are where its artifacts are, as of one that was
    stopped.

    Raises:
        UsageError: one of them is not a run's.
    """
    refuse_others(folder / "report.html", "out")
    if (folder / "report.html").is_file() or own_json.is_report(folder / "report.json"):
        return
    found = next((path for name in _BESIDE if (path := folder / name).is_file() and path.stat().st_size), None)
    images = folder / "images"
    if found is None and images.is_dir() and any(images.iterdir()) and not any(folder.glob(f"*/{MANIFEST}")):
        found = images
    if found is not None:
        raise UsageError(
            f"{found} is there already, and no run of densecast's wrote it. Name another folder.", field="out"
        )
