"""A store of records: opened or made for one run, written part by part, scanned for what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

from densecast.errors import BadStoreError, UsageError
from densecast.measure.store import arrow, parts, place
from densecast.measure.store.count_columns import Columns
from densecast.measure.store.manifest import MANIFEST, Manifest, parse
from densecast.measure.store.parts import DONE, FAILED
from densecast.measure.store.place import Place
from densecast.measure.store.record import Failure, Maker, Record

IDS = "ids.parquet"
"""The ids of all images of the run, in its order."""

_OWN = frozenset({MANIFEST, IDS, DONE, FAILED})


@dataclass(frozen=True)
class Scan:
    """What a store holds: ids that are done, why others failed last, and how many rows say so.

    There are more rows than ids where two processes have computed an image.
    """

    done: set[str] = field(default_factory=set)
    failed: dict[str, Failure] = field(default_factory=dict)
    rows: int = 0

    @property
    def summary(self) -> Summary:
        """The same without the ids that are done, which fill the memory where there are millions."""
        return Summary(len(self.done), self.failed, self.rows)


@dataclass(frozen=True)
class Summary:
    """How many images a store has done, in how many rows, and why others failed last."""

    done: int
    failed: dict[str, Failure]
    rows: int

    @property
    def is_repeated(self) -> bool:
        """Whether an image has several rows."""
        return self.rows > self.done


class Store:
    """Append-only records of one run. Any number of processes and machines may write to one place."""

    def __init__(self, name: str, files: Place, manifest: Manifest) -> None:
        self.name, self._files, self.manifest = name, files, manifest

    @classmethod
    def at(cls, name: str) -> Self:
        """A store that is there.

        Raises:
            BadStoreError: there is none, or it is damaged.
            MissingExtraError: pyarrow, or what its URL needs, is not installed.
        """
        arrow.require()
        files = place.at(name)
        data = files.read(MANIFEST)
        if data is None:
            raise BadStoreError(f"{name} is no store of records: it has no {MANIFEST}. Runs with --store make one.")
        return cls(name, files, parse(data, name))

    @classmethod
    def made_for(cls, name: str, wanted: Manifest, ids: Sequence[str]) -> Self:
        """The store of this run: the one that is there if its key is the same, else a new one.

        Raises:
            UsageError: it is another run's, or something else lies there.
            BadStoreError: it is damaged.
            MissingExtraError: pyarrow, or what its URL needs, is not installed.
        """
        arrow.require()
        files = place.at(name)
        data = files.read(MANIFEST)
        if data is None:
            if files.has_others(_OWN):
                raise UsageError(f"{name} holds other files than records. Name a new folder for them.", field="store")
            cls(name, files, wanted).refuse_left_over()
            stored = replace(wanted, created=datetime.now(UTC).isoformat(timespec="seconds"))
            files.write(IDS, _ids_file(ids))
            files.write(MANIFEST, stored.to_bytes())
            # Another process may have made it for another run at the same time: the last one stays.
            data = files.read(MANIFEST) or b""
        found = parse(data, name)
        found.require(wanted.key, name)
        if files.read(IDS) is None:  # lost; what it held is known
            files.write(IDS, _ids_file(ids))
        return cls(name, files, found)

    def refuse_left_over(self) -> None:
        """Refuse parts of another run, where what said of which one is lost.

        Raises:
            UsageError: there are some.
            BadStoreError: one is damaged.
        """
        _, parquet = arrow.load()
        for name in [*self.names(DONE), *self.names(FAILED)]:
            with arrow.reading(f"{self.name}/{name}"):
                run = parts.run_in(parquet.read_schema(self._files.source(name)))
            if run != self.manifest.key.digest:
                raise UsageError(
                    f"{self.name} holds records of another run, whose {MANIFEST} is gone. Name a new folder.",
                    field="store",
                )

    def write(self, records: Sequence[Record], maker: Maker, columns: Columns | None) -> None:
        """Append records, in one file of those that are done and one of those that failed."""
        for folder, chosen in (
            (DONE, [record for record in records if record.failure is None]),
            (FAILED, [record for record in records if record.failure is not None]),
        ):
            if chosen:
                self.put(parts.part_of(folder, chosen, maker, columns, self.manifest.key.digest))

    def put(self, part: parts.Part) -> None:
        """Append a file; one of the same contents is the same file."""
        self._files.write(part.name, part.data)

    def remove(self, name: str) -> None:
        """Remove a part whose records are in another one."""
        self._files.remove(name)

    def names(self, folder: str) -> list[str]:
        """The parts in a folder, sorted; other files there are none of the store's."""
        return [name for name in self._files.names(folder) if parts.is_part(name)]

    def read(self, name: str) -> bytes:
        """A part's bytes, checked against its name.

        Raises:
            BadStoreError: they are not what was written.
        """
        data = self._files.read(name)
        if data is None or not parts.is_whole(name, data):
            raise BadStoreError(
                f"{self.name}/{name} is damaged. Remove it and run the same command again: its images are computed "
                "anew."
            )
        return data

    def holds(self, ids: Sequence[str]) -> bool:
        """Whether exactly these ids were recorded together, all of them done: their worker died later than that."""
        prefix = f"{DONE}/{parts.hash_of(ids)}-"
        return any(name.startswith(prefix) for name in self.names(DONE))

    def planned(self) -> list[str]:
        """The ids of all images of the run, in its order.

        Raises:
            BadStoreError: the list is missing or damaged.
        """
        with arrow.reading(f"{self.name}/{IDS}"):
            found: list[str] = []
            for batch in parts.batches(self._files.source(IDS), ["id"]):
                found += parts.ids_of(batch.column("id"))
        return found

    def scan(self, check: Callable[[Sequence[str], Any], None] | None = None, columns: Sequence[str] = ()) -> Scan:
        """What is done and what failed; `check` is told the ids that are done and their rows, with these columns.

        Raises:
            BadStoreError: a part is damaged.
        """
        found = Scan()
        rows = 0
        for name in self.names(DONE):
            for batch in self._batches(name, ["id", *columns]):
                ids = parts.ids_of(batch.column("id"))
                rows += len(ids)
                found.done.update(ids)
                if check is not None:
                    check(ids, batch)
        latest: dict[str, Any] = {}
        for name in self.names(FAILED):
            for batch in self._batches(name, ["id", "error", "error_text", "finished"]):
                for each in batch.to_pylist():
                    sample_id = parts.plain(each["id"])
                    if sample_id in found.done:
                        continue
                    order = (str(each["finished"]), each["error"], each["error_text"])
                    if sample_id not in latest or latest[sample_id] < order:
                        latest[sample_id] = order
                        found.failed[sample_id] = Failure(each["error"], parts.plain(each["error_text"]))
        return replace(found, rows=rows)

    def done_batches(self, columns: Sequence[str] | None, *, repeated: bool) -> Iterator[Any]:
        """All rows of done images, some thousand at a time, each image once; of all columns for None.

        `repeated`: an image may have several rows, of which the first in order of the parts' names counts. Every part
        is checked against its name.

        Raises:
            BadStoreError: a part is damaged.
        """
        pa, _ = arrow.load()
        seen: set[str] = set()
        for name in self.names(DONE):
            with arrow.reading(f"{self.name}/{name}"):
                for batch in parts.batches(pa.BufferReader(self.read(name)), columns):
                    self._refuse_others(name, batch.schema)
                    if repeated:
                        ids = batch.column("id").to_pylist()
                        fresh = []
                        for place_, each in enumerate(ids):
                            if each not in seen:
                                seen.add(each)
                                fresh.append(place_)
                        batch = batch.take(pa.array(fresh, pa.int64())) if len(fresh) < len(ids) else batch
                    yield batch

    def precisions(self) -> dict[str, int]:
        """The precisions that ran, as JSON, with the number of images of each; most images first."""
        _, parquet = arrow.load()
        found: dict[str, int] = {}
        for name in self.names(DONE):
            with arrow.reading(f"{self.name}/{name}"), parquet.ParquetFile(self._files.source(name)) as file:
                precision = parts.precision_in(file.schema_arrow)
                found[precision] = found.get(precision, 0) + file.metadata.num_rows
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def _batches(self, name: str, columns: Sequence[str]) -> Iterator[Any]:
        with arrow.reading(f"{self.name}/{name}"):
            for batch in parts.batches(self._files.source(name), columns, 65_536):
                self._refuse_others(name, batch.schema)
                yield batch

    def _refuse_others(self, name: str, schema: Any) -> None:
        """Refuse a part that somebody has put here from the store of another run."""
        run = parts.run_in(schema)
        if run and run != self.manifest.key.digest:
            raise BadStoreError(
                f"{self.name}/{name} holds records of another run than {MANIFEST} beside it names. Remove it, or give "
                "each run a folder of its own."
            )


def _ids_file(ids: Iterable[str]) -> bytes:
    import io

    pa, parquet = arrow.load()
    stream = io.BytesIO()
    parquet.write_table(pa.table({"id": pa.array([parts.portable(each) for each in ids])}), stream, compression="zstd")
    return stream.getvalue()
