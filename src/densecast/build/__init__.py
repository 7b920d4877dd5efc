"""Float artifact + precision + shapes + calibration  ->  a model compiled for one backend."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx

from densecast.build import calibration
from densecast.core import artifact, catalog, codec, files, machine
from densecast.core.artifact import Artifact, CalibrationRecord, Manifest
from densecast.core.errors import BackendMissingError, BadArtifactError, UsageError
from densecast.core.options import BuildOptions
from densecast.core.precision import short
from densecast.core.runner import BuildJob, Capabilities
from densecast.core.shapes import built_input
from densecast.core.spec import ModelSpec
from densecast.core.tensor import Dim, Feeds
from densecast.graph import drop_identity_resize, fix_shape, fold_constants, uint8_input

__all__ = ["build", "default_name", "require"]


def build(
    source: Artifact,
    out: Path,
    options: BuildOptions = BuildOptions(),
    *,
    data: Path | None = None,
    progress: calibration.Progress | None = None,
) -> Artifact:
    """Compile `source` into a new artifact at `out`.

    `data` is where calibration images come from; only int8 reads it. An artifact already at `out` that was
    built from the same contents, options, versions and CPU is kept; any other is replaced.

    Raises:
        BadArtifactError: `source` is no float artifact.
        BackendMissingError, MissingExtraError: the engine or the quantiser is not installed.
        UsageError: a precision this backend does not have, or int8 without `data`.
        BadShapeError: sizes that the float graph does not take.
    """
    if source.manifest.kind != "float":
        raise BadArtifactError(f"{source.folder} is already compiled. Build from the exported artifact.")
    if out.resolve() == source.folder.resolve():
        raise UsageError(f"{out} is the exported artifact itself. Name another folder for what is built from it.")
    abilities = require(options)
    if options.precision == "qint8_mixed_float16" and data is None:
        raise UsageError("int8 needs calibration images: pass --data with a data set's root or a folder of images.")
    backend = catalog.load("backends", options.backend)
    spec = replace(source.spec, input=built_input(source.spec.input, options.shape, uint8=options.uint8_input))
    spec = replace(spec, output=replace(spec.output, shape=(spec.input.shape[0], *spec.output.shape[1:])))
    feeds: Sequence[Feeds] = ()
    record: CalibrationRecord | None = None
    if options.precision == "qint8_mixed_float16":
        assert data is not None
        items, record = calibration.choose(spec, options.quantize, data)
        feeds = calibration.CalibrationFeeds(items, spec, progress)
    key = _key(source, options, record, abilities)
    if (kept := Artifact.kept(out, key)) is not None:
        return kept
    start = time.perf_counter()
    with artifact.writing(out) as draft:
        graph = draft.folder / "graph.onnx"
        notes = _write_graph(source, spec, options, graph)
        made = backend.build(BuildJob(source, graph, spec, _for_model(options, spec), feeds), draft.folder)
        graph.unlink()
        draft.finish(
            Manifest(
                kind="compiled",
                spec=spec,
                key=key,
                created=artifact.now(),
                machine=machine.describe(),
                source=source.manifest.source,
                network=source.manifest.network,
                weights=source.manifest.weights,
                parity=source.manifest.parity,
                passes=(*source.manifest.passes, *notes),
                parent=source.identity,
                build=options,
                calibration=record,
                precision_asked=options.precision,
                precision_ran=made.precision,
                settings=made.settings,
                evidence=made.evidence,
                build_seconds=round(time.perf_counter() - start, 3),
            )
        )
    return Artifact.open(out)


def default_name(spec: ModelSpec, options: BuildOptions) -> str:
    """`<model>__<precision>__<HxW>__b<batch>__<backend>`: a folder name that tells builds apart."""
    asked = built_input(spec.input, options.shape, uint8=False)
    height, width = (f"{size.min}-{size.max}" if isinstance(size, Dim) else str(size) for size in asked.shape[2:])
    batch = options.shape.batch
    sizes = "-".join(map(str, batch)) if isinstance(batch, tuple) else f"{batch.min}to{batch.max}"
    return f"{spec.name}__{short(options.precision)}__{height}x{width}__b{sizes}__{options.backend}"


def require(options: BuildOptions) -> Capabilities:
    """What the engine of `options` can do here, once it is known to have what they ask.

    Raises:
        UnknownNameError: no such backend.
        BackendMissingError: it is not installed.
        UsageError: it does not have the precision.
    """
    abilities: Capabilities = catalog.load("backends", options.backend).capabilities()
    if abilities.missing:
        raise BackendMissingError(f"backend {options.backend!r}: {abilities.missing}")
    if options.precision not in abilities.precisions:
        raise UsageError(
            f"backend {options.backend!r} has no {options.precision}; it has {', '.join(abilities.precisions)}."
        )
    return abilities


def _for_model(options: BuildOptions, spec: ModelSpec) -> BuildOptions:
    """What was asked, with the operators added that this network never quantises."""
    ignored = tuple(dict.fromkeys((*options.quantize.ignored_types, *spec.keep_float_types)))
    return replace(options, quantize=replace(options.quantize, ignored_types=ignored))


def _write_graph(source: Artifact, spec: ModelSpec, options: BuildOptions, path: Path) -> Sequence[str]:
    """The float graph with this build's passes applied; what each did."""
    results = []
    model = onnx.load(source.file("model.onnx"))
    if options.uint8_input:
        results.append(uint8_input.apply(model, spec.preprocess))
        model = results[-1].model
    results.append(fix_shape.apply(model, spec.input))
    for graph_pass in (fold_constants, drop_identity_resize):
        results.append(graph_pass.apply(results[-1].model))
    onnx.save(results[-1].model, path)
    return [result.notes for result in results if result.changed]


def _key(source: Artifact, options: BuildOptions, record: CalibrationRecord | None, abilities: Capabilities) -> str:
    here = machine.describe()
    parts = (
        source.identity,
        codec.to_json(options),
        codec.to_json(record) if record else "",
        abilities.version,
        machine.versions(("densecast", "nncf", "onnx")),
        here.cpu,
        here.cpu_flags,
    )
    return files.sha256_text(repr(parts))
