"""The spec of a zoo network with somebody's own weights: their classes, labels, colours and preprocessing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from densecast.errors import BadConfigError, BadGraphError
from densecast.networks._base import Network
from densecast.spec.model import DecodeOptions, Evaluation, ModelSpec, Rgb
from densecast.spec.preprocess import Preprocess
from densecast.spec.slide import Slide
from densecast.tasks.segmentation import BINARY, SegmentationDecode, palettes
from densecast.verbs.export.checkpoint import Checkpoint
from densecast.zoo._base import ZooEntry

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Stated:
    """What somebody says of their own weights; None for what the zoo entry or the file says."""

    labels: tuple[str, ...] | None = None
    palette: tuple[Rgb, ...] | None = None
    preprocess: Preprocess | None = None
    decode: DecodeOptions | None = None
    evaluation: Evaluation | None = None
    slide: Slide | None = None


def apply(spec: ModelSpec, classes: int | None, checkpoint: Checkpoint, stated: Stated) -> tuple[ModelSpec, list[str]]:
    """The zoo entry's spec for weights of `classes` channels, and notes on what has become another.

    Labels are those stated, else the checkpoint's own, else the entry's where the number is right, else `class_0`, ….
    Where labels are not the entry's, its data set and metric go: a score on it would mean nothing.

    Raises:
        BadGraphError: the weights have another number of classes than labels were stated.
        BadConfigError: a palette of another length.
    """
    notes: list[str] = []
    if stated.preprocess is not None and stated.preprocess != spec.preprocess:
        spec = replace(spec, preprocess=stated.preprocess)
        notes.append("preprocessing as stated, not the zoo entry's")
    if stated.decode is not None:
        spec = replace(spec, decode=stated.decode)
    if spec.task == "segmentation" and classes is not None:
        spec, said = _relabelled(spec, classes, checkpoint, stated)
        notes += said
    elif stated.labels is not None and stated.labels != spec.labels:
        raise BadConfigError(f"the labels of {spec.name} ({spec.task}) are its own: leave them out.", field="labels")
    if stated.slide is not None:
        spec = replace(spec, slide=stated.slide)
    if stated.evaluation is not None:
        spec = replace(spec, evaluation=stated.evaluation)
    return spec, notes


def network_options(plugin: Network[Any], entry: ZooEntry, state: Mapping[str, Tensor]) -> Any:
    """The entry's network options, with those (classes, widths, bias, upsampling) that the weights determine."""
    options = entry_options(plugin, entry)
    return plugin.options_from_state(plugin.clean(state), options) if plugin.options_from_state else options


def entry_options(plugin: Network[Any], entry: ZooEntry) -> Any:
    """The network options of a zoo entry."""
    try:
        return plugin.options_type(**entry.options)
    except TypeError as error:
        raise BadConfigError(f"zoo entry {entry.spec.name}: options of network {entry.network!r}: {error}") from None


def _relabelled(spec: ModelSpec, classes: int, checkpoint: Checkpoint, stated: Stated) -> tuple[ModelSpec, list[str]]:
    labels, source = _labels(spec, classes, checkpoint, stated)
    # One plane tells two labels apart: where it is not, and where it is.
    is_binary = classes == 1
    classes = 2 if is_binary else classes
    if len(labels) != classes:
        raise BadGraphError(
            f"these weights give one plane, which tells two labels apart, but {len(labels)} labels are {source}."
            if is_binary
            else f"these weights tell {classes} classes apart, but {len(labels)} labels are {source}: "
            f"{', '.join(labels[:5])}{' …' if len(labels) > 5 else ''}.",
            field="labels",
        )
    notes: list[str] = []
    output = spec.output
    shape = (output.shape[0], 1 if is_binary else classes, *output.shape[2:])
    spec = spec.with_output(replace(output, shape=shape))
    if is_binary and isinstance(spec.decode, SegmentationDecode):
        decode = spec.decode if spec.decode.form in BINARY else replace(spec.decode, form="binary_logits")
        spec = replace(spec, decode=decode)
        notes.append(f"one plane: {decode.form}, {labels[1]!r} above {decode.threshold:g}, else {labels[0]!r}")
    if _alike(labels, spec.labels) and stated.palette is None:
        return spec, notes
    is_own = not _alike(labels, spec.labels)
    colours = stated.palette or (checkpoint.palette if source == "in the file" else None)
    if colours is not None and is_binary and len(colours) == 1:
        colours = ((0, 0, 0), *colours)
    if colours is None:
        colours = palettes.voc(classes) if is_own else spec.palette
    if len(colours) != classes:
        raise BadConfigError(f"{classes} labels but {len(colours)} colours in the palette.", field="palette")
    notes += [f"{classes} classes, labels {source}"] if is_own else []
    if is_own and spec.evaluation is not None:
        notes.append(f"the zoo entry's data set ({spec.evaluation.dataset}) does not hold for own classes")
    return (
        replace(
            spec,
            labels=labels,
            palette=colours,
            evaluation=None if is_own else spec.evaluation,
        ),
        notes,
    )


def _labels(spec: ModelSpec, classes: int, checkpoint: Checkpoint, stated: Stated) -> tuple[tuple[str, ...], str]:
    """Labels of weights of so many channels, and where they are from; of one channel two, with the background first."""
    needed = 2 if classes == 1 else classes

    def whole(labels: tuple[str, ...]) -> tuple[str, ...]:
        return ("background", *labels) if classes == len(labels) == 1 else labels

    if stated.labels is not None:
        return whole(stated.labels), "stated"
    if checkpoint.labels is not None and len(whole(checkpoint.labels)) == needed:
        return whole(checkpoint.labels), "in the file"
    if len(spec.labels) == needed:
        return spec.labels, f"those of {spec.name}"
    numbered = "numbered, as nothing names them (--labels does)"
    return ("background", "class_1") if classes == 1 else tuple(f"class_{index}" for index in range(classes)), numbered


def _alike(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether labels are the same but for case, blanks and hyphens."""

    def plain(label: str) -> str:
        return re.sub(r"[^a-z0-9]", "", label.lower())

    return [plain(label) for label in some] == [plain(label) for label in others]
