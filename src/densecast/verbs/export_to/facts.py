"""What a handed-over model file says of itself: labels, preprocessing, licence, precision and version, as text.

The group `densecast` is ours, `model_info` is what OpenVINO's Model API reads. In OpenVINO's files they are `rt_info`,
in ONNX `metadata_props` whose keys begin with the group.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import densecast
from densecast import zoo
from densecast.artifact import Artifact, CompiledArtifact
from densecast.io import codec, files
from densecast.spec.handover_options import TENSORRT, ExportToOptions, Receiver
from densecast.spec.precision import short
from densecast.spec.preprocess import Stretch
from densecast.verbs.export_to import folding
from densecast.verbs.export_to.model_file import Facts, Fold
from densecast.zoo._base import ZOO

_INTERPOLATIONS = {
    "bilinear_opencv": "LINEAR",
    "bilinear_pillow": "LINEAR",
    "bicubic_pillow": "CUBIC",
    "nearest": "NEAREST",
}


def of(source: Artifact, fold: Fold, receiver: Receiver, options: ExportToOptions) -> Facts:
    """All facts, by group and name."""
    groups = {"densecast": _own(source, fold, receiver, options)}
    if receiver == "model-api":
        groups["model_info"] = _model_info(fold, receiver, options)
    return groups


def licence(source: Artifact, options: ExportToOptions) -> str | None:
    """The licence that is named, or the zoo's for weights that are the zoo's own; None if nobody has said."""
    if options.licence is not None:
        return options.licence
    name, weights = source.spec.name, source.manifest.weights
    if weights is None or name not in ZOO.names():
        return None
    entry = ZOO.load(name)
    digest = entry.checkpoint.sha256
    if entry.checkpoint.shipped:
        digest = files.sha256(Path(zoo.__file__).parent / "weights" / entry.checkpoint.file)
    return entry.licence if digest is not None and weights.sha256.startswith(digest) else None


def precision(source: Artifact, receiver: Receiver, options: ExportToOptions) -> str:
    """`fp32`, `fp16` or `int8`, of what is written."""
    if receiver == TENSORRT:
        return options.precision or "int8"
    return short(source.manifest.build.precision) if isinstance(source, CompiledArtifact) else "fp32"


def settings(source: Artifact) -> dict[str, str]:
    """What OpenVINO is to be told, for the numbers of the artifact: it takes 16 bits on its own accord else."""
    if isinstance(source, CompiledArtifact) and source.manifest.build.backend == "openvino":
        return dict(source.manifest.settings)
    return {"INFERENCE_PRECISION_HINT": "f32"}


def _own(source: Artifact, fold: Fold, receiver: Receiver, options: ExportToOptions) -> dict[str, str]:
    spec = fold.spec
    rule = spec.preprocess_of(spec.input.name)
    told = {
        "version": densecast.__version__,
        "model": spec.name,
        "task": spec.task,
        "labels": json.dumps(list(spec.labels), ensure_ascii=False),
        "palette": json.dumps([list(colour) for colour in spec.palette]),
        "input_colour": folding.input_colour(spec, receiver, options) if fold.pixels else folding.network_colour(spec),
        "input_layout": options.layout if fold.pixels else "nchw",
        "resize": rule.resize.kind,
        "interpolation": rule.interpolation,
        "preprocess": json.dumps(codec.to_plain(rule), sort_keys=True),
        "decode": json.dumps(codec.to_plain(spec)["decode"], sort_keys=True),
        "precision": precision(source, receiver, options),
        # Without it OpenVINO takes 16 bits for float32, on CPUs that have them.
        "inference_precision": settings(source)["INFERENCE_PRECISION_HINT"],
        "source": source.identity,
    }
    known = licence(source, options)
    return told if known is None else told | {"licence": known}


def _model_info(fold: Fold, receiver: Receiver, options: ExportToOptions) -> dict[str, str]:
    """Model API's keys: it resizes and normalises by them, and takes labels of the planes."""
    spec = fold.spec
    rule = spec.preprocess_of(spec.input.name)
    network, comes = folding.network_colour(spec), folding.input_colour(spec, receiver, options)
    told = {
        "model_type": "Segmentation",
        # It splits names at spaces.
        "labels": " ".join(re.sub(r"\s+", "_", label.strip()) or "_" for label in spec.labels),
        "reverse_input_channels": str(network != comes),
        "input_dtype": "u8",
        "return_soft_prediction": "False",
        "blur_strength": "-1",
    }
    if spec.input.is_static or isinstance(rule.resize, Stretch):
        told |= {"resize_type": "standard", "interpolation_mode": _INTERPOLATIONS[rule.interpolation]}
    if spec.input.dtype != "uint8":
        told["mean_values"] = " ".join(f"{value * rule.divisor:.9g}" for value in rule.mean)
        told["scale_values"] = " ".join(f"{value * rule.divisor:.9g}" for value in rule.std)
    return told
