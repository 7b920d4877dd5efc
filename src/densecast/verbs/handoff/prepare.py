"""Writes a handoff folder: everything that the vendor's tools need for a model and data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from densecast import artifact
from densecast.artifact import Artifact, CalibrationRecord
from densecast.errors import BadArtifactError, UsageError
from densecast.io import codec, files, system, temporaries
from densecast.io.vendor_formats import builder_config
from densecast.measure.data_source import find, here
from densecast.measure.loop import Progress
from densecast.spec.choices import checked
from densecast.spec.data_options import Data
from densecast.spec.handoff_options import OutputForm, PrepareOptions
from densecast.spec.model import ModelSpec
from densecast.spec.precision import Precision
from densecast.spec.sample import Sample
from densecast.spec.tensor import TensorSpec
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs._keys import handoff_key
from densecast.verbs.builder import calibration, calibration_images
from densecast.verbs.handoff import bins, commands, info_file, package, steps
from densecast.verbs.handoff.device_graph import device_graph, output_at
from densecast.verbs.handoff.input_sizes import fixed_spec, input_sizes
from densecast.verbs.handoff.package import Handoff

_KEY = "prepare.key"
INT8: Precision = "qint8_mixed_float16"


@checked
def prepare(
    source: Artifact,
    out: Path,
    options: PrepareOptions = PrepareOptions(),
    *,
    data: Path | Data | None = None,
    calibration_data: Path | Data | None = None,
    progress: Progress | None = None,
) -> Handoff:
    """Write a handoff of `source` to `out`, or resume an interrupted one.

    `data` is the root of the model's data set, or as the configuration names it; `calibration_data`, read for int8
    alone, is another such root or a folder of images.

    Raises:
        BadArtifactError: `source` is no float artifact.
        UsageError: `out` holds something else, or options that do not go together.
        BadShapeError, BadGraphError: sizes or operators that cannot be had.
    """
    _check_source(source)
    found = find(source.spec, data)
    dataset = found.open(options.split, options.seed)
    samples = dataset.samples[: options.limit]
    sizes_hw = input_sizes(source.spec, samples, options.size_hw)
    spec = fixed_spec(source.spec, sizes_hw, options.batch, uint8=options.uint8_input)
    _check_output_form(spec, options.output_form)
    place = replace(here(data), path=found.root)
    calibrated_on = (calibration_data or place) if options.precision == INT8 else None
    record_text = codec.to_json(dataset.record(options.limit))
    key = handoff_key(source, replace(options, processes=None), place, calibrated_on, record_text)
    _claim(out, key)
    if (out / package.MANIFEST).is_file():
        return package.open_handoff(out)
    record = _calibrate(spec, options, calibration_data or place, out)
    model, notes = device_graph(onnx.load(source.file("model.onnx")), spec, options.output_form)
    files.write_bytes(out / package.GRAPH, model.SerializeToString())
    shapes = {size: output_at(model, spec.input, size) for size in sizes_hw}
    _write_inputs(spec, samples, out, options, progress)
    _write_lists(spec, samples, out)
    handoff = Handoff(
        spec=spec,
        target=options.target,
        precision=options.precision,
        output_form=options.output_form,
        batch=options.batch,
        output=shapes[sizes_hw[0]],
        output_shapes={package.size_key(size): _sizes(each) for size, each in shapes.items()},
        data=dataset.record(options.limit),
        split=options.split,
        seed=options.seed,
        limit=options.limit,
        source=source.identity,
        key=key,
        created=artifact.now(),
        commands=steps.commands_of(spec, options, sizes_hw),
        passes=(*source.manifest.passes, *notes),
        calibration=record,
    )
    return _finish(handoff, out, _texts(handoff, options, sizes_hw))


def _check_source(source: Artifact) -> None:
    """Check that the source is an exported network with one input and one output.

    Raises:
        BadArtifactError: a compiled artifact.
        UsageError: several inputs or outputs, or sliding windows.
    """
    if source.manifest.kind != "float":
        raise BadArtifactError(f"{source.folder} is already compiled. Prepare from the exported artifact.")
    if len(source.spec.inputs) > 1 or len(source.spec.outputs) > 1:
        raise UsageError(f"{source.spec.name}: a handoff is for networks of one input and one output.")
    if source.spec.slide is not None:
        raise UsageError(
            f"{source.spec.name} sees images in sliding windows ({source.spec.slide}), and a device is handed whole "
            "images. Export it without them for a handoff.",
        )


def _sizes(spec: TensorSpec) -> tuple[int, ...]:
    """The shape of a tensor whose sizes are all fixed."""
    return tuple(size for size in spec.shape if isinstance(size, int))


def _check_output_form(spec: ModelSpec, form: OutputForm) -> None:
    """Check that labels computed on the device agree with the model's evaluation."""
    if form == "logits":
        return
    at_network = spec.evaluation is not None and spec.evaluation.frame == "network"
    resized_logits = isinstance(spec.decode, SegmentationDecode) and spec.decode.resizes_values
    if not at_network and resized_logits:
        raise UsageError(
            f"{spec.name} takes labels of logits at the image's size; a device's labels are resized afterwards, which "
            "is another score. Take its logits, or export with a variant whose labels are resized.",
            field="output_form",
        )


