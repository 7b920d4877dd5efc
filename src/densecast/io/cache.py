"""The cache folder for files that can be recomputed or downloaded again."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import TypeVar

from densecast.errors import BadConfigError
from densecast.io import codec, files, system

T = TypeVar("T")

_DIGEST_BYTES = 32


def folder() -> Path:
    """The cache folder: `$DENSECAST_CACHE`, or `densecast` in `$XDG_CACHE_HOME` or `~/.cache`.

    A user without a home (a container's bare user id) has it in the folder for temporary files, under their id.
    """
    own = os.environ.get("DENSECAST_CACHE")
    if own:
        return Path(own)
    caches = os.environ.get("XDG_CACHE_HOME")
    if caches:
        return Path(caches) / "densecast"
    home = home_folder()
    return home / ".cache" / "densecast" if home else _temporary()


def home_folder() -> Path | None:
    """The user's home; None for a user id that no user list has, without `$HOME`."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def writable_folder() -> Path | None:
    """The cache folder if it can be written to, else one for temporary files; None if neither can.

    For libraries that fail without a cache. A folder that others could have prepared is not taken.
    """
    for path in (folder(), _temporary()):
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            is_own = system.is_own_alone(path)
        except OSError:
            continue
        if (is_own or path == folder()) and os.access(path, os.W_OK | os.X_OK):
            return path
    return None


def _temporary() -> Path:
    return Path(os.environ.get("TMPDIR") or tempfile.gettempdir()) / f"densecast-{system.user_id()}"


def read_blob(key: str) -> bytes | None:
    """Read the blob stored under `key`; None if there is none, or if the file is truncated or modified."""
    try:
        with (folder() / "compiled" / f"{key}.blob").open("rb") as file:
            digest, blob = file.read(_DIGEST_BYTES), file.read()
    except OSError:
        return None
    return blob if hashlib.sha256(blob).digest() == digest else None


def write_blob(key: str, blob: bytes) -> None:
    """Store a compiled model under the hash of everything it was compiled from and for.

    A cache that cannot be written (read-only home, full disk) costs time later, not the result now.
    """
    try:
        files.write_bytes(folder() / "compiled" / f"{key}.blob", hashlib.sha256(blob).digest() + blob)
    except OSError:
        return


def read_record(kind: str, key: str, of: type[T]) -> T | None:
    """Read the record of a measurement stored under `key`; None if there is none, or its file is damaged."""
    try:
        return codec.read(_record(kind, key), of)
    except BadConfigError:
        return None


def write_record(kind: str, key: str, record: object) -> None:
    """Store the record of a measurement; a cache that cannot be written costs time later."""
    try:
        files.write_text(_record(kind, key), codec.to_json(record))
    except OSError:
        return


def _record(kind: str, key: str) -> Path:
    return folder() / kind / f"{key}.json"
