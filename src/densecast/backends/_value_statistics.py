"""Statistics of a tensor's values over all calibration images, from which every calibration method finds its range."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.kernels import value_counts
from densecast.spec.options import CalibrationMethod
from densecast.spec.tensor import Array

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

_BINS = 2048
_LEVELS = 256
# Into so many parts a bin is divided when its count moves to the bins of a wider histogram.
_PARTS = 16
# Names of the quantiles at either end.
_ENDS = ("lefts", "rights")
# Of so many parts of the values one is many in a single bin.
_MANY = 64


@dataclass(frozen=True, slots=True)
class Extremes:
    """The least and the greatest values of one image's samples, each of the rank of the values."""

    lows: tuple[F32, ...]
    highs: tuple[F32, ...]

    @property
    def are_finite(self) -> bool:
        """Whether they are numbers."""
        return all(bool(np.isfinite(end).all()) for end in (*self.lows, *self.highs))


@dataclass(frozen=True, slots=True)
class Counts:
    """How one image's values are spread: counts in bins between two ends, and quantiles of each sample."""

    ends: tuple[float, float]
    in_bins: F64 | None = None
    quantiles: tuple[tuple[F64, F64], ...] = ()


class ValueStatistics:
    """Statistics of one tensor, for some of the calibration methods, from what each image left in it.

    An image is taken in by four steps. `extremes` and `counts` go through its values and change nothing here, so that
    any thread or process may compute them for any image; `widen` and `merge` are quick, and belong in the images'
    order: `widen` says between which ends `counts` has to count, those of all images so far, and `merge` adds them up.
    `add` is all four. Where the engine has found the extremes, `widen` is all there is to do.

    `kept` are the axes along which ranges differ, as channels where they have ranges of their own; `samples` says
    whether each item of a batch is a sample of its own. `outside` is the share of the values that `percentile` leaves
    out at either end.
    """

    def __init__(
        self, methods: Collection[CalibrationMethod], outside: float, kept: Sequence[int] = (), *, samples: bool = True
    ) -> None:
        self._methods, self._outside, self._kept, self._samples = frozenset(methods), outside, tuple(kept), samples
        self._lows: list[F32] = []
        self._highs: list[F32] = []
        self._quantiles: list[tuple[F64, F64]] = []
        self._ends: tuple[float, float] = (np.inf, -np.inf)
        self._counts: F64 | None = None
        self._counted: tuple[float, float] = (0.0, 0.0)

    @staticmethod
    def needs_values(methods: Collection[CalibrationMethod]) -> bool:
        """Whether ranges by these methods take more than the extremes of each image."""
        return not set(methods) <= {"minmax", "mean_minmax"}

    def empty(self) -> ValueStatistics:
        """Others of the same kind, of no image."""
        return ValueStatistics(self._methods, self._outside, self._kept, samples=self._samples)

    def only(self, method: CalibrationMethod) -> None:
        """Go on for one of the methods alone, from all images so far: the others' ranges are no longer to be had."""
        self._methods = frozenset({method}) & self._methods
        if method != "histogram":
            self._counts = None
        if method != "percentile":
            self._quantiles = []

    def add(self, values: F32) -> None:
        """Take in what one image has led to."""
        self.merge(self.counts(values, self.widen(self.extremes(values))))

    def add_extremes(self, lows: F32, highs: F32) -> None:
        """Take in the extremes of what one image has led to, of the rank of the values."""
        self.widen(self.extremes_found(lows, highs))

    def extremes(self, values: F32) -> Extremes:
        """The extremes of one image's values."""
        samples = self._parts(values)
        axes = tuple(axis for axis in range(samples[0].ndim) if axis not in self._kept)
        ends = [(each.min(axis=axes, keepdims=True), each.max(axis=axes, keepdims=True)) for each in samples]
        return Extremes(tuple(low for low, _ in ends), tuple(high for _, high in ends))

    def extremes_found(self, lows: F32, highs: F32) -> Extremes:
        """One image's extremes where the engine has found them, of the rank of the values."""
        return Extremes(*(tuple(np.array(each) for each in self._parts(ends)) for ends in (lows, highs)))

    def widen(self, found: Extremes) -> tuple[float, float]:
        """Take in an image's extremes; returns those of all values so far."""
        self._lows += found.lows
        self._highs += found.highs
        low, high = min(float(end.min()) for end in found.lows), max(float(end.max()) for end in found.highs)
        self._ends = min(low, self._ends[0]), max(high, self._ends[1])
        return self._ends

    def counts(self, values: F32, ends: tuple[float, float]) -> Counts:
        """Count one image's values in bins between two ends; quantiles come from the same counts."""
        if self._kept:
            if "percentile" not in self._methods:
                return Counts(ends)
            axes = tuple(axis for axis in range(values.ndim) if axis not in self._kept)
            return Counts(ends, None, tuple(self._quantiles_of(each, axes) for each in self._parts(values)))
        if not self._methods & {"histogram", "percentile"}:
            return Counts(ends)
        edges, quantiles = _edges(*ends), []
        rows = np.ascontiguousarray(values).reshape(values.shape[0] if self._samples and values.ndim > 1 else 1, -1)
        per_row = [value_counts.counted(row, edges) for row in rows]
        if "percentile" in self._methods:
            ones = (1,) * values.ndim
            for row, counts in zip(rows, per_row, strict=True):
                places = (_quantile(row, counts, edges, share) for share in (self._outside, 1 - self._outside))
                left, right = (np.full(ones, each) for each in places)
                quantiles.append((left, right))
        return Counts(ends, np.sum(per_row, axis=0).astype(np.float64), tuple(quantiles))

    def merge(self, found: Counts) -> None:
        """Take in an image's counts."""
        self._quantiles += found.quantiles
        if found.in_bins is None or "histogram" not in self._methods:
            return
        earlier = 0.0 if self._counts is None else moved(self._counts, self._counted, found.ends)
        self._counts, self._counted = found.in_bins + earlier, found.ends

    @staticmethod
    def merges(methods: Collection[CalibrationMethod]) -> bool:
        """Whether statistics of single images, put together in order, are what all of them lead to."""
        return "histogram" not in methods

    def parts(self) -> dict[str, Array]:
        """What `extend` takes: the extremes of each image, and its quantiles."""
        found: dict[str, Array] = {"lows": np.stack(self._lows), "highs": np.stack(self._highs)}
        if self._quantiles:
            found |= {name: np.stack([each[end] for each in self._quantiles]) for end, name in enumerate(_ENDS)}
        return found

    def extend(self, parts: Mapping[str, Array]) -> None:
        """Take in what another one has collected of the images that come next."""
        self._lows += list(parts["lows"])
        self._highs += list(parts["highs"])
        if _ENDS[0] in parts:
            self._quantiles += zip(parts[_ENDS[0]], parts[_ENDS[1]], strict=True)

    def _parts(self, values: F32) -> F32:
        """Each sample as an array of the rank of the values."""
        return values[:, None] if self._samples and values.ndim > 1 else values[None]

    def range(self, method: CalibrationMethod, *, absolute: bool) -> tuple[F32, F32]:
        """The least and the greatest value to represent; with `absolute` the greatest is that of the magnitudes."""
        if method == "percentile":
            ends = [np.mean(np.stack([each[place] for each in self._quantiles]), axis=0) for place in (0, 1)]
            return np.asarray(ends[0], np.float32), np.asarray(ends[1], np.float32)
        if method == "histogram" and not self._kept:
            return self._least_error_range(self._lows[0].ndim)
        highs = np.stack(self._highs)
        if absolute:
            highs = np.maximum(highs, np.abs(np.stack(self._lows)))
        if method == "mean_minmax":
            ends = [np.mean(each, axis=0, dtype=np.float64) for each in (np.stack(self._lows), highs)]
            return np.asarray(ends[0], np.float32), np.asarray(ends[1], np.float32)
        return np.stack(self._lows).min(axis=0), highs.max(axis=0)

    def _quantiles_of(self, sample: F32, axes: tuple[int, ...]) -> tuple[F64, F64]:
        left, right = np.quantile(
            sample.astype(np.float64), (self._outside, 1 - self._outside), axis=axes, keepdims=True
        )
        return left, right

    def _least_error_range(self, rank: int) -> tuple[F32, F32]:
        assert self._counts is not None
        low, high = self._counted
        first, last = value_counts.least_error_bins(self._counts, _LEVELS)
        width = (high - low) / _BINS
        ends = (low + width * first, low + width * (last + 1))
        left, right = (np.full((1,) * rank, end, np.float32) for end in ends)
        return left, right


