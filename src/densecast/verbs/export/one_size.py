"""Exports torch networks as they are found; with one size, where open ones fail and all images are brought to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from densecast.artifact import FloatArtifact, FloatManifest
from densecast.errors import BadGraphError, BadShapeError, ParityError
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import torch_module, trial_sizes
from densecast.verbs.export.found_modules import Found

if TYPE_CHECKING:
    from torch import nn


def export(
    network: nn.Module,
    manifest: FloatManifest,
    options: ExportOptions,
    example_size_hw: tuple[int, int],
    keep_of: Callable[[Found], torch_module.Keep],
    out: Path,
    where: str,
) -> FloatArtifact:
    """Bring a network to our layout and export it; `example_size_hw` is the size at which it is traced.

    Sizes that are open become the one to which preprocessing brings every image, if they cannot stay open.

    Raises:
        BadGraphError, BadShapeError, ParityError: see `torch_module.export`; of open sizes, where the one fails too.
    """

    def tried(each: FloatManifest, size_hw: tuple[int, int]) -> FloatArtifact:
        found = torch_module.as_found(network, each, where)
        return torch_module.export(found.network, found.manifest, options, size_hw, keep_of(found), out)

    try:
        return tried(manifest, example_size_hw)
    except (BadGraphError, BadShapeError, ParityError) as error:
        spec, rule = manifest.spec, manifest.spec.preprocess.resize.kind
        size_hw = trial_sizes.resized_hw(spec)
        if size_hw is None:
            raise
        note = f"{rule} brings every image to {size_hw[0]}×{size_hw[1]}: height and width are fixed ({_first(error)})"
        fixed = replace(manifest, spec=trial_sizes.fixed(spec, size_hw), passes=(*manifest.passes, note))
        try:
            return tried(fixed, size_hw)
        except (BadGraphError, BadShapeError, ParityError):
            raise error from None


def script_at(path: Path) -> Callable[[Found], torch_module.Keep]:
    """Keeps the TorchScript file, or the script as it was changed."""
    return lambda found: torch_module.keep_script(path, found.network if found.is_changed else None)


def traced(found: Found) -> torch_module.Keep:
    """Keeps the network as traced."""
    del found
    return torch_module.keep_traced


def _first(error: Exception) -> str:
    """Its first sentence: what follows says what to do."""
    return str(error).partition(". ")[0].rstrip(".")
