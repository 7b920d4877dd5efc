"""Folders and archives that densecast wrote as a whole: what is in them that it did not write, or that was changed."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Collection
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, cast

from densecast.errors import UsageError
from densecast.io import files, temporaries

_MOST_BYTES = 32 << 20


def replaceable(folder: Path, record: str, besides: Collection[str] = ()) -> dict[str, Any]:
    """The record of a folder that was written as a whole, if all that is in it is as it was written.

    `record` is the file that lists the others, with their hashes (sha256) under `files`; `besides` are files that it
    does not list. What somebody has added or edited would be lost with the folder.

    Raises:
        UsageError: the record cannot be read, or something else is there; names the first.
    """
    path = folder / record
    try:
        told = json.loads(files.read_bounded(path, _MOST_BYTES))
        hashes: dict[str, str] = dict(told["files"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        raise UsageError(
            f"{folder} exists, and its {record} cannot be read. Name another folder.", field="out"
        ) from None
    others = [
        name
        for each in sorted(folder.rglob("*"))
        if each.is_symlink() or not each.is_dir()
        if (name := each.relative_to(folder).as_posix()) not in (record, *besides)
        if not any(temporaries.is_temporary(part) for part in each.relative_to(folder).parts)
        if each.is_symlink() or name not in hashes or files.sha256(each) != hashes[name]
    ]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise UsageError(
            f"{folder} would be replaced as a whole, and {others[0]}{more} in it is not as densecast wrote it. Move "
            "that, or name another folder.",
            field="out",
        )
    return dict(told)


def refuse_inside(target: Path, source: Path) -> None:
    """Refuse to write into an artifact's folder, which is replaced as a whole when it is made again.

    Raises:
        UsageError: `target` is the folder `source`, or lies within it.
    """
    place, kept = files.real(target), files.real(source)
    if place == kept or kept in place.parents:
        raise UsageError(
            f"{target} is {'the artifact itself' if place == kept else f'inside of the artifact {source}'}. Name "
            "another folder.",
            field="out",
        )


def replaceable_archive(path: Path, record: str, besides: Collection[str] = ()) -> None:
    """`replaceable` of a tar archive that holds one such folder.

    Raises:
        UsageError: it is none, or something in it is not as it was written.
    """
    hashes: dict[str, str] = {}
    told = b"{}"
    try:
        with tarfile.open(path) as archive:
            for entry in archive:
                name = PurePosixPath(*PurePosixPath(entry.name).parts[1:]).as_posix()
                content = cast(BufferedReader | None, archive.extractfile(entry) if entry.isfile() else None)
                if content is not None and name == record:
                    told = content.read(_MOST_BYTES)
                elif content is not None and name not in besides:
                    hashes[name] = hashlib.file_digest(content, "sha256").hexdigest()
                elif content is None and not entry.isdir():
                    hashes[name] = ""  # links and devices, which are never written
        written = dict(json.loads(told)["files"])
    except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError, KeyError, TypeError):
        written = None
    if written != hashes:
        raise UsageError(f"{path} exists, and is not as densecast wrote it. Name another.", field="out")
