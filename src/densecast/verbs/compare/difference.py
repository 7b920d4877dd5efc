"""How far one network's outputs are from another's on the same images, and what that means for the task."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.spec.precision import PrecisionRan
from densecast.spec.prediction import Poses, Prediction, SegmentationMap
from densecast.spec.score import Interval
from densecast.verbs.compare import people
from densecast.verbs.compare.people import PeopleDifference

F64 = npt.NDArray[np.float64]

# Margins are looked up at so many of an image's changed pixels, evenly spread.
_MOST_MARGINS = 20_000


@dataclass(frozen=True, slots=True)
class MetricChange:
    """The metric on the images with ground truth: both values, and the drop with its 95 % interval over images.

    `drop` is the reference's score less the candidate's, in the metric's own unit; None where the metric cannot be
    resampled.
    """

    metric: str
    reference: float
    candidate: float
    drop: Interval | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate's outputs against the reference's, over all images.

    `relative_error` is the largest difference over the reference's largest output; `relative_l2` the norm of
    the difference over the norm of the reference. `labels_changed` is the share of pixels with another class.
    A pixel's margin is the gap between the reference's two best logits there: `changed_margin` is the largest and
    `changed_margin_median` the median among the changed pixels, `margin_median` that of all pixels. Small against it
    means that only near-ties flipped. None where the task has no labels, or none changed.
    `mean_oks`, `vanished` and `appeared` compare the people found. `worst` names the images that differ most.
    """

    reference: str
    candidate: str
    ran: PrecisionRan
    images: int
    max_error: float
    mean_error: float
    relative_error: float
    relative_l2: float
    cosine: float
    labels_changed: float | None
    changed_margin: float | None
    changed_margin_median: float | None = None
    margin_median: float | None = None
    mean_oks: float | None = None
    vanished: int | None = None
    appeared: int | None = None
    metric: MetricChange | None = None
    worst: tuple[str, ...] = ()


class Tally:
    """Sums over images; `comparison` reads them."""

    def __init__(self) -> None:
        self._largest = self._total = self._squared = self._squared_left = self._squared_right = self._product = 0.0
        self._max, self._values, self._changed, self._pixels = 0.0, 0, 0, 0
        self._people: PeopleDifference | None = None
        self._changed_margins: list[F64] = []
        self._margins: list[F64] = []
        self._by_image: dict[str, float] = {}

    def add_output(self, expected: F64, found: F64) -> None:
        """Count one image's raw outputs, (C, h, w) both."""
        apart = found - expected
        self._max = _largest(self._max, float(np.abs(apart).max(initial=0.0)))
        self._largest = _largest(self._largest, float(np.abs(expected).max(initial=0.0)))
        self._total += float(np.abs(apart).sum())
        self._values += apart.size
        self._squared += float(np.vdot(apart, apart))
        self._squared_left += float(np.vdot(expected, expected))
        self._squared_right += float(np.vdot(found, found))
        self._product += float(np.vdot(expected, found))

    def add_predictions(
        self, name: str, left: Prediction, right: Prediction, expected: F64, *, align_corners: bool
    ) -> None:
        """Count what the task makes of them; `expected` (C, h, w) are the reference's logits."""
        if isinstance(left, SegmentationMap) and isinstance(right, SegmentationMap):
            differs = left.class_id != right.class_id
            self._changed += int(np.count_nonzero(differs))
            self._pixels += differs.size
            places = np.argwhere(differs)[:: max(1, np.count_nonzero(differs) // _MOST_MARGINS)]
            self._changed_margins.append(margins(expected, places, differs.shape, align_corners=align_corners))
            everywhere = np.sort(expected.reshape(len(expected), -1)[:, ::97], axis=0)
            self._margins.append(everywhere[-1] - everywhere[-2] if len(expected) > 1 else everywhere[-1])
            self._by_image[name] = float(differs.mean())
        elif isinstance(left, Poses) and isinstance(right, Poses):
            found = people.difference(left, right)
            self._people = (self._people or people.NOBODY) + found
            self._by_image[name] = 1 - found.mean_oks

    def comparison(
        self, reference: str, candidate: str, ran: PrecisionRan, images: int, metric: MetricChange | None
    ) -> Comparison:
        """All that was counted."""
        both = (self._squared_left * self._squared_right) ** 0.5
        changed = np.concatenate(self._changed_margins) if self._changed_margins else np.zeros(0)
        pixels, found = self._pixels, self._people
        return Comparison(
            reference=reference,
            candidate=candidate,
            ran=ran,
            images=images,
            max_error=self._max,
            mean_error=self._total / self._values,
            relative_error=_share(self._max, self._largest),
            relative_l2=_share(self._squared, self._squared_left) ** 0.5,
            cosine=self._product / both if both else 1.0,
            labels_changed=self._changed / pixels if pixels else None,
            changed_margin=float(changed.max()) if len(changed) else None,
            changed_margin_median=float(np.median(changed)) if len(changed) else None,
            margin_median=float(np.median(np.concatenate(self._margins))) if self._margins else None,
            mean_oks=found.mean_oks if found else None,
            vanished=found.vanished if found else None,
            appeared=found.appeared if found else None,
            metric=metric,
            worst=tuple(sorted(self._by_image, key=lambda name: -self._by_image[name])[:3]),
        )


def margins(
    logits: F64, places: npt.NDArray[np.int64], size_hw: tuple[int, ...], *, align_corners: bool
) -> npt.NDArray[np.float64]:
    """The gap between the two best logits at `places` (n, 2) of a map of `size_hw`, upsampled bilinearly. -> (n,)"""
    if not len(places) or len(logits) < 2:
        return np.zeros(0)
    lows, shares = [], []
    for axis, size in enumerate(size_hw):
        own = logits.shape[axis + 1]
        if align_corners:
            at = places[:, axis] * ((own - 1) / (size - 1) if size > 1 else 0.0)
        else:
            at = np.clip((places[:, axis] + 0.5) * (own / size) - 0.5, 0, None)
        low = np.minimum(at.astype(np.int64), own - 1)
        lows.append((low, np.minimum(low + 1, own - 1)))
        shares.append(at - low)
    (top, bottom), (left, right) = lows
    y, x = shares
    upper = logits[:, top, left] * (1 - x) + logits[:, top, right] * x
    lower = logits[:, bottom, left] * (1 - x) + logits[:, bottom, right] * x
    best = np.sort(upper * (1 - y) + lower * y, axis=0)
    return np.asarray(best[-1] - best[-2], dtype=np.float64)


def _largest(a: float, b: float) -> float:
    """The larger; not a number where either is none."""
    return b if np.isnan(b) or b > a else a


def _share(apart: float, whole: float) -> float:
    """`apart` in terms of `whole`; against nothing, anything is infinitely far off, and not a number stays none."""
    if whole:
        return apart / whole
    return apart * math.inf if apart else 0.0
