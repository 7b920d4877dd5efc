"""Checks images by their headers, before the first of them is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from densecast.errors import BadInputError, BadShapeError, MissingFileError
from densecast.imaging import pages
from densecast.imaging.read import has_more_pages, size_hw
from densecast.imaging.views import check_size
from densecast.spec.augment import Augment
from densecast.spec.model import ModelSpec

KEEP_GOING = "Nothing was written; --keep-going goes on over such images."

# Formats that may hold several pictures in one file.
_PAGED = (".tif", ".tiff", ".gif", ".webp", ".png")
# A side of a JPEG has 16 bits, of which libjpeg uses a little less.
MAX_JPEG_SIDE = 65_500


def unusable(
    paths: Sequence[Path], spec: ModelSpec, augment: Augment, *, as_jpeg: bool
) -> dict[Path, BadInputError | MissingFileError]:
    """The images that cannot be used, with what is wrong, as far as their headers tell.

    `as_jpeg`: each is going to be drawn on and written as a JPEG. Files of several pages are remarked, for only their
    first page is read.
    """
    problems: dict[Path, BadInputError | MissingFileError] = {}
    paged = []
    for path in paths:
        try:
            _check(path, spec, augment, as_jpeg)
        except (BadInputError, MissingFileError) as error:
            problems[path] = error
            continue
        if path.suffix.lower() in _PAGED and has_more_pages(path):
            paged.append(path)
    pages.remark_files(paged)
    return problems


def unreadable(paths: Sequence[Path]) -> dict[Path, BadInputError | MissingFileError]:
    """The files that are missing or no images, with what is wrong, as far as their headers tell."""
    problems: dict[Path, BadInputError | MissingFileError] = {}
    for path in paths:
        try:
            _size_hw(path, use_exif=False)
        except (BadInputError, MissingFileError) as error:
            problems[path] = error
    return problems


def refused(
    problems: dict[Path, BadInputError | MissingFileError],
    count: int,
    cure: str = "",
    names: Mapping[Path, Path | str] | None = None,
) -> BadInputError | MissingFileError:
    """One error for all images that cannot be used; `cure` is what to do about it, `names` what images are called."""
    path, first = next(iter(problems.items()))
    if count == 1:
        return first
    others = [str((names or {}).get(each, each)) for each in problems if each != path]
    message = str(first)
    if others:
        named = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        message += f" {len(others)} other images cannot be used either: {named}."
    return type(first)(f"{message} {cure}".rstrip())


def missing(path: Path) -> MissingFileError:
    """The error for an image that is not there."""
    text = str(path)
    if "://" in text or text.startswith(("http:/", "https:/")):
        return MissingFileError(f"image {path} is an address; images are read from files. Download it first.")
    if path.is_symlink():
        return MissingFileError(f"image {path} is a link to nothing.")
    return MissingFileError(f"image {path} {'is no file' if path.exists() else 'does not exist'}.")


def _size_hw(path: Path, *, use_exif: bool) -> tuple[int, int]:
    if not path.is_file():
        raise missing(path)
    return size_hw(path, use_exif=use_exif)


def _check(path: Path, spec: ModelSpec, augment: Augment, as_jpeg: bool) -> None:
    height, width = _size_hw(path, use_exif=spec.preprocess.use_exif)
    try:
        check_size((height, width), spec, augment)
    except BadShapeError as error:
        raise BadShapeError(f"{path}: {error}") from None
    if as_jpeg and max(height, width) > MAX_JPEG_SIDE:
        raise BadShapeError(
            f"{path}: {width}×{height} pixels cannot be drawn on: a JPEG has at most {MAX_JPEG_SIDE} a side. "
            "Leave the overlay out."
        )
