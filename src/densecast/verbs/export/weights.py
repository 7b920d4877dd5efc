"""Finds a published checkpoint: given, shipped, in a folder, in the cache, or downloaded from mirrors."""

from __future__ import annotations

import hashlib
import http.client
import importlib.resources
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from densecast.errors import BadCheckpointError, MissingFileError
from densecast.io import cache
from densecast.zoo._base import CheckpointSource

# A folder of checkpoint files, for machines without a network.
WEIGHTS_VARIABLE = "DENSECAST_WEIGHTS"
_TIMEOUT_S = 30
_CHUNK = 1 << 20

Progress = Callable[[int, int | None], None]


def find(source: CheckpointSource, given: Path | None = None, progress: Progress | None = None) -> Path:
    """Find the checkpoint file: `given`, in the package, in `$DENSECAST_WEIGHTS`, in the cache, or from the URLs.

    All must have the published hash, but for a file given by hand under another name: that one is taken as it is.

    Raises:
        MissingFileError: not found; names every place and URL tried, and what to fetch by hand.
        BadCheckpointError: found, but with another hash than published.
    """
    if given is not None:
        if not given.is_file():
            raise MissingFileError.at(given, "checkpoint")
        return check_hash(given, source) if given.name == source.file else given
    if source.shipped:
        with importlib.resources.as_file(importlib.resources.files("densecast.zoo") / "weights" / source.file) as path:
            return check_hash(path, source)
    tried: list[str] = []
    offline = os.environ.get(WEIGHTS_VARIABLE)
    for folder in [*([Path(offline)] if offline else []), cache.folder() / "weights"]:
        if (folder / source.file).is_file():
            return check_hash(folder / source.file, source)
        tried.append(str(folder / source.file))
    target = cache.folder() / "weights" / source.file
    for url in source.urls:
        try:
            fetch(url, target, source, progress)
            return target
        except (OSError, http.client.HTTPException, ValueError) as error:
            tried.append(f"{url} ({_reason(error)})")
        except BadCheckpointError as error:
            tried.append(f"{url} ({error})")
    raise MissingFileError(
        f"{source.file} was not found. Tried: {'; '.join(tried)}. "
        "Fetch it by hand, then give its path as the checkpoint, or put it into the folder that "
        f"${WEIGHTS_VARIABLE} names.",
        field="checkpoint",
    )


def fetch(url: str, target: Path, source: CheckpointSource, progress: Progress | None = None) -> None:
    """Download to `target`, resuming earlier attempts; the file appears only once its hash is verified.

    Raises:
        OSError: no connection, or the server refused.
        BadCheckpointError: the file came whole, with another hash than published.
    """
    if not url.startswith(("https://", "http://")):
        raise ValueError("only http and https addresses are fetched")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # "range not satisfiable": the part is already all there is, or too much
            raise
        if error.headers.get("Content-Range") not in (None, f"bytes */{have}"):
            part.unlink()
            raise ConnectionError("what was fetched earlier is longer than the file; it was thrown away") from None
        response = None
    if response is not None:
        with response:
            resumed = response.status == 206
            have = have if resumed else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with part.open("ab" if resumed else "wb") as stream:
                while chunk := response.read(_CHUNK):
                    stream.write(chunk)
                    have += len(chunk)
                    if progress:
                        progress(have, total)
                stream.flush()
                os.fsync(stream.fileno())
        if total is not None and have < total:
            raise ConnectionError(f"the connection broke off after {have} of {total} bytes")
    try:
        check_hash(part, source)
    except BadCheckpointError:
        part.unlink()
        raise
    part.replace(target)


def check_hash(path: Path, source: CheckpointSource) -> Path:
    """Return `path` if the file has the published sha256 (or its published first digits) and md5.

    Raises:
        BadCheckpointError: another hash.
    """
    for name, published in (("sha256", source.sha256), ("md5", source.md5)):
        if published is None:
            continue
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, name).hexdigest()
        if not digest.startswith(published.lower()):
            raise BadCheckpointError(
                f"{path} has {name} {digest[: len(published)]}, published is {published}. "
                "It is damaged or another file; fetch it again."
            )
    return path


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    reason = getattr(error, "reason", error)
    return str(reason) or type(error).__name__
