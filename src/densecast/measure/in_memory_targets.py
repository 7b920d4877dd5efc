"""Ground truth that a Python program holds as arrays, brought to what each task compares with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.datasets._masks import MaskColours, read_values
from densecast.errors import BadDatasetError
from densecast.io import files
from densecast.spec.model import ModelSpec
from densecast.spec.sample import LabelMap, target_dtype
from densecast.tasks.multilabel import MultilabelTarget

Array = npt.NDArray[Any]


def read(target: Array, name: str, spec: ModelSpec) -> Any:
    """An array as ground truth of the image `name`; of a task of somebody's own it is left as it is.

    Raises:
        BadDatasetError: its shape or values are not the task's; says what they have to be.
    """
    if spec.task == "segmentation":
        return _labels(target, name, spec)
    if spec.task == "multilabel":
        return _classes(target, name, spec)
    return _depth(target, name) if spec.task == "monocular_depth" else target


def read_file(path: str | Path, name: str, spec: ModelSpec) -> Any:
    """A mask's file as ground truth of the image `name`; of a task of somebody's own the path is left as it is.

    Raises:
        BadImageError: no mask that can be read.
        BadDatasetError: labels that cannot be, or a task whose ground truth is in no picture of labels.
    """
    if spec.task == "segmentation":
        colours = MaskColours(known=(spec.palette,) if spec.palette else (), classes=len(spec.labels))
        return _labels(read_values(files.given(path), colours)[0], name, spec)
    if spec.task in ("multilabel", "monocular_depth"):
        raise BadDatasetError(f"the target of {name} is the path {str(path)!r}: pass what the file holds, as an array.")
    return path


def _labels(target: Array, name: str, spec: ModelSpec) -> LabelMap:
    """Whole numbers -> (H, W) labels."""
    labels, whole = target, np.issubdtype(target.dtype, np.integer) or target.dtype == np.bool_
    if not whole and labels.size and np.array_equal(labels, np.floor(labels)):
        labels, whole = labels.astype(np.int64), True
    labels = _plane(labels)
    kind = target_dtype(len(spec.labels))
    largest = int(np.iinfo(kind).max)
    if not whole or labels.ndim != 2 or labels.size == 0 or labels.min() < 0 or labels.max() > largest:
        found = f"{labels.shape} {labels.dtype}"
        if whole and labels.ndim == 2 and labels.size:
            found += f" from {labels.min()} to {labels.max()}. Write {largest} for what is not evaluated"
        raise BadDatasetError(f"the target of {name} must be (H, W) of labels from 0 to {largest}, got {found}.")
    return labels.astype(kind)


def _classes(target: Array, name: str, spec: ModelSpec) -> MultilabelTarget:
    """(C, H, W) of 0 and 1, a plane a label -> the same as a target."""
    classes = len(spec.labels)
    if target.ndim == 3 and len(target) == classes and target.size and bool(((target == 0) | (target == 1)).all()):
        return MultilabelTarget(np.ascontiguousarray(target.astype(np.bool_)))
    is_last = target.ndim == 3 and target.shape[2] == classes != len(target)
    raise BadDatasetError(
        f"the target of {name} must be ({classes}, H, W) of 0 and 1, a plane a label, got {target.shape} "
        f"{target.dtype}.{' Pass target.transpose(2, 0, 1).' if is_last else ''}"
    )


def _depth(target: Array, name: str) -> npt.NDArray[np.float32]:
    """(H, W) of floats in metres; 0 where it is not a number above 0."""
    depth = _plane(target)
    if depth.ndim != 2 or depth.dtype.kind != "f" or not depth.size:
        cure = " Of whole millimetres pass target / 1000." if depth.dtype.kind in "iu" else ""
        raise BadDatasetError(
            f"the target of {name} must be (H, W) of floats in metres, got {target.shape} {target.dtype}.{cure}"
        )
    return np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)


def _plane(array: Array) -> Array:
    """(1, H, W) and (H, W, 1) -> (H, W); anything else as it is."""
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        return array.reshape(array.shape[1:] if array.shape[0] == 1 else array.shape[:2])
    return array
