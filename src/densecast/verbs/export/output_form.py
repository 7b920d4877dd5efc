"""Tells what the outputs of a network hold - logits, probabilities, one plane, labels - and which is the main one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError, BadGraphError
from densecast.graph import _value_bounds
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Array, Feeds
from densecast.spec.verb_options import ExportOptions
from densecast.tasks.segmentation import BINARY, Form, SegmentationDecode
from densecast.verbs.export import output_remarks

# How far the probabilities of a pixel may sum up from 1, after rounding in 16 bits.
_SUM_TOLERANCE = 5e-3
# Constants that are no binary fractions sum up to a little more than 1.
UNIT_TOLERANCE = 1e-3
# How much a map's aspect may differ from the image's: sizes are rounded at each halving, of few pixels by much.
_ASPECT_TOLERANCE, _FEW = 0.25, 4
_ARRANGING = {"Identity", "Cast", "Transpose", "Resize", "Upsample", "Slice", "Squeeze", "Unsqueeze", "Reshape"}
_DECIDING = {
    "ArgMax", "ArgMin", "TopK", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "And", "Or", "Where",
}  # fmt: skip
# A sigmoid that is written out ends in a division: 1 / (1 + exp(-x)).
_TO_PROBABILITY = {"Sigmoid", "HardSigmoid", "Softmax", "Clip", "Div", "Reciprocal"}
_ONE_MEANING = (_ARRANGING - {"Slice", "Reshape"}) | {"Sigmoid", "Softmax", "LogSoftmax", "ArgMax"}
_SHOWN_LABELS = 5
_BY_INSTANCE = re.compile(r"(box|bbox|dets?$|detections?|proto)", re.IGNORECASE)
_AUXILIARY = re.compile(r"(^|_|\.|/)(aux|auxiliary|deep_?sup)", re.IGNORECASE)
_RANK: tuple[Form, ...] = ("logits", "probabilities", "binary_logits", "binary_probability", "labels")


@dataclass(frozen=True, slots=True)
class Settled:
    """The spec with the form of its main output; that output's name where it was found; what to say of it."""

    spec: ModelSpec
    main: str | None = None
    notes: tuple[str, ...] = ()


def settle(
    model: Any | None, results: Feeds, image_hw: tuple[int, int], spec: ModelSpec, options: ExportOptions
) -> Settled:
    """Find the main output of a segmentation and its form, from one run `results` on an image of `image_hw`.

    A form that the spec declares is kept, and an output that `options` or the spec name is not searched for. `model` is
    the ONNX graph; without one (the network is a torch module whose graph is not yet made) the values decide, of
    several maps the first is the main one, and `refined` has to follow.

    Raises:
        BadGraphError: several outputs fit the labels equally well, they are those of instances, or the output is of a
            form for another number of labels.
    """
    if not isinstance(spec.decode, SegmentationDecode):
        return Settled(spec)
    named = options.output_name or next((tensor.name for tensor in spec.outputs if tensor.name in results), None)
    if named is not None and named not in results:
        return Settled(spec)
    forms = {
        name: form
        for name, array in results.items()
        if (form := form_of(model, name, array, image_hw, spec)) is not None
    }
    if spec.decode.form != "logits":
        forms = {name: spec.decode.form for name, form in forms.items() if _is_alike(form, spec.decode.form)}
    found = None
    if named is None:
        found = _main(model, forms, results) if model is not None else _first(forms)
    main = named or found
    if main is None or main not in forms:
        return Settled(spec, found)
    form = forms[main]
    if form == "labels":
        _check_labels(results[main], main, spec)
    said = output_remarks.said(main, form, spec)
    if model is not None:
        said += output_remarks.doubts(model, results[main], main, form, spec)
    return Settled(with_form(spec, main, form), found, said)


