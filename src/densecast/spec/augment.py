"""Test-time augmentation: which scales and mirrored views of an image are averaged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from densecast.errors import UsageError
from densecast.spec.geometry import Placement


@dataclass(frozen=True, slots=True)
class Augment:
    """Which views of an image are averaged: each of `ratios` times the usual size, and with `flip` its mirror image.

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
        """How many network inputs an image becomes."""
        return len(self.ratios) * (2 if self.flip else 1)

    @property
    def is_plain(self) -> bool:
        """Whether there is one view, the image as it usually is."""
        return self.ratios == (1.0,) and not self.flip


@dataclass(frozen=True, slots=True)
class View:
    """Where an image lies in one network input, which is `ratio` times the usual size.

    `mirrored` says that the input was then turned left to right.
    """

    placement: Placement
    mirrored: bool = False
    ratio: float = 1.0
