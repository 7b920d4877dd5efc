"""What a contender is given, and what it has to be able to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Job:
    """One network.

    `exported` is the artifact with the original weights, `onnx` its graph with the input's shape fixed, as anybody
    would export it for images of one size. `built` is densecast's artifact of the contender's precision, and
    `streams` how many inferences run at a time; `images` are those to calibrate int8 on. All are for those who use
    them.
    """

    model: str
    exported: Path
    onnx: Path
    threads: int
    built: Path | None = None
    streams: int = 1
    images: tuple[Path, ...] = ()


class Contender(Protocol):
    """Loaded and ready."""

    def run(self, images: Sequence[Path]) -> None:
        """Take each image file to its result, in the order that suits; results are dropped."""

    def result(self, image: Path) -> Array:
        """One image's result: (H, W) class indices at its size, or (n, 17, 3) people: x, y in its pixels, and score."""

    def facts(self) -> dict[str, float | str]:
        """What else is to be told."""
