"""What each exact pass over a graph gains, and what OpenVINO makes of a dilated convolution in other forms.

Inference alone, input ready, repetitions interleaved; medians of ratios of neighbouring runs with their quartiles.
Weights are random: speed does not depend on them. With --processor-time everything runs on one thread and its time on
the processor counts, which says most on a machine that others use as well. With --most the networks are built for the
CPU that this one is with less to use, and timed as on it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from densecast import BuildOptions, InputShape, QuantizeOptions, Stretch
from densecast import artifact as artifacts
from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.backends._base import BACKENDS
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import ab_timing, execution, machine
from densecast.spec import precision as precisions
from densecast.spec.cpu import Cpu
from densecast.verbs.builder import build, graph_passes
from densecast.verbs.builder.compile_plan import prepare
from dilated_forms import FORMS, quantised
from subjects import CALIBRATION_IMAGES, SUBJECTS

# What each pass is measured on: a network that has what it is for.
MODELS = ("deeplabv3_r101_d16_mg124", "unet_s5_d16", "deeplabv3_tiny")
PLAIN = "none"
# The targets that this CPU is with less to use.
TARGETS_OF: dict[str, Cpu] = {"AVX512_CORE_VNNI": "vnni", "AVX512_CORE": "avx512", "AVX2": "avx2"}
Clock = Callable[[], int]


def interleaved(calls: Mapping[str, Callable[[], object]], repetitions: int, clock_ns: Clock) -> dict[str, list[float]]:
    """Milliseconds of each call, by name, run alternately; a first round warms up."""
    workloads = [ab_timing.timed(call, clock_ns) for call in calls.values()]
    for workload in workloads:
        workload()
    limits = ab_timing.RoundLimits(most=repetitions, fewest=repetitions, seconds=0.0)
    seconds = ab_timing.interleave(workloads, limits)
    return {name: (times * 1e3).tolist() for name, times in zip(calls, seconds, strict=True)}


def summary(times_ms: list[float], base_ms: list[float]) -> dict[str, Any]:
    """Median, and how many times faster than the base."""
    low, middle, high = ab_timing.ratio_quartiles(np.asarray(base_ms), np.asarray(times_ms))
    return {
        "median_ms": float(np.median(times_ms)),
        "times_faster": middle,
        "quartiles": [low, high],
        "samples_ms": times_ms,
    }


@dataclass(frozen=True, slots=True)
class Timing:
    """How inference is timed: rounds, threads, and whether by the processor's time of one thread.

    `most` is what oneDNN, and OpenVINO with it, may use of this CPU (`ONEDNN_MAX_CPU_ISA`); empty for all of it.
    """

    repetitions: int
    threads: int
    by_processor_time: bool
    most: str = ""

    @property
    def clock_ns(self) -> Clock:
        """What is read before and after."""
        return time.process_time_ns if self.by_processor_time else time.perf_counter_ns


def sized(source: FloatArtifact, size_hw: tuple[int, int], folder: Path) -> FloatArtifact:
    """The network with all images brought to one size."""
    if not folder.is_dir():
        rule = replace(source.spec.preprocess, resize=Stretch(size_hw))
        with artifacts.writing(folder) as draft:
            for name in source.manifest.files:
                (draft.folder / name).write_bytes(source.file(name).read_bytes())
            draft.finish(replace(source.manifest, spec=replace(source.spec, preprocess=rule)))
    return FloatArtifact.open(folder)


def built(model: str, precision: str, size_hw: tuple[int, int] | None, most: str, folder: Path) -> dict[str, list[str]]:
    """Build each pass that changes the network's graph on its own, what a build takes by itself, and none.

    What each did, by the name of its folder below `folder`; those that change nothing are left out.
    """
    subject = SUBJECTS[model]
    folder.mkdir(parents=True, exist_ok=True)
    images = subject.images(folder, CALIBRATION_IMAGES)
    source = subject.exported(folder)
    if size_hw:
        source = sized(source, size_hw, folder / f"float_{size_hw[0]}x{size_hw[1]}")
    height, width = size_hw or subject.model_hw(images)
    base = BuildOptions(
        "openvino",
        precisions.parse(precision),
        InputShape((subject.batch,), height, width),
        QuantizeOptions(images=CALIBRATION_IMAGES, calibration_method="mean_minmax", bias_correction="none"),
        half_type="auto" if most else "bf16",
        cpu=TARGETS_OF.get(most, "native"),
    )
    cases: dict[str, tuple[str, ...] | None] = {PLAIN: (), "default": None}
    plain = replace(base, precision="force_float32", half_type="auto", graph_passes=())
    prepare(source, folder / "graph", plain).write_graph(folder / "graph.onnx")
    graph = onnx.load(folder / "graph.onnx")
    cases |= {name: (name,) for name in graph_passes.NAMES if graph_passes.differ(graph, (name,))}
    notes = {}
    for name, chosen in cases.items():
        made = build(source, folder / "built" / name, replace(base, graph_passes=chosen), data=images[0].parent)
        notes[name] = list(made.manifest.passes)
    return notes


def timed(folder: Path, names: Sequence[str], timing: Timing) -> dict[str, Any]:
    """Inference of the builds in turns, in this process; and labels that are not those of the one without passes."""
    backend = BACKENDS.load("openvino")
    calls, outputs = {}, {}
    for name in names:
        artifact = CompiledArtifact.open(folder / name)
        shape = artifact.spec.input.shape
        feed = {"image": np.random.default_rng(0).standard_normal(shape, dtype=np.float32)}
        runner = backend.load(artifact, execution.configure("latency", timing.threads))
        calls[name] = lambda runner=runner, feed=feed: runner.run(feed)
        outputs[name] = calls[name]()["logits"].astype(np.float32)
    times_ms = interleaved(calls, timing.repetitions, timing.clock_ns)
    return {
        name: summary(times, times_ms[PLAIN])
        | {"labels_changed": float((outputs[name].argmax(1) != outputs[PLAIN].argmax(1)).mean())}
        for name, times in times_ms.items()
    }


def whole(
    model: str, precision: str, size_hw: tuple[int, int] | None, timing: Timing, folder: Path
) -> dict[str, dict[str, Any]]:
    """Each pass on its own, what a build takes by itself, and none; timed in a process that is told what it may use."""
    notes = built(model, precision, size_hw, timing.most, folder)
    request = {"folder": str(folder / "built"), "names": list(notes), "timing": asdict(timing)}
    environment = {**os.environ, **({"ONEDNN_MAX_CPU_ISA": timing.most} if timing.most else {})}
    command = [sys.executable, __file__, "--timed", json.dumps(request)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return {name: case | {"notes": notes[name]} for name, case in found.items()}


def forms(
    precision: str, repetitions: int, shape: tuple[int, int, int, int], dilation: int, threads: int, clock_ns: Clock
) -> dict[str, Any]:
    """One dilated 3x3 convolution in every form, from outputs that were checked to agree."""
    import openvino as ov

    channels, _, height, width = shape
    core = ov.Core()
    feed = np.random.default_rng(1).standard_normal((1, channels, height, width), dtype=np.float32)
    calls, outputs = {}, {}
    for name, form in FORMS.items():
        model = core.read_model(form(shape, dilation).SerializeToString())
        if precision == "int8":
            model = quantised(model, feed)
        hint = "f32" if precision == "fp32" else "bf16"
        settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        compiled = core.compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()
        calls[name] = lambda request=request: request.infer({0: feed}, share_inputs=True, share_outputs=True)
        outputs[name] = request.infer({0: feed})[0].copy()
    times_ms = interleaved(calls, repetitions, clock_ns)
    largest = float(np.abs(outputs["dilated"]).max())
    return {
        name: summary(times, times_ms["dilated"])
        | {"relative_difference": float(np.abs(outputs[name] - outputs["dilated"]).max()) / largest}
        for name, times in times_ms.items()
    }


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--timed", help=argparse.SUPPRESS)
    parser.add_argument("--model", nargs="*", default=list(MODELS), choices=[*SUBJECTS])
    parser.add_argument("--size", type=int, nargs=2, help="height and width of the networks' input, instead of usual")
    parser.add_argument("--most", default="", choices=[*TARGETS_OF], help="what of this CPU may be used")
    parser.add_argument("--precision", nargs="*", default=["fp16"], choices=["fp32", "fp16", "int8"])
    parser.add_argument("--forms", action="store_true", help="also one convolution in every form")
    parser.add_argument("--shape", type=int, nargs=4, default=(2048, 512, 64, 128), help="in, out, height, width")
    parser.add_argument("--dilation", type=int, nargs="*", default=(6, 12, 18))
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--processor-time", action="store_true", help="of one thread, instead of wall time")
    parser.add_argument("--folder", type=Path, help="where exports and builds are kept for another run")
    parser.add_argument("--json", type=Path, help="a file to add what was measured to, by network, precision and CPU")
    arguments = parser.parse_args()
    if arguments.timed:
        request = json.loads(arguments.timed)
        print(json.dumps(timed(Path(request["folder"]), request["names"], Timing(**request["timing"]))))
        return
    found: dict[str, Any] = {"machine": codec.to_plain(machine.describe()), "networks": {}, "forms": {}}
    rows = []
    threads = 1 if arguments.processor_time else machine.usable_cpus()
    timing = Timing(arguments.repetitions, threads, arguments.processor_time, arguments.most)
    found |= {"threads": threads, "clock": timing.clock_ns.__name__}

    def add(what: str, precision: str, cases: dict[str, Any]) -> None:
        for name, case in cases.items():
            low, high = case["quartiles"]
            spread = f"{low:.2f} to {high:.2f}"
            rows.append([what, precision, name, f"{case['median_ms']:.1f}", f"{case['times_faster']:.2f}", spread])
            print(f"{what} {precision} {name}: {rows[-1][3]} ms, {rows[-1][4]} times as fast", flush=True)

    for precision in arguments.precision:
        for model in arguments.model:
            with tempfile.TemporaryDirectory() as scratch:
                folder = (arguments.folder or Path(scratch)).resolve() / model
                size_hw = tuple(arguments.size) if arguments.size else None
                cases = whole(model, precision, size_hw, timing, folder)
            size = "×".join(map(str, size_hw)) if size_hw else "usual size"
            found["networks"][f"{model}, {size}, {precision}, {arguments.most or 'all'}"] = cases
            add(model, precision, cases)
        for dilation in arguments.dilation if arguments.forms else ():
            shape = tuple(arguments.shape)
            cases = forms(precision, arguments.repetitions, shape, dilation, threads, timing.clock_ns)
            found["forms"][f"{shape} dilation {dilation} {precision}"] = cases
            add(f"{shape[0]}→{shape[1]} at {shape[2]}×{shape[3]}, dilation {dilation}", precision, cases)
    print(table(["network or layer", "precision", "pass", "median ms", "times faster", "quartiles"], rows, "<<<>>>"))
    if arguments.json:
        held = json.loads(arguments.json.read_text(encoding="utf-8")) if arguments.json.exists() else {}
        for part in ("networks", "forms"):
            found[part] = {**held.get(part, {}), **found[part]}
        files.write_text(arguments.json, codec.json_text(found))


if __name__ == "__main__":
    main()
