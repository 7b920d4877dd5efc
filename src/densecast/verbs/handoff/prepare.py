"""Exported model + data set  ->  a folder with everything the vendor's tools want."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx

from densecast import artifact, plugins
from densecast.artifact import Artifact, CalibrationRecord
from densecast.errors import BadArtifactError, UsageError
from densecast.imaging.read import size_hw as size_of_file
from densecast.io import codec, config, files
from densecast.io.vendor_formats import builder_config
from densecast.spec.model import ModelSpec
from densecast.spec.options import InputShape, QuantizeOptions, built_input
from densecast.spec.precision import Precision
from densecast.spec.sample import Dataset, Sample, Split
from densecast.spec.tensor import TensorSpec
from densecast.verbs.builder import calibration
from densecast.verbs.handoff import bin_file, bins, commands, info_file, package, steps
from densecast.verbs.handoff.device_graph import device_graph, output_at
from densecast.verbs.handoff.label_ending import Ending
from densecast.verbs.handoff.package import Handoff, Target

Progress = Callable[[int, int], None]
_KEY = "prepare.key"
INT8: Precision = "qint8_mixed_float16"


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """For whom, and what. `processes` None is one for each CPU; `soc` is the name of Ascend's chip."""

    target: Target = "ascend"
    precision: Precision = "force_float16"
    ending: Ending = "logits"
    batch: int = 1
    height: int | None = None
    width: int | None = None
    uint8_input: bool = False
    split: Split = "val"
    limit: int | None = None
    seed: int = 0
    soc: str = "Ascend310"
    quantize: QuantizeOptions = field(default_factory=QuantizeOptions)
    processes: int | None = None

    def __post_init__(self) -> None:
        """Counts are positive."""
        if self.batch < 1 or any(value is not None and value < 1 for value in (self.limit, self.processes)):
            raise UsageError("--batch, --limit and --processes must be at least 1.")


def prepare(
    source: Artifact,
    out: Path,
    options: PrepareOptions = PrepareOptions(),
    *,
    data: Path | None = None,
    calibration_data: Path | None = None,
    progress: Progress | None = None,
) -> Handoff:
    """Write a handoff of `source` to `out`, or go on with one that was interrupted.

    `data` is the root of the model's data set, or as the configuration names it; `calibration_data`, read for int8
    alone, is another such root or a folder of images.

    Raises:
        BadArtifactError: `source` is no float artifact.
        UsageError: `out` holds something else, or what is asked does not go together.
        BadShapeError, BadGraphError: sizes or operators that cannot be had.
    """
    if source.manifest.kind != "float":
        raise BadArtifactError(f"{source.folder} is already compiled. Prepare from the exported artifact.")
    if source.spec.evaluation is None:
        raise UsageError(f"{source.spec.name} names no data set and metric; its spec file lacks [evaluation].")
    plugin = plugins.load("datasets", source.spec.evaluation.dataset)
    root = data or config.data_root(source.spec.evaluation.dataset, plugin.ROOT_VARIABLES)
    dataset: Dataset = plugin.open(root, options.split, options.seed)
    samples = dataset.samples[: options.limit]
    spec, sizes_hw = _fixed(source.spec, options, samples)
    _check_ending(spec, options.ending)
    key = _key(source, replace(options, processes=None), codec.to_json(dataset.record(options.limit)))
    _claim(out, key)
    if (out / package.MANIFEST).is_file():
        return package.open_handoff(out)
    record = _calibrate(spec, options, calibration_data or root, out)
    model, notes = device_graph(onnx.load(source.file("model.onnx")), spec, options.ending)
    files.write_bytes(out / package.GRAPH, model.SerializeToString())
    shapes = {size: output_at(model, spec.input, size) for size in sizes_hw}
    _write_inputs(spec, samples, out, options, progress)
    _write_lists(spec, samples, out)
    written = _vendor_files(spec, options, sizes_hw, record)
    handoff = Handoff(
        spec=spec,
        target=options.target,
        precision=options.precision,
        ending=options.ending,
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
        commands=steps.commands_of(spec, options.target, options.precision, options.soc, sizes_hw),
        passes=(*source.manifest.passes, *notes),
        calibration=record,
    )
    written["README.md"] = steps.readme(handoff)
    for name, text in written.items():
        files.write_text(out / name, text)
    _flush(out)
    listed = (package.GRAPH, package.ITEMS, package.INPUT_LIST, package.IMAGE_LIST, *written)
    handoff = replace(handoff, files={name: files.sha256(out / name) for name in listed})
    files.write_text(out / package.MANIFEST, codec.to_json(handoff))
    return handoff


def _fixed(
    spec: ModelSpec, options: PrepareOptions, samples: tuple[Sample, ...]
) -> tuple[ModelSpec, list[tuple[int, int]]]:
    """The spec with one batch size and, where all images lead to one size, that size; and all sizes there are."""
    if (options.height is None) != (options.width is None):
        raise UsageError("--height and --width go together.")
    if options.uint8_input:
        spec.preprocess.check_bytes()
    if options.height is not None and options.width is not None:
        sizes = [(options.height, options.width)]
    else:
        resize = spec.preprocess.resize
        fixed = getattr(resize, "size_hw", None)
        # A turned photo's header names the sides the other way round: both ways are counted.
        found = {fixed} if fixed else {resize.place(_upright(spec, sample)).model_hw for sample in samples}
        sizes = sorted(found)
    shape = InputShape((options.batch,), *(sizes[0] if len(sizes) == 1 else (None, None)))
    made = built_input(spec.input, shape, uint8=options.uint8_input)
    for height, width in sizes:
        built_input(spec.input, InputShape((options.batch,), height, width), uint8=False)
    spec = replace(spec, input=made)
    output = (made.shape[0], *spec.output.shape[1:])
    return replace(spec, output=replace(spec.output, shape=output)), sizes


