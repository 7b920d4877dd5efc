"""Labels of a map that arrives in bands of rows, so that the whole map never exists.

A band is resized and labelled as far as its rows allow; the one or two rows that the next band's first target rows read
again are kept. Labels are those of `labels` and `probabilities` of the whole map.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from densecast.errors import BadInputError
from densecast.kernels import bilinear
from densecast.kernels.bilinear import Plan, Taps
from densecast.kernels.labels import Labels, Logits, Probability, column_blocks
from densecast.spec.sample import label_dtype

_ROWS_AT_ONCE = 8


class _Source:
    """The rows of one map that have come and are still needed: from `top` up to `end`."""

    def __init__(
        self, source_hw: tuple[int, int], target_hw: tuple[int, int], align_corners: bool, channels: int
    ) -> None:
        self.plan = bilinear.plan(source_hw, [target_hw], align_corners)
        self.rows = (self.plan or bilinear.unchanged(source_hw)).late.rows
        self.band = np.empty((channels, 0, source_hw[1]), np.float32)
        self.top = self.end = 0

    def add(self, band: Logits) -> None:
        """Take the next rows (C, n, w)."""
        self.band = band if self.top == self.end else np.concatenate([self.band, band], axis=1)
        self.end += band.shape[1]

    @property
    def ready(self) -> int:
        """How many target rows can be computed from the rows so far."""
        return int(np.searchsorted(self.rows.second, self.end))

    def taps(self, begin: int, end: int) -> Taps:
        """The taps of some target rows, which count from the first row that is kept."""
        rows, top = self.rows, np.uint32(self.top)
        return Taps(
            rows.first[begin:end] - top,
            rows.second[begin:end] - top,
            rows.first_weight[begin:end],
            rows.second_weight[begin:end],
        )

    def release(self, done: int) -> None:
        """Forget the rows that no target row from `done` on reads."""
        needed = int(self.rows.first[done]) if done < self.rows.first.size else self.end
        keep = min(needed, self.end)
        self.band = np.ascontiguousarray(self.band[:, keep - self.top :])
        self.top = keep


class LabelBands:
    """Labels of one map, or of the mean probability of several, whose rows arrive band by band.

    `sources_hw` are the maps' sizes; each is resized bilinearly to `target_hw`. `mirrored` says which of them show the
    mirror image. With `scored` the winners' softmax probability is kept as well.
    """

    def __init__(
        self,
        channels: int,
        sources_hw: Sequence[tuple[int, int]],
        target_hw: tuple[int, int],
        *,
        align_corners: bool = False,
        mirrored: Sequence[bool] = (False,),
        scored: bool = False,
    ) -> None:
        self._sources = [_Source(source_hw, target_hw, align_corners, channels) for source_hw in sources_hw]
        self._mirrored, self._channels, self._done = list(mirrored), channels, 0
        self._is_single = len(self._sources) == 1 and not self._mirrored[0]
        self.labels: Labels = np.empty(target_hw, label_dtype(channels))
        needs_scores = scored or not self._is_single
        self.probability: Probability = np.empty(target_hw if needs_scores else (0, 0), np.float32)
        self._blocks = (
            column_blocks(sources_hw[0], target_hw, align_corners, channels, always=scored) if self._is_single else None
        )

    def add(self, source: int, band: Logits) -> None:
        """Take the next rows (C, n, w) of map `source`, and label what they complete.

        Raises:
            BadInputError: a logit is NaN or infinite.
        """
        self._sources[source].add(band)
        ready = min(each.ready for each in self._sources)
        if ready == self._done:
            return
        finite = self._label_one(ready) if self._is_single else self._label_mean(ready)
        if not finite:
            raise BadInputError.not_finite("logits")
        self._done = ready
        for each in self._sources:
            each.release(ready)

    @property
    def is_complete(self) -> bool:
        """Whether every target row has its labels."""
        return self._done == len(self.labels)

    def _label_one(self, ready: int) -> bool:
        from densecast.kernels.label_tile import label_tile, label_unresized

        (source,) = self._sources
        labels = self.labels[self._done : ready]
        probability = self.probability[self._done : ready]
        band, bits = source.band, source.band.view(np.int32)
        rows = np.uintp(0), np.uintp(ready - self._done)
        if self._blocks is None:
            return bool(label_unresized(band, bits, *rows, labels))
        taps = source.taps(self._done, ready)
        finite = [
            label_tile(
                band,
                bits,
                np.uintp(part.source_begin),
                np.uintp(part.source_end - part.source_begin),
                part.plan._replace(late=part.plan.late._replace(rows=taps)),
                *rows,
                np.uintp(x),
                labels,
                probability,
            )
            for x, part in self._blocks
        ]
        return bool(all(finite))

    def _label_mean(self, ready: int) -> bool:
        from densecast.kernels.probability_rows import add_softmax, argmax_of_mean

        if not all(np.isfinite(each.band).all() for each in self._sources):
            return False
        total = np.empty((_ROWS_AT_ONCE, self._channels, self.labels.shape[1]), np.float32)
        for begin in range(self._done, ready, _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, ready)
            part = total[: end - begin]
            part.fill(0)
            for each, is_mirrored in zip(self._sources, self._mirrored, strict=True):
                whole = each.plan or bilinear.unchanged((1, self.labels.shape[1]))
                plan = Plan(whole.early, whole.late._replace(rows=each.taps(begin, end)))
                add_softmax(each.band, plan, 0, bool(is_mirrored), part)
            argmax_of_mean(part, np.float32(len(self._sources)), self.labels[begin:end], self.probability[begin:end])
        return True
