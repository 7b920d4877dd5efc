"""Turns logits into class indices, at the size of the image or of the network input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from densecast.errors import BadGraphError, UsageError
from densecast.imaging.blend_labels import blend_labels
from densecast.imaging.prepare import Nearest, resize_labels
from densecast.kernels.bilinear import resize_planes
from densecast.kernels.labels import upsample_argmax, upsample_scores
from densecast.kernels.probabilities import mean_argmax
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.preprocess import FitCentre
from densecast.spec.sample import LabelMap
from densecast.spec.tensor import Array
from densecast.tasks.segmentation import SegmentationMap, ToImage, decode_options, shifted

# Whose nearest neighbour brings labels to the image's size, where logits are not.
_NEAREST: dict[ToImage, Nearest | None] = {
    "bilinear_logits": None,
    "bilinear_logits_once": None,
    "nearest_labels": "opencv",
    "nearest_labels_pillow": "pillow",
    "blended_labels": "opencv",
}


def nearest_rule(spec: ModelSpec, frame: Frame) -> Nearest | None:
    """Whose nearest neighbour brings labels to the image's size; None where it is the logits that are resized."""
    return _NEAREST[decode_options(spec).to_image] if frame == "image" else None


def resizes(placement: Placement, spec: ModelSpec, frame: Frame) -> list[tuple[int, int]]:
    """Heights and widths that the network's values are brought to, one after the other, before the argmax.

    Raises:
        BadConfigError: one step, and the image is padded.
    """
    if frame == "network" or nearest_rule(spec, frame):
        return [placement.model_hw]
    if decode_options(spec).to_image != "bilinear_logits_once":
        return [placement.model_hw, placement.image_hw]
    if placement.is_padded:
        raise shifted(spec, "padding around images")
    return [placement.image_hw]


def decode(
    output: Array, placement: Placement, spec: ModelSpec, frame: Frame = "image", *, probability: bool = False
) -> SegmentationMap:
    """(C, h, w) logits -> each pixel's class, at the size of the image or of its part of the network's input.

    With `probability` the map has each pixel's softmax probability of its class, which takes several times as long.

    Raises:
        BadGraphError: the output is not a map of `len(spec.labels)` classes.
    """
    logits, align_corners = _checked(output, spec), decode_options(spec).align_corners
    nearest = nearest_rule(spec, frame)
    sizes = resizes(placement, spec, frame)
    if decode_options(spec).to_image == "blended_labels" or (any(placement.offset_xy) and nearest):
        return _decode_centred(logits, placement, spec, frame, probability)
    if any(placement.offset_xy):
        logits, placement = _cut_out(logits, placement, align_corners)
        sizes = [placement.image_hw] if frame == "image" else [placement.model_hw]
    crop_hw = _crop(placement)
    if not probability:
        labels = upsample_argmax(logits, sizes, align_corners=align_corners, crop_hw=crop_hw)
        return SegmentationMap(resize_labels(labels, placement.image_hw, nearest) if nearest else labels)
    labels, winners = upsample_scores(logits, sizes, align_corners=align_corners, crop_hw=crop_hw)
    if nearest:
        labels = resize_labels(labels, placement.image_hw, nearest)
        winners = resize_labels(winners, placement.image_hw, nearest)
    return SegmentationMap(labels, winners)


def place_labels(labels: LabelMap, placement: Placement, spec: ModelSpec, frame: Frame = "image") -> SegmentationMap:
    """(H, W) class indices over the network's input -> class indices at the image's size, by the model's rule.

    For networks whose graph ends in the argmax: equal to `decode` of the logits it was taken of. Labels of another size
    than the network's input are brought to it first.

    Raises:
        UsageError: the model's labels are those of resized logits, which are not there any more.
    """
    nearest = _NEAREST[decode_options(spec).to_image]
    if frame == "image" and nearest is None and placement.image_hw != placement.model_hw:
        raise UsageError(f"{spec.name}: its labels are those of logits at the image's size, not resized labels.")
    if labels.shape != placement.model_hw:
        labels = resize_labels(labels, placement.model_hw, nearest or "pillow")
    if frame == "image" and decode_options(spec).to_image == "blended_labels":
        return SegmentationMap(blend_labels(labels, placement))
    (height, width), (left, top) = placement.content_hw, (int(offset) for offset in placement.offset_xy)
    content = labels[top : top + height, left : left + width]
    if frame == "image" and nearest is not None:
        content = resize_labels(content, placement.image_hw, nearest)
    return SegmentationMap(np.ascontiguousarray(content))


