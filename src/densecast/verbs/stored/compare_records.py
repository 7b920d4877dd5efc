"""What a comparison keeps of an image, as columns, and the comparison from all of it, whatever order it came in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.measure.store.count_columns import CountColumns
from densecast.metrics._base import Metric
from densecast.spec.model import ModelSpec
from densecast.tasks._base import Difference, Task
from densecast.verbs.compare.tally import F64, Tally

Bins = npt.NDArray[np.int64]

NAME = "image"
"""The column of the image file's name."""


@dataclass(frozen=True, slots=True, eq=False)
class StageRow:
    """How far one stage is from the reference in one image.

    `difference` is the share of the prediction that differs; `amount` to `is_similarity` are the `Difference` behind
    it. `sums` (views, outputs, 8) are `tally.sums_of` each output. `changed_margin` is the largest margin where the
    prediction changed, NaN for none; `changed` and `usual` (n, 2) are margins and how often they come, see `binned`.
    """

    sample_id: str
    difference: float
    amount: float
    weight: float
    counts: dict[str, float]
    is_similarity: bool
    sums: F64
    changed_margin: float
    changed: Bins
    usual: Bins

    @classmethod
    def of(cls, sample_id: str, difference: Difference, sums: F64, margins: tuple[F64, F64] | None) -> StageRow:
        """One image's row."""
        changed, usual = margins or (np.zeros(0), np.zeros(0))
        return cls(
            sample_id,
            difference.value,
            difference.amount,
            difference.weight,
            difference.counts,
            difference.is_similarity,
            sums,
            float(changed.max()) if len(changed) else float("nan"),
            binned(changed),
            binned(usual),
        )


@dataclass(frozen=True, slots=True)
class ComparedImage:
    """One image of a comparison: its file's name, a row for each stage, and with ground truth the metric's counts.

    Of the counts the first is the reference's.
    """

    image: str
    stages: tuple[StageRow, ...]
    counts: tuple[Any, ...] = ()


class ComparedColumns:
    """The columns of `ComparedImage`s: `stage1_difference` and so on, `stage0_count_…` being the reference's count."""

    def __init__(self, stages: int, metric: Metric[Any, Any, Any] | None) -> None:
        self._stages = [CountColumns.of_kind(StageRow, f"stage{place}_") for place in range(1, stages + 1)]
        places = range(stages + 1) if metric is not None else ()
        self._counts = [CountColumns.of(metric, f"stage{place}_count_") for place in places if metric is not None]

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [NAME, *(name for each in (*self._stages, *self._counts) for name in each.names)]

    def encode(self, counts: Sequence[ComparedImage]) -> dict[str, Any]:
        """Images -> Arrow arrays by column name."""
        import pyarrow

        from densecast.measure.store.parts import portable

        found = {NAME: pyarrow.array([portable(each.image) for each in counts], pyarrow.string())}
        for place, columns in enumerate(self._stages):
            found |= columns.encode([each.stages[place] for each in counts])
        for place, columns in enumerate(self._counts):
            found |= columns.encode([each.counts[place] for each in counts])
        return found

    def decode(self, ids: Sequence[str], columns: dict[str, Any]) -> Iterator[ComparedImage]:
        """Arrow arrays by column name -> images, one for each id."""
        from densecast.measure.store.parts import ids_of

        names = ids_of(columns[NAME])
        stages = [list(each.decode(ids, columns)) for each in self._stages]
        counts = [list(each.decode(ids, columns)) for each in self._counts]
        for place, name in enumerate(names):
            yield ComparedImage(name, tuple(each[place] for each in stages), tuple(each[place] for each in counts))


def binned(margins: F64) -> Bins:
    """Margins, none below 0 -> (n, 2): each one's first 16 bits as float32, rounded, and how often these come.

    That is 8 significant bits: a median from them is within 0.4 %, and millions of images need a few thousand numbers.
    """
    bits = np.asarray(margins, np.float32).view(np.uint32).astype(np.int64)
    numbers, times = np.unique(np.minimum((bits + 0x8000) >> 16, 0xFFFF), return_counts=True)
    return np.stack([numbers, times], axis=1).astype(np.int64)


@dataclass
class BinnedMargins:
    """Margins of any number of images, from their bins."""

    largest: float = float("nan")
    changed: Bins = field(default_factory=lambda: np.zeros(1 << 16, np.int64))
    usual: Bins = field(default_factory=lambda: np.zeros(1 << 16, np.int64))
    images: int = 0

    def add(self, changed: F64, usual: F64) -> None:
        """Add one image's."""
        self.add_bins(float(changed.max()) if len(changed) else float("nan"), binned(changed), binned(usual))

    def add_bins(self, largest: float, changed: Bins, usual: Bins) -> None:
        """The same from its bins."""
        self.images += 1
        self.largest = largest if np.isnan(self.largest) else max(self.largest, largest)
        for total, own in ((self.changed, changed), (self.usual, usual)):
            numbers, times = own.reshape(-1, 2).T
            total[numbers] += times

    def facts(self) -> tuple[float | None, float | None, float | None]:
        """The largest and the median where something changed, and the median of all."""
        changed = _median(self.changed)
        return None if changed is None else self.largest, changed, _median(self.usual)


def _median(times: Bins) -> float | None:
    total = int(times.sum())
    if not total:
        return None
    places = np.searchsorted(np.cumsum(times), [(total - 1) // 2, total // 2], side="right")
    values = (places.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return float("nan") if times[0x7F81:].any() else float(values.mean())


def add_row(tally: Tally, image: str, row: StageRow, outputs: Sequence[str]) -> None:
    """Add one image to a tally whose margins are `BinnedMargins`."""
    for view in np.asarray(row.sums, np.float64).reshape(-1, len(outputs), 8):
        for name, sums in zip(outputs, view, strict=True):
            tally.add_sums(name, sums)
    tally.add_difference(image, Difference(row.amount, row.weight, row.counts, row.is_similarity))
    if isinstance(tally.margins, BinnedMargins):
        tally.margins.add_bins(row.changed_margin, row.changed, row.usual)


def tally_of(task: Task[Any, Any], spec: ModelSpec) -> Tally:
    """A tally that rows of a store are added to."""
    return Tally(task, spec, BinnedMargins())
