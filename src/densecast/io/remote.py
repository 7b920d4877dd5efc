"""Files behind URLs, by fsspec: read and written whole, tried again after errors of the network, with a time limit."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from densecast.errors import BadInputError, MissingError, MissingExtraError, MissingFileError, UsageError, WriteError

T = TypeVar("T")

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# What file systems call a tag of an object's contents or version, and the time of its last change, best first.
_TAGS = (
    *("ETag", "etag", "md5Hash", "md5", "content_md5", "Content-MD5", "checksum", "Digest", "sha256", "sha", "oid"),
    *("blob_id", "crc32c", "CRC", "generation", "VersionId"),
)
_TIMES = (
    *("mtime", "LastModified", "last_modified", "Last-Modified", "modified", "updated", "modificationTime"),
    *("date_time", "created"),
)
_TRIES = 4
FIRST_WAIT_S = 0.5
TIMEOUT_S = 120.0
"""For one request, all of its bytes included."""


def is_url(name: object) -> bool:
    """Whether a name is a URL rather than a path.

    >>> is_url("s3://bucket/a.jpg"), is_url("C:/a.jpg"), is_url("photos/a.jpg")
    (True, False, False)
    """
    return _URL.match(str(name)) is not None


@dataclass(frozen=True)
class RemoteFiles:
    """The files below a URL; names are relative to it."""

    url: str
    system: Any
    root: str
    timeout_s: float = TIMEOUT_S

    @classmethod
    def at(cls, url: str, timeout_s: float = TIMEOUT_S) -> RemoteFiles:
        """The files below a URL; nothing is asked for yet.

        Raises:
            MissingExtraError: fsspec, or what it needs for this kind of URL, is not installed.
            UsageError: a kind of URL that nobody knows.
        """
        if importlib.util.find_spec("fsspec") is None:
            raise MissingExtraError.of("remote", f"{url}")
        import fsspec

        try:
            system, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise MissingError(f"{url} cannot be read: {_first_line(error)}") from None
        except ValueError as error:
            raise UsageError(f"{url}: {_first_line(error).rstrip('.')}.") from None
        return cls(url.rstrip("/"), system, root.rstrip("/"), timeout_s)

    def read(self, name: str = "") -> bytes | None:
        """The bytes of a file; None where there is none."""

        def fetch() -> bytes | None:
            try:
                data: bytes = self.system.cat_file(self._path(name))
            except FileNotFoundError:
                return None
            return data

        return self._tried(fetch, f"{self._shown(name)} cannot be read", BadInputError)

    def size(self, name: str = "") -> int | None:
        """The size in bytes of a file; None where there is none."""
        found = self.info(name)
        return None if found is None else size_of(found)

    def info(self, name: str = "", *, fresh: bool = True) -> dict[str, Any] | None:
        """What the file system knows of a file; None where there is none.

        Not `fresh`, it may be what a listing has said before, which takes no request.
        """

        def ask() -> dict[str, Any] | None:
            try:
                if fresh:
                    self.system.invalidate_cache()
                return dict(self.system.info(self._path(name)))
            except FileNotFoundError:
                return None

        return self._tried(ask, f"{self._shown(name)} cannot be found", BadInputError)

    def write(self, name: str, data: bytes) -> None:
        """Write a file in one request, and check that all of it has arrived.

        Raises:
            WriteError: it has not.
        """

        def put() -> None:
            self.system.pipe_file(self._path(name), data)
            self.system.invalidate_cache()
            arrived = self.system.info(self._path(name)).get("size")
            if arrived is not None and int(arrived) != len(data):
                raise OSError(f"{arrived} of {len(data)} bytes have arrived")

        self._tried(put, f"{self._shown(name)} could not be written", WriteError)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

        def drop() -> None:
            try:
                self.system.rm_file(self._path(name))
            except FileNotFoundError:
                return

        self._tried(drop, f"{self._shown(name)} could not be removed", WriteError)

    def names(self, folder: str) -> list[str]:
        """The last parts of the names in a folder; none where it does not exist."""
        return [name for name, _ in self.listed(folder)]

    def listed(self, folder: str) -> list[tuple[str, dict[str, Any]]]:
        """The same, with what the file system knows of each."""

        def found() -> list[tuple[str, dict[str, Any]]]:
            try:
                self.system.invalidate_cache()
                infos = self.system.ls(self._path(folder), detail=True)
            except FileNotFoundError:
                return []
            return [(str(info["name"]).rstrip("/").rpartition("/")[2], dict(info)) for info in infos]

        return self._tried(found, f"{self._shown(folder)} cannot be listed", BadInputError)

    def objects(self) -> dict[str, dict[str, Any]]:
        """All files at or below the URL with what the file system knows of each: `size`, a tag, a time of change.

        Names are relative to the URL; the URL of one file has the name "".
        """

        def walked() -> dict[str, dict[str, Any]]:
            self.system.invalidate_cache()
            found = self.system.find(self.root, detail=True)
            below = {str(path).removeprefix(self.root).lstrip("/"): dict(info) for path, info in found.items()}
            return {name: info for name, info in sorted(below.items()) if info.get("type", "file") == "file"}

        return self._tried(walked, f"{self.url} cannot be listed", BadInputError)

    def glob(self, pattern: str) -> dict[str, dict[str, Any]]:
        """The names below the URL that match a pattern, sorted, relative to it, and what the file system knows."""

        def matched() -> dict[str, dict[str, Any]]:
            self.system.invalidate_cache()
            found = self.system.glob(self._path(pattern), detail=True)
            return {str(path): dict(info) for path, info in sorted(found.items())}

        found = self._tried(matched, f"{self._shown(pattern)} cannot be listed", BadInputError)
        return {path.removeprefix(self.root).lstrip("/"): info for path, info in found.items()}

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def _shown(self, name: str) -> str:
        return f"{self.url}/{name}" if name else self.url

    def _tried(self, work: Callable[[], T], failure: str, kind: type[Exception]) -> T:
        """The result of `work`; after errors of the network again, a few times."""
        wait_s = FIRST_WAIT_S
        for attempt in range(_TRIES):
            try:
                return _within(self.timeout_s, work)
            except (PermissionError, ImportError) as error:  # which time does not cure
                raise kind(f"{failure} ({_words(error)}).") from None
            except Exception as error:  # every file system has errors of its own
                if attempt == _TRIES - 1:
                    raise kind(f"{failure} ({_words(error)}), after {_TRIES} attempts.") from None
            time.sleep(wait_s)
            wait_s *= 2
        raise AssertionError("unreachable")


def size_of(found: Mapping[str, Any]) -> int | None:
    """The size in bytes of an object, from what its file system knows of it; None where it does not tell."""
    size = found.get("size")
    return None if size is None else int(size)


def marks_of(found: Mapping[str, Any]) -> list[str]:
    """All that tells an object from another one at its place: size, tags, times; `found` is what is known of it."""
    told = [f"{mark}={found[mark]}" for mark in (*_TAGS, *_TIMES) if found.get(mark) is not None]
    return [str(found.get("size")), *told]


def stamp_of(found: Mapping[str, Any]) -> str | None:
    """The best of an object's marks: where it is the same, so are the contents; None where there is none.

    A listing and a question about one object tell different marks of it; the best one, both.

    >>> stamp_of({"size": 3, "ETag": '"5d41"', "LastModified": "2026-01-01"}), stamp_of({"size": 3})
    ('5d41', None)
    """
    best = next((found[mark] for mark in (*_TAGS, *_TIMES) if found.get(mark) is not None), None)
    # A listing may tell a time as a number, and a question as a time.
    return None if best is None else str(best.timestamp() if isinstance(best, datetime) else best).strip('"')


def fetch(url: str) -> bytes:
    """The bytes behind a URL.

    Raises:
        MissingFileError: nothing is there.
        BadInputError: it cannot be read.
    """
    data = RemoteFiles.at(url).read()
    if data is None:
        raise MissingFileError(f"{url} does not exist.")
    return data


def _within(seconds: float, work: Callable[[], T]) -> T:
    """`work` in a thread of its own, which is left alone when its time is over.

    Raises:
        TimeoutError: it took longer.
    """
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="densecast remote", daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except concurrent.futures.TimeoutError:
        if future.done():
            raise
        raise TimeoutError(f"no answer within {seconds:g} s") from None


def _words(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".") or type(error).__name__


def _first_line(error: Exception) -> str:
    """What an error says, or its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
