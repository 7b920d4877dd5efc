"""Images with ground truth, in a stable order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Split = Literal["train", "val", "all"]
# (H, W): one class index a pixel of the image.
LabelMap = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class AnnotatedPoses:
    """The people COCO's annotators marked in one image, in its pixels.

    `xy_px` (n, 17, 2) float64 and `visibility` (n, 17) uint8: 0 not marked (the point means nothing), 1 hidden,
    2 seen. `area_px` (n,) is a person's outlined area, `box_xywh_px` (n, 4) left, top, width and height.
    `is_crowd` (n,) bool marks groups in which nobody was told apart.
    """

    image_id: int
    xy_px: npt.NDArray[np.float64]
    visibility: npt.NDArray[np.uint8]
    area_px: npt.NDArray[np.float64]
    box_xywh_px: npt.NDArray[np.float64]
    is_crowd: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """The number of annotations."""
        return len(self.area_px)


Target = LabelMap | AnnotatedPoses


@dataclass(frozen=True, slots=True)
class Sample:
    """One image and where its ground truth is; nothing is read yet."""

    id: str
    image: Path
    target: Path


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """Which images a number was measured on: enough to say whether two numbers may be compared."""

    dataset: str
    split: Split
    count: int
    total: int
    seed: int | None
    ids_sha256: str


class Dataset(Protocol):
    """A data set's split: samples in a stable order, and how to read their ground truth."""

    @property
    def name(self) -> str:
        """The data set's file name in `datasets/`."""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples of the split."""

    def read_target(self, sample: Sample) -> Target:
        """The ground truth of one sample, at the image's size."""

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which images these are, or the first `limit` of them."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a look over a data set's folder found; `problems` is empty for a sound one."""

    root: Path
    counts: dict[str, int]
    problems: tuple[str, ...]


def ids_sha256(samples: tuple[Sample, ...]) -> str:
    """Hash of the ids in order, so that two results can be seen to be over the same images."""
    return hashlib.sha256("\n".join(sample.id for sample in samples).encode()).hexdigest()
