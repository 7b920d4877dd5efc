"""Finds what a user means: files, folders, patterns as `photos/*.jpg`, lists of names, videos, cameras and URLs."""

from __future__ import annotations

import glob
import logging
import os
import re
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath

from densecast.errors import BadInputError, MissingFileError, UsageError
from densecast.imaging.folder import IMAGE_SUFFIXES, SUBFOLDER, Listing, list_images, required
from densecast.imaging.header import is_picture
from densecast.imaging.name_list import STDIN, choose, names_in, read_data, read_names
from densecast.imaging.video import CAMERA, VIDEO_SUFFIXES, is_live, is_video
from densecast.io import files
from densecast.io.own_results import OwnResults
from densecast.io.remote import is_url

_log = logging.getLogger(__name__)
_LIST_SUFFIX = ".txt"


@dataclass(frozen=True, slots=True)
class Source:
    """An image or a video; `below` is its path below the folder that was given, whose folders its results keep.

    `origin` is how it was given, where it is no file: a URL, a camera, `-` for a picture on standard input, whose bytes
    are `data`. `path` is a name for it then; where its bytes lie is settled by `fetch.at_hand`. `address` is that of a
    stream, with the password that may be in it and that `origin` leaves out.
    """

    path: Path
    below: PurePath
    origin: str | None = None
    data: bytes | None = field(default=None, repr=False)
    address: str | None = field(default=None, repr=False)

    @property
    def is_video(self) -> bool:
        """Whether it is a video or a camera."""
        return is_live(self.origin or "") or is_video(self.path.name)

    @property
    def name(self) -> str:
        """How it was given."""
        return self.origin or str(self.path)

    @property
    def opened_at(self) -> str:
        """Where a video is opened."""
        return self.address or (self.name if is_live(self.name) else str(self.path))


@dataclass(frozen=True, slots=True)
class Sources:
    """The images and videos to predict, in order, and how many other things each folder held, by kind."""

    images: tuple[Source, ...]
    left_out: dict[str, int]

    @property
    def has_videos(self) -> bool:
        """Whether a video or a camera is among them."""
        return any(each.is_video for each in self.images)


def find(
    given: Sequence[Path | str] | Path | str,
    *,
    recursive: bool = False,
    named_in: Path | None = None,
    limit: int | None = None,
    out: Path | None = None,
    allow_url: bool = False,
    takes_videos: bool = False,
) -> Sources:
    """Expand what was given to image files; with `takes_videos` also to videos, cameras, a picture on standard input.

    A folder stands for the images in it, with `recursive` for those of its subfolders as well; a pattern (`*`, `?`,
    `[…]`, `**`) for what it matches; a `.txt` file, or `-` for standard input, for the files and folders that it names,
    one a line; a picture on standard input is an image itself. With `named_in`, only images that this list names, in
    its order; of them the first `limit`. Each image is taken once. Results of earlier runs are left out of folders,
    those below `out` too. Videos are taken where they are named or matched, not out of folders; `camera:0` is a camera.
    Addresses are taken with `allow_url`; nothing is fetched yet.

    Raises:
        MissingFileError: a file or folder does not exist, a pattern matches nothing, or a list names what is not there.
        BadDatasetError: a folder holds no images.
        BadInputError: a list is empty, or a name in it is that of several images.
        UsageError: `recursive` without any folder.
    """
    if not (given := files.several(given, "images")):
        raise UsageError("no images were given: name files, folders, a pattern or a list.", field="images")
    own = OwnResults.of(out) if out is not None else None
    found: list[Source] = []
    left_out = Listing()
    suffixes = (*IMAGE_SUFFIXES, *(VIDEO_SUFFIXES if takes_videos else ()))
    entries = [entry for each in given for entry in _expanded(os.fspath(each), allow_url, takes_videos)]
    folders = [entry[0] for entry in entries if not isinstance(entry, Source) and entry[0].is_dir()]
    if recursive and not folders:
        raise UsageError("recursive is for folders, and none was given.", field="recursive")
    for entry in entries:
        if isinstance(entry, Source):
            found.append(entry)
            continue
        path, by_pattern = entry
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
        elif by_pattern and path.suffix.lower() not in suffixes:
            left_out.left_out[path.suffix.lower()] += 1
        else:
            found.append(Source(path, PurePath(path.name)))
    found = _once(found)
    found = found if named_in is None else _chosen(found, named_in)
    if not found:
        raise MissingFileError(f"{' '.join(map(str, given))}: no image is among it.")
    return Sources(tuple(found[:limit]), dict(sorted(left_out.left_out.items())))


