"""Selects calibration images: a seeded draw over a data set's training split or a folder."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Self, overload

import numpy as np

from densecast.artifact import CalibrationRecord
from densecast.backends._base import Traits
from densecast.datasets import pairs
from densecast.errors import BadDatasetError, BadShapeError, UsageError
from densecast.imaging import name_list
from densecast.imaging.folder import images_in
from densecast.imaging.prepare import Image, prepare
from densecast.imaging.read import read_for
from densecast.imaging.views import prepare_views
from densecast.io import files
from densecast.measure.data_source import here, source_or_folder
from densecast.runtime.batching import Buffers
from densecast.runtime.clock import unclocked
from densecast.spec.augment import Augment
from densecast.spec.data_options import Data
from densecast.spec.model import ModelSpec
from densecast.spec.options import BiasCorrection, BuildOptions, CalibrationMethod, QuantizeOptions
from densecast.spec.preprocess import Preprocess
from densecast.spec.sample import SplitRecord
from densecast.spec.store_options import StoreOptions
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec

Progress = Callable[[int, int], None]
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Item:
    """One calibration image."""

    name: str
    path: Path


class CalibrationFeeds(Sequence[Feeds]):
    """Calibration feeds that are prepared on demand, so that a thousand images need no more memory than one."""

    def __init__(self, items: Sequence[Item], spec: ModelSpec, progress: Progress | None = None) -> None:
        self._items, self._spec, self._progress = items, spec, progress
        self._places: Sequence[int] = range(len(items))
        # The place among all that are told of, and their number.
        self._told = 0, len(items)

    def __len__(self) -> int:
        """The number of images."""
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Feeds: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Feeds | Self:
        """Prepare one image's feeds.

        Raises:
            BadImageError: it cannot be read.
            BadShapeError: it does not lead to a shape the model takes.
        """
        if isinstance(index, slice):
            found = self.picked(range(len(self))[index])
            found._told = self._told[0] + range(len(self))[index].start, self._told[1]
            return found
        item = self._items[index]
        if self._progress:
            before, total = self._told
            self._progress(before + index % len(self) + 1, total)
        image = read_for(item.path, self._spec)
        if self._spec.slide is not None:
            return _window(image, item.name, self._places[index], self._spec)
        return {
            tensor.name: _prepared(image, item.name, tensor, self._spec.preprocess_of(tensor.name))
            for tensor in self._spec.inputs
        }

    def picked(self, indices: Sequence[int]) -> Self:
        """The feeds of some of the images, each as it is among all."""
        found = copy.copy(self)
        found._items = [self._items[index] for index in indices]
        found._places = [self._places[index] for index in indices]
        found._told = 0, len(found._items)
        return found

    def at(self, places: Sequence[int]) -> Self:
        """The same images, with their places among all of which they are some."""
        found = copy.copy(self)
        found._places = places
        return found


def choose(spec: ModelSpec, options: QuantizeOptions, data: Path | Data) -> tuple[list[Item], CalibrationRecord]:
    """Select calibration images. `data` is the root of a data set, or any folder of images.

    Raises:
        MissingFileError: no such folder, or an image that the options list is not there.
        BadDatasetError: no images there.
        BadInputError: a listed name is that of several images.
    """
    split: SplitRecord | None = None
    found = source_or_folder(spec, data)
    if found is not None:
        dataset = found.open(options.split)
        everything = [Item(sample.id, sample.image) for sample in dataset.samples]
        split, source = dataset.record(), f"{dataset.name} {options.split}"
    else:
        folder = here(data).path
        assert folder is not None
        if (pictures := pairs.pictures_beside(folder)) is not None:
            raise BadDatasetError(f"{folder} holds masks: calibrate with the pictures, in {pictures}.", field="data")
        everything, source = [Item(path.name, path) for path in images_in(folder)], f"folder {folder.name}"
    if options.listed:
        places = name_list.choose(
            [(item.path, PurePath(item.name)) for item in everything], options.listed, Path("the calibration list")
        )
        everything = [everything[place] for place in dict.fromkeys(places)]
        source = f"{source}, listed"
    chosen = everything
    if options.images and options.images < len(everything):
        chosen = [everything[index] for index in spread(len(everything), options.images, options.seed)]
    contents = files.sha256_text("".join(files.sha256(item.path) for item in chosen))
    return chosen, CalibrationRecord(source, len(chosen), tuple(item.name for item in chosen), split, contents)


def spread(total: int, count: int, seed: int) -> list[int]:
    """Stratified draw of `count` of `total` indices: a random one from each of `count` equal intervals, ascending.

    Neighbours in a data set's order are alike (one town, one drive, one car), so ranges come from all over it.
    """
    starts = np.arange(count + 1) * total // count
    rng = np.random.default_rng(seed)
    return [int(rng.integers(low, high)) for low, high in itertools.pairwise(starts.tolist())]


def in_spread_order(count: int) -> list[int]:
    """All of `count` places in an order in which every beginning is spread over all of them.

    It is van der Corput's sequence: places by their bits, read from the other end.
    """
    bits = max(count - 1, 0).bit_length()
    return sorted(range(count), key=lambda place: int(f"{place:0{bits}b}"[::-1], 2))


def check_division(on: str, options: BuildOptions, traits: Traits) -> None:
    """Check that a build which measures no accuracy has something to be done on other machines, `on` a cluster.

    Raises:
        UsageError: it has not, or `on` stands for nothing.
    """
    StoreOptions("calibration", on=on)  # checks the form
    if options.precision != "qint8_mixed_float16":
        raise UsageError("other machines calibrate int8, or measure a drop: build int8, or leave it out.", field="on")
    method, bias = options.quantize.calibration_method, options.quantize.bias_correction
    why = undivided(options.backend, traits, None if method == "auto" else method, bias)
    if why is not None:
        raise UsageError(f"{why}, so that other machines have nothing to do. Leave it out.", field="on")


def undivided(backend: str, traits: Traits, method: CalibrationMethod | None, bias: BiasCorrection) -> str | None:
    """Why calibrating by a method (None: one that is still to be chosen) stays on one machine, in words; else None."""
    if not traits.merged_methods:
        return f"{backend}'s quantiser gathers ranges in one process"
    if bias == "full":
        return "NNCF corrects biases in full, and gathers ranges for it, in one process"
    if method is not None and method not in traits.merged_methods:
        return f"ranges by {method} depend on the order of the images and are gathered in one process"
    return None


def _window(image: Image, name: str, index: int, spec: ModelSpec) -> Feeds:
    """Feeds of one sliding window of an image: another part of it for each, evenly spread, so that all are seen."""
    try:
        inputs = prepare_views([image], spec, Augment(), Buffers(), unclocked)[0]
    except BadShapeError as error:
        raise BadShapeError(f"calibration image {name}: {error}") from None
    # Multiples of the golden ratio, less their whole parts, never cluster.
    share = (index + 0.5) * _GOLDEN % 1
    feeds = inputs.feeds[int(share * len(inputs.feeds))]
    return {tensor: _repeated(array, spec.input) for tensor, array in feeds.items()}


def _prepared(image: Image, name: str, tensor: TensorSpec, rule: Preprocess) -> Array:
    """Feeds (N, 3, h, w) of one image, repeated to the model's smallest batch: ranges do not depend on it."""
    array, _ = prepare(image, rule, dtype=tensor.dtype)
    for got, allowed in zip(array.shape[1:], tensor.shape[2:], strict=True):
        if not (allowed.admits(got) if isinstance(allowed, Dim) else allowed == got):
            raise BadShapeError(
                f"calibration image {name} becomes {array.shape[1]}×{array.shape[2]} pixels high and wide; "
                f"the model takes {tensor}."
            )
    return _repeated(array, tensor)


def _repeated(array: Array, tensor: TensorSpec) -> Array:
    batch = tensor.shape[0]
    return np.repeat(array[None], batch if isinstance(batch, int) else batch.min, axis=0)
