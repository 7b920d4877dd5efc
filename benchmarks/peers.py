"""densecast end to end beside what users would run instead, in one run, on the same images.

    python benchmarks/peers.py --model unet_carvana fcn_r50_d8_voc --json peers.json --plot peers.svg

The contenders are the files of `contenders/`: the original's order of operations in torch float32; ONNX Runtime in
float32 and int8, and OpenVINO as it comes, each with OpenCV and numpy; OpenVINO's inference alone, which is the limit;
and densecast, in every precision, in latency and in throughput mode. With `--compiled` also PyTorch as its experts
would compile it, in bfloat16 and in int8: that takes a C++ compiler, minutes, and torchao, which no extra has:

    python -m venv --system-site-packages venv-peers; venv-peers/bin/pip install --no-deps torchao

from an interpreter that has densecast with all extras. Each lives in a process of its own, bound to the same CPUs, and
peak memory is that process's. They take turns: in every round each does its share of images while the others wait, and
ratios are taken within a round, so that a drift of the machine's speed meets all. Given are medians of the rounds'
ratios with their range. Images are drawn, or those of `--images`; builds are kept in `--work` for the next time.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import statistics
import time
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from charts import COLOURS, write_bars
from contenders.job import Array, Job
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import execution, machine
from densecast.spec.precision import parse, short
from subjects import CALIBRATION_IMAGES, PRECISIONS, SUBJECTS, Subject

DEFAULT_MODELS = (
    "unet_carvana",
    "fcn_r50_d8_voc",
    "ocrnet_hr18",
    "deeplabv3_r101_d16_mg124",
    "mobilenetv2_ae",
)
# A turn lasts about so long: enough that its ends do not count, little enough for many rounds.
TURN_S = 1.5
# Whoever needs longer than this for one image takes part in the first rounds only.
SLOW_S = 4.0
SLOW_ROUNDS = 2
# Below this, the next contender might not fit.
LEAST_FREE_MB = 2500
# After a turn, worker threads of some engines still spin for a moment.
REST_S = 0.25


@dataclass(slots=True)
class Entrant:
    """A contender in its process."""

    name: str
    module: str
    job: Job
    process: Any = None
    connection: Connection | None = None
    per_turn: int = 1
    one_image_s: float = 0.0
    rounds_s: list[float | None] = field(default_factory=list)
    rounds_cpu_s: list[float] = field(default_factory=list)
    facts: dict[str, float | str] = field(default_factory=dict)
    result: Array | None = None
    peak_rss_mb: float = 0.0

    def ask(self, what: str, *values: object) -> Any:
        """Have something done in the process, and wait for it."""
        assert self.connection is not None
        self.connection.send((what, *values))
        answer = self.connection.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def serve(connection: Connection, module: str, job: Job, images: list[Path]) -> None:
    """What runs in a contender's process: load, then do what is asked."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: job.threads])
    try:
        contender = importlib.import_module(f"contenders.{module}").enter(job)
        connection.send("ready")
    except Exception as error:  # any contender's, of any kind: the parent raises it
        connection.send(error)
        return
    position = 0
    while True:
        what, *values = connection.recv()
        if what == "end":
            connection.send((contender.facts(), machine.peak_rss_mb()))
            return
        try:
            if what == "result":
                connection.send(contender.result(images[0]))
                continue
            (count,) = values
            turn = [images[(position + offset) % len(images)] for offset in range(count)]
            position += count
            start, start_cpu = time.perf_counter(), time.process_time()
            contender.run(turn)
            connection.send((time.perf_counter() - start, time.process_time() - start_cpu))
        except Exception as error:  # as above
            connection.send(error)