def refined(
    model: Any, main: str, output: Array, image_hw: tuple[int, int], stated: ModelSpec, found: ModelSpec
) -> Settled:
    """`found`, the spec of `settle` for a module, with the form that the graph made of it shows."""
    if not isinstance(stated.decode, SegmentationDecode) or stated.decode.form != "logits":
        return Settled(found)
    assert isinstance(found.decode, SegmentationDecode)
    form = form_of(model, main, output, image_hw, stated) or found.decode.form
    if form == "labels":
        _check_labels(output, main, stated)
    said = output_remarks.said(main, form, stated) + output_remarks.doubts(model, output, main, form, stated)
    return Settled(with_form(found, main, form), None, said)


def with_form(spec: ModelSpec, main: str, form: Form) -> ModelSpec:
    """The spec, decoded as `form`.

    Raises:
        BadGraphError: the form is of another number of labels, or cannot be decoded as the spec says.
    """
    assert isinstance(spec.decode, SegmentationDecode)
    if spec.decode.form == form:
        return spec
    try:
        return replace(spec, decode=replace(spec.decode, form=form))
    except (BadConfigError, ValueError) as error:
        raise BadGraphError(
            f"the output {main!r} holds {output_remarks.in_words(form)}: {str(error).rstrip('.')}."
        ) from None


def form_of(model: Any | None, name: str, output: Array, image_hw: tuple[int, int], spec: ModelSpec) -> Form | None:
    """The form of one output, from its type, shape, values and last operators; None if it does not fit the labels."""
    shape, labels = output.shape, len(spec.labels)
    if len(shape) not in (3, 4) or not has_aspect((shape[-2], shape[-1]), image_hw):
        return None
    is_plane = len(shape) == 3 or shape[1] == 1
    if output.dtype.kind in "iub":
        return "labels" if is_plane else None
    ends_in = last_operator(model, name) if model is not None else ""
    low, high = _value_bounds.of(model, name) if model is not None else _value_bounds.UNKNOWN
    is_unit = low >= 0 and high <= 1 + UNIT_TOLERANCE
    values = np.asarray(output, np.float32)
    if (
        is_plane
        and (ends_in in _DECIDING or (model is None and (labels > 2 or len(shape) == 3)))
        and _is_whole(values, labels)
    ):
        return "labels"
    if len(shape) != 4:
        return None
    if shape[1] == labels:
        is_sum = bool(values.min(initial=0) >= 0 and np.abs(values.sum(axis=1) - 1).max(initial=0) <= _SUM_TOLERANCE)
        return "probabilities" if is_sum or is_unit or ends_in == "Sigmoid" else "logits"
    if shape[1] == 1 and labels == 2:
        is_within = values.min(initial=0) >= 0 and values.max(initial=1) <= 1
        is_probability = is_unit or (ends_in in _TO_PROBABILITY and is_within)
        is_stated = isinstance(spec.decode, SegmentationDecode) and spec.decode.form != "logits"
        if not is_probability and not is_stated:
            _refuse_other_scale(name, low, high)
        return "binary_probability" if is_probability else "binary_logits"
    return None


def _refuse_other_scale(name: str, low: float, high: float) -> None:
    """Refuse one plane that can be neither logits nor probabilities, by the bounds of its values.

    Raises:
        BadGraphError: scores of 0..255 or the like, or logarithms of probabilities.
    """
    if low >= 0 and math.isfinite(high):
        raise BadGraphError(
            f"the output {name!r} is one plane of values from {low:g} to {high:g}, neither logits nor probabilities of "
            f"two labels. Divide it by {high:g} in the network, and export it again."
        )
    if high <= 0:
        raise BadGraphError(
            f"the output {name!r} is one plane of values that are never above 0, as logarithms of probabilities are. "
            "Leave the logarithm out of the network, and export it again."
        )


def last_operator(model: Any, name: str) -> str:
    """The last operator before an output that does not only arrange values; empty if there is none."""
    return _origin(model, name, _ARRANGING)[1]


def listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Outputs with their shapes, for a sentence."""
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())


def _main(model: Any | None, forms: Mapping[str, Form], results: Feeds) -> str | None:
    """The only output that fits; of several, the only one that is not auxiliary, or that the others are made of."""
    shapes = {name: array.shape for name, array in results.items()}
    if any(_BY_INSTANCE.search(name) for name in results):
        raise BadGraphError(
            f"the outputs {listed(shapes)} look like those of a detection or instance segmentation, which is out of "
            "scope: densecast runs networks with one map of all pixels. If one is such a map, name it: --output-name.",
            field="output_name",
        )
    fitting = [name for name in forms if not _AUXILIARY.search(name)] or list(forms)
    # One plane beside a map of as many channels as labels is something else, as a depth or an edge.
    fitting = [name for name in fitting if forms[name] not in BINARY] or fitting
    if len(fitting) > 1 and model is not None:
        by_origin: dict[str, list[str]] = {}
        for name in fitting:
            by_origin.setdefault(_origin(model, name, _ONE_MEANING)[0], []).append(name)
        if len(by_origin) == 1:

            def rank(name: str) -> tuple[int, int]:
                return _RANK.index(forms[name]), -results[name].size

            fitting = [min(fitting, key=rank)]
    if len(fitting) > 1:
        raise BadGraphError(
            f"several outputs fit the labels, and which one is meant cannot be known: "
            f"{listed({name: shapes[name] for name in fitting})}. Name it: --output-name {_finest(fitting, results)}.",
            field="output_name",
        )
    return fitting[0] if fitting else None


def _finest(names: list[str], results: Feeds) -> str:
    return max(names, key=lambda name: results[name].size)


def _first(forms: Mapping[str, Form]) -> str | None:
    """The first map of all labels, else the first of another form."""
    maps = [name for name, form in forms.items() if form in ("logits", "probabilities")]
    return next(iter(maps or forms), None)


def _origin(model: Any, name: str, passed: set[str]) -> tuple[str, str]:
    """Walk up from a tensor through `passed` operators: the tensor where the walk ends, and what makes it."""
    makers = {output: node for node in model.graph.node for output in node.output}
    while name in makers and makers[name].op_type in passed and makers[name].input:
        name = makers[name].input[0]
    return name, str(makers[name].op_type) if name in makers else ""


def _is_alike(form: Form, declared: Form) -> bool:
    """Whether an output that looks like `form` may be of the declared one: as many channels."""
    groups = (("logits", "probabilities"), BINARY, ("labels",))
    return any(form in group and declared in group for group in groups) or declared == "labels"


def has_aspect(size_hw: tuple[int, int], image_hw: tuple[int, int]) -> bool:
    """Whether a size is that of an image, or a part of it in both directions alike."""
    if min(size_hw) < 1:
        return False
    down, across = image_hw[0] / size_hw[0], image_hw[1] / size_hw[1]
    if min(size_hw) > _FEW:
        return abs(down / across - 1) <= _ASPECT_TOLERANCE
    # A side of a few pixels may have been rounded by one, which changes much of it; a list of boxes is longer.
    (least_down, most_down), (least_across, most_across) = (
        (image / (own + 1), image / max(own - 1, 0.5)) for image, own in zip(image_hw, size_hw, strict=True)
    )
    return least_down <= most_across and least_across <= most_down


def _is_whole(values: npt.NDArray[np.float32], labels: int) -> bool:
    return bool(values.size) and bool((values == values.round()).all() and values.min() >= 0 and values.max() < labels)


def _check_labels(output: Array, main: str, spec: ModelSpec) -> None:
    """Refuse class indices that the model has no label for, as far as one image shows them.

    Raises:
        BadGraphError: says the largest, and what it may come from.
    """
    if not output.size:
        return
    low, high, count = float(output.min()), float(output.max()), len(spec.labels)
    if low >= 0 and high < count:
        return
    cure = "Name all of its labels."
    if low >= 1 and high == count:
        cure = "It counts them from 1: name a first label that stands for 0."
    elif high > count and len(np.unique(output)) > count:
        cure = "It may be a map of scores in whole numbers: export the network with its scores as floats."
    raise BadGraphError(
        f"the output {main!r} gives label {low if low < 0 else high:g}, and there are {count} labels, 0 to "
        f"{count - 1} ({', '.join(spec.labels[:_SHOWN_LABELS])}{', …' if count > _SHOWN_LABELS else ''}). {cure}",
        field="labels",
    )
