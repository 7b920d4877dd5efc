"""Has what is named by URLs or comes from standard input at hand as files, for as long as it is needed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from densecast.imaging.header import MAX_FILE_BYTES
from densecast.imaging.video import is_live
from densecast.verbs.infer.sources import Source, Sources

Exc = TypeVar("Exc", bound=Exception)

_MAX_VIDEO_BYTES = 8 << 30


@contextlib.contextmanager
def at_hand(found: Sources) -> Iterator[Sources]:
    """The same sources, with every URL and picture from standard input as a temporary file, until the block ends.

    Raises:
        MissingFileError: nothing is behind a URL.
        BadInputError: it is too large, too slow, redirected too often, or cannot be reached.
    """
    if all(each.origin is None or is_live(each.origin) for each in found.images):
        yield found
        return
    folder = Path(tempfile.mkdtemp(prefix="densecast-"))
    try:
        images = [_local(each, folder / f"{place:06d}") for place, each in enumerate(found.images)]
        yield replace(found, images=tuple(images))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def renamed(error: Exc, path: Path, name: Path | str) -> Exc:
    """The same error, with the name by which an image was given in place of its temporary file's."""
    return error if name == path else type(error)(str(error).replace(str(path), str(name)))


def _local(source: Source, stem: Path) -> Source:
    if source.origin is None or is_live(source.origin):
        return source
    path = stem.with_name(stem.name + source.below.suffix)
    if source.data is not None:
        path.write_bytes(source.data)
        return replace(source, path=path, data=None)
    # Most runs name no URL, and what speaks HTTP takes a while to import.
    from densecast.verbs.infer import download

    kind = download.fetch(source.origin, path, _MAX_VIDEO_BYTES if source.is_video else MAX_FILE_BYTES)
    if not path.suffix and kind.startswith("video/"):
        path = path.rename(path.with_suffix(download.suffix_of(kind)))
    return replace(source, path=path)
