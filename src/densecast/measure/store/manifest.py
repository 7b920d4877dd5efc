"""What a store is of: the run's key, and what a score needs besides the records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from densecast.errors import BadConfigError, BadStoreError, UsageError
from densecast.io import codec, files
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.sample import SplitRecord

MANIFEST = "store.json"
FORMAT = 1
Verb = Literal["evaluate", "infer", "compare", "calibrate"]
_PARTS = ("artifact", "data", "options")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class RunKey:
    """What makes records comparable: the artifact, the data, and the options that change an answer; in words."""

    artifact: dict[str, str]
    data: dict[str, str]
    options: dict[str, str]

    @property
    def digest(self) -> str:
        """Hash over all of it."""
        return files.sha256_text(repr([sorted(getattr(self, part).items()) for part in _PARTS]))

    def difference(self, other: RunKey) -> str | None:
        """Which of the three differ, with both values; None if all are equal. `self` is what was, `other` what is."""
        words = []
        for part in _PARTS:
            was, now = getattr(self, part), getattr(other, part)
            if was == now:
                continue
            apart = [name for name in {**was, **now} if was.get(name) != now.get(name)]
            shown = ", ".join(
                f"{name} {was.get(name, 'none')!s:.{_SHOWN}}, now {now.get(name, 'none')!s:.{_SHOWN}}" for name in apart
            )
            words.append(f"{'another artifact' if part == 'artifact' else f'other {part}'} ({shown})")
        return "; ".join(words) or None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a store. `images` is how many the run has; `remarks` are the data set's own."""

    key: RunKey
    verb: Verb
    images: int
    spec: ModelSpec
    model: dict[str, Any]
    metric: str | None = None
    frame: Frame = "image"
    record: SplitRecord | None = None
    protocol: str | None = None
    remarks: tuple[str, ...] = ()
    allow_ignored: bool = False
    augment: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    version: str = ""
    format: int = FORMAT

    def to_bytes(self) -> bytes:
        """As JSON."""
        return codec.to_json(self).encode("utf-8")

    def require(self, key: RunKey, store: str) -> None:
        """Check that a run's key is this store's.

        Raises:
            UsageError: says which of artifact, data and options differ.
        """
        verb = key.options.get("verb", self.verb)
        if verb != self.verb:
            raise UsageError(
                f"{store} holds records of {self.verb}, not of {verb}. Name another folder.", field="store"
            )
        apart = self.key.difference(key)
        if apart is not None:
            raise UsageError(f"{store} holds records of {apart}. Name another folder for this run.", field="store")


def parse(data: bytes, store: str) -> Manifest:
    """The manifest in a store's file.

    Raises:
        BadStoreError: damaged, or of a newer version.
    """
    import json

    try:
        plain = json.loads(data)
        if isinstance(plain, dict) and isinstance(plain.get("format"), int) and plain["format"] > FORMAT:
            raise BadStoreError(f"{store} was made by a newer densecast (format {plain['format']}). Update densecast.")
        return codec.from_plain(plain, Manifest, MANIFEST)
    except (ValueError, RecursionError) as error:
        raise BadStoreError(
            f"{store}/{MANIFEST} is damaged ({error}). Remove it and run the same command again, which takes up "
            "its own records and refuses others."
        ) from None
    except BadConfigError as error:
        raise BadStoreError(
            f"{store}/{MANIFEST} is damaged: {error} Remove it and run the same command again."
        ) from None
