"""The record of one image: what became of it, what it was, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from densecast.errors import DensecastError


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an image has no result: the error's kind, as `BadImageError`, and its text."""

    code: str
    text: str

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that an error describes."""
        return cls(type(error).__name__, str(error))

    @property
    def error(self) -> DensecastError:
        """An error of that kind, for a run that ends with it."""
        from densecast import errors

        kind = getattr(errors, self.code, DensecastError)
        return (
            kind(self.text)
            if isinstance(kind, type) and issubclass(kind, DensecastError)
            else DensecastError(self.text)
        )


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file as it was read: SHA-256 of its bytes, and their number; None where there was no file.

    `stamp` is the file system's word on its last change, see `files.stamp` and `remote.stamp_of`.
    """

    sha256: str | None = None
    size_bytes: int | None = None
    stamp: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One image of a run: done, or failed with a reason.

    `count` is the metric's count, `prediction` the bytes of the task's own file format, whose suffix is
    `prediction_suffix`; `file` is where `infer` has written it. `shown` is what the first images of a run show of
    another reading of the ground truth, see `OtherReading.shown`. `stages_ms` are wall times: `decode`, `infer` (the
    image's share of its batch), `postprocess`, and `total`, from reading to counting.
    """

    id: str
    failure: Failure | None = None
    image: FileFacts = FileFacts()
    target: FileFacts = FileFacts()
    size_hw: tuple[int, int] | None = None
    count: Any = None
    prediction: bytes | None = None
    prediction_suffix: str | None = None
    file: str | None = None
    shown: list[float] | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)
    finished: datetime | None = None


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes records: the artifact's key, the precision that ran, densecast's version, and the machine."""

    artifact: str
    precision: str
    version: str
    host: str
    cpu: str
