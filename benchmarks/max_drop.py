"""`build --max-drop` against NNCF's accuracy control: the drop on other images, speed, and time to find it.

Both get the same float graph, calibration images and method, images to measure on, metric and limit. What they make is
then measured on images that neither has seen, and timed in alternation. The limits are on the model's own metric, and
on the share of pixels whose class changes, at a share of what plain int8 loses.

With --graph, the published TensorFlow graph is searched instead, on cut-outs of photographs: those of one half of the
photographs for calibration and search, the others to see whether the limit holds, and then the other way round.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import cutouts
from densecast import (
    BuildOptions,
    ExportOptions,
    InputShape,
    MaxDrop,
    Pipeline,
    QuantizeOptions,
    Session,
    build,
    export_zoo,
)
from densecast import artifact as artifact_files
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.datasets._base import DATASETS
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import ab_timing, machine
from densecast.runtime.execution import ExecutionConfig
from densecast.scenes import SCENES
from densecast.spec.precision import Precision
from densecast.spec.tensor import Feeds
from densecast.verbs.builder.compile_plan import prepare
from densecast.verbs.mixed_precision import build_within
from densecast.verbs.mixed_precision.accuracy import AccuracyEvaluator
from densecast.zoo._base import ZOO

MODELS = ("unet_tiny", "ocrnet_hr18s_tiny", "deeplabv3_tiny", "fcn_tiny")
CALIBRATION_IMAGES, EVALUATED_IMAGES = 60, 120
TENSORFLOW, TENSORFLOW_SIDE, CUTOUTS = "deeplabv3_mnv2_voc", 513, 12
OWN_POINTS = 0.1
SHARE_OF_PLAIN = 0.5
ROUNDS = 40


@dataclass(frozen=True, slots=True)
class Made:
    """One way's model, and the seconds it took."""

    folder: Path
    seconds: float


class Compiled:
    """A model that NNCF has compiled, as a runner."""

    max_concurrency = 1
    reuses_buffers = False

    def __init__(self, compiled: Any, like: Pipeline) -> None:
        self.inputs, self.outputs, self.precision = like.spec.inputs, like.spec.outputs, like.precision
        self.batch_sizes = like.session.batch_sizes
        self._compiled = compiled

    def run(self, feeds: dict[str, Any], slot: int = 0) -> dict[str, Any]:
        results = self._compiled(feeds)
        return {tensor.name: results[place] for place, tensor in enumerate(self.outputs)}

    def close(self) -> None:
        del self._compiled


def accuracy_control(
    source: FloatArtifact,
    options: BuildOptions,
    data: Path,
    accuracy: AccuracyEvaluator,
    points: float,
    plain: CompiledArtifact,
    folder: Path,
) -> Made:
    """NNCF's own search."""
    os.environ.setdefault("NNCF_CI", "1")
    import nncf
    import openvino as ov

    logging.getLogger("nncf").setLevel(logging.ERROR)
    start = time.monotonic()
    plan = prepare(source, folder, options, data=data)
    with tempfile.TemporaryDirectory() as scratch:
        graph = Path(scratch) / "graph.onnx"
        plan.write_graph(graph)
        model = ov.Core().read_model(graph)
        model.reshape({plan.spec.input.name: list(plan.spec.input.shape)})
    like = Pipeline.open(plain)
    images = accuracy.some_inputs(like, accuracy.images)
    feeds = [batched(inputs.feeds[0]) for inputs in images]

    def validate(compiled: Any, items: Iterable[Any]) -> tuple[float, None]:
        if len(list(items)) < 2:
            return 1.0, None  # NNCF asks for one item to see what kind of value comes back
        session = Session(plain.spec, Compiled(compiled, like), ExecutionConfig(machine.usable_cpus()))
        pipeline = Pipeline(session, artifact=plain)
        return 1 - accuracy.drop(pipeline, lambda done, total: None).value / 100, None

    job = plan.job(graph)
    with contextlib.redirect_stdout(io.StringIO()):
        found = nncf.quantize_with_accuracy_control(
            model,
            nncf.Dataset(plan.feeds),
            nncf.Dataset(feeds),
            validate,
            max_drop=points / 100,
            drop_type=nncf.DropType.ABSOLUTE,
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(plan.feeds),
            ignored_scope=nncf.IgnoredScope(types=list(job.options.quantize.excluded_types), validate=False),
            advanced_quantization_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.DISABLE if "wide_int8_sums" in machine.able() else nncf.OverflowFix.ENABLE
            ),
        )
    seconds = time.monotonic() - start
    with artifact_files.writing(folder) as draft:
        ov.save_model(found, draft.folder / "model.xml", compress_to_fp16=False)
        draft.finish(plain.manifest)
    return Made(folder, seconds)


