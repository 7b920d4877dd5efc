"""Compiles a float artifact for one backend, precision and input shape, with int8 calibration where needed."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from densecast import artifact
from densecast.artifact import Artifact, CompiledArtifact, FloatArtifact
from densecast.artifact.tune_record import TuneRecord
from densecast.backends._base import BACKENDS
from densecast.errors import BadArtifactError, UsageError
from densecast.io import files, mirror
from densecast.runtime import stages
from densecast.spec.choices import checked
from densecast.spec.data_options import Data
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions
from densecast.spec.precision import short
from densecast.spec.shapes import built_input
from densecast.spec.tensor import Dim
from densecast.verbs.builder import calibration, calibration_methods, float_check, golden
from densecast.verbs.builder.compile_plan import prepare, require

__all__ = ["build", "default_name", "refuse_anothers", "require"]


@checked
def build(
    source: Artifact | Path | str,
    out: Path | str | None = None,
    options: BuildOptions = BuildOptions(),
    *,
    data: Path | str | Data | None = None,
    progress: calibration.Progress | None = None,
    tuning: TuneRecord | None = None,
    on: str = "local",
) -> CompiledArtifact:
    """Compile `source`, an exported artifact, into a new artifact at `out`.

    Without `out` it is built beside `source`, under a name that says what is in it. `data` is where calibration images
    come from; only int8 reads it. `tuning` is what `options` were chosen by, and holds the precision that was asked
    for. An artifact already at `out` that was built from the same contents, spec, options, versions and CPU is reused;
    any other is replaced, but without `out` none that was built from another exported artifact. `on` names the cluster
    (`ray`, `ray:ADDRESS`) whose machines gather the int8 ranges, each of some images; they see `data` and the folder of
    `out`.

    Raises:
        BadArtifactError: `source` is no float artifact.
        BackendMissingError, MissingExtraError: the engine or the quantiser is not installed.
        UsageError: a precision this backend does not have, int8 without `data`, or another artifact's build in place.
        BadShapeError: sizes that the float graph does not take.
        ParityError: what was built computes something else than the float graph.
    """
    source = _float(source)
    is_named = out is not None
    out = source.folder.parent / default_name(source.spec, options) if out is None else files.given(out)
    if on != "local":
        calibration.check_division(on, options, BACKENDS.load(options.backend).traits)
    place = Path(data) if isinstance(data, str) else data
    plan = prepare(source, out, options, data=place, progress=progress, on=on)
    existing = CompiledArtifact.existing(out, plan.key)
    if existing is None and not is_named:
        refuse_anothers(out, source)
    if existing is not None and (tuning is None or tuning.agrees_with(existing.manifest.tuning)):
        return existing
    start = time.perf_counter()
    with artifact.writing(out) as draft:
        graph = draft.folder / "graph.onnx"
        stages.at("graph passes")
        notes = plan.write_graph(graph)
        job, record = calibration_methods.resolve(plan, graph)
        stages.at(f"compiling for {options.backend}, {short(options.precision)}")
        built = plan.backend.build(job, draft.folder)
        precision = tuning.precision if tuning else None
        manifest = plan.manifest(built, notes, time.perf_counter() - start, precision)
        manifest = replace(manifest, calibration=calibration_methods.of_images(record, built), tuning=tuning)
        stages.at("comparing the build with its float graph")
        # Both compile a model, which leaves CPUs idle: one at the same time as the other.
        with ThreadPoolExecutor(1) as pool:
            in_float = pool.submit(float_check.check, plan, job, graph) if float_check.is_needed(plan) else None
            golden.add(draft.folder, manifest, graph, job.calibration)
            # Without a stored answer the engine is not on this machine.
            if in_float is not None and (draft.folder / artifact.GOLDEN).exists():
                in_float.result()
        graph.unlink()
        draft.finish(manifest)
    return CompiledArtifact.open(out)


def refuse_anothers(out: Path, source: FloatArtifact) -> Path:
    """Return a folder that nobody has named, if it holds no build of another exported artifact.

    Raises:
        UsageError: it does; or it is beside the copy of what lies behind a URL, where nobody looks for it.
    """
    if mirror.is_copy(out):
        raise UsageError("name the folder to build into: the exported artifact is behind a URL.", field="out")
    try:
        there = CompiledArtifact.open(out).manifest.parent_name
    except BadArtifactError:
        return out
    if there not in ("", source.folder.name):
        raise UsageError(
            f"{out} was built from {there}, and {source.folder.name} would replace it: both are called "
            f"{source.spec.name}. Name another folder, or export under a name of its own (export --name).",
            field="out",
        )
    return out


def _float(source: Artifact | Path | str) -> FloatArtifact:
    """Open the exported artifact, if it is not open yet.

    Raises:
        BadArtifactError: it is compiled already, or damaged.
    """
    if isinstance(source, FloatArtifact):
        return source
    return FloatArtifact.open(source.folder if isinstance(source, Artifact) else source)


def default_name(spec: ModelSpec, options: BuildOptions) -> str:
    """`<model>__<precision>__<HxW>__b<batch>__<backend>`: a folder name that distinguishes builds.

    The target follows where one is named.
    """
    tensor = built_input(spec.input, options.shape, uint8=False)
    height, width = (f"{size.min}-{size.max}" if isinstance(size, Dim) else str(size) for size in tensor.shape[2:])
    batch = options.shape.batch
    sizes = "-".join(map(str, batch)) if isinstance(batch, tuple) else f"{batch.min}to{batch.max}"
    cpu = "" if options.cpu == "native" else f"__{options.cpu}"
    return f"{spec.name}__{short(options.precision)}__{height}x{width}__b{sizes}__{options.backend}{cpu}"
