"""Exports a zoo model from the graph that the package ships, where torch is not installed."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
from dataclasses import replace
from importlib.resources.abc import Traversable
from pathlib import Path

from densecast import artifact
from densecast.artifact import FloatArtifact, FloatManifest
from densecast.artifact import manifest as manifests
from densecast.io import codec, files
from densecast.runtime import machine
from densecast.spec.verb_options import ExportOptions
from densecast.tasks._base import TASKS
from densecast.verbs.export import asked, retrained
from densecast.verbs.export.checkpoint import Checkpoint, has_torch, require_torch
from densecast.verbs.export.retrained import Stated
from densecast.zoo._base import ZooEntry

# The options that say nothing of how torch exports.
_KNOWN = frozenset({"variant", "name", "slide", "stride", "only_main_output"})


def applies(entry: ZooEntry, given: Path | None) -> bool:
    """Whether a zoo model is exported from the shipped graph: there is one, and nothing to make it anew with."""
    return entry.has_graph and given is None and not has_torch()


def export(entry: ZooEntry, out: Path, options: ExportOptions, stated: Stated) -> FloatArtifact:
    """Write the shipped graph as a float artifact at `out`; its parity is that of when it was made.

    Raises:
        MissingExtraError: an option asks for another graph, which takes torch.
        BadConfigError: what is stated does not fit the network.
    """
    default = ExportOptions()
    names = [field.name for field in dataclasses.fields(default)]
    other = [name for name in names if name not in _KNOWN and getattr(options, name) != getattr(default, name)]
    if other:
        require_torch(f"export of {entry.spec.name} with another {other[0]} than that of the shipped graph")
    made = _manifest(entry)
    spec = asked.with_options(entry.spec_for(options.variant), options)
    # The entry's labels are those of the weights.
    spec, notes = retrained.apply(spec, len(entry.spec.labels), Checkpoint({}), stated)
    spec = replace(spec, inputs=made.spec.inputs, outputs=made.spec.outputs)
    TASKS.load(spec.task).check(spec)
    serialised = (_folder() / f"{entry.spec.name}.onnx").read_bytes()
    key = files.sha256_text(repr((made.files, codec.to_json(spec), machine.versions(("densecast",)))))
    if (existing := FloatArtifact.existing(out, key)) is not None:
        return existing
    with artifact.writing(out) as draft:
        files.write_bytes(draft.folder / "model.onnx", serialised)
        draft.finish(
            replace(
                made,
                spec=asked.checked(spec),
                key=key,
                created=artifact.now(),
                machine=machine.describe(),
                passes=(*made.passes, "the graph is the one that densecast ships, as torch is not installed", *notes),
            )
        )
    return FloatArtifact.open(out)


def _manifest(entry: ZooEntry) -> FloatManifest:
    """What was recorded when the graph was made: tensors, parity, weights, and the graph's hash."""
    text = (_folder() / f"{entry.spec.name}.json").read_text(encoding="utf-8")
    made = manifests.from_plain(json.loads(text), f"shipped graph of {entry.spec.name}")
    assert isinstance(made, FloatManifest), "an exported graph is shipped"
    return made


def _folder() -> Traversable:
    return importlib.resources.files("densecast.zoo") / "graphs"
