"""Maps categories that annotations name to a model's classes, by name and by the user's options.

Annotations are painted as values: 0 for none, k + 1 for the k-th category, 65535 for what is not evaluated. Pixels of
none are the model's `background`; where it has no such class they are not evaluated.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.datasets._coco_joints import fold
from densecast.datasets.pairs.classes import LEFT_OUT, classes_of
from densecast.datasets.pairs.data_file import DataFile
from densecast.errors import BadDatasetError, UsageError
from densecast.spec.data_options import Reading
from densecast.spec.sample import LabelMap, target_dtype
from densecast.tasks.segmentation.palettes import ignored

BACKGROUND = "background"
UNLABELLED, NOT_EVALUATED = 0, 65535

# (H, W): 0 for no annotation, k + 1 for the k-th category, 65535 for what is not evaluated.
Values = npt.NDArray[np.uint16]


def classes_by_name(
    categories: list[dict[str, Any]], used: set[int], reading: Reading, path: Path
) -> tuple[LabelMap, tuple[str, ...]]:
    """(65536,): the model's class of each painted value, by name and by the options; and in words what is left out.

    `categories` have an `id` and a `name`, and the values 1, 2, … in their order; `used` are the ids of those that
    something is annotated with.

    Raises:
        BadDatasetError: a category that is used is none of the model's.
        UsageError: an option that names no category, or no class.
    """
    names = (BACKGROUND, *(str(each["name"]) for each in categories))
    options = reading.options
    by_id = {str(each["id"]): str(each["name"]) for each in categories}
    ignore = tuple(_by_name(each, names, by_id, "ignore") for each in options.ignore)
    pairs = [each.partition("=")[::2] for each in options.remap]
    remap = tuple(f"{_by_name(left.strip(), names, by_id, 'remap')}={right}" for left, right in pairs)
    words = ["categories by name"]
    if reading.labels:
        labels = {fold(label) for label in reading.labels}
        covered = labels | {fold(entry.partition("=")[0]) for entry in remap} | {fold(entry) for entry in ignore}
        unknown = [str(each["name"]) for each in categories if each["id"] in used and fold(each["name"]) not in covered]
        if unknown:
            shown = ", ".join(unknown[:8]) + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else "")
            raise BadDatasetError(
                f"{path}: the categories {shown} are none of the model's ({', '.join(reading.labels[:8])}"
                f"{', …' if len(reading.labels) > 8 else ''}). Say what they are: --remap {unknown[0]}=CLASS, or "
                f"--ignore {unknown[0]}."
            )
        if fold(BACKGROUND) not in covered:
            words.append("pixels of no category are not evaluated, as the model has no background")
        # Categories that nothing is annotated with may have any name.
        ignore += tuple(name for name in names if fold(name) not in covered)
    reading = replace(reading, options=replace(options, ignore=ignore, remap=remap))
    classes = classes_of(DataFile(path.parent, names=names), reading, path.parent, reduce_zero=False, binary=False)
    count = len(reading.labels) or len(names)
    lookup = np.full(NOT_EVALUATED + 1, ignored(count), target_dtype(count))
    for value, index in classes.table.items():
        if index != LEFT_OUT and value < len(names):
            lookup[value] = index
    return lookup, (*words, *(f"only {entry} evaluated" for entry in options.subset))


def _by_name(text: str, names: tuple[str, ...], by_id: dict[str, str], field: str) -> str:
    """A category's name, for its name or its id."""
    if any(fold(name) == fold(text) for name in names):
        return text
    if text in by_id:
        return by_id[text]
    raise UsageError(f"{text!r} is no category; they are {', '.join(names[:9])}{' …' * (len(names) > 9)}.", field=field)