def held_out(
    accuracy: AccuracyEvaluator, plain: CompiledArtifact, data: Path, options: MaxDrop, exact: Pipeline
) -> AccuracyEvaluator:
    """Measures on those images in `data` that neither calibration nor search has seen."""
    used = {sample.id for sample in accuracy.samples}
    calibration = plain.manifest.calibration
    rest = AccuracyEvaluator(plain.spec, data, options, calibration=calibration, excluded_ids=used)
    rest.set_count(1 << 30)
    rest.measure_reference(exact, lambda done, total: None)
    return rest


def batched(feeds: Feeds) -> Feeds:
    """One image's feeds as a batch of one."""
    return {name: array[None] for name, array in feeds.items()}


def times_ms(pipelines: dict[str, Pipeline], feeds: Feeds) -> dict[str, ab_timing.Seconds]:
    """Inference alone, alternately."""
    with contextlib.ExitStack() as leases:
        slots = [leases.enter_context(pipeline.session.lease()) for pipeline in pipelines.values()]
        workloads = [ab_timing.timed(functools.partial(slot.run, feeds)) for slot in slots]
        for warm_up in workloads:
            warm_up()
        seconds = ab_timing.interleave(workloads, ab_timing.RoundLimits(ROUNDS, ROUNDS, 0.0))
    return {name: times * 1e3 for name, times in zip(pipelines, seconds, strict=True)}


def one(
    model: str,
    metric: str | None,
    data: Path,
    folder: Path,
    seconds: float,
    *,
    graph: Path | None = None,
    others: Path | None = None,
    with_nncf: bool = True,
) -> dict[str, Any]:
    """All ways for one model and metric; `others` is a folder of images to measure on in the end, if not `data`."""
    entry = ZOO.load(model)
    source = export_zoo(model, folder / model / "float", ExportOptions(), given=graph)
    shape = InputShape(height=entry.example_size_hw[0], width=entry.example_size_hw[1])
    quantize = QuantizeOptions(images=CALIBRATION_IMAGES, split="all", calibration_method="mean_minmax")
    options = BuildOptions("openvino", "qint8_mixed_float16", shape, quantize)
    made: dict[str, Made] = {}
    floats = {}
    precisions: dict[str, Precision] = {"float32": "force_float32", "16-bit": "force_float16"}
    for name, precision in precisions.items():
        floats[name] = build(source, folder / model / name, replace(options, precision=precision))
    plain = build(source, folder / model / "plain", options, data=data)
    made["plain int8"] = Made(plain.folder, plain.manifest.build_seconds)
    exact = Pipeline.open(floats["float32"])
    max_drop = MaxDrop(OWN_POINTS, metric, seconds, EVALUATED_IMAGES, "all")
    accuracy = AccuracyEvaluator(plain.spec, data, max_drop, calibration=plain.manifest.calibration)
    accuracy.measure_reference(exact, lambda done, total: None)
    if metric is not None:
        lost = accuracy.drop(Pipeline.open(plain), lambda done, total: None)
        max_drop = replace(max_drop, points=round(SHARE_OF_PLAIN * lost.value, 4))
    start = time.monotonic()
    ours = build_within(source, folder / model / f"ours_{accuracy.metric}", options, max_drop, data=data)
    made["--max-drop"] = Made(ours.folder, time.monotonic() - start)
    nncf_folder = folder / model / f"nncf_{accuracy.metric}"
    if with_nncf:
        made["NNCF"] = accuracy_control(source, options, data, accuracy, max_drop.points, plain, nncf_folder)
    pipelines = {"16-bit": Pipeline.open(floats["16-bit"])}
    pipelines |= {name: Pipeline.open(each.folder) for name, each in made.items()}
    rest = held_out(accuracy, plain, others or data, max_drop, exact)
    times = times_ms(pipelines, batched(rest.some_inputs(exact, 1)[0].feeds[0]))
    ways = {}
    for name, pipeline in pipelines.items():
        ways[name] = {
            "ran": str(pipeline.precision),
            "searched": asdict(accuracy.drop(pipeline, lambda done, total: None)),
            "held_out": asdict(rest.drop(pipeline, lambda done, total: None)),
            "median_ms": float(np.median(times[name])),
            "times_16_bit": ab_timing.ratio_quartiles(times["16-bit"], times[name])[1],
            "seconds": made[name].seconds if name in made else None,
        }
    return {
        "metric": accuracy.metric,
        "points": max_drop.points,
        "evaluated": accuracy.images,
        "held_out": rest.images,
        "ways": ways,
        "search": codec.to_plain(ours.manifest.search),
    }


