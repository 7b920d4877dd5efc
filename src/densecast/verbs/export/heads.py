"""Tells a network's main output from auxiliary heads of training, and refuses outputs of another kind of network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from densecast.errors import BadGraphError
from densecast.spec.model import ModelSpec
from densecast.tasks._base import TASKS
from densecast.verbs.export.outputs import Selection, Shape

# Main outputs of Hugging Face, torchvision and others, the likeliest first.
_MAIN = ("logits", "out", "output", "main", "seg", "masks")
_AUXILIARY = re.compile(r"(^|_)(aux|auxiliary|deep_?sup)", re.IGNORECASE)
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

    def rank(name: str) -> tuple[int, int]:
        shape = shapes[name]
        pixels = shape[2] * shape[3] if len(shape) == 4 and channels is not None and shape[1] == channels else 0
        by_name = _MAIN.index(name) if name in _MAIN else len(_MAIN) + bool(_AUXILIARY.search(name))
        return by_name, -pixels

    if any(tensor.name in shapes for tensor in spec.outputs):
        return dict(shapes)
    return {name: shapes[name] for name in sorted(shapes, key=rank)}


def without_auxiliary(
    selection: Selection, shapes: Mapping[str, Shape], spec: ModelSpec
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


def _is_head(shape: Shape, main: Shape) -> bool:
    return len(shape) == len(main) == 4 and shape[1] == main[1]
