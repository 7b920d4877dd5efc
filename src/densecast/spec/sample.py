"""Data set samples in a stable order, and records of which ones were used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast.spec.options import Split as Split

# (H, W): one class index a pixel of the image; 8 bits, or 16 where there are more than 256 classes.
LabelMap = npt.NDArray[np.uint8 | np.uint16]
MAX_CLASSES = 1 << 16


def label_dtype(classes: int) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
    """The type of label maps of so many classes.

    >>> str(label_dtype(256)), str(label_dtype(257))
    ('uint8', 'uint16')
    """
    return np.dtype(np.uint8) if classes <= 1 << 8 else np.dtype(np.uint16)


def target_dtype(classes: int) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
    """The type of ground truth of so many classes, which has one value more: for what is not evaluated.

    >>> str(target_dtype(255)), str(target_dtype(256))
    ('uint8', 'uint16')
    """
    return label_dtype(classes + 1)


@dataclass(frozen=True, slots=True)
class Sample:
    """One image's path and that of its ground truth; nothing is read yet."""

    id: str
    image: Path
    target: Path


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """Which images a number was measured on: enough to decide whether two numbers are comparable.

    `layout` says in words how a folder of the user's was understood, where that was not told by a data set's name.
    """

    dataset: str
    split: Split
    count: int
    total: int
    seed: int | None
    ids_sha256: str
    layout: str | None = None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Report on a data set's folder; `problems` is empty if it is valid."""

    root: Path
    counts: dict[str, int]
    problems: tuple[str, ...]


def ids_sha256(samples: tuple[Sample, ...]) -> str:
    """Hash of the ids in order, to check that two results are over the same images."""
    return hashlib.sha256("\n".join(sample.id for sample in samples).encode("utf-8", "surrogateescape")).hexdigest()
