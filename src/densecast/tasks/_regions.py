"""Regions of classes as typed and as plain values, and the ways in which predictions are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import UsageError
from densecast.imaging import run_lengths
from densecast.spec.model import Rgb


@dataclass(frozen=True, slots=True)
class Style:
    """How a prediction is drawn: opacity from 0 to 1, lines around regions, and names; None is as the task does it."""

    opacity: float | None = None
    contours: bool | None = None
    legend: bool = True

    def __post_init__(self) -> None:
        """Check the opacity.

        Raises:
            UsageError: not between 0 and 1.
        """
        if self.opacity is not None and not 0 <= self.opacity <= 1:
            raise UsageError(f"opacity is a share between 0 and 1, got {self.opacity}.", field="opacity")


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Where one class is: `mask` (H, W) bool, its box (left, top, width, height), the mean probability if known."""

    class_id: int
    name: str
    colour: Rgb
    mask: npt.NDArray[np.bool_]
    box_xywh: tuple[int, int, int, int]
    confidence: float | None = None

    @property
    def area_px(self) -> int:
        """The number of pixels."""
        return int(np.count_nonzero(self.mask))


def box_of(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The box (left, top, width, height) of a mask that holds a pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top


def plain(regions: Sequence[Region]) -> list[dict[str, Any]]:
    """Each class that was found: index, name, pixels, box, COCO run lengths, and the mean probability if known."""
    return [
        {
            "class_id": each.class_id,
            "class": each.name,
            "area_px": each.area_px,
            "box_xywh": list(each.box_xywh),
            **({} if each.confidence is None else {"confidence": each.confidence}),
            "rle": run_lengths.encode(each.mask),
        }
        for each in regions
    ]