def _claim(out: Path, key: str) -> None:
    """Check that the folder is empty, or was started with the same options; sweep what a killed process left."""
    mark = out / _KEY
    if out.is_dir():
        temporaries.sweep(out / package.MANIFEST)
    if mark.is_file():
        if mark.read_text(encoding="utf-8") == key:
            return
        raise UsageError(f"{out} is a handoff of something else. Name another folder, or remove it first.")
    # What a killed process has left there is nobody's.
    if out.exists() and not (out.is_dir() and all(temporaries.is_temporary(path.name) for path in out.iterdir())):
        raise UsageError(f"{out} exists and is no handoff. Name another folder, or remove it first.")
    files.write_text(mark, key)


def _calibrate(spec: ModelSpec, options: PrepareOptions, data: Path | Data, out: Path) -> CalibrationRecord | None:
    if options.precision != INT8:
        return None
    chosen, record = calibration.choose(spec, options.quantize, data)
    remarks = calibration_images.remarks_of(spec, options.quantize, [item.path for item in chosen], data)
    record = calibration_images.remarked(record, remarks)
    folder = out / package.CALIBRATION
    folder.mkdir(exist_ok=True)
    batch = spec.input.shape[0]
    assert isinstance(batch, int)
    # AMCT reads whole batches from one file each; a short last one begins again from the first image.
    count = -(-len(chosen) // batch)
    for number in range(count):
        places = [(number * batch + row) % len(chosen) for row in range(batch)]
        one = calibration.CalibrationFeeds([chosen[place] for place in places], _single(spec))
        bins.write_bin(folder / f"{number:06d}.bin", np.concatenate([feeds[spec.input.name] for feeds in one]))
    return record


def _single(spec: ModelSpec) -> ModelSpec:
    """The spec with batch size 1."""
    return spec.with_input(replace(spec.input, shape=(1, *spec.input.shape[1:])))


def _write_inputs(
    spec: ModelSpec, samples: tuple[Sample, ...], out: Path, options: PrepareOptions, progress: Progress | None
) -> None:
    """Write every image's bins, and then its line in the list."""
    folder = out / package.INPUTS
    folder.mkdir(exist_ok=True)
    named = list(zip(samples, package.stems([sample.id for sample in samples]), strict=True))
    written_lines = ""
    done = 0
    for item, (sample, stem) in zip(package.items(out), named, strict=False):
        if (item.id, item.stem) != (sample.id, stem) or not bins.is_written(folder, spec, item):
            break
        written_lines += package.item_line(item)
        done += 1
    files.write_text(out / package.ITEMS, written_lines)
    processes = min(options.processes or bins.default_processes(), max(1, len(named) - done))
    with (out / package.ITEMS).open("a", encoding="utf-8") as stream:
        job = bins.Job(spec, folder, writer_thread=bins.has_spare_cpus(processes))
        for item in bins.write_all(job, named[done:], processes):
            stream.write(package.item_line(item))
            stream.flush()
            done += 1
            if progress:
                progress(done, len(named))


def _write_lists(spec: ModelSpec, samples: tuple[Sample, ...], out: Path) -> None:
    """Write both `.info` files: bins with the network's size, photographs with their own."""

    def inputs() -> Iterator[info_file.Entry]:
        for item in package.items(out):
            for stem, view in package.views(spec, item):
                yield info_file.Entry(f"./{package.INPUTS}/{stem}.bin", view.placement.model_hw)

    def images() -> Iterator[info_file.Entry]:
        for sample, item in zip(samples, package.items(out), strict=True):
            yield info_file.Entry(sample.image.name, item.image_hw)

    files.write_text(out / package.INPUT_LIST, "".join(info_file.lines(inputs())))
    files.write_text(out / package.IMAGE_LIST, "".join(info_file.image_lines(images())))


def _texts(handoff: Handoff, options: PrepareOptions, sizes_hw: list[tuple[int, int]]) -> dict[str, str]:
    """The README, and what the vendor's tools are configured by."""
    texts = {"README.md": steps.readme(handoff, options.device)}
    if options.target == "magicmind":
        config = builder_config(handoff.spec.input, options.precision, sizes_hw, options.mlu_arch or "mtp_372")
        return texts | {"builder_config.json": codec.json_text(config)}
    if handoff.calibration is None:
        return texts
    batches = -(-handoff.calibration.count // options.batch)
    return texts | {commands.CALIBRATION_CONFIG: codec.json_text(commands.amct_config(batches))}


def _finish(handoff: Handoff, out: Path, texts: dict[str, str]) -> Handoff:
    """Write the small files, and last the manifest with the hashes of the files it lists."""
    for name, text in texts.items():
        files.write_text(out / name, text)
    _flush(out)
    listed = (package.GRAPH, package.ITEMS, package.INPUT_LIST, package.IMAGE_LIST, *texts)
    handoff = replace(handoff, files={name: files.sha256(out / name) for name in listed})
    files.write_text(out / package.MANIFEST, codec.to_json(handoff))
    return handoff


def _flush(out: Path) -> None:
    """Flush everything to disk before the manifest is written."""
    for path in out.rglob("*.bin"):
        system.flush(path)
