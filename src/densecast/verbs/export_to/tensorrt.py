"""Makes the ONNX graph that TensorRT takes its types from: int8 before convolutions, float16 elsewhere.

TensorRT itself is not at hand: what is written is checked by onnx, and run on the engines of this CPU for its accuracy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import version_converter

from densecast.artifact import Artifact, CompiledArtifact
from densecast.backends import _excluded, _ort_ready
from densecast.errors import BadGraphError, UsageError
from densecast.graph import _typed
from densecast.runtime import engine_words
from densecast.spec.data_options import Data
from densecast.spec.handover_options import ExportToOptions
from densecast.spec.options import QuantizeOptions
from densecast.verbs.builder import calibration
from densecast.verbs.export_to import folding
from densecast.verbs.export_to.model_file import ONNX, Fold, folded

Pixels = npt.NDArray[np.uint8]
_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Typed:
    """The graph, and some of the pictures that it was calibrated on, (H, W, C), RGB if C is 3."""

    model: onnx.ModelProto
    images: tuple[Pixels, ...] = ()


def typed(
    source: Artifact,
    fold: Fold,
    options: ExportToOptions,
    data: Path | Data | None,
    progress: calibration.Progress | None = None,
) -> Typed:
    """The folded graph of an exported artifact with its types in it.

    Raises:
        UsageError: a build, int8 without calibration images, or an operator without a form that has float16 pairs.
        BadGraphError: a weight beyond float16, or a graph whose types do not fit together.
    """
    if isinstance(source, CompiledArtifact):
        named = f" ({source.manifest.parent_name})" if source.manifest.parent_name else ""
        raise UsageError(
            f"{source.folder} is built for another engine; TensorRT's types go into the exported artifact{named}.",
            field="artifact",
        )
    model = _raised(_ort_ready.named(folded(onnx.load(source.file(ONNX)), fold)))
    images: tuple[Pixels, ...] = ()
    if options.precision != "fp16":
        if data is None:
            raise UsageError("int8 needs calibration images: name them with --data, or take --precision fp16.")
        excluded = _left_out(model, options.quantize, fold)
        model, images = _quantised(model, fold, options.quantize, excluded, data, progress)
    elif data is not None:
        raise UsageError("float16 is not calibrated: leave the images out.", field="data")
    model = _typed.with_halves(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BadGraphError(
            f"{fold.spec.name}: its types do not fit together as float16 ({engine_words.reason(error)})."
        ) from None
    return Typed(model, images)


def _raised(model: onnx.ModelProto) -> onnx.ModelProto:
    if _ort_ready.opset(model) >= _typed.OPSET:
        return model
    try:
        return version_converter.convert_version(model, _typed.OPSET)
    except Exception as error:  # the converter raises its own kinds
        raise UsageError(
            f"float16 Q/DQ pairs need opset {_typed.OPSET}, and this graph cannot be raised to it "
            f"({engine_words.reason(error)}). Export it with --opset {_typed.OPSET}."
        ) from None


def _left_out(model: onnx.ModelProto, options: QuantizeOptions, fold: Fold) -> frozenset[str]:
    patterns = (*options.excluded_names, *fold.spec.excluded_names)
    names = set(_excluded.matching(patterns, [node.name for node in model.graph.node]))
    _excluded.check_types(options.excluded_types, {node.op_type for node in model.graph.node})
    types = {*options.excluded_types, *fold.spec.excluded_types}
    return frozenset(node.name for node in model.graph.node if node.name in names or node.op_type in types)


def _quantised(
    model: onnx.ModelProto,
    fold: Fold,
    options: QuantizeOptions,
    excluded: frozenset[str],
    data: Path | Data,
    progress: calibration.Progress | None,
) -> tuple[onnx.ModelProto, tuple[Pixels, ...]]:
    spec = replace(fold.spec, inputs=(replace(fold.spec.input, dtype="uint8"),))
    items, _ = calibration.choose(spec, options, data)
    feeds = calibration.CalibrationFeeds(items, spec, progress)
    is_bgr = folding.network_colour(spec) == "bgr"
    pictures = []
    for place in range(min(_SHOWN, len(feeds))):
        picture = np.asarray(feeds[place][spec.input.name], np.uint8)[0].transpose(1, 2, 0)
        pictures.append(np.ascontiguousarray(picture[:, :, ::-1] if is_bgr else picture))
    largest = _largest(model, (_fed(feed[spec.input.name], fold) for feed in feeds), excluded, options)
    return _typed.with_int8(model, largest, excluded), tuple(pictures)


def _fed(planes: npt.NDArray[np.generic], fold: Fold) -> npt.NDArray[np.generic]:
    """(N, C, H, W) in the network's order of colours -> pixels as the folded graph takes them."""
    assert fold.pixels is not None, "pixels come in"
    colours = planes[:, ::-1] if fold.pixels.reverses else planes
    return np.ascontiguousarray(colours.transpose(0, 2, 3, 1) if fold.pixels.channels_last else colours)


def _largest(
    model: onnx.ModelProto,
    feeds: Iterator[npt.NDArray[np.generic]],
    excluded: frozenset[str],
    options: QuantizeOptions,
) -> dict[str, float]:
    """The largest absolute value of each tensor that is rounded: the mean of the images' own, or as is asked."""
    import onnxruntime as ort

    if options.calibration_method == "histogram":
        raise UsageError("symmetric ranges are found by minmax, mean_minmax or percentile.", field="calibration_method")
    names = _typed.activations(model, excluded)
    if not names:
        return {}
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    outputs = {value.name for value in watched.graph.output}
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    session_options = ort.SessionOptions()
    session_options.log_severity_level = 4
    session = ort.InferenceSession(watched.SerializeToString(), session_options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    seen: list[list[float]] = []
    for feed in feeds:
        answers = session.run(list(names), {given.name: feed})
        seen.append([_reach(answer, options) for answer in answers])
    together = np.max if options.calibration_method in ("minmax", "percentile") else np.mean
    return dict(zip(names, together(np.array(seen), axis=0).tolist(), strict=True))


def _reach(values: npt.NDArray[np.float32], options: QuantizeOptions) -> float:
    sizes = np.abs(values)
    if options.calibration_method == "percentile":
        return float(np.percentile(sizes, options.percentile))
    return float(sizes.max()) if sizes.size else 0.0
