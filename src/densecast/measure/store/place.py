"""Where a store's files lie: a local folder, or a URL that fsspec knows; files appear there whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Protocol

from densecast.errors import UsageError, WriteError
from densecast.io import files, remote, temporaries


class Place(Protocol):
    """A folder of files; names are relative, with slashes."""

    def names(self, folder: str) -> list[str]:
        """The names of the files in one of its folders, sorted; none where it does not exist."""

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None where there is no such file."""

    def source(self, name: str) -> Any:
        """What pyarrow reads the file from: a path, or an open file."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole: it is there with all of its bytes, or not."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def has_others(self, own: frozenset[str]) -> bool:
        """Whether anything else than these names lies there."""


class LocalPlace:
    """A folder of this machine, or one that is shared between machines."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def names(self, folder: str) -> list[str]:
        """The names of the files in one of its folders, sorted."""
        try:
            found = [path.name for path in (self._folder / folder).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(f"{folder}/{name}" for name in found if not name.startswith("."))

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None where there is no such file."""
        try:
            return (self._folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def source(self, name: str) -> Any:
        """The file's path."""
        return str(self._folder / name)

    def write(self, name: str, data: bytes) -> None:
        """Write beside, flush, rename, flush the folder.

        Raises:
            WriteError: it cannot be written, and is not there.
        """
        try:
            files.write_bytes(self._folder / name, data)
        except OSError as error:
            raise WriteError(
                f"{self._folder} takes no records ({error.strerror or error}). What is recorded stays; make room or "
                "name another folder, and run the same command again."
            ) from None

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self._folder / name).unlink(missing_ok=True)

    def has_others(self, own: frozenset[str]) -> bool:
        """Whether anything else than these names, and what a killed process has left, lies there."""
        if not self._folder.exists():
            return False
        if not self._folder.is_dir():
            return True
        found = {path.name for path in self._folder.iterdir() if not temporaries.is_temporary(path.name)}
        return bool(found - own)


class RemotePlace:
    """A folder behind a URL. Object stores show an object when all of it is there; its size is checked after."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._files = remote.RemoteFiles.at(self._url)

    def __str__(self) -> str:
        return self._url

    def names(self, folder: str) -> list[str]:
        """The names of the files in one of its folders, sorted."""
        return sorted(f"{folder}/{name}" for name in self._files.names(folder))

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None where there is no such file."""
        return self._files.read(name)

    def source(self, name: str) -> Any:
        """The file's bytes as an open file."""
        data = self._files.read(name)
        if data is None:
            raise FileNotFoundError(f"{self._url}/{name}")
        return io.BytesIO(data)

    def write(self, name: str, data: bytes) -> None:
        """Write in one request."""
        self._files.write(name, data)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self._files.remove(name)

    def has_others(self, own: frozenset[str]) -> bool:
        """Whether anything else than these names lies there."""
        return bool(set(self._files.names("")) - own)


def at(store: str) -> Place:
    """The place that a store's name means.

    Raises:
        UsageError: a file is there.
        MissingExtraError: a URL, and the [remote] extra is not installed.
    """
    if remote.is_url(store):
        return RemotePlace(store)
    path = files.given(store)
    if path.exists() and not path.is_dir():
        raise UsageError(f"{store} is a file. Name a folder for the records.", field="store")
    return LocalPlace(path)
