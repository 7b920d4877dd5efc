"""What lies in a data set's folder, with everything that has no partner: for checks, where `open` would stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from densecast.datasets._base import DatasetFormat
from densecast.errors import BadDatasetError, DensecastError, MissingFileError
from densecast.spec.sample import Sample, Split

# (H, W) of whole numbers as a mask holds them, and the class of each: -2 for what is not evaluated.
ValuesOf = Callable[[Sample], tuple[npt.NDArray[Any], Mapping[int, int]]]
NOT_EVALUATED = -2
_IN_PART = "the whole data set has"
_SPLITS: tuple[Split, ...] = ("train", "val")


@dataclass(frozen=True, slots=True)
class Survey:
    """All pairs of a folder, in order, and what has no partner or cannot be a pair.

    `splits` has the ids of each split that is there. `read` reads a target as the data set does; `values` reads a mask
    of one class a pixel without refusing what is no class. `labels` names the classes, where the data does.
    """

    samples: tuple[Sample, ...]
    read: Callable[[Sample], Any]
    splits: Mapping[Split, frozenset[str]] = field(default_factory=dict)
    values: ValuesOf | None = None
    labels: tuple[str, ...] = ()
    without_target: tuple[Path, ...] = ()
    without_image: tuple[Path, ...] = ()
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    words: str = ""


@runtime_checkable
class Surveys(Protocol):
    """A layout that can say what lies in a folder, whole or not."""

    def survey(self, root: Path) -> Survey | None:
        """Everything that lies there; None where the layout cannot tell.

        Raises:
            MissingFileError, BadDatasetError, UsageError: nothing of the layout can be found.
        """


def survey(layout: DatasetFormat, root: Path) -> Survey:
    """Everything in a folder: by the layout itself, else by opening its splits and its own check of the folder.

    Raises:
        MissingFileError, BadDatasetError, UsageError: nothing of the layout can be found.
    """
    own: object = layout
    found = own.survey(root) if isinstance(own, Surveys) else None
    return found if found is not None else _by_opening(layout, root)


def indexed(read: Callable[[Sample], npt.NDArray[Any]], classes: int, ignored: int = 255) -> ValuesOf:
    """Values of label maps that are class indices already."""
    table = {**{index: index for index in range(classes)}, ignored: NOT_EVALUATED}

    def values(sample: Sample) -> tuple[npt.NDArray[Any], Mapping[int, int]]:
        return np.asarray(read(sample)), table

    return values


def _by_opening(layout: DatasetFormat, root: Path) -> Survey:
    report = layout.check(root)
    try:
        everything = layout.open(root, "all")
    except (BadDatasetError, MissingFileError) as error:
        problems = tuple(text for text in report.problems if _IN_PART not in text)
        if not problems or not any(report.counts.values()):
            raise
        # What cannot be opened is not read, but all that its check names is told.
        return Survey((), _nothing, problems=tuple(dict.fromkeys((str(error), *problems))))
    splits: dict[Split, frozenset[str]] = {}
    for split in _SPLITS:
        try:
            opened = layout.open(root, split)
        except DensecastError:  # a split that is not there
            continue
        if opened.record().seed is None:  # what is drawn is no split of the data's own
            splits[split] = frozenset(sample.id for sample in opened.samples)
    # A part of a published data set is as sound as the whole.
    remarks = tuple(text for text in report.problems if _IN_PART in text)
    problems = tuple(text for text in report.problems if _IN_PART not in text)
    return Survey(everything.samples, everything.read_target, splits, problems=problems, remarks=remarks)


def _nothing(sample: Sample) -> None:
    """There is no target to read."""
