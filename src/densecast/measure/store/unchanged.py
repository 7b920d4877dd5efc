"""Notices images and ground truth that are others than when they were recorded, before their records are used.

What lies there now is asked for its size and for the file system's word on its last change, which costs no reading.
Where that word is another, as of a copy, the contents are hashed and compared: only what really changed is refused.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from densecast.errors import BadDatasetError
from densecast.io import files, remote
from densecast.measure.store.record import FileFacts
from densecast.measure.store.recording import facts_of

_TOGETHER = 8
_PREFIXES = ("", "target_")
COLUMNS = tuple(f"{prefix}{name}" for prefix in _PREFIXES for name in ("size_bytes", "stamp", "sha256"))
"""The columns that are compared: of the image, and of its ground truth."""


class Origin(Protocol):
    """Where the image, or the ground truth, of a record lies now."""

    @property
    def shown(self) -> str:
        """How it is named in an error."""

    @property
    def is_slow(self) -> bool:
        """Whether `facts` waits for a network."""

    def facts(self) -> FileFacts | None:
        """What can be told without reading it; None if it is not there."""

    def hashed(self) -> str | None:
        """SHA-256 of its contents; None if they cannot be read."""


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine, or of a shared file system."""

    path: Path
    is_slow: bool = False

    @property
    def shown(self) -> str:
        """Its path."""
        return str(self.path)

    def facts(self) -> FileFacts | None:
        """Its size and times."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return FileFacts(None, status.st_size, files.stamp(status)) if stat.S_ISREG(status.st_mode) else None

    def hashed(self) -> str | None:
        """The hash of its bytes."""
        found = facts_of(self.path)
        return None if found is None else found.sha256


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What lies behind a URL; `listed` is what a listing has said of it, else it is asked for by itself."""

    url: str
    listed: FileFacts | None = None

    @property
    def shown(self) -> str:
        """The URL."""
        return self.url

    @property
    def is_slow(self) -> bool:
        """Whether it has to be asked for."""
        return self.listed is None

    def facts(self) -> FileFacts | None:
        """Its size, and its tag or time of change."""
        if self.listed is not None:
            return self.listed
        found = remote.RemoteFiles.at(self.url).info()
        return None if found is None else FileFacts(None, remote.size_of(found), remote.stamp_of(found))

    def hashed(self) -> str | None:
        """The hash of its bytes, which are fetched."""
        data = remote.RemoteFiles.at(self.url).read()
        return None if data is None else files.sha256_bytes(data)


@dataclass(frozen=True, slots=True)
class InProgram:
    """What a Python program holds: only its contents tell whether it is the same."""

    shown: str
    contents: Callable[[], FileFacts | None]
    is_slow: bool = False

    def facts(self) -> FileFacts | None:
        """Nothing is known of it."""
        return FileFacts()

    def hashed(self) -> str | None:
        """The hash of its values."""
        found = self.contents()
        return None if found is None else found.sha256


class _Row(NamedTuple):
    """A recorded file: where it lies now, its size and stamp, and the place of its hash in a column."""

    origin: Origin
    size_bytes: int
    stamp: str | None
    digests: Any
    place: int


Origins = Callable[[str], Sequence[Origin | None]]
"""By id: where its image lies and, if there is ground truth of its own, that."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Refuses records of what has changed since."""

    store: str
    origins: Origins

    def check(self, ids: Sequence[str], batch: Any) -> None:
        """Compare some rows of records, with `COLUMNS`, with what lies there now; old records may lack some.

        Raises:
            BadDatasetError: names one that has changed.
            BadInputError: what is behind a URL cannot be asked for.
        """
        with ThreadPoolExecutor(_TOGETHER, "densecast unchanged") as pool:
            rows = list(self._rows(ids, batch))
            slow = [row.origin for row in rows if row.origin.is_slow]
            asked = dict(zip(slow, pool.map(lambda origin: origin.facts(), slow), strict=True))
            unsure: dict[tuple[str, str | None], Origin] = {}
            for row in rows:
                origin = row.origin
                now = asked[origin] if origin.is_slow else origin.facts()
                if now is None:  # what is recorded needs it no more
                    continue
                if now.size_bytes is not None and now.size_bytes != row.size_bytes:
                    told = f"has {now.size_bytes} bytes and had {row.size_bytes} when it was recorded in"
                    raise self._changed(origin, told)
                if now.stamp is None or now.stamp != row.stamp:
                    unsure[origin.shown, row.digests[row.place].as_py()] = origin
            found = pool.map(lambda origin: origin.hashed(), unsure.values())
            for ((_, was), origin), is_now in zip(unsure.items(), found, strict=True):
                if is_now is not None and is_now != was:
                    raise self._changed(origin, "has other contents than when it was recorded in")

    def _rows(self, ids: Sequence[str], batch: Any) -> Iterator[_Row]:
        """What was recorded, with where it lies now."""
        for number, prefix in enumerate(_PREFIXES):
            digests, sizes = (batch.column(f"{prefix}{name}") for name in ("sha256", "size_bytes"))
            has_stamps = f"{prefix}stamp" in batch.schema.names
            stamps = batch.column(f"{prefix}stamp").to_pylist() if has_stamps else [None] * len(ids)
            for place, (sample_id, size) in enumerate(zip(ids, sizes.to_pylist(), strict=True)):
                if size is None:
                    continue
                origins = self.origins(sample_id)
                if number < len(origins) and (origin := origins[number]) is not None:
                    yield _Row(origin, size, stamps[place], digests, place)

    def _changed(self, origin: Origin, told: str) -> BadDatasetError:
        return BadDatasetError(
            f"{origin.shown} {told} {self.store}: the data have changed. Name another folder for the records.",
            field="store",
        )