_CURE = "; --recursive takes subfolders as well"


def _chosen(found: Sequence[Source], named_in: Path) -> list[Source]:
    """Those that a list names, in its order."""
    places = choose([(each.path, each.below) for each in found], read_names(named_in), named_in)
    repeated = len(places) - len(set(places))
    if repeated:
        _log.warning("%s names %d images more than once; each is taken once", named_in, repeated)
    return [found[place] for place in dict.fromkeys(places)]


def _addressed(text: str, allow_url: bool, takes_videos: bool) -> Source:
    """A URL or a camera.

    Raises:
        MissingFileError, UsageError: it is not allowed, or not of a kind that is read.
    """
    if text.startswith(CAMERA) and takes_videos:
        return Source(Path(text), PurePath(text.replace(":", "_")), text)
    if not allow_url:
        raise MissingFileError(
            f"image {text} is an address; images are read from files. Download it first, allow it with --allow-url, or "
            "keep records: --store."
        )
    if is_live(text) and not takes_videos:
        raise UsageError(f"{text} is a camera or stream, and this command takes images.", field="images")
    parts = urllib.parse.urlsplit(text)
    if parts.scheme.lower() not in ("http", "https") and not is_live(text):
        raise UsageError(f"{parts.scheme}:// is not read: http, https and rtsp are.", field="allow_url")
    host = parts.netloc.rpartition("@")[2]
    if is_live(text):
        # Cameras often take a password in no other way; it stands in no result and no message.
        name = PurePath(re.sub(r"[^\w.-]", "_", f"{host}{parts.path}"))
        shown = f"{parts.scheme}://{host}{parts.path}"
        return Source(Path(f"{parts.scheme}_{name}"), name, shown, address=text)
    if host != parts.netloc:
        raise UsageError("a URL with a name or password in it is not read. Download it first.", field="images")
    last = PurePosixPath(urllib.parse.unquote(parts.path)).name or parts.hostname or "url"
    name = PurePath(re.sub(r"[^\w. -]", "_", last).lstrip("."))
    return Source(Path(f"{parts.scheme}_{parts.netloc}_{name}"), name, text)


def _expanded(text: str, allow_url: bool, takes_videos: bool) -> Iterator[Source | tuple[Path, bool]]:
    """The files and folders that one argument stands for, and whether a pattern matched them; or what is no file."""
    path = Path(text)
    if is_url(text) or (takes_videos and text.startswith(CAMERA)):
        yield _addressed(text, allow_url, takes_videos)
    elif text == STDIN or (path.suffix.lower() == _LIST_SUFFIX and path.is_file()):
        data = read_data(path)
        if text == STDIN and is_picture(data):
            if not takes_videos:
                raise BadInputError("standard input holds a picture, and a list of names is read there. Name its file.")
            yield Source(Path("stdin"), PurePath("stdin"), STDIN, data)
            return
        yield from _of_list(names_in(data, path), path, allow_url, takes_videos)
    elif not os.path.lexists(path) and glob.has_magic(text):
        matched = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - of a whole path, which may be absolute
        if not matched:
            raise MissingFileError(f"no file matches {text}.")
        yield from ((Path(each), True) for each in matched)
    else:
        yield path, False


def _of_list(
    names: Sequence[str], path: Path, allow_url: bool, takes_videos: bool
) -> Iterator[Source | tuple[Path, bool]]:
    """What a list names. A text of which nothing is there is hardly a list: it is said what it was taken for."""
    addresses = [name for name in names if is_url(name.strip())]
    found = {name: _listed(name, path) for name in names if name not in addresses}
    if found and not addresses and not any(os.path.lexists(each) for each in found.values()):
        first = next(iter(found))
        raise MissingFileError(
            f"{path} is read as a list of images, one a line, and nothing that it names is there; the first is "
            f"{first!r:.100}. Names count from the current folder or from the list's; quotes, # and ~ are part of them."
        )
    for name in names:
        if name in found:
            yield found[name], False
        else:
            yield _addressed(name.strip(), allow_url, takes_videos)


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
        places.setdefault((each.origin or os.path.realpath(each.path.parent), each.path.name), each)
    if len(places) < len(found):
        _log.warning("%d images were given more than once; each is taken once", len(found) - len(places))
    return list(places.values())
