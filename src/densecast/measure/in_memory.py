"""Ground truth that a Python program holds: any sequence or iterable of (id, image, target)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from densecast.datasets._base import Dataset
from densecast.errors import BadDatasetError, UsageError
from densecast.imaging.read import read_image
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


@dataclass(frozen=True, slots=True)
class InMemory:
    """Samples by id; images (H, W, 3) uint8 RGB or paths, and targets, are taken from `items` when they are needed."""

    items: Indexed
    places: dict[str, int]
    samples: tuple[Sample, ...]
    split: Split
    use_exif: bool
    name: str = NAME

    def image(self, sample: Sample) -> Image:
        """The sample's image.

        Raises:
            BadDatasetError: it is neither a path nor (H, W, 3) uint8.
            BadImageError: the file cannot be read.
        """
        image = self.items[self.places[sample.id]][1]
        if isinstance(image, (str, Path)):
            return read_image(Path(image), use_exif=self.use_exif)
        pixels = np.asarray(image)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise BadDatasetError(
                f"image {sample.id} must be a path or (H, W, 3) uint8 RGB, got {pixels.shape} {pixels.dtype}."
            )
        return pixels

    def read_target(self, sample: Sample) -> Any:
        """The sample's target; arrays of whole numbers as (H, W) uint8.

        Raises:
            BadDatasetError: an array of something else, or of values that no label has.
        """
        target = self.items[self.places[sample.id]][2]
        labels = np.asarray(target) if isinstance(target, (np.ndarray, SupportsArray)) else None
        if labels is None:
            return target
        if not np.issubdtype(labels.dtype, np.integer) and labels.dtype != np.bool_:
            return target
        if labels.ndim != 2 or labels.size == 0 or labels.min() < 0 or labels.max() > 255:
            raise BadDatasetError(
                f"the target of {sample.id} must be (H, W) of labels from 0 to 255, got {labels.shape} {labels.dtype}."
            )
        return labels.astype(np.uint8)

    def record(self, limit: int | None = None) -> SplitRecord:
        """Which samples these are, or the first `limit`."""
        chosen = self.samples[:limit]
        digest = hashlib.sha256(
            "\n".join(sample.id for sample in chosen).encode("utf-8", "surrogateescape")
        ).hexdigest()
        return SplitRecord(self.name, self.split, len(chosen), len(self.samples), None, digest, "given from Python")


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
    known: Indexed = items if isinstance(items, Indexed) else list(items)
    samples: list[Sample] = []
    places: dict[str, int] = {}
    for place in range(len(known)):
        item = known[place]
        if not isinstance(item, (tuple, list)) or len(item) != 3:
            raise BadDatasetError(f"data item {place} must be (id, image, target), got {type(item).__name__}.")
        name = str(item[0])
        if name in places:
            raise BadDatasetError(f"data items {places[name]} and {place} have one id, {name!r}.")
        places[name] = place
        path = Path(item[1]) if isinstance(item[1], (str, Path)) else Path(name)
        samples.append(Sample(name, path, path))
    if not samples:
        raise BadDatasetError("the data from Python holds no (id, image, target).")
    own = spec.evaluation
    metric = own.metric if own is not None else None
    if metric is None and spec.task != "segmentation":
        raise UsageError(f"{spec.name} names no metric; its spec file lacks [evaluation].", field="metric")
    evaluation = Evaluation(NAME, metric or "iou", own.frame if own is not None else "image")
    dataset = InMemory(known, places, tuple(samples), split, spec.preprocess.use_exif)
    return replace(spec, evaluation=evaluation), dataset
