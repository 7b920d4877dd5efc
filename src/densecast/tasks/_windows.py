"""Averages the outputs of sliding windows: for tasks whose outputs are planes, one value a pixel.

Outputs are resized to their window and added up where it lies. As soon as no later window reaches a row, the row is
divided by the number of windows over each pixel and handed on, so that never more rows are held than a window is high.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from densecast.errors import BadGraphError
from densecast.kernels import bilinear
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.slide import Slide, Window
from densecast.spec.tensor import Array, Feeds
from densecast.tasks._base import F32, Task

P = TypeVar("P")
# Of finished rows, so many are handed on at a time: a few are as good as many, and take less memory.
_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Band:
    """Finished rows (C, n, W) of the view number `view`, which follow those of its band before."""

    view: int
    planes: F32


class WindowMean:
    """Takes the outputs of all windows of all views of one image, in the order of `views`, and gives finished rows.

    `whole` are the views without their windows. With `cut` the rows are those of the image's content alone, without
    padding around it, and the views are placed accordingly.
    """

    def __init__(self, views: Sequence[View], spec: ModelSpec, *, align_corners: bool, cut: bool = True) -> None:
        assert spec.slide is not None, "the spec has sliding windows"
        self._spec, self._align_corners = spec, align_corners
        self._order: list[tuple[int, Window]] = []
        known: dict[View, int] = {}
        for view in views:
            assert view.window is not None, "each view is a window"
            plain = View(view.placement, view.mirrored, view.ratio)
            self._order.append((known.setdefault(plain, len(known)), view.window))
        self._left = [0] * len(known)
        for number, _ in self._order:
            self._left[number] += 1
        self._sums = [_Rows(number, view.placement, spec.slide, cut=cut) for view, number in known.items()]
        self.whole = tuple(
            View(rows.placement, view.mirrored, view.ratio) for view, rows in zip(known, self._sums, strict=True)
        )
        self._next = 0

    def add(self, outputs: Feeds) -> Iterator[Band]:
        """Take the next window's outputs by name; gives the rows that are finished by it.

        Raises:
            BadGraphError: the main output is not planes.
        """
        number, window = self._order[self._next]
        self._next += 1
        rows = self._sums[number]
        yield from rows.finished(window.top)
        rows.add(_planes(outputs[self._spec.output.name], self._spec), window, self._align_corners)
        self._left[number] -= 1
        if not self._left[number]:
            yield from rows.finished(rows.height)


class Merging:
    """Collects the finished rows of each view into whole planes."""

    def __init__(self, views: Sequence[View], spec: ModelSpec, *, align_corners: bool) -> None:
        self._mean = WindowMean(views, spec, align_corners=align_corners)
        self.whole = self._mean.whole
        self._bands: list[list[F32]] = [[] for _ in self.whole]

    def add(self, outputs: Feeds) -> None:
        """Take the next window's outputs."""
        for band in self._mean.add(outputs):
            self._bands[band.view].append(band.planes)

    def planes(self) -> list[F32]:
        """(C, H, W) of each of `whole`."""
        return [np.concatenate(bands, axis=1) for bands in self._bands]


class PlaneJoiner(Generic[P]):
    """The prediction of a task from the whole averaged planes of each view."""

    def __init__(
        self,
        task: Task[P, Any],
        views: Sequence[View],
        spec: ModelSpec,
        frame: Frame,
        *,
        align_corners: bool,
        scores: bool,
    ) -> None:
        self._task, self._spec, self._frame, self._scores = task, spec, frame, scores
        self._merging = Merging(views, spec, align_corners=align_corners)

    def add(self, outputs: Feeds) -> None:
        """Take the next window's outputs."""
        self._merging.add(outputs)

    def prediction(self) -> P:
        """What the task makes of the averaged planes."""
        maps: list[Feeds] = [{self._spec.output.name: planes} for planes in self._merging.planes()]
        return self._task.postprocess(maps, self._merging.whole, self._spec, self._frame, scores=self._scores)


class _Rows:
    """The sums of one view's windows, in a ring of as many rows as a window is high."""

    def __init__(self, number: int, placement: Placement, slide: Slide, *, cut: bool) -> None:
        self._number, self._ring, self._done = number, np.empty((0, 0, 0), np.float32), 0
        self.height, self._width = placement.model_hw
        self._lines = slide.window_hw(placement.model_hw)[0]
        left, top = (int(offset) for offset in placement.offset_xy)
        (height, width) = placement.content_hw if cut else placement.model_hw
        self._rows, self._columns = ((top, top + height), (left, left + width)) if cut else ((0, height), (0, width))
        down, across = slide.counts(placement.model_hw)
        self._down = np.asarray(down, np.float32)
        self._across = np.asarray(across[slice(*self._columns)], np.float32)
        self.placement = Placement.resized(placement.image_hw, (height, width)) if cut else placement

    def add(self, planes: F32, window: Window, align_corners: bool) -> None:
        """Add the planes (C, h, w) of one window, resized to it."""
        from densecast.kernels.window_sum import add_plain, add_resized

        if self._ring.shape[1] != len(planes):
            self._ring = np.zeros((self._lines, len(planes), self._width), np.float32)
        resize = bilinear.plan((planes.shape[1], planes.shape[2]), [(window.height, window.width)], align_corners)
        if resize is None:
            add_plain(planes, window.top, window.left, self._ring)
        else:
            add_resized(planes, resize.late, window.top, window.left, self._ring)

    def finished(self, end: int) -> Iterator[Band]:
        """Rows up to `end`, which no later window reaches, in bands; those outside of the content are left out."""
        from densecast.kernels.window_sum import take_mean

        while self._done < end:
            begin = self._done
            stop = min(begin + _ROWS_AT_ONCE, end)
            self._done = stop
            band = np.empty((self._ring.shape[1], stop - begin, self._columns[1] - self._columns[0]), np.float32)
            take_mean(self._ring, begin, self._down[begin:stop], self._across, self._columns[0], band)
            low, high = max(begin, self._rows[0]), min(stop, self._rows[1])
            if low < high:
                yield Band(self._number, np.ascontiguousarray(band[:, low - begin : high - begin]))


def _planes(output: Array, spec: ModelSpec) -> F32:
    """The main output of one window as contiguous float32 planes (C, h, w)."""
    planes = output[None] if output.ndim == 2 else output
    if planes.ndim != 3 or planes.dtype.kind != "f":
        raise BadGraphError(
            f"{spec.name}: outputs of sliding windows are averaged, and must be planes (C, h, w) of numbers; the "
            f"network gave {output.dtype} {output.shape}."
        )
    return np.ascontiguousarray(planes, dtype=np.float32)
