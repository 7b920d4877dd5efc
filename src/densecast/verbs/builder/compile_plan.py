"""What a build is made of, checked and drawn before anything is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import onnx

from densecast import artifact, plugins
from densecast.artifact import Artifact, CalibrationRecord, Manifest
from densecast.backends._base import BuildJob, Built, Capabilities
from densecast.errors import BackendMissingError, BadArtifactError, UsageError
from densecast.graph import drop_identity_resize, fix_shape, fold_constants, uint8_input
from densecast.io import codec, files
from densecast.runtime import machine
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions, built_input
from densecast.spec.precision import Precision
from densecast.spec.tensor import Feeds
from densecast.verbs.builder import calibration, graph_passes

INT8 = "qint8_mixed_float16"


@dataclass(frozen=True, slots=True)
class CompilePlan:
    """One build to come. `feeds` and `record` are its calibration, empty and None unless int8 is asked.

    `key` stands for everything that goes in.
    """

    source: Artifact
    options: BuildOptions
    spec: ModelSpec
    backend: ModuleType
    feeds: Sequence[Feeds]
    record: CalibrationRecord | None
    key: str

    def write_graph(self, path: Path) -> list[str]:
        """The float graph with this build's passes applied; returns what each did."""
        results = []
        model = onnx.load(self.source.file("model.onnx"))
        if self.options.uint8_input:
            results.append(uint8_input.apply(model, self.spec.preprocess))
            model = results[-1].model
        results.append(fix_shape.apply(model, self.spec.input))
        for graph_pass in (fold_constants, drop_identity_resize):
            results.append(graph_pass.apply(results[-1].model))
        model, rewritten = graph_passes.apply(results[-1].model, self.options)
        onnx.save(model, path)
        return [*(result.notes for result in results if result.changed), *rewritten]

    def job(self, graph: Path) -> BuildJob:
        """What the backend is told; what this network never quantises is left in float, in its own 16-bit type."""
        quantize, spec = self.options.quantize, self.spec
        quantize = replace(
            quantize,
            excluded_types=tuple(dict.fromkeys((*quantize.excluded_types, *spec.excluded_types))),
            excluded_names=tuple(dict.fromkeys((*quantize.excluded_names, *spec.excluded_names))),
        )
        half_type = spec.half_type if self.options.half_type == "auto" else self.options.half_type
        options = replace(self.options, quantize=quantize, half_type=half_type)
        return BuildJob(self.source, graph, self.spec, options, self.feeds)

    def manifest(self, made: Built, notes: Sequence[str], seconds: float, asked: Precision | None = None) -> Manifest:
        """Everything known about what came of it; `asked` is the precision a user named, if not that of the options."""
        before = self.source.manifest
        return Manifest(
            kind="compiled",
            spec=self.spec,
            key=self.key,
            created=artifact.now(),
            machine=machine.describe(),
            source=before.source,
            network=before.network,
            weights=before.weights,
            parity=before.parity,
            passes=(*before.passes, *notes),
            parent=self.source.identity,
            build=self.options,
            calibration=self.record,
            precision_asked=asked or self.options.precision,
            precision_ran=made.precision,
            settings=made.settings,
            measurements=made.measurements,
            build_seconds=round(seconds, 3),
        )


def prepare(
    source: Artifact,
    out: Path,
    options: BuildOptions,
    *,
    data: Path | None = None,
    progress: calibration.Progress | None = None,
) -> CompilePlan:
    """Check what is asked, and choose the calibration images.

    Raises:
        BadArtifactError: `source` is no float artifact.
        BackendMissingError: the engine is not installed.
        UsageError: `out` is `source`, a precision this backend does not have, or int8 without `data`.
        BadShapeError: sizes that the float graph does not take.
    """
    if source.manifest.kind != "float":
        raise BadArtifactError(f"{source.folder} is already compiled. Build from the exported artifact.")
    if out.resolve() == source.folder.resolve():
        raise UsageError(f"{out} is the exported artifact itself. Name another folder for what is built from it.")
    abilities = require(options)
    if options.precision == INT8 and data is None:
        raise UsageError("int8 needs calibration images: pass --data with a data set's root or a folder of images.")
    if options.uint8_input:
        source.spec.preprocess.check_bytes()
    spec = replace(source.spec, input=built_input(source.spec.input, options.shape, uint8=options.uint8_input))
    spec = replace(spec, output=replace(spec.output, shape=(spec.input.shape[0], *spec.output.shape[1:])))
    feeds: Sequence[Feeds] = ()
    record: CalibrationRecord | None = None
    if options.precision == INT8:
        assert data is not None
        items, record = calibration.choose(spec, options.quantize, data)
        feeds = calibration.CalibrationFeeds(items, spec, progress)
    backend = plugins.load("backends", options.backend)
    return CompilePlan(source, options, spec, backend, feeds, record, _key(source, options, record, abilities))


def require(options: BuildOptions) -> Capabilities:
    """What the engine of `options` can do here, once it is known to have what they ask.

    Raises:
        UnknownNameError: no such backend.
        BackendMissingError: it is not installed.
        UsageError: it does not have the precision.
    """
    abilities: Capabilities = plugins.load("backends", options.backend).capabilities()
    if abilities.missing:
        raise BackendMissingError(f"backend {options.backend!r}: {abilities.missing}")
    if options.precision not in abilities.precisions:
        raise UsageError(
            f"backend {options.backend!r} has no {options.precision}; it has {', '.join(abilities.precisions)}."
        )
    return abilities


def _key(source: Artifact, options: BuildOptions, record: CalibrationRecord | None, abilities: Capabilities) -> str:
    here = machine.describe()
    parts = (
        source.identity,
        codec.to_json(options),
        graph_passes.chosen(options),
        codec.to_json(record) if record else "",
        abilities.version,
        machine.versions(("densecast", "nncf", "onnx")),
        here.cpu,
        here.cpu_flags,
    )
    return files.sha256_text(repr(parts))
