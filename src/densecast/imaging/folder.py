"""Lists the image files of a folder, and says what else is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from densecast.errors import BadDatasetError, MissingFileError
from densecast.io import files
from densecast.io.own_results import RECORD, OwnResults

# Every ending of the formats that are read: what can be read by name is found in a folder, too.
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif",
    ".ppm", ".pgm", ".pbm", ".pnm",
)  # fmt: skip


@dataclass(slots=True)
class Listing:
    """The images of a folder in order, and how many other things were left out, by kind as `.heic`.

    Hidden files are left out without a word.
    """

    images: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def remark(self) -> str:
        """`2 .heic, 1 subfolder`; empty if nothing was left out."""
        return ", ".join(f"{count} {_plural(kind, count)}" for kind, count in sorted(self.left_out.items()))


SUBFOLDER = "subfolder"
RESULT = "result of an earlier run"
OTHER = "file without an ending"
_PLURALS = {SUBFOLDER: "subfolders", RESULT: "results of earlier runs", OTHER: "files without an ending"}


def list_images(folder: Path, *, recursive: bool = False, own: OwnResults | None = None) -> Listing:
    """List the image files in a folder, and with `recursive` those of its subfolders, sorted by name.

    Results that densecast wrote there itself are no images: those of `own`, and of every folder that has a record of
    them. Links to folders are followed once.

    Raises:
        MissingFileError: no such folder, or one that cannot be listed.
    """
    listing = Listing()
    records = [own] if own is not None else []
    _list(folder, recursive, records, set(), listing)
    return listing


def images_in(folder: Path) -> list[Path]:
    """List the image files directly in a folder, sorted by name.

    Raises:
        MissingFileError: no such folder.
        BadDatasetError: no images in it.
    """
    return list(required(folder, list_images(folder)).images)


def expanded(paths: Sequence[Path | str] | Path | str) -> list[Path]:
    """Images as they are given to a function: files, and folders, which stand for the images in them.

    Raises:
        BadDatasetError: no images in a folder.
        UsageError: no paths.
    """
    given = [files.given(each) for each in files.several(paths, "images")]
    return [path for each in given for path in (images_in(each) if each.is_dir() else [each])]


def required(folder: Path, listing: Listing) -> Listing:
    """The listing, if there are images in it.

    Raises:
        BadDatasetError: there are none; says what there is instead.
    """
    if not listing.images:
        instead = f" It holds {listing.remark()}." if listing.left_out else ""
        raise BadDatasetError(f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)}).{instead}")
    return listing


def _list(
    folder: Path, recursive: bool, records: list[OwnResults], visited: set[tuple[int, int]], listing: Listing
) -> None:
    try:
        status = folder.stat()
        entries = _sorted(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(f"folder {folder} does not exist.") from None
    except OSError as error:
        raise MissingFileError(f"folder {folder} cannot be listed ({error.strerror}).") from None
    if (status.st_dev, status.st_ino) in visited:
        return
    visited.add((status.st_dev, status.st_ino))
    if (folder / RECORD).is_file():
        records = [*records, OwnResults.of(folder)]
    for path in entries:
        is_image = path.suffix.lower() in IMAGE_SUFFIXES
        if path.is_dir():
            if recursive:
                _list(path, recursive, records, visited, listing)
            else:
                listing.left_out[SUBFOLDER] += 1
        elif is_image and (path.is_file() or path.is_symlink()):
            # A link that leads nowhere is kept, for it to be named as an image that is missing.
            if any(record.find(path) for record in records):
                listing.left_out[RESULT] += 1
            else:
                listing.images.append(path)
        elif path.is_file() and path.suffix:
            listing.left_out[path.suffix.lower()] += 1
        else:
            listing.left_out[OTHER] += 1


def _sorted(folder: Path) -> Iterator[Path]:
    return iter(sorted(path for path in folder.iterdir() if not path.name.startswith(".")))


def _plural(kind: str, count: int) -> str:
    return kind if count == 1 else _PLURALS.get(kind, kind)
