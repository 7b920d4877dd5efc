"""What is folded into a model that is handed over: how pixels come in, and what the task makes of the maps."""

from __future__ import annotations

import math
from dataclasses import replace

from densecast.errors import UsageError
from densecast.graph.end_at_prediction import Ending
from densecast.graph.pixel_input import Pixels
from densecast.spec.handover_options import TENSORRT, ExportToOptions, Receiver
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import Native, Stretch
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks.monocular_depth import MonocularDepthDecode
from densecast.tasks.multilabel import MultilabelDecode
from densecast.tasks.segmentation import BINARY, SegmentationDecode

# Their servers or wrappers bring every image to one size themselves.
_ONE_SIZE: tuple[Receiver, ...] = ("ovms", "model-api", TENSORRT)
_MOST_LABELS_OF_A_BYTE = 256


def check(spec: ModelSpec, receiver: Receiver) -> None:
    """Check that bytes of an image can go in, and that one run of the network answers.

    Raises:
        UsageError: several inputs, sliding windows, images of more than 8 bits, or surroundings that are no bytes; or
            a task that the receiver has nothing for.
    """
    if len(spec.inputs) > 1:
        raise UsageError(
            f"{spec.name} has {len(spec.inputs)} inputs, and one image is handed over. Serve it with `densecast serve`."
        )
    if spec.slide is not None:
        raise UsageError(
            f"{spec.name} sees images in sliding windows ({spec.slide}), and one graph sees one window. Export the "
            "network without them, or serve it with `densecast serve`."
        )
    rule = spec.preprocess_of(spec.input.name)
    if rule.value_range is not None:
        raise UsageError(
            f"{spec.name} takes images of more than 8 bits (value_range), which bytes cannot hold. Serve it with "
            "`densecast serve`."
        )
    fill = rule.surroundings() or ()
    if receiver != "model-api" and any(value != int(value) for value in fill):
        raise UsageError(
            f"{spec.name}: images are surrounded by {', '.join(f'{value:g}' for value in fill)}, which bytes cannot "
            "hold. Export another variant of the model, or serve it with `densecast serve`."
        )
    if receiver == "model-api":
        _check_model_api(spec)


def _check_model_api(spec: ModelSpec) -> None:
    decode = spec.decode
    if not isinstance(decode, SegmentationDecode) or decode.form == "labels":
        has = "class indices instead of planes" if isinstance(decode, SegmentationDecode) else f"task {spec.task}"
        raise UsageError(
            f"Model API has a wrapper for segmentations that give a plane a class; {spec.name} has {has}. "
            "Hand it over as onnx-full.",
            field="receiver",
        )
    if spec.input.shape[1] != 3:
        raise UsageError(
            f"Model API takes images of 3 channels, and {spec.name} takes {spec.input.shape[1]}. Hand it over as "
            "onnx-full.",
            field="receiver",
        )
    if spec.preprocess_of(spec.input.name).surroundings() is not None:
        kind = spec.preprocess.resize.kind
        raise UsageError(
            f"Model API stretches the labels of the whole input over the image, the surroundings of {kind} with them: "
            "every mask would be shifted. Export the model with a stretch resize, or hand it over as onnx-full.",
            field="receiver",
        )


def sized(spec: ModelSpec, receiver: Receiver, options: ExportToOptions) -> ModelSpec:
    """The spec with the sizes that the handed-over model takes.

    Raises:
        UsageError: a size that the artifact does not take, or none where the receiver needs one.
    """
    batch, channels, *sides = spec.input.shape
    needs_one = receiver in _ONE_SIZE
    rule = spec.preprocess_of(spec.input.name)
    if receiver == "model-api" and isinstance(rule.resize, Native) and rule.pad_multiple == 1:
        needs_one = False  # as it is, which is what Model API does to images of open sizes
    asked: tuple[int | None, int | None] = (options.height, options.width)
    one = getattr(rule.resize, "size_hw", None)
    if asked == (None, None) and one is not None:
        asked = rule.place(one).model_hw
    chosen = [_chosen(name, have, want) for name, have, want in zip(("height", "width"), sides, asked, strict=True)]
    if needs_one and any(isinstance(side, Dim) for side in chosen):
        raise UsageError(
            f"{receiver} needs one size, and {spec.name} takes {chosen[0]} × {chosen[1]} ({rule.resize.kind}). Name "
            "the network's with --height and --width.",
            field="height",
        )
    want = options.batch
    if want is None and isinstance(batch, Dim) and needs_one:
        want = 1 if batch.admits(1) else batch.min
    count = _chosen("batch", batch, want)
    image = replace(spec.input, shape=(count, channels, *chosen))
    outputs = tuple(replace(each, shape=(count, *each.shape[1:])) for each in spec.outputs)
    return replace(spec, inputs=(image,), outputs=outputs)


