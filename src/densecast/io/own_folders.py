"""Folders that densecast wrote as a whole: what lies in them that it did not write, or that was changed since."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

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
