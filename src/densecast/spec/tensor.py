"""Tensor specifications: name, type and shape, with fixed or dynamic sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError
from densecast.spec.options import LARGEST_SIZE

Array = npt.NDArray[np.generic]
Feeds = dict[str, Array]


def feeds_sha256(feeds: Feeds) -> str:
    """The hash of a network's inputs: their names, types, shapes and values."""
    told = hashlib.sha256()
    for name, array in sorted(feeds.items()):
        told.update(repr((name, array.shape, array.dtype.str)).encode())
        told.update(np.ascontiguousarray(array).data)
    return told.hexdigest()


@dataclass(frozen=True, slots=True)
class Dim:
    """A size known only at run time: between `min` and `max`, and a multiple of `multiple`."""

    name: str
    min: int
    max: int
    multiple: int = 1

    def __post_init__(self) -> None:
        """Sizes that a tensor can have."""
        if not (0 <= self.min <= LARGEST_SIZE and 1 <= self.max <= LARGEST_SIZE and 1 <= self.multiple <= LARGEST_SIZE):
            raise ValueError(f"sizes must be from 0 to {LARGEST_SIZE}, got {self}")

    def admits(self, size: int) -> bool:
        """Whether this size is allowed."""
        return self.min <= size <= self.max and size % self.multiple == 0

    def typical(self, near: int) -> int:
        """An admissible size of about `near`, never much above it where the bounds allow a smaller one.

        >>> Dim("H", 32, 2048, 48).typical(512), Dim("H", 1, 100).typical(512), Dim("H", 600, 2048, 16).typical(512)
        (480, 100, 608)
        """
        lowest = -(-self.min // self.multiple) * self.multiple
        return min(max(lowest, near // self.multiple * self.multiple), self.max)

    def __str__(self) -> str:
        """`H in 32..2048 step 16`."""
        step = f" step {self.multiple}" if self.multiple > 1 else ""
        return f"{self.name} in {self.min}..{self.max}{step}"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, numpy dtype name and shape of a tensor."""

    name: str
    dtype: str
    shape: tuple[int | Dim, ...]

    def __post_init__(self) -> None:
        """Sizes that a tensor can have; an output may be empty."""
        if any(isinstance(size, int) and not 0 <= size <= LARGEST_SIZE for size in self.shape):
            raise ValueError(f"tensor {self.name!r}: sizes must be from 0 to {LARGEST_SIZE}, got {list(self.shape)}")

    @property
    def is_static(self) -> bool:
        """Whether every size is fixed."""
        return all(isinstance(size, int) for size in self.shape)

    def typical_shape(self, near: int, batch: int | None = None) -> tuple[int, ...]:
        """A possible shape: dynamic sizes of about `near`; the batch as given, else the smallest."""
        first, *rest = self.shape
        if batch is None:
            batch = first.min if isinstance(first, Dim) else first
        return (batch, *(size.typical(near) if isinstance(size, Dim) else size for size in rest))

    def check(self, array: Array) -> None:
        """Check that an array has this type and shape.

        Raises:
            BadShapeError: says what was promised and what came.
        """
        fits = len(array.shape) == len(self.shape) and all(
            size == want if isinstance(want, int) else want.admits(size)
            for size, want in zip(array.shape, self.shape, strict=True)
        )
        if not fits or array.dtype != np.dtype(self.dtype):
            raise BadShapeError(
                f"tensor {self.name!r} must be {self}, got {array.dtype} {list(array.shape)}. "
                "Preprocess the image for this artifact, or build one for this shape."
            )

    def __str__(self) -> str:
        """`float32 [1, 3, H in 32..2048, 640]`."""
        return f"{self.dtype} [{', '.join(str(size) for size in self.shape)}]"


def check_feeds(specs: tuple[TensorSpec, ...], feeds: Mapping[str, Array]) -> None:
    """Check that names, types and shapes of feeds match `specs`.

    Raises:
        BadShapeError: names what is missing, unknown or of the wrong type or shape.
    """
    names = {spec.name for spec in specs}
    if names != set(feeds):
        raise BadShapeError(f"the network takes {sorted(names)}, got {sorted(feeds)}.")
    for spec in specs:
        spec.check(feeds[spec.name])