class ChannelMeans:
    """The mean of a tensor's values along one axis, over all images."""

    def __init__(self, axis: int) -> None:
        self._axis = axis
        self._means: list[F32] = []
        self.shape: tuple[int, ...] = ()
        """of the first image's values"""

    def empty(self) -> ChannelMeans:
        """Others of the same axis, of no image."""
        return ChannelMeans(self._axis)

    def add(self, values: F32) -> None:
        """Take in what one image has led to."""
        self.merge(self.of(values), values.shape)

    def of(self, values: F32) -> F32:
        """The means of one image's values; nothing here changes."""
        if values.ndim < 3:
            return np.asarray(values.mean(axis=0))
        axis = range(values.ndim)[self._axis]
        return np.asarray(values.mean(axis=tuple(each for each in range(values.ndim) if each != axis)))

    def merge(self, means: F32, shape: tuple[int, ...]) -> None:
        """Take in an image's means, and the shape of the values that they are of, in the images' order."""
        self.shape = self.shape or shape
        self._means.append(means)

    def parts(self) -> dict[str, Array]:
        """What `extend` takes: the means of each image."""
        return {"means": np.stack(self._means), "shape": np.array(self.shape, np.int64)}

    def extend(self, parts: Mapping[str, Array]) -> None:
        """Take in what another one has collected of the images that come next."""
        self.shape = self.shape or tuple(parts["shape"].tolist())
        self._means += list(parts["means"])

    @property
    def mean(self) -> F32:
        """The mean of the images' means."""
        return np.asarray(np.mean(np.stack(self._means), axis=0), np.float32)