def _chosen(axis: str, have: int | Dim, want: int | None) -> int | Dim:
    if want is None:
        return have
    if have == want if isinstance(have, int) else have.admits(want):
        return want
    raise UsageError(f"the artifact takes {axis} {have}, not {want}. Build or export one for {want}.", field=axis)


def pixels(spec: ModelSpec, receiver: Receiver, options: ExportToOptions) -> Pixels:
    """How pixels come.

    Raises:
        UsageError: an order of colours of images that have none.
    """
    return Pixels(
        options.layout == "nhwc", input_colour(spec, receiver, options) not in (network_colour(spec), "bands")
    )


def network_colour(spec: ModelSpec) -> str:
    """`rgb`, `bgr`, `grey` or `bands`: the order of colours that the network itself takes."""
    channels = spec.input.shape[1]
    if channels == 1:
        return "grey"
    return spec.preprocess_of(spec.input.name).colour.lower() if channels == 3 else "bands"


def input_colour(spec: ModelSpec, receiver: Receiver, options: ExportToOptions) -> str:
    """`rgb`, `bgr`, `grey` or `bands`: the order of colours in which pixels come.

    Raises:
        UsageError: one was named for images that have none.
    """
    own = network_colour(spec)
    if own in ("grey", "bands"):
        if options.colour != "auto":
            raise UsageError(f"{spec.name} takes {own}, which has no order of colours: leave it out.", field="colour")
        return own
    if options.colour != "auto":
        return options.colour
    # OVMS decodes JPEG to BGR; Model API's callers read images with OpenCV.
    return "bgr" if receiver in ("ovms", "model-api") else "rgb"


def ending(spec: ModelSpec, receiver: Receiver) -> Ending | None:
    """What the task makes of the main output; None where that is no part of a graph, as the people of a pose network.

    Its name is that of the task's own tensor, which `densecast serve` gives as well.
    """
    decode, source = spec.decode, spec.output.name
    if isinstance(decode, SegmentationDecode):
        return _of_segmentation(decode, source, len(spec.labels), len(spec.output.shape), receiver)
    if isinstance(decode, MultilabelDecode):
        limits = decode.thresholds or (decode.threshold,) * len(spec.labels)
        if decode.activation == "sigmoid":
            limits = tuple(_logit(limit) for limit in limits)
        return Ending(source, "classes", "above", _small(receiver), decode.align_corners, limits)
    if isinstance(decode, MonocularDepthDecode):
        name = "depth_m" if decode.form == "metres" else "inverse_depth"
        bounds = (decode.scale_m, decode.min_m, decode.max_m)
        return Ending(source, name, "numbers", "float32", decode.align_corners, (), *bounds, drops_channel=True)
    return None


def _of_segmentation(decode: SegmentationDecode, source: str, labels: int, rank: int, receiver: Receiver) -> Ending:
    limit = decode.threshold if decode.form == "binary_probability" else _logit(decode.threshold)
    limits = (limit,) if decode.form in BINARY else ()
    if receiver == "model-api":
        return Ending(source, "planes", "planes", "float32", decode.align_corners, limits)
    dtype = _small(receiver) if labels <= _MOST_LABELS_OF_A_BYTE else "int32"
    if decode.form == "labels":
        return Ending(source, "class_id", "labels", dtype, drops_channel=rank == 4)
    if limits:
        return Ending(source, "class_id", "above", dtype, decode.align_corners, limits, drops_channel=True)
    return Ending(source, "class_id", "argmax", dtype, decode.align_corners)


def _small(receiver: Receiver) -> str:
    # TensorRT casts whole numbers to bytes from floats alone.
    return "int32" if receiver == TENSORRT else "uint8"


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def resize_words(spec: ModelSpec) -> str:
    """What a caller does to an image before its pixels go in, in words."""
    rule = spec.preprocess_of(spec.input.name)
    sides = " × ".join(str(side) for side in spec.input.shape[2:])
    first = "turned upright by its EXIF tag, " if rule.use_exif else ""
    if isinstance(rule.resize, Native) and rule.pad_multiple == 1:
        return f"{first}no resize: the image as it is"
    told = f"resized by {rule.resize.kind} ({rule.interpolation})"
    if all(isinstance(side, int) for side in spec.input.shape[2:]):
        told += f" to {sides}"
    if isinstance(rule.resize, Stretch):
        told = f"stretched ({rule.interpolation}) to {sides}"
    fill = rule.surroundings()
    return (
        f"{first}{told}"
        if fill is None
        else f"{first}{told}, surrounded by {', '.join(f'{value:g}' for value in fill)}"
    )


def described(tensor: TensorSpec) -> list[int]:
    """Sizes as receivers write them: -1 where they are open."""
    return [-1 if isinstance(size, Dim) else size for size in tensor.shape]
