"""How transformers reads a network's output: logits resized once; depth in metres or relative, as it is configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from densecast.errors import BadConfigError
from densecast.spec.model import ModelSpec
from densecast.tasks.monocular_depth import MonocularDepthDecode
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import spec_file
from densecast.verbs.export.hf_folder import MASKS_HW
from densecast.verbs.export.spec_file import SpecFile

# Its configuration says which: `depth_estimation_type`, "relative" if it is silent.
_SAYS = "DepthAnything"
# Weights of both kinds are published, and nothing in them tells which.
_EITHER = "DPTForDepthEstimation"
# `post_process_depth_estimation` brings depth of these to the image's size bicubically.
_BICUBIC = ("DepthAnything", "GLPN")
# `post_process_semantic_segmentation` brings the logits of these to the image's size in one step.
_RESIZED_ONCE = "ForSemanticSegmentation"


def settle(model: ModelSpec, said: ModelSpec | SpecFile | str | Path | None, name: str, config: object) -> ModelSpec:
    """The spec with what the network of class `name` gives and transformers makes of it, where `said` is silent.

    `config` is its configuration: a table, or an object with its keys as attributes.

    Raises:
        BadConfigError: its depth may be of either form.
    """
    if _is_said(said):
        return model
    if isinstance(model.decode, SegmentationDecode):
        is_whole = model.preprocess.surroundings() is None and model.slide is None
        is_once = (_RESIZED_ONCE in name or name in MASKS_HW) and is_whole and model.decode.resizes_values
        return replace(model, decode=replace(model.decode, to_image="bilinear_logits_once")) if is_once else model
    decode = model.decode
    if not isinstance(decode, MonocularDepthDecode):
        return model
    if name.startswith(_BICUBIC):
        decode = replace(decode, to_image="bicubic")
    if _EITHER in name:
        raise BadConfigError(
            f"{name} gives relative inverse depth (larger is nearer, as MiDaS's weights do) or metres, and its files do"
            ' not say which. Say it in a spec file: decode = { kind = "monocular_depth", form = "inverse", to_image = '
            '"bicubic" }, or form = "metres".',
            field="decode",
        )
    kind: Any = config.get("depth_estimation_type") if isinstance(config, Mapping) else None
    kind = kind or getattr(config, "depth_estimation_type", None) or "relative"
    if name.startswith(_SAYS) and kind == "relative":
        decode = replace(decode, form="inverse")
    return replace(model, decode=decode)


def of_module(model: ModelSpec, said: ModelSpec | SpecFile | str | Path | None, module: object) -> ModelSpec:
    """As `settle`, of a network in memory, with the configuration that it has."""
    return settle(model, said, type(module).__name__, getattr(module, "config", None))


def _is_said(said: ModelSpec | SpecFile | str | Path | None) -> bool:
    if isinstance(said, (str, Path)):
        return "decode" in spec_file.read_with_keys(Path(said))[1]
    return said is not None and said.decode is not None
