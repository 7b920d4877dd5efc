"""Finds files by name as people have them: any image suffix, hidden files left out, names in NFC or NFD."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

from densecast.datasets import _mask_arrays
from densecast.errors import BadDatasetError

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm")
)
"""Suffixes of image files in data sets, in lower case."""


_MACOS = "__MACOSX"


def nfc(name: str) -> str:
    """One spelling of a name: macOS stores é as e and an accent, other systems as one character."""
    return unicodedata.normalize("NFC", name)


def is_hidden(path: Path) -> bool:
    """Whether the name begins with a dot, as macOS's `._x` and thumbnails' folders, or is that of macOS's archives."""
    return path.name.startswith(".") or path.name == _MACOS


def images_of(folder: Path, *, below: bool = False) -> list[Path]:
    """All image files in a folder (and its sub-folders, with `below`), sorted, without hidden ones.

    Links to folders are followed, each folder once: one that leads up again holds nothing more.
    """
    return list(_files(folder, below, set(), SUFFIXES))


def arrays_of(folder: Path, *, below: bool = False) -> list[Path]:
    """All files of numpy's in a folder, listed as `images_of` lists images."""
    return list(_files(folder, below, set(), _mask_arrays.SUFFIXES))


def masks_of(folder: Path, *, below: bool = False) -> list[Path]:
    """The images in a folder, and where it holds none the arrays."""
    return images_of(folder, below=below) or arrays_of(folder, below=below)


def has_images(folder: Path) -> bool:
    """Whether there is an image file in a folder or its sub-folders."""
    return next(_files(folder, True, set(), SUFFIXES), None) is not None


def has_arrays(folder: Path) -> bool:
    """Whether there is a file of numpy's in a folder or its sub-folders."""
    return next(_files(folder, True, set(), _mask_arrays.SUFFIXES), None) is not None


def _files(folder: Path, below: bool, seen: set[tuple[int, int]], suffixes: frozenset[str]) -> Iterator[Path]:
    if not folder.is_dir():
        return
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for path in sorted(folder.iterdir()):
        if is_hidden(path):
            continue
        if path.is_dir():
            if below:
                yield from _files(path, below, seen, suffixes)
        elif path.suffix.lower() in suffixes:
            yield path


def by_stem(paths: Iterable[Path], what: str) -> dict[str, Path]:
    """The files by their stem in NFC.

    Raises:
        BadDatasetError: two files of one stem: which one is meant cannot be known.
    """
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(nfc(path.stem), path)
        if other is not path:
            raise BadDatasetError(
                f"{other} and {path.name} are {what} of one name: only one of them can be meant. Move the other away."
            )
    return found


def in_folder(folder: Path, name: str) -> Path:
    """`folder / name`, as the file is spelt there (NFC or NFD); that path itself if there is none."""
    path = folder / name
    if path.exists() or name.isascii():
        return path
    spelt = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
    return next((folder / each for each in spelt if (folder / each).exists()), path)