def _decode_centred(
    logits: npt.NDArray[np.float32], placement: Placement, spec: ModelSpec, frame: Frame, probability: bool
) -> SegmentationMap:
    """Take the argmax at the network's size, then crop to the image."""
    if probability:
        raise no_scores(spec)
    labels = upsample_argmax(logits, [placement.model_hw], align_corners=decode_options(spec).align_corners)
    return place_labels(labels, placement, spec, frame)


def no_scores(spec: ModelSpec) -> UsageError:
    """The error where scores are asked for of labels that are placed after the argmax."""
    return UsageError(
        f"{spec.name}: images in the middle of the network's input have labels only, no scores.", field="scores"
    )


def decode_views(
    outputs: Sequence[Array],
    views: Sequence[View],
    spec: ModelSpec,
    frame: Frame = "image",
    *,
    probability: bool = False,
) -> SegmentationMap:
    """One output for each view of an image -> each pixel's class of the highest mean probability.

    A single view that is not mirrored is `decode`d.

    Raises:
        BadGraphError: as `decode`.
        UsageError: several views, and they do not meet at the image's size.
    """
    if len(views) == 1 and not views[0].mirrored:
        return decode(outputs[0], views[0].placement, spec, frame, probability=probability)
    check_views(views, spec, frame)
    cut, views = cut_out([_checked(output, spec) for output in outputs], views, decode_options(spec).align_corners)
    if frame == "network":
        check_one_size(views, spec)
    sizes = [resizes(view.placement, spec, frame) for view in views]
    labels, winners = mean_argmax(
        cut,
        sizes,
        [view.mirrored for view in views],
        align_corners=decode_options(spec).align_corners,
        crops_hw=[_crop(view.placement) for view in views],
    )
    return SegmentationMap(labels, winners if probability else None)


def check_views(views: Sequence[View], spec: ModelSpec, frame: Frame) -> None:
    """Check that several views can be averaged.

    Raises:
        UsageError: they do not meet at one size.
    """
    if frame == "image" and _NEAREST[decode_options(spec).to_image]:
        raise UsageError(
            f"{spec.name}: views are averaged as probabilities at the image's size, but this model's labels are "
            "resized after the argmax. Ask for one view, neither mirrored nor of several ratios.",
            field="flip" if any(view.mirrored for view in views) else "ratios",
        )
    if isinstance(spec.preprocess.resize, FitCentre):
        raise UsageError(
            f"{spec.name}: images in the middle of the network's input are not averaged over views.",
            field="flip" if any(view.mirrored for view in views) else "ratios",
        )


def check_one_size(views: Sequence[View], spec: ModelSpec) -> None:
    """Check that views show the image at one size in the network's input.

    Raises:
        UsageError: ratios that do not.
    """
    if len({view.placement.model_hw for view in views}) > 1:
        raise UsageError(
            f"{spec.name} is evaluated at the network's size, and these ratios lead to several.", field="ratios"
        )


def cut_out(
    maps: Sequence[npt.NDArray[np.float32]], views: Sequence[View], align_corners: bool
) -> tuple[list[npt.NDArray[np.float32]], list[View]]:
    """Maps and views with those parts cut out, at the network's size, that show an image in the middle of its input."""
    cut = [
        _cut_out(planes, view.placement, align_corners) if any(view.placement.offset_xy) else (planes, view.placement)
        for planes, view in zip(maps, views, strict=True)
    ]
    placed = [replace(view, placement=placement) for view, (_, placement) in zip(views, cut, strict=True)]
    return [planes for planes, _ in cut], placed


def _cut_out(
    logits: npt.NDArray[np.float32], placement: Placement, align_corners: bool
) -> tuple[npt.NDArray[np.float32], Placement]:
    """Logits at the network's size of the part that shows the image, and the placement of the image in that part."""
    (height, width), (left, top) = placement.content_hw, (int(offset) for offset in placement.offset_xy)
    whole = resize_planes(logits, placement.model_hw, align_corners=align_corners)
    part = np.ascontiguousarray(whole[:, top : top + height, left : left + width])
    return part, Placement.resized(placement.image_hw, (height, width))


def _crop(placement: Placement) -> tuple[int, int] | None:
    """The part of the network's input that shows the image; None if it is not padded."""
    return placement.content_hw if placement.is_padded else None


def _checked(output: Array, spec: ModelSpec) -> npt.NDArray[np.float32]:
    if output.ndim != 3 or output.shape[0] != len(spec.labels) or 0 in output.shape:
        raise BadGraphError(
            f"{spec.name}: expected logits ({len(spec.labels)}, h, w), one plane a label; "
            f"the network gave {output.shape}."
        )
    return np.asarray(output, dtype=np.float32)
