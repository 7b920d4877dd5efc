"""The cache folder for files that can be recomputed or downloaded again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from densecast.io import files

_DIGEST_BYTES = 32


def folder() -> Path:
    """The cache folder: `$DENSECAST_CACHE`, or `densecast` in `$XDG_CACHE_HOME` or `~/.cache`."""
    own = os.environ.get("DENSECAST_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "densecast"


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
