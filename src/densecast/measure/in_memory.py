"""Ground truth that a Python program holds: any sequence or iterable of (id, image, target)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from densecast.datasets._base import Dataset
from densecast.errors import BadDatasetError, BadShapeError, UsageError
from densecast.imaging.door import as_image
from densecast.measure import in_memory_targets
from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.sample import Sample, Split, SplitRecord
from densecast.tasks._base import Image

Triples = Iterable[tuple[Any, Any, Any]]

NAME = "python"


@runtime_checkable
class Indexed(Protocol):
    """A sequence, or a data set of another library, whose items are asked for by their place."""

    def __len__(self) -> int: ...
    def __getitem__(self, place: int, /) -> Any: ...


@runtime_checkable
class SupportsArray(Protocol):
    """What numpy can make an array of, as a tensor of another library."""

    def __array__(self) -> Any: ...


@runtime_checkable
class HasArrayInterface(Protocol):
    """What shows numpy its memory, as a Pillow image."""

    @property
    def __array_interface__(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class InMemory:
    """Samples by id; images (arrays, paths, bytes, Pillow images) and targets are taken from `items` when needed.

    `in_files` are the ids whose images are paths.
    """

    items: Indexed
    places: dict[str, int]
    samples: tuple[Sample, ...]
    split: Split
    spec: ModelSpec
    in_files: frozenset[str] = frozenset()
    name: str = NAME

    def image(self, sample: Sample) -> Image:
        """The sample's image, as `Pipeline` takes it.

        Raises:
            BadDatasetError: it can be no image of this model; says how to convert it.
            BadImageError: the file cannot be read.
        """
        try:
            return as_image(self.items[self.places[sample.id]][1], self.spec)
        except BadShapeError as error:
            raise BadDatasetError(f"image {sample.id}: {error}") from None

    def read_target(self, sample: Sample) -> Any:
        """The sample's target; arrays, tensors, Pillow images and files of masks as the task has them, else as it is.

        Raises:
            BadDatasetError: an array of something else, or of values that no label has.
        """
        target = self.items[self.places[sample.id]][2]
        if isinstance(target, (str, Path)):
            return in_memory_targets.read_file(target, sample.id, self.spec)
        if not isinstance(target, (np.ndarray, SupportsArray, HasArrayInterface)):
            return target
        return in_memory_targets.read(np.asarray(target), sample.id, self.spec)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which samples these are, or the first `limit`."""
        chosen = self.samples[:limit]
        digest = hashlib.sha256(
            "\n".join(sample.id for sample in chosen).encode("utf-8", "surrogateescape")
        ).hexdigest()
        return SplitRecord(self.name, self.split, len(chosen), len(self.samples), None, digest, "given from Python")


def _shown(item: object) -> str:
    return f"{len(item)} things" if isinstance(item, (tuple, list)) else type(item).__name__


def _cure(item: object) -> str:
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return " Give each an id: ((str(k), *pair) for k, pair in enumerate(data))."
    if isinstance(item, Mapping):
        keys = ", ".join(repr(each) for each in [*item][:4])
        return f" Make tuples of its entries ({keys}): ((str(k), each['image'], each['label']) for …)."
    return ""


def in_memory(spec: ModelSpec, items: Triples, split: Split, protocol: str | None) -> tuple[ModelSpec, Dataset[Any]]:
    """The spec with the metric that is meant, and the items as a data set.

    A sequence (with `len` and an index) is asked for an item when it is needed; other iterables are read to their end.

    Raises:
        UsageError: a protocol, or a model without a metric.
        BadDatasetError: no items, one that is no (id, image, target), or an id twice.
    """
    if protocol is not None:
        raise UsageError(
            f"protocol {protocol!r} is of a data set's folder; data from Python has none.", field="protocol"
        )
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, (Iterable, Indexed)):
        raise BadDatasetError(f"data must be a path or (id, image, target) items, got {type(items).__name__}.")
    known: Indexed = items if isinstance(items, Indexed) else list(items)
    samples: list[Sample] = []
    places: dict[str, int] = {}
    in_files: set[str] = set()
    for place in range(len(known)):
        item = known[place]
        if not isinstance(item, (tuple, list)) or len(item) != 3:
            raise BadDatasetError(f"data item {place} must be (id, image, target), got {_shown(item)}.{_cure(item)}")
        name = str(item[0])
        if name in places:
            raise BadDatasetError(f"data items {places[name]} and {place} have one id, {name!r}.")
        places[name] = place
        path = Path(name)
        if isinstance(item[1], (str, Path)):
            path = Path(item[1])
            in_files.add(name)
        samples.append(Sample(name, path, path))
    if not samples:
        raise BadDatasetError("the data from Python holds no (id, image, target).")
    own = spec.evaluation
    metric = own.metric if own is not None else None
    if metric is None and spec.task != "segmentation":
        raise UsageError(f"{spec.name} names no metric; its spec file lacks [evaluation].", field="metric")
    evaluation = Evaluation(NAME, metric or "iou", own.frame if own is not None else "image")
    dataset = InMemory(known, places, tuple(samples), split, spec, frozenset(in_files))
    return replace(spec, evaluation=evaluation), dataset
