"""Calibration feeds whose images are worked on where `on` says: by other machines, each on a share of the images."""

from __future__ import annotations

import contextlib
import platform
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from densecast.backends._divided import FeedsWork
from densecast.io import files
from densecast.measure.distribute import ray_cluster
from densecast.measure.store import arrow, parts
from densecast.measure.store.manifest import Manifest, RunKey, Verb
from densecast.measure.store.record import Maker, Record
from densecast.measure.store.recording import own_version
from densecast.measure.store.store import Store
from densecast.runtime import machine
from densecast.spec.model import ModelSpec
from densecast.spec.store_options import StoreOptions
from densecast.spec.tensor import Feeds
from densecast.verbs.builder.calibration import CalibrationFeeds, Item, Progress
from densecast.verbs.stored.run import Run

_VERB: Verb = "calibrate"


class DividedFeeds(CalibrationFeeds):
    """Calibration feeds as ever, of which `each` has every image worked on where `on` says.

    Machines of a cluster have to see the images and the folder `beside` at the same paths.

    Raises:
        MissingExtraError: pyarrow or Ray is not installed.
    """

    def __init__(
        self, items: Sequence[Item], spec: ModelSpec, progress: Progress | None = None, *, on: str, beside: Path
    ) -> None:
        super().__init__(items, spec, progress)
        self._on, self._beside = on, beside
        # What is missing is told before the build begins.
        arrow.require()
        if on != "local":
            ray_cluster.require()

    def each(self, written: Callable[[Path], FeedsWork]) -> list[bytes]:
        """The answer for each image, in order; `written` writes what the work reads to a folder of its own.

        Raises:
            DensecastError: an image cannot be used; its own error. Or nobody could compute.
        """
        self._beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._beside, prefix="densecast-calibration-") as folder:
            scratch = files.real(Path(folder))
            store, ids = str(scratch / "store"), [str(number) for number in range(len(self))]
            (scratch / "work").mkdir()
            job = _Job(store, tuple(self._items), tuple(self._places), self._spec, written(scratch / "work"))
            key = RunKey({"name": self._spec.name, "key": scratch.name}, {"images": str(len(ids))}, {"verb": _VERB})
            manifest = Manifest(key, _VERB, len(ids), self._spec, {}, version=own_version())
            run = Run(Store.made_for(store, manifest, ids), StoreOptions(store, on=self._on), self._progress)
            run.elsewhere(job, "", ids, lambda each: ())
            found: dict[str, bytes] = {}
            for batch in run.store.done_batches(["id", "prediction"], repeated=True):
                found.update(zip(parts.ids_of(batch.column("id")), batch.column("prediction").to_pylist(), strict=True))
            return [found[each] for each in ids]


@dataclass(frozen=True)
class _Job:
    """Calibration images, each with its place among all, and what is computed of each; as a value."""

    store: str
    items: tuple[Item, ...]
    places: tuple[int, ...]
    spec: ModelSpec
    work: FeedsWork

    @contextlib.contextmanager
    def open(self, threads: int | None) -> Iterator[_Bench]:
        """Make ready what the work needs."""
        feeds = CalibrationFeeds(self.items, self.spec).at(self.places)
        yield _Bench(feeds, self.work.open(threads))


@dataclass(frozen=True)
class _Bench:
    """Opened work, and the images."""

    feeds: CalibrationFeeds
    compute: Callable[[Feeds], bytes]
    columns: None = None

    @property
    def maker(self) -> Maker:
        """Who makes the records."""
        return Maker("", "", own_version(), platform.node(), machine.describe().cpu)

    def records(self, ids: Sequence[str]) -> Generator[Record, None, None]:
        """The answers for these images; one that cannot be used ends the run with its own error."""
        for each in ids:
            answer = self.compute(self.feeds[int(each)])
            yield Record(each, prediction=answer, prediction_suffix=".npz", finished=datetime.now(UTC))
