"""Tells a network's main output from auxiliary heads of training, and refuses outputs of another kind of network."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from densecast.errors import BadGraphError
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Array, Feeds
from densecast.tasks._base import TASKS
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import output_form
from densecast.verbs.export.outputs import Selection, Shape, trial_feeds

_LOG = logging.getLogger(__name__)
# Named by their place in a tuple or list.
_UNNAMED = re.compile(r"output_\d+")
# Main outputs of Hugging Face, torchvision and others, the likeliest first.
_MAIN = ("logits", "out", "output", "main", "seg", "masks")
_AUXILIARY = re.compile(r"(^|_)(aux|auxiliary|deep_?sup)", re.IGNORECASE)
# Of the largest value: threads may sum in another order.
_REPEATED = 1e-2
# Sides that are a multiple of this are halved without a rest by nearly all networks, none by more than the other.
_EVEN, _LARGEST_STRIDE = 32, 64
# Maps of fewer pixels a side may round to any aspect.
_FEW = 8
# Maps of classes are no larger than the image; an enlarged picture is.
_COLOURS, _LARGER = 3, 1.5
_TWO = 2
# What detectors and mask classifiers return instead of one map.
_BY_OBJECT = re.compile(r"(class_queries_logits|masks_queries_logits|pred_boxes|pred_masks|(^|_)boxes)$")


def preferred_first(shapes: Mapping[str, Shape], spec: ModelSpec) -> dict[str, Shape]:
    """The outputs, with the one that is most probably the main one before others of as many channels.

    Of such as no name tells apart, the first, as training code returns it, but not before a map of more pixels: a head
    that is for training alone is never finer than the main one.

    Raises:
        BadGraphError: they are those of a network that scores objects, not pixels.
    """
    by_object = [name for name in shapes if _BY_OBJECT.search(name)]
    if by_object and spec.task == "segmentation":
        raise BadGraphError(
            f"it returns {', '.join(by_object)}: it scores proposed objects, not every pixel. densecast takes networks "
            "that give one map of class scores; wrap it in a module that makes (N, classes, H, W) of them."
        )

    channels = TASKS.load_trusted(spec.task).output_channels(spec)
    maps = {name: shape for name, shape in shapes.items() if len(shape) == 4 and channels is not None}
    fitting = {name for name, shape in maps.items() if shape[1] == channels}
    if not fitting and isinstance(spec.decode, SegmentationDecode) and channels == _TWO:
        fitting = {name for name, shape in maps.items() if shape[1] == 1}

    def rank(name: str) -> tuple[int, int]:
        pixels = maps[name][2] * maps[name][3] if name in fitting else 0
        by_name = _MAIN.index(name) if name in _MAIN else len(_MAIN) + bool(_AUXILIARY.search(name))
        return by_name, -pixels

    if any(tensor.name in shapes for tensor in spec.outputs):
        return dict(shapes)
    return {name: shapes[name] for name in sorted(shapes, key=rank)}


def without_auxiliary(
    selection: Selection, shapes: Mapping[str, Shape], spec: ModelSpec, *, is_named: bool = False
) -> tuple[Selection, tuple[str, ...]]:
    """The selection without auxiliary heads - maps of as many channels as the main one - and a note on them.

    What the spec names is kept, and all of a task that does not say how many channels it needs.
    """
    main, *others = selection.names
    if TASKS.load_trusted(spec.task).output_channels(spec) is None:
        return selection, ()
    declared = {tensor.name for tensor in spec.outputs}
    heads = [name for name in others if name not in declared and _is_head(shapes[name], shapes[main])]
    if not heads:
        return selection, ()
    kept = tuple(name for name in selection.names if name not in heads)
    alike = [name for name in (main, *heads) if shapes[name] == shapes[main] and _UNNAMED.fullmatch(name)]
    if len(alike) > 1 and not is_named:
        _LOG.warning(
            "%s are maps of one size, and nothing but their order tells them apart: %s is taken. If another is the "
            "answer, as the last is of nested decoders with deep supervision, name it: --output-name %s.",
            ", ".join(alike),
            main,
            alike[-1],
        )
    note = f"main output {main!r}; auxiliary {', '.join(heads)} left out (another can be named as the output)"
    return replace(selection, names=kept, note=None if len(kept) == 1 else selection.note), (note,)


def without_losses(
    selection: Selection, trials: Sequence[tuple[int, Mapping[str, Shape]]]
) -> tuple[Selection, tuple[str, ...]]:
    """The selection without what is no answer for each image, as a loss is, and a note on it.

    `trials` are the number of images and the shapes of the outputs, for several runs.
    """

    def is_for_each(name: str) -> bool:
        return all(bool(shapes[name]) and shapes[name][0] == images for images, shapes in trials)

    others = selection.names[1:]
    left = [name for name in others if not is_for_each(name)]
    if not left:
        return selection, ()
    kept = tuple(name for name in selection.names if name not in left)
    note = f"{', '.join(left)} left out: not one answer for each image"
    return replace(selection, names=kept, note=None if len(kept) == 1 else selection.note), (note,)


def without_training(
    selection: Selection,
    shapes: Sequence[Shape],
    results: Sequence[Feeds],
    spec: ModelSpec,
    *,
    is_named: bool,
) -> tuple[Selection, tuple[str, ...]]:
    """The selection without what serves training alone - auxiliary heads, losses - and notes on it.

    Raises:
        BadGraphError: the main output lacks the image's border.
    """
    measured = [{name: array.shape for name, array in each.items()} for each in results]
    maps = [each[selection.names[0]] for each in measured]
    check_padding(selection.names[0], shapes[0], maps[0], spec.name, is_stretched=_is_stretched(shapes, maps))
    selection, dropped = without_auxiliary(selection, measured[0], spec, is_named=is_named)
    images = [shape[0] for shape in shapes]
    selection, losses = without_losses(selection, list(zip(images, measured, strict=True)))
    return selection, (*dropped, *losses)


def _is_stretched(images: Sequence[Shape], maps: Sequence[Shape]) -> bool:
    """Whether maps have one size for images of several heights and widths, so that each is its whole image's."""
    differ = all(len({each[axis] for each in images}) > 1 for axis in (2, 3))
    return differ and len({each[2:] for each in maps}) == 1