def entrants(subject: Subject, folder: Path, images: list[Path], chosen: argparse.Namespace) -> list[Entrant]:
    """Everybody who takes part for one network, built and exported."""
    exported = subject.exported(folder)
    threads = chosen.threads
    base = Job(subject.model, exported.folder, subject.fixed_onnx(folder, images), threads)
    streams = execution.configure("throughput", threads).num_streams
    found = [
        Entrant("torch fp32, original order", "original_torch", base),
        Entrant("ONNX Runtime + OpenCV + numpy", "onnxruntime_loop", base),
        Entrant("OpenVINO defaults + OpenCV + numpy", "openvino_loop", base),
    ]
    calibrating = replace(base, images=tuple(images[:CALIBRATION_IMAGES]))
    found.append(Entrant("ONNX Runtime int8 + OpenCV + numpy", "onnxruntime_int8", calibrating))
    if chosen.compiled:
        found.append(Entrant("torch compiled bf16 + OpenCV + numpy", "compiled_torch", base))
        found.append(Entrant("torch compiled int8 + OpenCV + numpy", "compiled_torch_int8", calibrating))
    for precision in chosen.precision:
        built = subject.built(folder, parse(precision), images).folder
        modes = {"latency": 1} if precision == "fp32" else {"latency": 1, "throughput": streams}
        for mode, count in modes.items():
            job = Job(subject.model, exported.folder, base.onnx, threads, built, count)
            found.append(Entrant(f"inference alone {precision} {mode}", "openvino_alone", job))
            found.append(Entrant(f"densecast {precision} {mode}", "densecast_stream", job))
    return found


def measure(subject: Subject, folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """One network's rounds."""
    folder.mkdir(parents=True, exist_ok=True)
    images = subject.images(folder, chosen.count, chosen.images)
    everybody = entrants(subject, folder, images, chosen)
    context = multiprocessing.get_context("spawn")
    try:
        for entrant in everybody:
            entrant.connection, theirs = context.Pipe()
            arguments = (theirs, entrant.module, entrant.job, images)
            entrant.process = context.Process(target=serve, args=arguments, daemon=True)
            entrant.process.start()
            answer = entrant.connection.recv()
            if isinstance(answer, Exception):
                raise answer
            start = time.perf_counter()
            entrant.result = entrant.ask("result")
            entrant.one_image_s = time.perf_counter() - start
            if entrant.one_image_s < SLOW_S or not entrant.result.size:
                # The first one compiled and allocated.
                entrant.one_image_s = entrant.ask("run", entrant.job.streams)[0] / entrant.job.streams
            # As many images for every stream, so that all end together.
            images_per_stream = max(1, round(TURN_S / entrant.one_image_s / entrant.job.streams))
            entrant.per_turn = images_per_stream * entrant.job.streams
            _refuse_little_memory()
        begun = time.perf_counter()
        for number in range(chosen.rounds):
            if number >= SLOW_ROUNDS and time.perf_counter() - begun > chosen.seconds:
                break
            for entrant in everybody:
                if entrant.one_image_s > SLOW_S and number >= SLOW_ROUNDS:
                    entrant.rounds_s.append(None)
                    continue
                wall_s, cpu_s = entrant.ask("run", entrant.per_turn)
                entrant.rounds_s.append(wall_s / entrant.per_turn)
                entrant.rounds_cpu_s.append(cpu_s / entrant.per_turn)
                time.sleep(REST_S)
        for entrant in everybody:
            entrant.facts, entrant.peak_rss_mb = entrant.ask("end")
    finally:
        for entrant in everybody:
            if entrant.process is not None:
                entrant.process.terminate()
                entrant.process.join()
    height, width = subject.model_hw(images)
    figures = {entrant.name: _figures(entrant, everybody[0]) for entrant in everybody}
    return {"input": f"{height}x{width}", "images": len(images), "contenders": figures, "ratios": _ratios(everybody)}


def _refuse_little_memory() -> None:
    """All contenders stay in memory, for them to take turns."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free_mb = next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable:"))
    if free_mb < LEAST_FREE_MB:
        raise SystemExit(f"{free_mb} MB of memory are left: run fewer contenders at a time, as --precision int8.")


def _figures(entrant: Entrant, first: Entrant) -> dict[str, Any]:
    assert entrant.result is not None and first.result is not None
    times_ms = [1000 * seconds for seconds in entrant.rounds_s if seconds is not None]
    found: dict[str, Any] = {
        "median_ms": statistics.median(times_ms),
        "rounds_ms": times_ms,
        "median_cpu_ms": 1000 * statistics.median(entrant.rounds_cpu_s),
        "images_per_turn": entrant.per_turn,
        "peak_rss_mb": round(entrant.peak_rss_mb),
        **entrant.facts,
    }
    if entrant.result.size and entrant.result.ndim == 2 and entrant.result.shape == first.result.shape:
        found["labels_as_torch"] = float(np.mean(entrant.result == first.result))
    elif entrant.result.ndim == 3:
        found["people"] = len(entrant.result)
    return found


def _ratios(everybody: list[Entrant]) -> dict[str, dict[str, Any]]:
    """The comparisons that matter: how many times faster, or which share of the limit."""
    by_name = {entrant.name: entrant for entrant in everybody}
    found: dict[str, dict[str, Any]] = {}
    for entrant in everybody:
        if entrant.module != "densecast_stream":
            continue
        limit = by_name[entrant.name.replace("densecast", "inference alone")]
        share = found[f"{entrant.name} / {limit.name}"] = _ratio(limit, entrant)
        other_stages_s = float(entrant.facts["other_stages_cpu_ms"]) / 1000
        if entrant.job.streams > 1:
            # The other stages' CPU time comes on top of inference's, which alone keeps every CPU busy.
            inference_cpu_s = statistics.median(limit.rounds_cpu_s)
            share["bound"] = inference_cpu_s / (inference_cpu_s + other_stages_s)
        else:
            alone_s = statistics.median(second for second in limit.rounds_s if second)
            share["bound"] = alone_s / (alone_s + other_stages_s)
        for peer in everybody:
            if "densecast" in peer.name or "alone" in peer.name:
                continue
            found[f"{entrant.name} × {peer.name}"] = _ratio(peer, entrant)
    return found


def _ratio(numerator: Entrant, denominator: Entrant) -> dict[str, Any]:
    """Median and range of the rounds' ratios of times."""
    pairs = zip(numerator.rounds_s, denominator.rounds_s, strict=True)
    values = [above / below for above, below in pairs if above is not None and below is not None]
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "rounds": len(values)}


