"""Statistics of a tensor's values over all calibration images, from which every calibration method finds its range."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

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


class ValueStatistics:
    """Statistics of one tensor, for some of the calibration methods; `add` takes it as one image left it.

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
        self._counts: F64 | None = None
        self._edges: tuple[float, float] = (0.0, 0.0)

    def add(self, values: F32) -> None:
        """Take in what one image has led to."""
        for sample in self._parts(values):
            axes = tuple(axis for axis in range(sample.ndim) if axis not in self._kept)
            self._lows.append(sample.min(axis=axes, keepdims=True))
            self._highs.append(sample.max(axis=axes, keepdims=True))
            if "percentile" in self._methods and ("histogram" not in self._methods or self._kept):
                self._quantiles.append(self._quantiles_of(sample, axes))
        if "histogram" in self._methods and not self._kept:
            self._add_to_histogram(values)

    @staticmethod
    def needs_values(methods: Collection[CalibrationMethod]) -> bool:
        """Whether ranges by these methods take more than the extremes of each image."""
        return not set(methods) <= {"minmax", "mean_minmax"}

    def add_extremes(self, lows: F32, highs: F32) -> None:
        """Take in the extremes of what one image has led to, of the rank of the values."""
        for low, high in zip(self._parts(lows), self._parts(highs), strict=True):
            self._lows.append(np.array(low))
            self._highs.append(np.array(high))

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

    def _add_to_histogram(self, values: F32) -> None:
        """Count the values in bins that reach over all of the values so far; quantiles come from the same counts."""
        flat = np.ascontiguousarray(values).reshape(-1)
        rows = values.shape[0] if self._samples and values.ndim > 1 else 1
        low = min(float(each.min()) for each in self._lows[-rows:])
        high = max(float(each.max()) for each in self._highs[-rows:])
        before = self._edges
        if self._counts is not None:
            low, high = min(low, before[0]), max(high, before[1])
        edges = _edges(low, high)
        per_row = [value_counts.counted(row, edges) for row in flat.reshape(rows, -1)]
        if "percentile" in self._methods:
            ones = (1,) * values.ndim
            for row, counts in zip(flat.reshape(rows, -1), per_row, strict=True):
                ends = (_quantile(row, counts, edges, share) for share in (self._outside, 1 - self._outside))
                left, right = (np.full(ones, each) for each in ends)
                self._quantiles.append((left, right))
        counts = np.sum(per_row, axis=0).astype(np.float64)
        self._counts = counts if self._counts is None else counts + moved(self._counts, before, (low, high))
        self._edges = low, high

    def _quantiles_of(self, sample: F32, axes: tuple[int, ...]) -> tuple[F64, F64]:
        left, right = np.quantile(
            sample.astype(np.float64), (self._outside, 1 - self._outside), axis=axes, keepdims=True
        )
        return left, right

    def _least_error_range(self, rank: int) -> tuple[F32, F32]:
        assert self._counts is not None
        low, high = self._edges
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

    def add(self, values: F32) -> None:
        """Take in what one image has led to."""
        self.shape = self.shape or values.shape
        if values.ndim < 3:
            self._means.append(values.mean(axis=0))
            return
        axis = range(values.ndim)[self._axis]
        self._means.append(values.mean(axis=tuple(each for each in range(values.ndim) if each != axis)))

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
    return ends[0] + (ends[1] - ends[0]) * (place - below)
