"""The images of a run of `infer` with a store: files, folders, lists and patterns as ever, and URLs of any of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from densecast.errors import BadDatasetError, MissingFileError, UsageError
from densecast.imaging.folder import IMAGE_SUFFIXES
from densecast.io import files, remote
from densecast.measure.store.record import FileFacts
from densecast.measure.store.unchanged import LocalFile, Origin, RemoteFile
from densecast.verbs.infer import sources
from densecast.verbs.infer.sources import Source

_MAGIC = "*?["


@dataclass(frozen=True, slots=True)
class FoundImages:
    """Every image that was given, by its id: its path or URL as it is written.

    `listed` is what listings have told of URLs.
    """

    sources: dict[str, Source]
    listed: dict[str, FileFacts]

    def origins(self, sample_id: str) -> Sequence[Origin | None]:
        """Where an image lies now."""
        if remote.is_url(sample_id):
            return (RemoteFile(sample_id, self.listed.get(sample_id)),)
        return (LocalFile(self.sources[sample_id].path),)


def find(given: Sequence[Path | str] | Path | str, *, recursive: bool = False, out: Path | None = None) -> FoundImages:
    """Every image that was given.

    Raises:
        MissingFileError, BadDatasetError: nothing is there, or no image.
        UsageError: nothing was given.
    """
    given = files.several(given, "images")
    if not given:
        raise UsageError("no images were given: name files, folders, patterns, a list or URLs.", field="images")
    local = [each for each in given if not remote.is_url(each)]
    found: dict[str, Source] = {}
    told: dict[str, FileFacts] = {}
    if local:
        for source in sources.find(local, recursive=recursive, out=out).images:
            found[str(source.path)] = source
    for each in given:
        if remote.is_url(each):
            for url, below, info in _behind(str(each), recursive):
                # A path that stands for it where results are named; nothing lies there.
                found[url] = Source(Path(url), below)
                stamp = remote.stamp_of(info)
                if stamp is not None:
                    told[url] = FileFacts(None, remote.size_of(info), stamp)
    return FoundImages(found, told)


def _behind(url: str, recursive: bool) -> list[tuple[str, PurePath, Mapping[str, Any]]]:
    """The images behind a URL of an image, a folder or a pattern, with their paths below it, and what is known."""
    scheme, _, rest = url.partition("://")
    if any(letter in rest for letter in _MAGIC):
        base, pattern = _divided(rest)
        matched = remote.RemoteFiles.at(f"{scheme}://{base}").glob(pattern)
        images = [(name, info) for name, info in matched.items() if _is_image(name)]
        if not images:
            raise MissingFileError(f"no image matches {url}.")
        return [(f"{scheme}://{base}/{name}", PurePosixPath(name), info) for name, info in images]
    if _is_image(rest):
        return [(url, PurePosixPath(PurePosixPath(rest).name), {})]
    files = remote.RemoteFiles.at(url)
    there = files.glob("**") if recursive else dict(files.listed(""))
    images = [(name, info) for name, info in sorted(there.items()) if _is_image(name)]
    if not images:
        raise BadDatasetError(f"{url} holds no images ({', '.join(IMAGE_SUFFIXES)}).")
    return [(f"{url.rstrip('/')}/{name}", PurePosixPath(name), info) for name, info in images]


def _divided(rest: str) -> tuple[str, str]:
    """The folders before the first part with a pattern, and what follows."""
    parts = rest.split("/")
    place = next(place for place, part in enumerate(parts) if any(letter in part for letter in _MAGIC))
    return "/".join(parts[:place]), "/".join(parts[place:])


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
