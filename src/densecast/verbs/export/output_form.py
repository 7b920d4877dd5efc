"""Tells what the outputs of a graph hold: logits, probabilities, one plane for two labels, or labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from densecast.errors import BadGraphError
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Array, Feeds
from densecast.spec.verb_options import ExportOptions
from densecast.tasks.segmentation import SegmentationDecode

# How far the probabilities of a pixel may sum up from 1, after rounding in 16 bits.
_SUMS = 5e-3
_ARRANGING = {"Identity", "Cast", "Transpose", "Resize", "Slice", "Squeeze", "Unsqueeze", "Reshape"}
_TO_PROBABILITY = {"Sigmoid", "HardSigmoid", "Softmax", "Clip"}
_INSTANCES = ("boxes", "bbox", "dets", "masks", "scores", "proto")


def settle(
    model: Any, results: Feeds, spec: ModelSpec, options: ExportOptions
) -> tuple[ModelSpec, str | None, tuple[str, ...]]:
    """The spec with the form of the main output, that output's name if it had to be found, and what to say of it.

    A form that the spec declares is kept. An output that `options` or the spec name is not searched for.

    Raises:
        BadGraphError: several outputs fit the task equally well, or they are those of instances.
    """
    if not isinstance(spec.decode, SegmentationDecode):
        return spec, None, ()
    declared = [tensor.name for tensor in spec.outputs if tensor.name in results]
    named = options.output_name or (declared[0] if declared else None)
    if named is not None and named not in results:
        return spec, None, ()
    forms = {name: form for name in results if (form := form_of(model, name, results[name], spec))}
    main = named or _main(forms, results)
    if main is None or main not in forms:
        return spec, None, ()
    form = forms[main]
    found = None if named else main
    if spec.decode.form != "logits" or form == "logits":
        return spec, found, ()
    try:
        decode = replace(spec.decode, form=form)
        changed = replace(spec, decode=decode)
    except ValueError as error:
        raise BadGraphError(f"the output {main!r} holds {form}: {error}.") from None
    return changed, found, (f"the output {main!r} holds {_in_words(form)}: decoded as form {form!r}",)


def form_of(model: Any, name: str, output: Array, spec: ModelSpec) -> Any | None:
    """The form of one output, from its type, shape, values and last operators; None if it does not fit the labels."""
    shape, labels = output.shape, len(spec.labels)
    if output.dtype.kind in "iub":
        return "labels" if len(shape) == 3 or (len(shape) == 4 and shape[1] == 1) else None
    if len(shape) != 4:
        return None
    ends_in = _last_operator(model, name)
    if ends_in == "ArgMax":
        return "labels" if shape[1] == 1 else None
    if shape[1] == labels:
        values = np.asarray(output, np.float32)
        is_sum = bool(values.min(initial=0) >= 0 and np.abs(values.sum(axis=1) - 1).max(initial=0) <= _SUMS)
        return "probabilities" if is_sum or ends_in == "Sigmoid" else "logits"
    if shape[1] == 1 and labels == 2:
        return "binary_probability" if ends_in in _TO_PROBABILITY else "binary_logits"
    return None


def _main(forms: Mapping[str, Any], results: Feeds) -> str | None:
    """The only output that fits; of several, the only one that is not auxiliary."""
    if not forms:
        instances = [name for name in results if any(word in name.lower() for word in _INSTANCES)]
        if len(results) > 1 and len(instances) > 1:
            raise BadGraphError(
                f"the outputs {', '.join(results)} are those of an instance segmentation or detection, which is out of "
                "scope: densecast runs networks with one map of all pixels.",
                field="output_name",
            )
        return None
    fitting = [name for name in forms if "aux" not in name.lower()] or list(forms)
    if len(fitting) > 1:
        raise BadGraphError(
            f"the outputs {', '.join(fitting)} all fit the labels, and which one is meant cannot be known. "
            f"Name it (--output-name {fitting[0]}).",
            field="output_name",
        )
    return fitting[0]


def _last_operator(model: Any, name: str) -> str:
    """The last operator before an output that does not only arrange values; empty if there is none."""
    makers = {output: node for node in model.graph.node for output in node.output}
    while name in makers and makers[name].op_type in _ARRANGING:
        name = makers[name].input[0]
    return str(makers[name].op_type) if name in makers else ""


def _in_words(form: str) -> str:
    return {
        "labels": "class indices, as its graph ends in an argmax",
        "probabilities": "probabilities",
        "binary_logits": "one plane for two labels",
        "binary_probability": "the probability of the second of two labels",
    }[form]
