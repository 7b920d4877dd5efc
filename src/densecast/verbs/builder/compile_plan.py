"""The compile plan: everything that goes into a build, checked before anything is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from densecast import artifact
from densecast.artifact import CalibrationRecord, CompiledManifest, FloatArtifact
from densecast.artifact.target_record import TargetRecord
from densecast.backends import _excluded
from densecast.backends._base import BACKENDS, Backend, BuildJob, Built, Capabilities, NeedsExtras
from densecast.errors import BackendMissingError, BadArtifactError, UsageError
from densecast.graph import _quantised, drop_identity_resize, fix_shape, fold_constants, uint8_input
from densecast.io import files
from densecast.runtime import machine
from densecast.spec import cpu as cpus
from densecast.spec.data_options import Data
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions
from densecast.spec.precision import Precision
from densecast.spec.shapes import built_input, check_resize
from densecast.spec.tensor import Feeds, TensorSpec
from densecast.verbs._keys import build_key
from densecast.verbs.builder import calibration, graph_passes

INT8 = "qint8_mixed_float16"


@dataclass(frozen=True, slots=True)
class CompilePlan:
    """A planned build. `feeds` and `record` are its calibration; empty and None unless int8 is requested.

    `images` are the files that the feeds are made of, `data` is where they come from. `key` stands for everything that
    goes in.
    """

    source: FloatArtifact
    options: BuildOptions
    spec: ModelSpec
    backend: Backend
    feeds: Sequence[Feeds]
    record: CalibrationRecord | None
    key: str
    images: tuple[Path, ...] = ()
    data: Path | Data | None = None

    def write_graph(self, path: Path) -> list[str]:
        """Write the float graph with this build's passes applied; returns what each of them did.

        Raises:
            UsageError: it is quantised already, and another precision than its own is asked for.
        """
        results = []
        model = onnx.load(self.source.file("model.onnx"))
        if self.options.precision != "force_float32":
            _quantised.check_float(model)
        if self.options.uint8_input:
            results.append(uint8_input.apply(model, self.spec.preprocess))
            model = results[-1].model
        for tensor in self.spec.inputs:
            results.append(fix_shape.apply(model, tensor))
            model = results[-1].model
        for graph_pass in (fold_constants, drop_identity_resize):
            results.append(graph_pass.apply(model))
            model = results[-1].model
        model, notes = graph_passes.apply(model, self.options)
        onnx.save(model, path)
        return [*(result.notes for result in results if result.changed), *notes]

    def job(self, graph: Path) -> BuildJob:
        """The backend's job; scopes that this network always excludes from int8 are added to the options."""
        quantize, spec = self.options.quantize, self.spec
        quantize = replace(
            quantize,
            excluded_types=tuple(dict.fromkeys((*quantize.excluded_types, *spec.excluded_types))),
            excluded_names=tuple(dict.fromkeys((*quantize.excluded_names, *spec.excluded_names))),
        )
        half_type = spec.half_type if self.options.half_type == "auto" else self.options.half_type
        options = replace(resolved(self.options), quantize=quantize, half_type=half_type)
        kind = cpus.target(self.options.cpu) if self.options.cpu != "native" else None
        return BuildJob(self.source, graph, self.spec, options, self.feeds, kind.half_types if kind else None)

    def manifest(
        self, built: Built, notes: Sequence[str], seconds: float, precision: Precision | None = None
    ) -> CompiledManifest:
        """The manifest of the build; `precision` is the one requested, if it differs from that of the options."""
        source = self.source.manifest
        return CompiledManifest(
            spec=self.spec,
            key=self.key,
            created=artifact.now(),
            machine=machine.describe(),
            source=source.source,
            network=source.network,
            weights=source.weights,
            parity=source.parity,
            passes=(*source.passes, *notes),
            parent=self.source.identity,
            parent_name=self.source.folder.name,
            build=self.options,
            calibration=self.record,
            precision_asked=precision or self.options.precision,
            precision_ran=built.precision,
            settings=built.settings,
            measurements=built.measurements,
            half_type=built.half_type,
            target=self._target(built),
            build_seconds=round(seconds, 3),
        )

    def _target(self, built: Built) -> TargetRecord | None:
        if not self.backend.traits.targets_cpus:
            return None
        cpu = resolved(self.options).cpu
        bits = (8 if cpus.takes_full_weights(cpu) else 7) if self.options.precision == INT8 else 0
        return TargetRecord(cpu, built.needs, bits)


