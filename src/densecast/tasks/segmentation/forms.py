"""Reads main outputs that are not logits of every class: probabilities, one plane for two labels, labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadGraphError, BadInputError, UsageError
from densecast.imaging.prepare import resize_labels
from densecast.kernels import bilinear
from densecast.spec.augment import View
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.sample import LabelMap, label_dtype
from densecast.spec.tensor import Array
from densecast.tasks.segmentation import BINARY, SegmentationDecode, SegmentationMap, decode_options, postprocess

F32 = npt.NDArray[np.float32]
Floating = npt.NDArray[np.floating[Any]]

_FIRST_EXPONENT = 80.0


def planes(output: Floating, options: SegmentationDecode) -> Floating:
    """(…, C, h, w) -> planes whose largest is the label: of a binary output (…, 1, h, w) zeros, and what is above.

    The resized map is above the threshold where the map less the threshold, resized, is above 0.
    """
    if options.form not in BINARY:
        return output
    above = output - output.dtype.type(_threshold(options))
    return np.concatenate([np.zeros_like(above), above], axis=-3)


def labels_of(output: Array, options: SegmentationDecode) -> npt.NDArray[np.integer[Any]]:
    """(N, C, h, w) or labels (N, h, w), as the network gives them -> (N, h, w) labels."""
    if options.form == "labels":
        whole = np.asarray(output).astype(np.int64, copy=False)
        return whole[:, 0] if whole.ndim == 4 else whole
    return np.asarray(planes(np.asarray(output, dtype=np.float32), options).argmax(axis=-3))


def probabilities(output: Array, spec: ModelSpec) -> F32:
    """A main output (C, h, w) -> (C, h, w) class probabilities; labels have one of 1.

    Logits that are not finite count as large, so that a broken network's error is large.
    """
    options = decode_options(spec)
    if options.form == "labels":
        labels = class_ids(output, spec, checked=False)
        return np.stack([labels == label for label in range(len(spec.labels))]).astype(np.float32)
    finite = np.nan_to_num(np.asarray(output, np.float32), nan=0.0, posinf=_FIRST_EXPONENT, neginf=-_FIRST_EXPONENT)
    if options.form == "probabilities":
        return finite
    if options.form in BINARY:
        positive = _sigmoid(finite) if options.form == "binary_logits" else finite
        return np.concatenate([1 - positive, positive])
    powers = np.exp(finite - finite.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), dtype=np.float32)


def class_ids(output: Array, spec: ModelSpec, *, checked: bool = True) -> LabelMap:
    """Labels (h, w) or (1, h, w) of any type -> (h, w) class indices.

    Raises:
        BadGraphError: the output is no label map, or holds a label that the model does not have.
    """
    if output.ndim == 3 and output.shape[0] == 1:
        output = output[0]
    if output.ndim != 2:
        raise BadGraphError(f"{spec.name}: expected labels (h, w) or (1, h, w); the network gave {output.shape}.")
    if checked and output.size:
        low, high = float(np.min(output)), float(np.max(output))
        if not (low >= 0 and high < len(spec.labels)):
            raise BadGraphError(
                f"{spec.name}: the network gives label {low if not low >= 0 else high:g}, and it has "
                f"{len(spec.labels)} labels, 0 to {len(spec.labels) - 1}. Export it with all of its labels."
            )
    return np.ascontiguousarray(output).astype(label_dtype(len(spec.labels)))


def decode_views(
    outputs: Sequence[Array],
    views: Sequence[View],
    spec: ModelSpec,
    frame: Frame = "image",
    *,
    probability: bool = False,
) -> SegmentationMap:
    """One output for each view of an image -> each pixel's class of the highest mean probability.

    Raises:
        BadGraphError: an output that is not of the spec's form.
        BadInputError: values that are not finite.
        UsageError: several views, and they do not meet at one size; or scores or several views of labels.
    """
    if decode_options(spec).form == "labels":
        return _place(outputs, views, spec, frame, probability)
    maps = [_checked(output, spec) for output in outputs]
    plain = len(views) == 1 and not views[0].mirrored
    if plain:
        seen = np.asarray(planes(maps[0], decode_options(spec)), dtype=np.float32)
        labels = postprocess.decode(seen, views[0].placement, spec, frame).class_id
        return SegmentationMap(labels, _winners(maps[0], labels, views[0], spec, frame) if probability else None)
    postprocess.check_views(views, spec, frame)
    return _mean(maps, views, spec, frame, probability)


def _place(
    outputs: Sequence[Array], views: Sequence[View], spec: ModelSpec, frame: Frame, probability: bool
) -> SegmentationMap:
    if probability:
        raise UsageError(
            f"{spec.name}: its graph ends in the argmax, so there are labels only, no scores.", field="scores"
        )
    if len(views) > 1 or views[0].mirrored:
        raise UsageError(
            f"{spec.name}: its graph ends in the argmax, and labels cannot be averaged over views. Ask for one view, "
            "neither mirrored nor of several ratios.",
            field="flip" if any(view.mirrored for view in views) else "ratios",
        )
    return postprocess.place_labels(class_ids(outputs[0], spec), views[0].placement, spec, frame)


def _winners(output: F32, labels: LabelMap, view: View, spec: ModelSpec, frame: Frame) -> F32:
    """The probability of each pixel's label, resized as the labels were."""
    nearest = postprocess.nearest_rule(spec, frame)
    if decode_options(spec).to_image == "blended_labels" or (any(view.placement.offset_xy) and nearest):
        raise UsageError(
            f"{spec.name}: images in the middle of the network's input have labels only, no scores.", field="scores"
        )
    (output,), (view,) = postprocess.cut_out([output], [view], decode_options(spec).align_corners)
    placement = view.placement
    at_network = frame == "network" or nearest is not None
    if nearest is not None:
        options = decode_options(spec)
        seen = np.asarray(planes(output, options), dtype=np.float32)
        labels = postprocess.decode(seen, placement, spec, "network").class_id
    plan = _plan(output, view, spec, "network" if at_network else "image")
    winners = np.zeros(labels.shape, np.float32)
    for label in np.unique(labels).tolist():
        plane = _resized_probability(output, label, plan, spec)
        np.copyto(winners, plane, where=labels == label)
    return winners if nearest is None else resize_labels(winners, placement.image_hw, nearest)


