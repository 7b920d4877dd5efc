"""Prepares the sliding windows of an image for the network, one at a time, so that memory does not hold them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from densecast.errors import UsageError
from densecast.imaging.prepare import fill_part, resized_for
from densecast.spec.augment import Augment, View
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Preprocess
from densecast.spec.slide import Window
from densecast.spec.tensor import Array, Feeds, TensorSpec


class _Whole:
    """The image for one ratio, resized when its first window is asked for, and not normalised."""

    def __init__(self, image: npt.NDArray[Any], rule: Preprocess, channels: int) -> None:
        self._image, self._rule, self._channels = image, rule, channels
        self._is_resized = False
        self.placement = rule.place((image.shape[0], image.shape[1]))

    def fill(self, window: Window, mirrored: bool, out: Array) -> None:
        """Prepare one window into `out`."""
        if not self._is_resized:
            self._image, self._rule, self.placement = resized_for(self._image, self._rule, self._channels)
            self._is_resized = True
        fill_part(self._image, self._rule, self.placement, window.top, window.left, out, mirrored=mirrored)

    @property
    def nbytes(self) -> int:
        """Size in bytes of what is held."""
        return self._image.nbytes


class WindowFeeds(Sequence[Feeds]):
    """The feeds of all windows of an image; each is prepared when it is asked for.

    What is held is the image, and soon the resized one, in its own type: a quarter of the network's input.
    """

    def __init__(self, views: Sequence[View], wholes: dict[float, _Whole], tensor: TensorSpec, channels: int) -> None:
        self._views, self._wholes, self._tensor, self._channels = views, wholes, tensor, channels

    def __len__(self) -> int:
        """The number of windows."""
        return len(self._views)

    @overload
    def __getitem__(self, index: int) -> Feeds: ...
    @overload
    def __getitem__(self, index: slice) -> WindowFeeds: ...
    def __getitem__(self, index: int | slice) -> Feeds | WindowFeeds:
        """One window's feeds, in new arrays."""
        if isinstance(index, slice):
            return WindowFeeds(self._views[index], self._wholes, self._tensor, self._channels)
        out = np.empty(self.shape(index), self._tensor.dtype)
        self.fill(index, out)
        return {self._tensor.name: out}

    def shape(self, index: int) -> tuple[int, int, int]:
        """(C, h, w) of one window."""
        window = _window(self._views[index])
        return (self._channels, window.height, window.width)

    def fill(self, index: int, out: Array) -> None:
        """Prepare one window into `out` (C, h, w)."""
        view = self._views[index]
        self._wholes[view.ratio].fill(_window(view), view.mirrored, out)

    @property
    def nbytes(self) -> int:
        """Size in bytes of what is held."""
        return sum(each.nbytes for each in self._wholes.values())


def windows_of(
    image: npt.NDArray[Any], tensor: TensorSpec, spec: ModelSpec, augment: Augment, channels: int
) -> tuple[WindowFeeds, tuple[View, ...]]:
    """The feeds and views of all windows of an image.

    Views of one ratio and side are in the windows' order, row by row. Those of several come in turns, from the top of
    the image to its bottom, so that the rows of all are finished at about the same time.

    Raises:
        UsageError: a ratio is there twice.
    """
    assert spec.slide is not None, "the spec has sliding windows"
    if len(set(augment.ratios)) < len(augment.ratios):
        raise UsageError(f"a ratio is there twice: {augment.ratios}. Name each once.", field="ratios")
    rule = spec.preprocess_of(tensor.name)
    mirrors = (False, True) if augment.flip else (False,)
    wholes: dict[float, _Whole] = {}
    views: list[View] = []
    for ratio, each in zip(augment.ratios, rule.at_ratios(augment.ratios), strict=True):
        wholes[ratio] = _Whole(image, each, channels)
        placement = wholes[ratio].placement
        for mirrored in mirrors:
            for window in spec.slide.windows(placement.model_hw):
                views.append(View(placement, mirrored, ratio, window))
    views.sort(key=lambda view: _window(view).bottom / view.placement.model_hw[0])
    return WindowFeeds(views, wholes, tensor, channels), tuple(views)


def _window(view: View) -> Window:
    assert view.window is not None, "each view is a window"
    return view.window
