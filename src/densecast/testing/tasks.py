"""Checks of a task: predictions, their comparison, drawing and saving, and the options in a spec."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from densecast.errors import DensecastError
from densecast.io import codec
from densecast.spec.augment import View
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.tensor import Array, Feeds
from densecast.tasks._base import DrawsChanges, HasMargins, SavesColours, Task, WeighsOutputs
from densecast.testing._require import contents, equal, is_frozen, require

P = TypeVar("P")
T = TypeVar("T")

_FRAMES: tuple[Frame, ...] = ("image", "network")


def check_task(
    task: Task[P, T], spec: ModelSpec, outputs: Feeds, target: T, *, image_hw: tuple[int, int] = (48, 64)
) -> None:
    """Check a task on a model's spec.

    `outputs` are the network's outputs by name for one image of `image_hw`, without the batch axis; `target` is that
    image's ground truth. The spec has to be one that files can name: register the task, or name it as
    `package.module:Name` in a package that is imported.

    Checked are: options have defaults and a spec survives JSON; predictions have the tensors they promise, in both
    frames, and own them; a prediction does not differ from itself; ground truth in the image's frame stays as it is;
    drawing leaves the image alone, and saving writes one file.

    Raises:
        AssertionError: says in a sentence what is not as it has to be.
    """
    require(isinstance(task, Task), f"{task!r} lacks members of densecast.tasks._base.Task.")
    _check_options(task, spec)
    task.check(spec)
    channels, given = task.output_channels(spec), outputs[spec.output.name].shape[0]
    require(channels in (None, given), f"{task.name}: its outputs have {channels} channels, these have {given}.")
    samples = task.sample_outputs(_copied(outputs), spec)
    for name, array in outputs.items():
        require(
            name in samples and (samples[name].shape, samples[name].dtype) == (array.shape, array.dtype),
            f"{task.name}: sample_outputs has to give {name!r} as {array.dtype} {array.shape}.",
        )
    views = (View(spec.preprocess.place(image_hw), mirrored=False, ratio=1.0),)
    predictions = []
    for feeds in (samples, outputs):
        for frame in _FRAMES:
            prediction = _checked_prediction(task, spec, feeds, views, frame)
            if frame == "image":
                predictions.append(prediction)
    _check_difference(task, predictions)
    _check_target(task, spec, target, views[0])
    shown = [*predictions, task.as_prediction(target)]
    _check_shown(task, spec, shown, image_hw)
    _check_abilities(task, spec, outputs, predictions, image_hw)


def _check_options(task: Task[Any, Any], spec: ModelSpec) -> None:
    kind = task.options_type
    require(is_frozen(kind), f"{task.name}: {kind.__name__} has to be a frozen dataclass.")
    try:
        options = kind()
    except TypeError as error:
        raise AssertionError(f"{task.name}: an option of {kind.__name__} has no default: {error}.") from error
    require(options.kind == task.name, f"{task.name}: the options' kind is {options.kind!r}; it has to be the name.")
    require(isinstance(spec.decode, kind), f"{task.name}: {spec.name} has options of {type(spec.decode).__name__}.")
    try:
        again = codec.from_plain(codec.to_plain(spec), ModelSpec, spec.name)
    except DensecastError as error:
        raise AssertionError(f"{task.name}: a spec cannot be read back from JSON: {error}") from error
    require(again == spec, f"{task.name}: a spec is another one when read back from JSON: {again}.")


def _checked_prediction(task: Task[P, Any], spec: ModelSpec, outputs: Feeds, views: Sequence[View], frame: Frame) -> P:
    feeds = _copied(outputs)
    prediction = task.postprocess([feeds], views, spec, frame)
    require(equal(feeds, outputs), f"{task.name}: postprocess changes the network's outputs.")
    tensors = _copied(task.tensors(prediction))
    for array in feeds.values():
        array[...] = 0
    require(equal(task.tensors(prediction), tensors), f"{task.name}: a prediction is a view of the network's outputs.")
    for promised in task.tensor_specs(spec):
        require(promised.name in tensors, f"{task.name}: predictions lack the tensor {promised.name!r}.")
        try:
            promised.check(tensors[promised.name])
        except DensecastError as error:
            raise AssertionError(f"{task.name}: {error}") from error
    return prediction


def _check_difference(task: Task[P, Any], predictions: Sequence[P]) -> None:
    for prediction in predictions:
        own = task.difference(prediction, prediction)
        require(own.value == 0, f"{task.name}: a prediction differs from itself by {own.value}.")
    for left, right in (predictions, predictions[::-1]):
        before = contents((left, right))
        difference = task.difference(left, right)
        require(0 <= difference.value <= 1, f"{task.name}: predictions differ by {difference.value}, not 0 to 1.")
        require(contents((left, right)) == before, f"{task.name}: comparing predictions changes them.")
        twice = difference + difference
        require(
            abs(twice.value - difference.value) < 1e-12,
            f"{task.name}: two images that differ by {difference.value} each differ by {twice.value}.",
        )
    require(bool(task.measure.name and task.measure.metric), f"{task.name}: its difference has no name.")


def _check_target(task: Task[Any, T], spec: ModelSpec, target: T, view: View) -> None:
    before = contents(target)
    for frame in _FRAMES:
        brought = task.target_at(target, view.placement, frame)
        require(contents(target) == before, f"{task.name}: target_at changes the ground truth.")
        if frame == "image":
            require(contents(brought) == before, f"{task.name}: ground truth at the image is not what it was.")
        task.tensors(task.as_prediction(brought))
    task.check(spec)


def _check_shown(task: Task[P, Any], spec: ModelSpec, predictions: Sequence[P], image_hw: tuple[int, int]) -> None:
    for prediction in predictions:
        image = _image(image_hw)
        drawn = task.draw(image, prediction, spec)
        require(bool((image == _image(image_hw)).all()), f"{task.name}: draw changes the image.")
        require(
            drawn is not image and (drawn.shape, drawn.dtype) == (image.shape, image.dtype),
            f"{task.name}: draw has to give a copy (H, W, 3) uint8, got {drawn.dtype} {drawn.shape}.",
        )
        with tempfile.TemporaryDirectory() as folder:
            stem = Path(folder) / "an.image"
            path = task.save(stem, prediction, spec)
            _check_file(task, stem, path)


def _check_file(task: Task[Any, Any], stem: Path, path: Path) -> None:
    written = sorted(stem.parent.iterdir())
    require(
        written == [path] and path.name.startswith(f"{stem.name}") and path.name != stem.name,
        f"{task.name}: one file named {stem.name}<suffix> has to be written, got {[each.name for each in written]}.",
    )


def _check_abilities(
    task: Task[P, Any], spec: ModelSpec, outputs: Feeds, predictions: Sequence[P], image_hw: tuple[int, int]
) -> None:
    left, right = predictions
    if isinstance(task, SavesColours):
        with tempfile.TemporaryDirectory() as folder:
            stem = Path(folder) / "an.image"
            _check_file(task, stem, task.save_colour(stem, left, spec))
    if isinstance(task, DrawsChanges):
        image = _image(image_hw)
        drawn = task.draw_changes(image, left, right)
        require(bool((image == _image(image_hw)).all()), f"{task.name}: draw_changes changes the image.")
        require(
            (drawn.shape, drawn.dtype) == (image.shape, image.dtype),
            f"{task.name}: draw_changes has to give (H, W, 3) uint8, got {drawn.dtype} {drawn.shape}.",
        )
    if isinstance(task, HasMargins):
        changed, everywhere = task.margins(outputs, left, right, spec)
        require(changed.ndim == everywhere.ndim == 1, f"{task.name}: margins have to be two rows of numbers.")
        require(bool((changed >= 0).all() and (everywhere >= 0).all()), f"{task.name}: a margin is below 0.")
    if isinstance(task, WeighsOutputs):
        main = np.asarray(outputs[spec.output.name], np.float32)
        change = task.output_change([main[None]], [main[None]], spec)
        require(change == 0, f"{task.name}: an output has changed from itself by {change}.")
        require(bool(np.isfinite(task.meaning(main, spec)).all()), f"{task.name}: what an output means is not finite.")


def _copied(arrays: Feeds) -> dict[str, Array]:
    return {name: array.copy() for name, array in arrays.items()}


def _image(size_hw: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (*size_hw, 3)).astype(np.uint8)
