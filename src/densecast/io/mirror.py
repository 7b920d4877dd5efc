"""Copies of what lies behind URLs, in the cache: fetched once, and anew where an object has changed.

An artifact is kept under the hash of its manifest, which has those of its files: a copy is right or it is not one. Of
data the file system's own marks of each object are kept beside the copy (size, and its tag or time of change), and
compared whenever it is opened.
"""

from __future__ import annotations

import concurrent.futures
import json
import re
import shutil
import time
from pathlib import Path, PurePosixPath
from typing import Any

from densecast.errors import BadArtifactError, BadDatasetError, BadInputError, MissingFileError
from densecast.io import cache, files
from densecast.io.remote import TIMEOUT_S, RemoteFiles, marks_of

# As `pathlib` writes a URL: one slash of two is left. A letter alone is a drive.
_PATH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)")
_LOCAL = ("file", "local")
_INDEX = "index.json"
_TOGETHER = 8
# For a request that carries this many bytes a second, or the usual limit.
_BYTES_PER_S = 1_000_000
# Within one command the same data are opened several times.
FRESH_S = 20.0
_opened: dict[str, tuple[float, Path]] = {}


def url_of(path: Path | str) -> str | None:
    """The URL that a name is, also where it went through a `Path`; None for a path.

    >>> url_of(Path("s3://bucket/model")), url_of("photos/a.jpg"), url_of(Path("C:/model"))
    ('s3://bucket/model', None, None)
    """
    found = _PATH.fullmatch(str(path))
    if found is None or Path(path).exists():
        return None
    scheme, rest = found.groups()
    return f"{scheme}://{'/' if scheme in _LOCAL else ''}{rest.rstrip('/')}"


def artifact(url: str, manifest: str) -> Path:
    """A folder with the artifact at a URL, whose manifest has that file name.

    Raises:
        MissingFileError: no manifest is there.
        BadArtifactError: its files are not those of its manifest.
        BadInputError: it cannot be read.
    """
    there = RemoteFiles.at(url)
    data = there.read(manifest)
    if data is None:
        raise MissingFileError(f"{url} is no artifact: it has no {manifest}.")
    target = cache.folder() / "remote" / "artifacts" / files.sha256_text(data.decode("utf-8", "replace"))
    if (target / manifest).is_file():
        return target
    try:
        hashes = json.loads(data).get("files", {})
    except (ValueError, AttributeError, RecursionError):
        hashes = {}
    if not isinstance(hashes, dict):
        hashes = {}
    with files.new_folder(target) as draft:
        (draft / manifest).write_bytes(data)
        for name, digest in hashes.items():
            if PurePosixPath(name).name != name or name in (".", "..", manifest):
                raise BadArtifactError(f"{url}: file name {name!r} leaves the artifact's folder.")
            held = _sized(url, there.size(name)).read(name)
            if held is None:
                raise BadArtifactError(f"{url} is damaged: {name} is missing.")
            (draft / name).write_bytes(held)
            if files.sha256(draft / name) != digest:
                raise BadArtifactError(f"{url}: {name} does not have the hash in its manifest. Copy it there again.")
    return target


def is_copy(folder: Path) -> bool:
    """Whether a folder is a copy of what lies behind a URL."""
    return folder.is_relative_to(cache.folder() / "remote")


def data(url: str) -> Path:
    """A file, or a folder, with what lies behind a URL now; only what is new or has changed since is fetched.

    Raises:
        MissingFileError: nothing is there.
        BadDatasetError: an object changed while it was read, or the cache has no room.
        BadInputError: it cannot be read.
    """
    seen = _opened.get(url)
    if seen is not None and time.monotonic() - seen[0] < FRESH_S and seen[1].exists():
        return seen[1]
    there = RemoteFiles.at(url)
    objects = there.objects()
    if not objects:
        raise MissingFileError(f"nothing is at {url}.")
    folder = cache.folder() / "remote" / "data" / files.sha256_text(url)
    tree = folder / "files" / PurePosixPath(url).name
    known, marks = _index(folder), {name: marks_of(found) for name, found in objects.items()}
    wanted = [name for name in objects if known.get(name) != marks[name] or not _place(tree, name, url).is_file()]
    _need_room(url, folder, sum(int(objects[name].get("size") or 0) for name in wanted))
    for name in known.keys() - objects.keys():
        _place(tree, name, url).unlink(missing_ok=True)

    def fetch(name: str) -> None:
        size = objects[name].get("size")
        held = _sized(url, size).read(name)
        if held is None or (size is not None and len(held) != int(size)):
            raise BadDatasetError(f"{url}/{name} has changed while it was read. Try again.", field="data")
        files.write_bytes(_place(tree, name, url), held)

    try:
        with concurrent.futures.ThreadPoolExecutor(_TOGETHER, "densecast fetch") as pool:
            for _ in pool.map(fetch, wanted):
                pass
        files.write_text(folder / _INDEX, json.dumps(marks))
    except OSError as error:
        raise BadInputError(f"{url} cannot be kept in the cache ({error.strerror or error}).") from None
    _opened[url] = time.monotonic(), tree
    return tree


def _sized(url: str, size: object) -> RemoteFiles:
    seconds = max(TIMEOUT_S, int(size) / _BYTES_PER_S) if isinstance(size, int) else TIMEOUT_S
    return RemoteFiles.at(url, seconds)


def _index(folder: Path) -> dict[str, Any]:
    try:
        held = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def _place(tree: Path, name: str, url: str) -> Path:
    """Where an object's copy is: below the tree, or the tree itself for a URL of one object."""
    parts = PurePosixPath(name).parts
    if ".." in parts or PurePosixPath(name).is_absolute():
        raise BadInputError(f"{url}: the object {name!r} lies outside of it.")
    return tree.joinpath(*parts)


def _need_room(url: str, folder: Path, needed: int) -> None:
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise BadDatasetError(
            f"{url} needs {needed / 2**30:.1f} GiB more in the cache {cache.folder()}, which has "
            f"{free / 2**30:.1f} GiB. Set DENSECAST_CACHE to a larger disk.",
            field="data",
        )
