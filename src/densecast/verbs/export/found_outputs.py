"""Takes the outputs of an ONNX graph as they are found: channels last, without a batch axis, of any number type."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from densecast.graph import plain_outputs
from densecast.graph.plain_outputs import Arrangement
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Array, Dim, Feeds
from densecast.tasks._base import TASKS
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import heads, outputs
from densecast.verbs.export.output_form import has_aspect

# Of two aspects and of usual multiples; the first at which the graph runs shows how its outputs lie.
TRIALS_HW = ((96, 160), (256, 320), (224, 224), (512, 512), (64, 48), (640, 640), (1024, 1024))
_TWO = 2
_WHITE = 255
_POINTWISE = ("Identity", "Cast", "Sigmoid", "Softmax", "LogSoftmax")
# Lists of boxes and scores have fewer columns.
_LEAST_SIDE = 8


def adapt(model: Any, spec: ModelSpec) -> tuple[Any, tuple[str, ...]]:
    """The graph with outputs that are maps (N, C, h, w), float32 or whole numbers; and a note on each change.

    How an output lies is seen from a run; where the graph runs at no size that is tried, types alone are changed.
    """
    result = plain_outputs.apply(model)
    notes = [result.notes] if result.changed else []
    arrangements: dict[str, Arrangement] = {}
    for image_hw, results in _some_run(result.model, spec):
        for name, array in results.items():
            arrangement = _arrangement(array, image_hw, spec)
            if arrangement is None and _is_of_all_labels(array, spec):
                heads.refuse_turned(name, image_hw, array.shape)
                if len(set(array.shape[1:])) == 1 and _ends_in_channels_last(result.model, name):
                    arrangement = Arrangement(4, channels_last=True)
            if arrangement is None and _is_white(array, image_hw, spec):
                arrangement = Arrangement(array.ndim)
            if arrangement is not None:
                arrangements[name] = replace(arrangement, white=_is_white(array, image_hw, spec))
    if not arrangements:
        return result.model, tuple(notes)
    arranged = plain_outputs.apply(result.model, arrangements)
    return arranged.model, (*notes, arranged.notes)


def _is_of_all_labels(array: Array, spec: ModelSpec) -> bool:
    """Whether it has the task's channels where ours are."""
    return array.ndim == 4 and array.shape[1] == TASKS.load_trusted(spec.task).output_channels(spec)


def _ends_in_channels_last(model: Any, name: str) -> bool:
    """Whether a graph brings the channels to the end, where as many labels as rows and columns tell nothing."""
    makers = {output: node for node in model.graph.node for output in node.output}
    while name in makers and makers[name].op_type in _POINTWISE:
        name = makers[name].input[0]
    if name not in makers or makers[name].op_type != "Transpose":
        return False
    return [list(each.ints) for each in makers[name].attribute if each.name == "perm"] == [[0, 2, 3, 1]]


def _some_run(model: Any, spec: ModelSpec) -> Iterator[tuple[tuple[int, int], Feeds]]:
    """The first size at which the graph runs, and its outputs; nothing where there is none."""
    from densecast.verbs.export import onnx_file

    run = onnx_file.graph_runner(model.SerializeToString())
    batch, channels, height, width = spec.input.shape
    images = batch if isinstance(batch, int) else batch.min
    assert isinstance(channels, int)
    tried = set()
    for trial in TRIALS_HW:
        high, wide = (_within(size, side) for size, side in zip((height, width), trial, strict=True))
        if (high, wide) in tried:
            continue
        tried.add((high, wide))
        with contextlib.suppress(Exception):  # engines raise their own kinds; `graph_sizes` looks for sizes and tells
            yield (high, wide), run(outputs.trial_feeds(spec, (images, channels, high, wide), 0))
            return


def _within(size: int | Dim, side: int) -> int:
    return size if isinstance(size, int) else min(max(size.min, side), size.max)


def is_channels_last(array: Array, image_hw: tuple[int, int], spec: ModelSpec) -> bool:
    """Whether an output of four axes is a map (N, h, w, C), and none (N, C, h, w)."""
    counts = _counts(spec)

    def is_map(height: int, width: int, channels: int) -> bool:
        return has_aspect((height, width), image_hw) and channels in counts

    _, first, second, last = array.shape
    return is_map(first, second, last) and not is_map(second, last, first)


def _counts(spec: ModelSpec) -> set[int | None]:
    """How many channels a map of the task may have: a segmentation's may also be one plane."""
    channels = TASKS.load_trusted(spec.task).output_channels(spec)
    return {channels} | ({1} if isinstance(spec.decode, SegmentationDecode) else set())


def _arrangement(array: Array, image_hw: tuple[int, int], spec: ModelSpec) -> Arrangement | None:
    """How an output lies, if it is a map that is not (N, C, h, w) or (N, h, w); else None."""
    channels = TASKS.load_trusted(spec.task).output_channels(spec)
    is_segmentation = isinstance(spec.decode, SegmentationDecode)
    counts = _counts(spec)
    shape, rank = array.shape, array.ndim

    def is_map(axes: tuple[int, ...], channel_axis: int | None) -> bool:
        sides = (shape[axes[0]], shape[axes[1]])
        return has_aspect(sides, image_hw) and (channel_axis is None or shape[channel_axis] in counts)

    if rank == 4:
        return Arrangement(4, channels_last=True) if is_channels_last(array, image_hw, spec) else None
    batch = spec.input.shape[0]
    is_single = shape[:1] != ((batch if isinstance(batch, int) else batch.min),)
    if rank == 3 and (channels != 1 or is_single):
        # (N, h, w) of one image are labels, (1, h, w) may be one plane.
        if is_single and is_map((1, 2), 0):
            return Arrangement(3, has_batch=False)
        if is_single and is_map((0, 1), 2):
            return Arrangement(3, channels_last=True, has_batch=False)
    if rank == 3 and channels == _TWO and is_segmentation and is_map((1, 2), None) and _holds_scores(array):
        return Arrangement(3, has_channels=False)
    if rank == 2 and is_segmentation and array.dtype.kind in "iu" and min(shape) > _LEAST_SIDE and is_map((0, 1), None):
        return Arrangement(2, has_batch=False)
    return None


def _holds_scores(array: Array) -> bool:
    """Whether these are floats that are not all whole, as those of a decision would be."""
    values = np.asarray(array, np.float64)
    return array.dtype.kind == "f" and bool((values != np.round(values)).any())


def _is_white(array: Array, image_hw: tuple[int, int], spec: ModelSpec) -> bool:
    """Whether an output of a network of two labels is a picture of 0 and 255."""
    is_segmentation = isinstance(spec.decode, SegmentationDecode) and len(spec.labels) == _TWO
    if not is_segmentation or array.dtype.kind not in "iuf" or array.size < image_hw[0] * image_hw[1] // 64:
        return False
    return bool((array == _WHITE).any()) and bool(((array == 0) | (array == _WHITE)).all())
