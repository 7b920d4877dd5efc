"""Calibration feeds whose images other processes or machines can work on, and the work that goes to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from densecast.spec.tensor import Feeds


class FeedsWork(Protocol):
    """What is computed of each image's feeds by other processes: a frozen dataclass that can be pickled."""

    def open(self, threads: int | None) -> Callable[[Feeds], bytes]:
        """Make ready what it needs, on the machine that computes; the function gives the answer for one image."""


@runtime_checkable
class Divided(Protocol):
    """Calibration feeds whose images other processes, or other machines, can work on."""

    def each(self, written: Callable[[Path], FeedsWork]) -> list[bytes]:
        """The answer for each image, in order.

        `written` is given a folder that those machines see, and writes what the work reads to it.

        Raises:
            DensecastError: an image cannot be used; its own error. Or nobody could compute.
        """