def plot(found: dict[str, Any], path: Path) -> None:
    """Times of every network and contender as bars."""
    rows = [
        (f"{model}: {name}", figures["median_ms"], COLOURS[0 if "densecast" in name else 2 if "alone" in name else 1])
        for model, result in found.items()
        for name, figures in result["contenders"].items()
    ]
    write_bars(path, "median milliseconds an image, logarithmic", rows)


def main() -> None:
    """Measure, print tables, write JSON and a plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", choices=list(SUBJECTS), default=list(DEFAULT_MODELS))
    parser.add_argument("--precision", nargs="+", default=[short(each) for each in PRECISIONS])
    parser.add_argument("--compiled", action="store_true", help="also PyTorch compiled in bfloat16 and int8")
    parser.add_argument("--images", type=Path, help="a folder of images instead of drawn ones")
    parser.add_argument("--count", type=int, default=8, help="different images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120.0, help="begin no round after so long, but two")
    parser.add_argument("--threads", type=int, default=machine.usable_cpus())
    parser.add_argument("--work", type=Path, default=Path("runs/bench/peers"), help="where builds and images are kept")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="an SVG file")
    chosen = parser.parse_args()
    found: dict[str, Any] = {}
    for model in chosen.model:
        start = time.perf_counter()
        result = found[model] = measure(SUBJECTS[model], chosen.work / model, chosen)
        result["seconds"] = round(time.perf_counter() - start, 1)
        print(f"\n{model}, {result['input']}, {result['seconds']:.0f} s\n")
        rows = [
            [
                name,
                f"{figures['median_ms']:.1f}",
                f"{figures['median_cpu_ms']:.1f}",
                f"{figures['peak_rss_mb']}",
                f"{figures['labels_as_torch']:.3%}" if "labels_as_torch" in figures else str(figures.get("people", "")),
            ]
            for name, figures in result["contenders"].items()
        ]
        print(table(["contender", "ms an image", "CPU ms", "peak MB", "labels as torch, or people"], rows, "<>>>>"))
        rows = [
            [
                name,
                f"{value['median']:.2f}",
                f"{value['low']:.2f}..{value['high']:.2f}",
                f"{value['bound']:.3f}" if "bound" in value else "",
            ]
            for name, value in result["ratios"].items()
        ]
        print(table(["ratio", "median", "range", "bound by CPU time"], rows, "<>>>"), flush=True)
        if chosen.json:
            here = codec.to_plain(machine.describe())
            files.write_text(chosen.json, codec.json_text({"machine": here, "models": found}))
        if chosen.plot:
            plot(found, chosen.plot)


if __name__ == "__main__":
    main()
