"""Watches a folder of artifacts: new and changed ones are loaded and served, those that are gone are let go."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

from densecast.artifact import MANIFEST
from densecast.errors import DensecastError, UsageError
from densecast.verbs.serve.models import Models, Place, Served, places

_log = logging.getLogger(__name__)

_EVERY_S = 2.0
# Requests that were being answered by a model that is replaced.
_LEAVE_S = 30.0

Stamp = tuple[int, int]


class Watch:
    """A thread that keeps the models of a server those of a folder, each under the name of its own folder.

    An artifact is loaded beside the one that it replaces, and takes its place once it is warm. One that cannot be
    loaded is told of once, and tried again: it may still be being copied.
    """

    def __init__(
        self, folder: Path, models: Models, load: Callable[[Place], Served], every_s: float = _EVERY_S
    ) -> None:
        self._folder, self._models, self._load, self._every_s = folder, models, load, every_s
        self._served: dict[str, tuple[Stamp, Served]] = {}
        self._told: dict[str, Stamp] = {}
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="densecast serve watch", daemon=True)

    def start(self) -> None:
        """Serve what is there now, and go on looking."""
        self._look()
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and release the models."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join(_LEAVE_S)
        for _, served in self._served.values():
            served.close(0.0)

    def _run(self) -> None:
        while not self._ends.wait(self._every_s):
            try:
                self._look()
            except Exception as error:
                _log.error("%s could not be watched: %s: %s", self._folder, type(error).__name__, error)

    def _look(self) -> None:
        found = _stamps(self._folder)
        for name in [name for name in self._served if name not in found]:
            self._forget(name)
        for name, stamp in found.items():
            before = self._served.get(name)
            if self._ends.is_set() or (before is not None and before[0] == stamp):
                continue
            try:
                served = self._loaded(name)
            except DensecastError as error:
                if self._told.get(name) != stamp:
                    _log.warning("%s is not served: %s", self._folder / name, error)
                self._told[name] = stamp
                continue
            self._models.replace(before[1] if before else None, served)
            self._served[name] = stamp, served
            _log.warning("%s is served, %s.", name, "in place of the one before" if before else "as it is new")
            if before:
                before[1].close(_LEAVE_S)

    def _loaded(self, name: str) -> Served:
        (place,) = places([f"{name}={self._folder / name}"])
        own = self._served.get(name)
        others = [each for each in self._models if own is None or each is not own[1]]
        if any((each.name, each.version) == (place.name, place.version) for each in others):
            raise UsageError(f"another model is served as {name}. Rename the folder.")
        return self._load(place)

    def _forget(self, name: str) -> None:
        _, served = self._served.pop(name)
        self._models.replace(served, None)
        _log.warning("%s is no longer served.", name)
        served.close(_LEAVE_S)


def _stamps(folder: Path) -> dict[str, Stamp]:
    """When the manifest of each artifact in a folder was written, and its size."""
    found: dict[str, Stamp] = {}
    for each in sorted(folder.iterdir()):
        with contextlib.suppress(OSError):
            if not each.name.startswith("."):
                status = (each / MANIFEST).stat()
                found[each.name] = status.st_mtime_ns, status.st_size
    return found