def prepare(
    source: FloatArtifact,
    out: Path,
    options: BuildOptions,
    *,
    data: Path | Data | None = None,
    progress: calibration.Progress | None = None,
    on: str = "local",
) -> CompilePlan:
    """Check source and options, and choose the calibration images; `on` says who works on them.

    Raises:
        BadArtifactError: `source` is no float artifact.
        BackendMissingError: the engine is not installed.
        UsageError: `out` is `source`, a precision this backend does not have, int8 without `data`, or an operator
            to leave out of int8 that the graph has not.
        BadShapeError: sizes that the float graph does not take.
    """
    if source.manifest.kind != "float":
        raise BadArtifactError(FloatArtifact.wrong_kind(source.folder))
    if files.real(out) == files.real(source.folder):
        raise UsageError(
            f"{out} is the exported artifact itself. Name another folder for what is built from it.", field="out"
        )
    abilities = require(options)
    _check_cpu(options)
    if options.precision == INT8 and data is None:
        raise UsageError("int8 needs calibration images: name a data set's root or a folder of images.", field="data")
    if options.uint8_input:
        if len(source.spec.inputs) > 1:
            raise UsageError(
                f"{source.spec.name} has {len(source.spec.inputs)} inputs; bytes can go into networks of one.",
                field="uint8_input",
            )
        source.spec.preprocess.check_bytes()
    spec = built_spec(source.spec, options)
    feeds: Sequence[Feeds] = ()
    record: CalibrationRecord | None = None
    items: list[calibration.Item] = []
    if options.precision == INT8:
        assert data is not None
        if options.quantize.excluded_types:
            model = onnx.load(source.file("model.onnx"), load_external_data=False)
            _excluded.check_types(options.quantize.excluded_types, {node.op_type for node in model.graph.node})
        items, record = calibration.choose(spec, options.quantize, data)
        feeds = calibration.CalibrationFeeds(items, spec, progress)
        if on != "local":
            from densecast.verbs.builder.divided import DividedFeeds

            feeds = DividedFeeds(items, spec, progress, on=on, beside=out.absolute().parent)
    backend = BACKENDS.load(options.backend)
    key = build_key(source, options, graph_passes.chosen(options), record, abilities.version)
    images = tuple(item.path for item in items)
    return CompilePlan(source, options, spec, backend, feeds, record, key, images, data)


def resolved(options: BuildOptions) -> BuildOptions:
    """The options with `native` as the target that this CPU is."""
    return replace(options, cpu=cpus.resolved(options.cpu, machine.cpu()[1]))


def _check_cpu(options: BuildOptions) -> None:
    """Check that the target means something for the engine and precision, and that what is built can be checked here.

    Raises:
        UsageError: it does not, or cannot.
    """
    if options.cpu == "native":
        return
    if not BACKENDS.load(options.backend).traits.targets_cpus:
        raise UsageError(
            f"backend {options.backend!r} builds the same for every CPU: leave cpu {options.cpu} out.", field="cpu"
        )
    kind = cpus.target(options.cpu)
    if options.precision == INT8 and cpus.takes_full_weights(options.cpu) and "wide_int8_sums" not in machine.able():
        raise UsageError(
            f"int8 for {options.cpu} uses weights of 8 bits, whose sums overflow on this CPU, so that nothing that is "
            "built can be checked. Build with cpu any, or on such a CPU.",
            field="cpu",
        )
    if kind is not None and options.half_type != "auto" and options.half_type not in kind.half_types:
        has = f"has {' and '.join(kind.half_types)}" if kind.half_types else "computes 16 bits in float32"
        raise UsageError(
            f"cpu {options.cpu} {has}: leave half_type {options.half_type} out, or build for another.",
            field="half_type",
        )


def built_spec(spec: ModelSpec, options: BuildOptions) -> ModelSpec:
    """The spec with the requested image tensor; all other tensors get its batch size.

    Raises:
        BadShapeError: sizes that the float graph does not take, or that no resized image has.
    """
    image = built_input(spec.input, options.shape, uint8=options.uint8_input)
    check_resize(image, spec.preprocess, spec.slide)
    batch = image.shape[0]

    def batched(tensor: TensorSpec) -> TensorSpec:
        return replace(tensor, shape=(batch, *tensor.shape[1:]))

    inputs = (image, *(batched(tensor) for tensor in spec.inputs[1:]))
    return replace(spec, inputs=inputs, outputs=tuple(batched(tensor) for tensor in spec.outputs))


def require(options: BuildOptions) -> Capabilities:
    """Check that the engine of `options` supports the precision here; returns its capabilities.

    Raises:
        UnknownNameError: no such backend.
        BackendMissingError: it is not installed.
        MissingExtraError: what quantises for it is not.
        UsageError: it does not have the precision.
    """
    abilities = BACKENDS.load(options.backend).capabilities()
    if abilities.missing:
        raise BackendMissingError(f"backend {options.backend!r}: {abilities.missing}")
    if BACKENDS.load(options.backend).traits.targets_cpus and (old := machine.too_old()):
        raise BackendMissingError(f"{options.backend}: {old}. Use a newer CPU, or the reference backend.")
    if options.precision not in abilities.precisions:
        raise UsageError(
            f"backend {options.backend!r} has no {options.precision}; it has {', '.join(abilities.precisions)}.",
            field="precision",
        )
    backend: object = BACKENDS.load(options.backend)
    if isinstance(backend, NeedsExtras):
        backend.require(options.precision)
    return abilities
