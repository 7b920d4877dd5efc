"""What a search has measured so far, on disk after every step, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from densecast.artifact.search_record import Trial
from densecast.errors import BadConfigError
from densecast.io import cache, codec, files


@dataclass(frozen=True, slots=True)
class Page:
    """The file's contents."""

    images: int
    bundles: int = 0
    trials: tuple[Trial, ...] = ()
    errors: dict[str, float] = field(default_factory=dict)
    cost_ms: dict[str, float] = field(default_factory=dict)


class Ledger:
    """Trials by the layers they keep in 16 bits, and the proxy's errors, under a key of everything they depend on."""

    def __init__(self, key: str) -> None:
        self._path: Path = cache.folder() / "searches" / f"{key}.json"
        self.trials: dict[frozenset[str], Trial] = {}
        self.errors: dict[str, float] = {}
        self.cost_ms: dict[str, float] = {}
        self.images = self.bundles = 0
        try:
            page = codec.read(self._path, Page)
        except BadConfigError:  # nothing there, or of another version: the search starts anew
            return
        self.images, self.bundles = page.images, page.bundles
        self.errors, self.cost_ms = dict(page.errors), dict(page.cost_ms)
        self.trials = {frozenset(trial.kept): trial for trial in page.trials}

    def forget(self) -> None:
        """Everything measured; how many images and bundles stays."""
        self.trials, self.errors, self.cost_ms = {}, {}, {}

    def save(self) -> None:
        """Write everything; a cache that cannot be written costs time later, not the result now."""
        page = Page(self.images, self.bundles, tuple(self.trials.values()), self.errors, self.cost_ms)
        try:
            files.write_text(self._path, codec.to_json(page))
        except OSError:
            return
