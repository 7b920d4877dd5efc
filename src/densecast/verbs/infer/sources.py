"""Finds the images that a user means: files, folders, patterns as `photos/*.jpg`, and lists of names."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from densecast.errors import BadInputError, MissingFileError, UsageError
from densecast.imaging.folder import IMAGE_SUFFIXES, SUBFOLDER, Listing, list_images, required
from densecast.imaging.name_list import STDIN, choose, read_names
from densecast.io import files
from densecast.io.own_results import OwnResults
from densecast.io.remote import is_url

_log = logging.getLogger(__name__)
_LIST_SUFFIX = ".txt"


@dataclass(frozen=True, slots=True)
class Source:
    """An image file; `below` is its path below the folder that was given, whose folders its results keep."""

    path: Path
    below: PurePath


@dataclass(frozen=True, slots=True)
class Sources:
    """The images to predict, in order, and how many other things each folder held, by kind."""

    images: tuple[Source, ...]
    left_out: dict[str, int]


def find(
    given: Sequence[Path | str],
    *,
    recursive: bool = False,
    named_in: Path | None = None,
    limit: int | None = None,
    out: Path | None = None,
) -> Sources:
    """Expand what was given to image files.

    A folder stands for the images in it, with `recursive` for those of its subfolders as well; a pattern (`*`, `?`,
    `[…]`, `**`) for what it matches; a `.txt` file, or `-` for standard input, for the files and folders that it names,
    one a line. With `named_in`, only images that this list names, in its order; of them the first `limit`. Each image
    is taken once. Results of earlier runs are left out of folders, those below `out` too.

    Raises:
        MissingFileError: a file or folder does not exist, a pattern matches nothing, or a list names what is not there.
        BadDatasetError: a folder holds no images.
        BadInputError: a list is empty, or a name in it is that of several images.
        UsageError: `recursive` without any folder.
    """
    if not given:
        raise UsageError("no images were given: name files, folders, a pattern or a list.", field="images")
    _refuse_addresses(given)
    own = OwnResults.of(out) if out is not None else None
    found: list[Source] = []
    left_out = Listing()
    entries = [entry for each in given for entry in _expanded(os.fspath(each))]
    folders = [path for path, _ in entries if path.is_dir()]
    if recursive and not folders:
        raise UsageError("recursive is for folders, and none was given.", field="recursive")
    for path, by_pattern in entries:
        if path.is_dir():
            listing = list_images(path, recursive=recursive, own=own)
            if not by_pattern:
                required(path, listing)
            if listing.left_out:
                subfolders = listing.left_out[SUBFOLDER] and not recursive
                _log.warning("%s: left out %s%s", path, listing.remark(), _CURE if subfolders else "")
                left_out.left_out.update(listing.left_out)
            # The trees of several folders are told apart by their folders' names.
            top = PurePath(files.real(path).name) if recursive and len(folders) > 1 else PurePath()
            found += [Source(each, top / each.relative_to(path)) for each in listing.images]
        elif by_pattern and path.suffix.lower() not in IMAGE_SUFFIXES:
            left_out.left_out[path.suffix.lower()] += 1
        else:
            found.append(Source(path, PurePath(path.name)))
    found = _once(found)
    if named_in is not None:
        places = choose([(each.path, each.below) for each in found], read_names(named_in), named_in)
        repeated = len(places) - len(set(places))
        if repeated:
            _log.warning("%s names %d images more than once; each is taken once", named_in, repeated)
        found = [found[place] for place in dict.fromkeys(places)]
    if not found:
        raise MissingFileError(f"{' '.join(map(str, given))}: no image is among it.")
    return Sources(tuple(found[:limit]), dict(sorted(left_out.left_out.items())))


_CURE = "; --recursive takes subfolders as well"


def _refuse_addresses(given: Sequence[Path | str]) -> None:
    """Refuse URLs.

    Raises:
        MissingFileError: one is among them.
    """
    address = next((each for each in given if is_url(each)), None)
    if address is not None:
        raise MissingFileError(
            f"image {address} is an address; images are read from files. Download it first, or keep records: --store."
        )


def _expanded(text: str) -> Iterator[tuple[Path, bool]]:
    """The files and folders that one argument stands for, and whether a pattern matched them."""
    path = Path(text)
    if text == STDIN or (path.suffix.lower() == _LIST_SUFFIX and path.is_file()):
        for name in read_names(path):
            yield _listed(name, path), False
    elif not os.path.lexists(path) and glob.has_magic(text):
        matched = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - of a whole path, which may be absolute
        if not matched:
            raise MissingFileError(f"no file matches {text}.")
        yield from ((Path(each), True) for each in matched)
    else:
        yield path, False


def _listed(name: str, listed_in: Path) -> Path:
    """A line of a list as a path: from the working folder, else from the folder of the list.

    Raises:
        BadInputError: both are there and are two files.
    """
    here, beside = Path(name), listed_in.parent / name
    if not here.exists():
        stripped = Path(name.strip())
        if beside.exists():
            return beside
        return stripped if stripped.exists() else here
    if beside.exists() and not here.samefile(beside):
        raise BadInputError(f"{listed_in} names {name}, which may be {here} or {beside}. Write whole paths.")
    return here


def _once(found: Sequence[Source]) -> list[Source]:
    """Each image once, however its path is written; links of another name are images of their own."""
    places: dict[tuple[str, str], Source] = {}
    for each in found:
        places.setdefault((os.path.realpath(each.path.parent), each.path.name), each)
    if len(places) < len(found):
        _log.warning("%d images were given more than once; each is taken once", len(found) - len(places))
    return list(places.values())