def _is_head(shape: Shape, main: Shape) -> bool:
    return len(shape) == len(main) == 4 and shape[1] == main[1]


def check_main(output: Array, name: str, spec: ModelSpec, where: str) -> None:
    """Refuse what is no number, and whole numbers in several planes, which are no labels nor scores of a known scale.

    Raises:
        BadGraphError: weights are broken; a picture of the labels' colours, or scores that were made whole.
    """
    if output.dtype.kind == "f" and np.isnan(output).any():
        raise BadGraphError(
            f"{where}: the output {name!r} has values on a test image that are no numbers (NaN). Its weights are "
            "broken, or it is made for images of another normalisation (--mean, --std): train or export it again."
        )
    has_planes = output.ndim == 4 and output.shape[1] > 1
    if isinstance(spec.decode, SegmentationDecode) and has_planes and output.dtype.kind in "iub":
        raise BadGraphError(
            f"{where}: the output {name!r} has whole numbers ({output.dtype}) in {output.shape[1]} planes: a "
            "picture in colours, or scores that were rounded. Export the network so that it ends in its scores as "
            "floats, or in one plane of class indices."
        )


def check_padding(name: str, image: Shape, output: Shape, where: str, *, is_stretched: bool = False) -> None:
    """Refuse a map that lacks the image's border, and so does not lie where the image does.

    At sizes that halve evenly, a network whose convolutions are padded gives one value for each 1, 2, 4, … pixels. What
    `is_stretched` to a size of its own shows the whole image whatever that is.

    Raises:
        BadGraphError: its convolutions are not padded, or it is turned.
    """
    if len(output) != 4 or min(output[2:]) < 1:
        return
    refuse_turned(name, (image[2], image[3]), output)
    if output[2:] == (1, 1) and min(image[2:]) > _LARGEST_STRIDE:
        raise BadGraphError(
            f"{where}: the output {name!r} is one value of each channel for an image of {image[2]}×{image[3]}: one "
            "answer for the whole image, as of a classifier. densecast takes networks with a map of all pixels."
        )
    if (
        output[1] == _COLOURS
        and not is_stretched
        and all(own >= _LARGER * size for size, own in zip(image[2:4], output[2:4], strict=True))
    ):
        _LOG.warning(
            "%s: the output %r has three planes and is %d×%d for an image of %d×%d, as a network gives that makes "
            "pictures larger. If it is one, its values are colours, and no scores of classes.",
            where, name, *output[2:4], *image[2:4],
        )  # fmt: skip
    lacking = [_lacking(size, own) for size, own in zip(image[2:4], output[2:4], strict=True)]
    if all(lacking) and not is_stretched:
        down, across = (-(-each // 2) for each in lacking)
        raise BadGraphError(
            f"{where}: the output {name!r} is {output[2]}×{output[3]} for an image of {image[2]}×{image[3]}: it lacks "
            f"the border, as its convolutions are not padded, and its pixels are not where the image's are. Pad the "
            f"image in the network, as by ReflectionPad2d(({across}, {across}, {down}, {down})), and export it again."
        )


def refuse_turned(name: str, image_hw: tuple[int, int], output: Shape) -> None:
    """Refuse a map whose rows are the image's columns, as far as the sides of the image differ.

    Raises:
        BadGraphError: height and width have changed places.
    """
    if len(output) < 3 or min(output[-2:]) <= _FEW:
        return
    height, width = output[-2:]
    if output_form.has_aspect((image_hw[1], image_hw[0]), image_hw):
        return
    if not output_form.has_aspect((height, width), image_hw) and output_form.has_aspect((width, height), image_hw):
        raise BadGraphError(
            f"the output {name!r} is {height} high and {width} wide for an image {image_hw[0]} high and "
            f"{image_hw[1]} wide: height and width have changed places. Turn it in the network, as by "
            "transpose(-1, -2), and export it again."
        )


def lacks_border(side: int, own: int) -> bool:
    """Whether a map of `own` pixels is for less than the whole side of an image, which halves evenly."""
    return _lacking(side, own) > 0


def _lacking(size: int, own: int) -> int:
    """Pixels of the image's side for which a map has no values, more than rounding at each halving leaves out."""
    if own >= size:
        return 0
    steps = (size // own, -(-size // own))
    if size % _EVEN:
        return size - own if steps[0] == 1 and _LARGEST_STRIDE <= size - own < size // 3 else 0
    rounded = (0 if step == 1 else 1 for step in steps)
    is_whole = any(abs(own - size / step) <= most for step, most in zip(steps, rounded, strict=True))
    return 0 if is_whole else size - own * steps[0]


def check_repeats(run: Callable[[Feeds], Feeds], spec: ModelSpec, trial: tuple[Shape, Feeds], where: str) -> None:
    """Refuse a graph that answers otherwise each time it is asked.

    Raises:
        BadGraphError: it draws random numbers.
    """
    shape, results = trial
    for name, again in run(trial_feeds(spec, shape, 0)).items():
        before = results[name]
        largest = float(np.abs(np.nan_to_num(before)).max(initial=0)) if before.dtype.kind == "f" else 0.0
        if before.shape != again.shape or not np.allclose(
            before, again, rtol=0, atol=_REPEATED * largest, equal_nan=True
        ):
            raise BadGraphError(
                f"{where} answers otherwise each time it is run on one image ({name!r}): it draws random numbers, as "
                "dropout in training does. Export the network in evaluation mode."
            )
