"""Selects the outputs of an export, the main one first, and derives all tensor shapes from trial runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from densecast.errors import BadGraphError
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import ScaleBy
from densecast.spec.tensor import Dim, Feeds, TensorSpec
from densecast.spec.verb_options import ExportOptions
from densecast.tasks._base import TASKS
from densecast.verbs.export.parity import image_like

DEFAULT_NAME = "logits"
"""The name of an only output for which neither the network nor its spec has one."""

_LARGEST_SIZE = 1 << 24
_SHOWN_LABELS = 5

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """The outputs of an artifact, the main one first; `note` says why it was selected, if there was a choice."""

    names: tuple[str, ...]
    note: str | None = None


def select(shapes: Mapping[str, Shape], spec: ModelSpec, options: ExportOptions, found: str | None = None) -> Selection:
    """Select the outputs of an artifact from a network's outputs, given with shapes in the network's order.

    The main output is the one that `options.output_name` names, else the one that was `found`, else the first one of
    `spec`, else the first of as many channels as the task needs. The others of `spec` follow it, then all others.

    Raises:
        BadGraphError: an output that was named is not there, or the main one does not fit the task.
    """
    names = list(shapes)
    declared = [tensor.name for tensor in spec.outputs]
    has_choice = len(names) > 1
    if has_choice and declared != [DEFAULT_NAME]:
        _require(declared, names, "outputs")
    if options.output_name is not None:
        _require([options.output_name], names, "output_name")
        main, reason = options.output_name, "as requested"
    elif found is not None:
        main, reason = found, "the one that fits the labels"
    elif declared[0] in names:
        main, reason = declared[0], "the first in the spec"
    else:
        channels = TASKS.load_trusted(spec.task).output_channels(spec)
        fitting = [name for name, shape in shapes.items() if _fits(shape, channels)]
        main = (fitting or names)[0]
        reason = "the first" if channels is None else f"the first of {channels} channels"
    check_channels(spec, main, shapes[main])
    if options.only_main_output:
        ordered = [main]
    else:
        ordered = list(dict.fromkeys([main, *(name for name in declared if name in names), *names]))
    further = [name for name in names if name != main]
    left = "left out" if options.only_main_output else "exported as well"
    note = f"main output {main!r}, {reason}; {', '.join(further)} {left}" if has_choice else None
    return Selection(tuple(ordered), note)


def check_channels(spec: ModelSpec, name: str, shape: Shape) -> None:
    """Check that the main output has the channels that the task needs.

    Raises:
        BadGraphError: it is no map (N, C, h, w), or one of another number of channels.
    """
    channels = TASKS.load_trusted(spec.task).output_channels(spec)
    if channels is None or _fits(shape, channels):
        return
    if len(shape) != 4:
        needs = f"{spec.task} needs a map (N, {channels}, h, w)"
        raise BadGraphError(f"the output {name!r} is {list(shape)}; {needs}.{_hint(shape, channels)}")
    if shape[3] == channels:
        raise BadGraphError(
            f"the output {name!r} is {list(shape)}: its channels are the last axis. Turn it in the network, as by "
            "permute(0, 3, 1, 2), and export it again."
        )
    labels = ", ".join(spec.labels[:_SHOWN_LABELS]) + (" …" if len(spec.labels) > _SHOWN_LABELS else "")
    raise BadGraphError(
        f"the output {name!r} has {shape[1]} channels, but {spec.name} ({spec.task}, labels {labels}) needs "
        f"{channels}. Is it another model, or another of its outputs?"
    )


# Of a list's sides: no image is so long.
_LONG = 16


def _hint(shape: Shape, channels: int) -> str:
    """What an output of another rank may be."""
    if len(shape) == 3 and channels in shape[1:]:
        return " All its pixels lie on one axis: reshape it to height and width in the network, and export it again."
    if len(shape) == 3 and max(shape[1:]) > _LONG * min(shape[1:]):
        return " A list, as of a detector's boxes or key points, is no map of all pixels: such networks are not taken."
    if len(shape) == 2 and channels in shape:
        return " It is one answer for the whole image, as of a classifier."
    return ""


def describe_all(
    names: Sequence[str], trials: Sequence[tuple[Shape, Feeds]], image: TensorSpec
) -> tuple[TensorSpec, ...]:
    """Derive the specs of outputs from pairs of an image shape and the outputs computed for it."""
    results = trials[0][1]
    return tuple(
        describe(name, str(results[name].dtype), [(shape, arrays[name].shape) for shape, arrays in trials], image)
        for name in names
    )


def describe(name: str, dtype: str, observed: Sequence[tuple[Shape, Shape]], image: TensorSpec) -> TensorSpec:
    """Derive a tensor's spec from pairs of an image shape and the tensor's shape.

    Batch, height and width are open where the image's are: of a map (N, C, h, w) always, of another tensor unless they
    stayed what they were while the image's changed. Other axes are open where they changed.
    """
    first = observed[0][1]
    rank = len(first)
    sources = {0: 0, rank - 2: 2, rank - 1: 3} if rank >= 3 else {0: 0}
    sizes: list[int | Dim] = []
    for axis, size in enumerate(first):
        changed = any(own[axis] != size for _, own in observed)
        source = image.shape[sources[axis]] if axis in sources else 0
        if isinstance(source, Dim):
            stayed = not changed and any(shape[sources[axis]] != observed[0][0][sources[axis]] for shape, _ in observed)
            is_open = rank == 4 or not stayed
            opened = Dim(source.name if axis == 0 else f"{source.name}_out", 1, source.max)
            sizes.append(opened if is_open else size)
        else:
            sizes.append(Dim(f"{name}_{axis}", 1, _LARGEST_SIZE) if changed and axis not in sources else size)
    return TensorSpec(name, dtype, tuple(sizes))


def answered(run: Callable[[Feeds], Feeds], feeds: Feeds) -> Feeds | None:
    """What a network or a graph gives for these arrays; None where it fails on them."""
    try:
        return run(feeds)
    except Exception:  # a network's own code, and each engine, raises its own kinds
        return None


def trial_feeds(spec: ModelSpec, image_shape: Shape, seed: int) -> Feeds:
    """Image-like trial arrays for every input: of the image's shape, and of matching shapes for further inputs."""
    feeds: Feeds = {spec.input.name: image_like(image_shape, seed)}
    height, width = image_shape[2:]
    resize = spec.preprocess.resize
    factor = resize.factor if isinstance(resize, ScaleBy) else 1.0
    for tensor in spec.inputs[1:]:
        placed = spec.preprocess_of(tensor.name).place((round(height / factor), round(width / factor)))
        channels = tensor.shape[1] if isinstance(tensor.shape[1], int) else 3
        sizes = (image_shape[0], channels, *placed.model_hw)
        shape = tuple(want if isinstance(want, int) else size for want, size in zip(tensor.shape, sizes, strict=True))
        feeds[tensor.name] = image_like(shape, seed)
    return feeds


def _fits(shape: Shape, channels: int | None) -> bool:
    return channels is None or (len(shape) == 4 and shape[1] == channels)


def _require(required: Sequence[str], names: Sequence[str], field: str) -> None:
    missing = [name for name in required if name not in names]
    if missing:
        raise BadGraphError(f"there is no output {missing[0]!r}; the outputs are {', '.join(names)}.", field=field)
