"""The images of a run of `infer` with a store: files, folders, lists and patterns as ever, and URLs of any of these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath

from densecast.errors import BadDatasetError, MissingFileError, UsageError
from densecast.imaging.folder import IMAGE_SUFFIXES
from densecast.io import remote
from densecast.verbs.infer import sources
from densecast.verbs.infer.sources import Source

_MAGIC = "*?["


def find(given: Sequence[Path | str], *, recursive: bool = False, out: Path | None = None) -> dict[str, Source]:
    """Every image that was given, by its id: its path or URL as it is written.

    Raises:
        MissingFileError, BadDatasetError: nothing is there, or no image.
        UsageError: nothing was given.
    """
    if not given:
        raise UsageError("no images were given: name files, folders, patterns, a list or URLs.", field="images")
    local = [each for each in given if not remote.is_url(each)]
    found: dict[str, Source] = {}
    if local:
        for source in sources.find(local, recursive=recursive, out=out).images:
            found[str(source.path)] = source
    for each in given:
        if remote.is_url(each):
            for url, below in _behind(str(each), recursive):
                # A path that stands for it where results are named; nothing lies there.
                found[url] = Source(Path(url), below)
    return found


def _behind(url: str, recursive: bool) -> list[tuple[str, PurePath]]:
    """The images behind a URL of an image, a folder or a pattern, with their paths below it."""
    scheme, _, rest = url.partition("://")
    if any(letter in rest for letter in _MAGIC):
        base, pattern = _divided(rest)
        names = [name for name in remote.RemoteFiles.at(f"{scheme}://{base}").glob(pattern) if _is_image(name)]
        if not names:
            raise MissingFileError(f"no image matches {url}.")
        return [(f"{scheme}://{base}/{name}", PurePosixPath(name)) for name in names]
    if _is_image(rest):
        return [(url, PurePosixPath(PurePosixPath(rest).name))]
    files = remote.RemoteFiles.at(url)
    names = files.glob("**") if recursive else files.names("")
    images = sorted(name for name in names if _is_image(name))
    if not images:
        raise BadDatasetError(f"{url} holds no images ({', '.join(IMAGE_SUFFIXES)}).")
    return [(f"{url.rstrip('/')}/{name}", PurePosixPath(name)) for name in images]


def _divided(rest: str) -> tuple[str, str]:
    """The folders before the first part with a pattern, and what follows."""
    parts = rest.split("/")
    place = next(place for place, part in enumerate(parts) if any(letter in part for letter in _MAGIC))
    return "/".join(parts[:place]), "/".join(parts[place:])


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
