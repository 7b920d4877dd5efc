"""`build --max-drop` against NNCF's accuracy control: promise kept on other images, speed, and time to find it.

Both get the same float graph, calibration images, range estimator, judging images, metric and promise. What they make
is then measured on images that neither has seen, and timed in turns. The promises are the model's own metric, and the
share of pixels whose class changes, at a share of what plain int8 loses.

With --graph, the published TensorFlow graph is searched instead, on cut-outs of photographs: those of one half of the
photographs for calibration and search, the others to see whether the promise holds, and then the other way round.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import cutouts
from densecast import Artifact, BuildOptions, ExportOptions, InputShape, Pipeline, QuantizeOptions, export_zoo, plugins
from densecast import artifact as artifact_files
from densecast.artifact.search_record import MaxDrop
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.runtime.execution import ExecutionConfig
from densecast.verbs.builder import build
from densecast.verbs.builder.compile_plan import prepare
from densecast.verbs.mixed_precision import build_within
from densecast.verbs.mixed_precision.judge import Judge

MODELS = ("unet_tiny", "ocrnet_hr18s_tiny", "deeplabv3_tiny", "fcn_tiny")
CALIBRATION_IMAGES, JUDGED_IMAGES = 60, 120
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

    def __init__(self, compiled: Any, like: Pipeline) -> None:
        self.input, self.batch_sizes, self.precision = like.spec.input, like.runner.batch_sizes, like.runner.precision
        self._compiled, self._output = compiled, like.spec.output.name

    def run(self, feeds: dict[str, Any]) -> dict[str, Any]:
        return {self._output: self._compiled(feeds)[0]}

    def close(self) -> None:
        del self._compiled


def accuracy_control(
    source: Artifact, options: BuildOptions, data: Path, judge: Judge, points: float, plain: Artifact, folder: Path
) -> Made:
    """NNCF's own search."""
    os.environ.setdefault("NNCF_CI", "1")
    import nncf
    import openvino as ov

    nncf.set_log_level(logging.ERROR)
    start = time.monotonic()
    wanted = prepare(source, folder, options, data=data)
    with tempfile.TemporaryDirectory() as scratch:
        graph = Path(scratch) / "graph.onnx"
        wanted.write_graph(graph)
        model = ov.Core().read_model(graph)
        model.reshape({wanted.spec.input.name: list(wanted.spec.input.shape)})
    like = Pipeline.open(plain)
    feeds = [{wanted.spec.input.name: item.array[None]} for item in judge.some(like, judge.images)]

    def validate(compiled: Any, items: Iterable[Any]) -> tuple[float, None]:
        if len(list(items)) < 2:
            return 1.0, None  # NNCF asks for one item to see what kind of value comes back
        pipeline = Pipeline(plain, Compiled(compiled, like), ExecutionConfig(machine.usable_cpus()))
        return 1 - judge.drop(pipeline, lambda done, total: None).value / 100, None

    job = wanted.job(graph)
    with contextlib.redirect_stdout(io.StringIO()):
        found = nncf.quantize_with_accuracy_control(
            model,
            nncf.Dataset(wanted.feeds),
            nncf.Dataset(feeds),
            validate,
            max_drop=points / 100,
            drop_type=nncf.DropType.ABSOLUTE,
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(wanted.feeds),
            ignored_scope=nncf.IgnoredScope(types=list(job.options.quantize.excluded_types), validate=False),
            advanced_quantization_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.DISABLE if machine.has_wide_int8_sums() else nncf.OverflowFix.FIRST_LAYER
            ),
        )
    seconds = time.monotonic() - start
    with artifact_files.writing(folder) as draft:
        ov.save_model(found, draft.folder / "model.xml", compress_to_fp16=False)
        draft.finish(plain.manifest)
    return Made(folder, seconds)


def held_out(judge: Judge, spec: Any, data: Path, asked: MaxDrop, calibrated: Any, exact: Pipeline) -> Judge:
    """A judge of those images in `data` that neither calibration nor search has seen."""
    rest = Judge(spec, data, asked, calibrated=calibrated, without={sample.id for sample in judge.chosen()})
    rest.fix_count(1 << 30)
    rest.set_reference(exact, lambda done, total: None)
    return rest


