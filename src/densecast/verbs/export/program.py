"""Exports a `torch.export` program (`.pt2`), whose sizes are fixed or open as the program says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densecast.artifact import FloatArtifact, FloatManifest
from densecast.errors import BadGraphError
from densecast.spec.tensor import Dim
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import torch_module

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_EXAMPLE_SIDE = 512


def export(program: ExportedProgram, manifest: FloatManifest, options: ExportOptions, out: Path) -> FloatArtifact:
    """Export the program's module with the sizes that the program takes.

    Raises:
        BadGraphError: it takes no image (N, C, H, W), or see `torch_module.export`.
    """
    spec = manifest.spec
    shape = _image_shape(program)
    if len(shape) != 4:
        raise BadGraphError(f"the program takes a tensor of {len(shape)} dimensions, not an image (N, C, H, W).")
    sizes: list[int | Dim] = [
        own if isinstance(own, int) else bound for own, bound in zip(shape, spec.input.shape, strict=True)
    ]
    if sizes[1] != spec.input.shape[1]:
        raise BadGraphError(f"the program takes {sizes[1]} channels, the spec says {spec.input.shape[1]}.")
    spec = spec.with_input(replace(spec.input, shape=tuple(sizes)))
    example = tuple(size if isinstance(size, int) else size.typical(_EXAMPLE_SIDE) for size in sizes[2:])
    # The tracing exporter cannot look into a program.
    options = replace(options, exporter="dynamo")
    return torch_module.export(
        program.module(), replace(manifest, spec=spec), options, (example[0], example[1]), torch_module.keep_traced, out
    )


def _image_shape(program: Any) -> list[int | None]:
    """The sizes of the first input; None where they are open."""
    import torch

    name = program.graph_signature.user_inputs[0]
    node = next(node for node in program.graph.nodes if node.op == "placeholder" and node.name == name)
    return [None if isinstance(size, torch.SymInt) else int(size) for size in node.meta["val"].shape]