def _mean(
    maps: Sequence[F32], views: Sequence[View], spec: ModelSpec, frame: Frame, probability: bool
) -> SegmentationMap:
    options = decode_options(spec)
    maps, views = postprocess.cut_out(maps, views, options.align_corners)
    if frame == "network":
        postprocess.check_one_size(views, spec)
    plans = [_plan(output, view, spec, frame) for output, view in zip(maps, views, strict=True)]

    def mean_of(label: int) -> F32:
        total: F32 | None = None
        for output, view, plan in zip(maps, views, plans, strict=True):
            plane = _resized_probability(output, label, plan, spec)
            plane = plane[:, ::-1] if view.mirrored else plane
            total = plane.copy() if total is None else total + plane
        assert total is not None, "there is a view"
        return np.asarray(total / np.float32(len(maps)), dtype=np.float32)

    dtype = label_dtype(len(spec.labels))
    if options.form in BINARY:
        positive = mean_of(1)
        labels: LabelMap = (positive > np.float32(options.threshold)).astype(dtype)
        winners = np.where(labels == 1, positive, 1 - positive)
    else:
        labels, winners = np.zeros((0, 0), dtype), np.zeros((0, 0), np.float32)
        for label in range(len(spec.labels)):
            plane = mean_of(label)
            if label == 0:
                labels, winners = np.zeros(plane.shape, dtype), plane
                continue
            wins = plane > winners
            labels[wins] = label
            np.copyto(winners, plane, where=wins)
    return SegmentationMap(labels, winners if probability else None)


def _plan(output: F32, view: View, spec: ModelSpec, frame: Frame) -> bilinear.Plan:
    placement = view.placement
    sizes = postprocess.resizes(placement, spec, frame)
    crop_hw = placement.content_hw if placement.is_padded else None
    size_hw = (output.shape[1], output.shape[2])
    made = bilinear.plan(size_hw, sizes, decode_options(spec).align_corners, crop_hw)
    return made or bilinear.unchanged(size_hw)


def _resized_probability(output: F32, label: int, plan: bilinear.Plan, spec: ModelSpec) -> F32:
    """(H, W) probability of one label, of the resized map."""
    form = decode_options(spec).form
    if form == "probabilities":
        return _resized(output[label], plan)
    positive = _resized(output[0], plan)
    if form == "binary_logits":
        positive = _sigmoid(positive)
    return positive if label == 1 else 1 - positive


def _resized(plane: F32, plan: bilinear.Plan) -> F32:
    for rows, cols in _steps(plan):
        across = plane[:, cols.first] * cols.first_weight + plane[:, cols.second] * cols.second_weight
        down = across[rows.first] * rows.first_weight[:, None] + across[rows.second] * rows.second_weight[:, None]
        plane = np.asarray(down, dtype=np.float32)
    return plane


def _steps(plan: bilinear.Plan) -> Iterator[bilinear.Resize]:
    if plan.early.cols.first.size:
        yield plan.early
    yield plan.late


def _threshold(options: SegmentationDecode) -> float:
    """What a binary map is compared with: a probability, or its logit."""
    if options.form == "binary_probability":
        return options.threshold
    return float(np.log(options.threshold / (1 - options.threshold)))


def _sigmoid(logits: F32) -> F32:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -_FIRST_EXPONENT, _FIRST_EXPONENT))), dtype=np.float32)


def _checked(output: Array, spec: ModelSpec) -> F32:
    form = decode_options(spec).form
    channels = 1 if form in BINARY else len(spec.labels)
    if output.ndim != 3 or output.shape[0] != channels or 0 in output.shape:
        raise BadGraphError(f"{spec.name}: expected {form} ({channels}, h, w); the network gave {output.shape}.")
    values = np.asarray(output, dtype=np.float32)
    if not np.isfinite(values).all():
        raise BadInputError.not_finite("outputs")
    return values
