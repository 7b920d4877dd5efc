"""What a transformers network of depth gives: metres, or relative inverse depth, by its own configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from densecast.errors import BadConfigError
from densecast.spec.model import ModelSpec
from densecast.tasks.monocular_depth import MonocularDepthDecode
from densecast.verbs.export import spec_file
from densecast.verbs.export.spec_file import SpecFile

# Its configuration says which: `depth_estimation_type`, "relative" if it is silent.
_SAYS = "DepthAnything"
# Weights of both kinds are published, and nothing in them tells which.
_EITHER = "DPTForDepthEstimation"


def settle(model: ModelSpec, said: ModelSpec | SpecFile | str | Path | None, name: str, config: object) -> ModelSpec:
    """The spec with the form of depth that the network of class `name` gives, where `said` has none.

    `config` is its configuration: a table, or an object with its keys as attributes.

    Raises:
        BadConfigError: it may be either.
    """
    if not isinstance(model.decode, MonocularDepthDecode) or _is_said(said):
        return model
    if _EITHER in name:
        raise BadConfigError(
            f"{name} gives relative inverse depth (larger is nearer, as MiDaS's weights do) or metres, and its files do"
            ' not say which. Say it in a spec file: decode = { kind = "monocular_depth", form = "inverse" }, or '
            'form = "metres".',
            field="decode",
        )
    kind: Any = config.get("depth_estimation_type") if isinstance(config, Mapping) else None
    kind = kind or getattr(config, "depth_estimation_type", None) or "relative"
    if name.startswith(_SAYS) and kind == "relative":
        return replace(model, decode=replace(model.decode, form="inverse"))
    return model


def of_module(model: ModelSpec, said: ModelSpec | SpecFile | str | Path | None, module: object) -> ModelSpec:
    """As `settle`, of a network in memory, with the configuration that it has."""
    return settle(model, said, type(module).__name__, getattr(module, "config", None))


def _is_said(said: ModelSpec | SpecFile | str | Path | None) -> bool:
    if isinstance(said, (str, Path)):
        return "decode" in spec_file.read_with_keys(Path(said))[1]
    return said is not None and said.decode is not None
