"""Finds the folder that holds a data set below the one that is named, as unpacked archives have it."""

from __future__ import annotations

from pathlib import Path

from densecast.datasets import _names
from densecast.datasets.pairs import _folders, data_file
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import BadDatasetError, MissingFileError

_DEEPEST = 3
# What archives have beside their folder, by the beginning or the end of its name.
_SAY_NOTHING = ("readme", "licen", "cite", "citation", "copying")
_PAPERS = (".md", ".pdf", ".html", ".rst", ".bib")


def inner(root: Path) -> Path:
    """The folder that holds the data: the root, or the one folder in it, as archives of a folder are unpacked.

    The root itself where no folder of the few below, each of which is alone, holds pictures with masks.
    """
    here = root
    for _ in range(_DEEPEST):
        if data_file.find(here) is not None:
            return here
        try:
            _folders.find(here, DataFile(here))
        except (BadDatasetError, MissingFileError):
            below = _alone(here)
            if below is None:
                return root
            here = below
        else:
            return here
    return root


def _alone(folder: Path) -> Path | None:
    """The one thing in a folder, if that is a folder; what only tells of the data does not count."""
    if not folder.is_dir():
        return None
    names = [path for path in folder.iterdir() if not _names.is_hidden(path) and not _says_nothing(path)]
    return names[0] if len(names) == 1 and names[0].is_dir() else None


def _says_nothing(path: Path) -> bool:
    return path.is_file() and (path.name.lower().startswith(_SAY_NOTHING) or path.suffix.lower() in _PAPERS)