def _sizes(spec: TensorSpec) -> tuple[int, ...]:
    """The shape, all of whose sizes are known."""
    return tuple(size for size in spec.shape if isinstance(size, int))


def _upright(spec: ModelSpec, sample: Sample) -> tuple[int, int]:
    """The image's height and width as `read_image` gives it."""
    if spec.preprocess.use_exif:
        from PIL import Image

        size_of_file(sample.image)
        with Image.open(sample.image) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)
    return size_of_file(sample.image)


def _check_ending(spec: ModelSpec, ending: Ending) -> None:
    """Labels have to mean what the model's evaluation means by them."""
    if ending == "logits":
        return
    at_network = spec.evaluation is not None and spec.evaluation.frame == "network"
    if not at_network and getattr(spec.decode, "to_image", "") == "bilinear_logits":
        raise UsageError(
            f"{spec.name} takes labels of logits at the image's size; a device's labels are resized afterwards, which "
            "is another score. Use --output logits, or export with a --protocol whose labels are resized."
        )


def _key(source: Artifact, options: PrepareOptions, record: str) -> str:
    return files.sha256_text(repr((source.identity, codec.to_json(source.spec), codec.to_json(options), record)))


def _claim(out: Path, key: str) -> None:
    """Only a folder that is empty, or was begun for the very same, is written to."""
    mark = out / _KEY
    if mark.is_file():
        if mark.read_text(encoding="utf-8") == key:
            return
        raise UsageError(f"{out} is a handoff of something else. Name another folder, or remove it first.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is no handoff. Name another folder, or remove it first.")
    files.write_text(mark, key)


def _calibrate(spec: ModelSpec, options: PrepareOptions, data: Path, out: Path) -> CalibrationRecord | None:
    if options.precision != INT8:
        return None
    chosen, record = calibration.choose(spec, options.quantize, data)
    folder = out / package.CALIBRATION
    folder.mkdir(exist_ok=True)
    batch = spec.input.shape[0]
    assert isinstance(batch, int)
    # AMCT reads whole batches from one file each; a short last one begins again from the first image.
    count = -(-len(chosen) // batch)
    for number in range(count):
        places = [(number * batch + row) % len(chosen) for row in range(batch)]
        one = calibration.CalibrationFeeds([chosen[place] for place in places], _single(spec))
        bin_file.write(folder / f"{number:06d}.bin", np.concatenate([feeds[spec.input.name] for feeds in one]))
    return record


def _single(spec: ModelSpec) -> ModelSpec:
    """The spec for one image at a time."""
    return replace(spec, input=replace(spec.input, shape=(1, *spec.input.shape[1:])))


def _write_inputs(
    spec: ModelSpec, samples: tuple[Sample, ...], out: Path, options: PrepareOptions, progress: Progress | None
) -> None:
    """Every image's bins, and its line in the list once they are there."""
    folder = out / package.INPUTS
    folder.mkdir(exist_ok=True)
    named = list(zip(samples, package.stems([sample.id for sample in samples]), strict=True))
    kept = ""
    done = 0
    for item, (sample, stem) in zip(package.items(out), named, strict=False):
        if (item.id, item.stem) != (sample.id, stem) or not bins.is_written(folder, spec, item):
            break
        kept += package.item_line(item)
        done += 1
    files.write_text(out / package.ITEMS, kept)
    processes = min(options.processes or bins.default_processes(), max(1, len(named) - done))
    with (out / package.ITEMS).open("a", encoding="utf-8") as stream:
        job = bins.Job(spec, folder, beside=bins.is_spare(processes))
        for item in bins.write_all(job, named[done:], processes):
            stream.write(package.item_line(item))
            stream.flush()
            done += 1
            if progress:
                progress(done, len(named))


def _write_lists(spec: ModelSpec, samples: tuple[Sample, ...], out: Path) -> None:
    """Both `.info` files: the bins by the network's size, the photographs by their own."""

    def inputs() -> Iterator[info_file.Entry]:
        for item in package.items(out):
            for stem, view in package.views(spec, item):
                yield info_file.Entry(f"./{package.INPUTS}/{stem}.bin", view.placement.model_hw)

    def images() -> Iterator[info_file.Entry]:
        for sample, item in zip(samples, package.items(out), strict=True):
            yield info_file.Entry(sample.image.name, item.image_hw)

    files.write_text(out / package.INPUT_LIST, "".join(info_file.lines(inputs())))
    files.write_text(out / package.IMAGE_LIST, "".join(info_file.image_lines(images())))


def _vendor_files(
    spec: ModelSpec, options: PrepareOptions, sizes_hw: list[tuple[int, int]], record: CalibrationRecord | None
) -> dict[str, str]:
    if options.target == "magicmind":
        return {
            "builder_config.json": codec.json_text(builder_config(spec.input, options.precision, sizes_hw)),
        }
    if record is None:
        return {}
    return {commands.CALIBRATION_CONFIG: codec.json_text(commands.amct_config(-(-record.count // options.batch)))}


def _flush(out: Path) -> None:
    """Wait until everything is on the disk, before the manifest says that it is."""
    for path in out.rglob("*.bin"):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