def rows(model: str, found: dict[str, Any]) -> list[list[str]]:
    lines = []
    for name, way in found["ways"].items():
        outside, limit = way["held_out"], found["points"]
        lines.append(
            [
                model,
                f"{found['metric']} {limit:g}",
                name,
                way["ran"],
                f"{way['searched']['value']:.3f}",
                f"{outside['value']:.3f} [{outside['low']:.3f}, {outside['high']:.3f}]",
                "yes" if outside["value"] <= limit else "**no**",
                f"{way['times_16_bit']:.2f}",
                "" if way["seconds"] is None else f"{way['seconds']:.0f}",
            ]
        )
    return lines


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", choices=[*MODELS, []], help="default: all")
    parser.add_argument("--data", type=Path, action="append", help="folders already drawn: streets, cars")
    parser.add_argument("--seconds", type=float, default=300.0, help="budget of each search of ours")
    parser.add_argument("--graph", type=Path, help=f"the frozen graph of {TENSORFLOW}, which is searched alone")
    parser.add_argument("--photos", type=Path, nargs="+", default=[], help="with --graph: folders of photographs")
    parser.add_argument("--no-nncf", action="store_true", help="leave NNCF's search out, the longest part")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if (arguments.graph is None) != (not arguments.photos):
        parser.error("--graph and --photos go together")
    scratch = Path(tempfile.mkdtemp())
    found: dict[str, Any] = {}
    lines: list[list[str]] = []
    header = ["network", "limit", "way", "runs", "drop where searched", "drop on other images", "within"]
    header += ["times 16-bit speed", "s"]
    try:
        for name, case in cases(arguments, scratch):
            result = case()
            found[f"{name} {result['metric']}"] = result
            lines += rows(name, result)
            print(table(header, rows(name, result), "<<<<>><>>"), flush=True)
    finally:
        shutil.rmtree(scratch)
    print(table(header, lines, "<<<<>><>>"))
    if arguments.json:
        here = codec.to_plain(machine.describe())
        files.write_text(arguments.json, codec.json_text({"machine": here, "found": found}))


def cases(arguments: argparse.Namespace, scratch: Path) -> Iterable[tuple[str, Callable[[], dict[str, Any]]]]:
    """What is to be measured, by name."""
    how = {"seconds": arguments.seconds, "with_nncf": not arguments.no_nncf}
    if arguments.graph:
        halves = cutouts.write(arguments.photos, scratch / "cutouts", each=CUTOUTS, side=TENSORFLOW_SIDE)
        for name, half, others in (("one half", *halves), ("other half", *halves[::-1])):
            how |= {"graph": arguments.graph, "others": others, "folder": scratch / half.name}
            yield f"{TENSORFLOW}, {name}", functools.partial(one, TENSORFLOW, "disagreement", half, **how)
        return
    for model in arguments.models or MODELS:
        data = data_root(model, arguments.data or [], scratch)
        for metric in (None, "disagreement"):
            yield model, functools.partial(one, model, metric, data, folder=scratch, **how)


def data_root(model: str, given: list[Path], scratch: Path) -> Path:
    """A given folder that the model's data set is in, or a new drawing."""
    entry = ZOO.load(model)
    assert entry.spec.evaluation is not None and entry.data is not None
    dataset = DATASETS.load(entry.spec.evaluation.dataset)
    for folder in given:
        with contextlib.suppress(Exception):
            dataset.open(folder, "all")
            return folder
    root = scratch / entry.data.writer
    SCENES.load(entry.data.writer)(root, entry.data.count, seed=entry.data.seed)
    return root


if __name__ == "__main__":
    main()