def moved(counts: F64, before: tuple[float, float], now: tuple[float, float]) -> F64:
    """The counts of bins between two ends, in as many bins between two wider ones.

    Each bin's count goes in equal parts to the bins that hold the middles of as many equal parts of it.
    """
    if before == now:
        return counts
    bins = counts.size
    if before[0] == before[1]:
        alone = np.histogram(np.float32(before[0]), bins, range=now)[0]
        return np.asarray(alone * counts.sum(), np.float64)
    part = (before[1] - before[0]) / (bins * _PARTS)
    middles = before[0] + (np.arange(bins * _PARTS) + 0.5) * part
    places = np.searchsorted(np.linspace(*now, bins + 1), middles, side="right") - 1
    return np.bincount(np.clip(places, 0, bins - 1), np.repeat(counts / _PARTS, _PARTS), bins).astype(np.float64)


def _edges(low: float, high: float) -> F32:
    """Edges of evenly spaced bins, as NumPy lays them."""
    if low == high:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1, dtype=np.float32)


def _quantile(values: F32, counts: npt.NDArray[np.int64], edges: F32, share: float) -> float:
    """A quantile of values whose histogram is known, between the two values that it lies between."""
    place = share * (values.size - 1)
    below = int(np.floor(place))
    sums = np.cumsum(counts)
    ranks = (below, min(below + 1, values.size - 1))
    bins = [int(np.searchsorted(sums, rank, side="right")) for rank in ranks]
    inside: dict[int, F32] = {}
    ends: list[float] = []
    for rank, chosen in zip(ranks, bins, strict=True):
        if counts[chosen] > values.size // _MANY and rank < value_counts.equal(values, least := values.min()):
            # As the zeros that a layer leaves of everything below: the least value, over and over.
            ends.append(float(least))
            continue
        if chosen not in inside:
            high = np.float32(np.inf) if chosen == counts.size - 1 else edges[chosen + 1]
            inside[chosen] = value_counts.within(values, edges[chosen], high, int(counts[chosen]))
        nth = rank - int(sums[chosen] - counts[chosen])
        ends.append(float(np.partition(inside[chosen], nth)[nth]))
    share_above, apart = place - below, ends[1] - ends[0]
    # As NumPy does it, to the last bit: from the nearer of the two.
    return ends[1] - apart * (1 - share_above) if share_above >= 0.5 else ends[0] + apart * share_above
