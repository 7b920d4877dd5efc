"""Search checkpoint: saves every measurement to disk, so that an interrupted search can resume."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from densecast.artifact.search_record import Trial
from densecast.errors import BadConfigError
from densecast.io import cache, codec, files


@dataclass(frozen=True, slots=True)
class _Contents:
    """The contents of the checkpoint file."""

    images: int
    groups: int = 0
    trials: tuple[Trial, ...] = ()
    errors: dict[str, float] = field(default_factory=dict)
    cost_ms: dict[str, float] = field(default_factory=dict)


class SearchCheckpoint:
    """A search's measurements, stored under a hash of everything that they depend on.

    `trials` are by the layers in half precision, `errors` the proxy's by the layers' names, `cost_ms` is by layer.
    `images` and `groups` are the numbers of images and layer groups that the search has chosen, 0 until then.
    """

    def __init__(self, key: str) -> None:
        self._path: Path = cache.folder() / "searches" / f"{key}.json"
        self.trials: dict[frozenset[str], Trial] = {}
        self.errors: dict[str, float] = {}
        self.cost_ms: dict[str, float] = {}
        self.images = self.groups = 0
        try:
            contents = codec.read(self._path, _Contents)
        except BadConfigError:  # nothing there, or of another version: the search starts anew
            return
        self.images, self.groups = contents.images, contents.groups
        self.errors, self.cost_ms = dict(contents.errors), dict(contents.cost_ms)
        self.trials = {frozenset(trial.half_layers): trial for trial in contents.trials}

    def clear(self) -> None:
        """Discard all measurements; the numbers of images and groups stay."""
        self.trials, self.errors, self.cost_ms = {}, {}, {}

    def save(self) -> None:
        """Write the checkpoint; failure to write the cache is ignored."""
        contents = _Contents(self.images, self.groups, tuple(self.trials.values()), self.errors, self.cost_ms)
        try:
            files.write_text(self._path, codec.to_json(contents))
        except OSError:
            return