def times_ms(pipelines: dict[str, Pipeline], feed: Any) -> dict[str, list[float]]:
    """Inference alone, in turns."""
    found: dict[str, list[float]] = {name: [] for name in pipelines}
    for turn in range(ROUNDS + 1):
        for name, pipeline in pipelines.items():
            start = time.perf_counter_ns()
            pipeline.runner.run(feed)
            if turn:
                found[name].append((time.perf_counter_ns() - start) / 1e6)
    return found


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
    """All ways for one model and metric; `others` is a folder of pictures to judge by in the end, if not `data`."""
    entry = plugins.load("zoo", model).ENTRY
    source = export_zoo(model, folder / model / "float", ExportOptions(), given=graph)
    shape = InputShape(height=entry.example_size_hw[0], width=entry.example_size_hw[1])
    quantize = QuantizeOptions(images=CALIBRATION_IMAGES, split="all", calibration_method="mean_minmax")
    options = BuildOptions("openvino", "qint8_mixed_float16", shape, quantize)
    made: dict[str, Made] = {}
    floats = {}
    for name, precision in (("float32", "force_float32"), ("16-bit", "force_float16")):
        floats[name] = build(source, folder / model / name, replace(options, precision=precision))
    plain = build(source, folder / model / "plain", options, data=data)
    made["plain int8"] = Made(plain.folder, plain.manifest.build_seconds)
    exact = Pipeline.open(floats["float32"])
    asked = MaxDrop(OWN_POINTS, metric, seconds, JUDGED_IMAGES, "all")
    judge = Judge(plain.spec, data, asked, calibrated=plain.manifest.calibration)
    judge.set_reference(exact, lambda done, total: None)
    if metric is not None:
        lost = judge.drop(Pipeline.open(plain), lambda done, total: None)
        asked = replace(asked, points=round(SHARE_OF_PLAIN * lost.value, 4))
    start = time.monotonic()
    ours = build_within(source, folder / model / f"ours_{judge.metric}", options, asked, data=data)
    made["--max-drop"] = Made(ours.folder, time.monotonic() - start)
    nncf_folder = folder / model / f"nncf_{judge.metric}"
    if with_nncf:
        made["NNCF"] = accuracy_control(source, options, data, judge, asked.points, plain, nncf_folder)
    pipelines = {"16-bit": Pipeline.open(floats["16-bit"])}
    pipelines |= {name: Pipeline.open(each.folder) for name, each in made.items()}
    rest = held_out(judge, plain.spec, others or data, asked, plain.manifest.calibration, exact)
    times = times_ms(pipelines, {plain.spec.input.name: rest.some(exact, 1)[0].array[None]})
    wide = np.asarray(times["16-bit"])
    ways = {}
    for name, pipeline in pipelines.items():
        ways[name] = {
            "ran": str(pipeline.runner.precision),
            "searched": asdict(judge.drop(pipeline, lambda done, total: None)),
            "held_out": asdict(rest.drop(pipeline, lambda done, total: None)),
            "median_ms": float(np.median(times[name])),
            "times_16_bit": float(np.median(wide / np.asarray(times[name]))),
            "seconds": made[name].seconds if name in made else None,
        }
    return {
        "metric": judge.metric,
        "points": asked.points,
        "judged": judge.images,
        "held_out": rest.images,
        "ways": ways,
        "search": codec.to_plain(ours.manifest.search),
    }


def rows(model: str, found: dict[str, Any]) -> list[list[str]]:
    lines = []
    for name, way in found["ways"].items():
        outside, promise = way["held_out"], found["points"]
        lines.append(
            [
                model,
                f"{found['metric']} {promise:g}",
                name,
                way["ran"],
                f"{way['searched']['value']:.3f}",
                f"{outside['value']:.3f} [{outside['low']:.3f}, {outside['high']:.3f}]",
                "yes" if outside["value"] <= promise else "**no**",
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
    header = ["network", "promise", "way", "runs", "drop where searched", "drop on other images", "kept"]
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
            yield f"{TENSORFLOW}, {name}", partial(one, TENSORFLOW, "disagreement", half, **how)
        return
    for model in arguments.models or MODELS:
        data = data_root(model, arguments.data or [], scratch)
        for metric in (None, "disagreement"):
            yield model, partial(one, model, metric, data, folder=scratch, **how)


def data_root(model: str, given: list[Path], scratch: Path) -> Path:
    """A given folder that the model's data set is in, or a new drawing."""
    entry = plugins.load("zoo", model).ENTRY
    dataset = plugins.load("datasets", entry.spec.evaluation.dataset)
    for folder in given:
        with contextlib.suppress(Exception):
            dataset.open(folder, "all")
            return folder
    root = scratch / entry.data.writer
    plugins.load("scenes", entry.data.writer).write(root, entry.data.count, seed=entry.data.seed)
    return root


if __name__ == "__main__":
    main()
