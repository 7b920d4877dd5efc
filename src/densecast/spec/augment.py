"""Test-time augmentation: which scales and mirrored views of an image are averaged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from densecast.errors import UsageError
from densecast.spec.geometry import Placement
from densecast.spec.slide import Window


@dataclass(frozen=True, slots=True)
class Augment:
    """The TTA views to average: each of `ratios` times the usual size, and with `flip` also mirrored.

    The views' probabilities are averaged in the order of MMSegmentation's `MultiScaleFlipAug`: ratio by ratio, each
    first as it is and then mirrored.
    """

    ratios: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        """Check what cannot work.

        Raises:
            UsageError: no ratio, or one that is not positive.
        """
        if not self.ratios or not all(math.isfinite(ratio) and ratio > 0 for ratio in self.ratios):
            raise UsageError(f"--ratios must be positive numbers, as 0.75,1.0,1.25; got {self.ratios}.")

    @property
    def views(self) -> int:
        """The number of views of an image."""
        return len(self.ratios) * (2 if self.flip else 1)

    @property
    def is_plain(self) -> bool:
        """Whether there is only the plain view."""
        return self.ratios == (1.0,) and not self.flip


@dataclass(frozen=True, slots=True)
class View:
    """One TTA view: the image's placement in a network input of `ratio` times the usual size.

    `mirrored` says that the input was then flipped horizontally. Where the network sees the input in sliding windows,
    each has a view of its own: `window` is its place in the whole input, after the flip.
    """

    placement: Placement
    mirrored: bool = False
    ratio: float = 1.0
    window: Window | None = None
