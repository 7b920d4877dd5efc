"""Image to labels with a frozen TensorFlow graph: as it is in three engines, and taken apart by densecast.

The untouched `.pb` runs in TensorFlow, through tf2onnx in ONNX Runtime, and in OpenVINO, which reads it itself; around
it is what a competent user writes: OpenCV decodes and resizes, nearest neighbour brings labels to the image's size.
Every round gives each contender the same image once, threads alike, so that a drift of the machine's speed hits all.
CPU time is all threads'; unlike the time that passes it hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast import BuildOptions, ExportOptions, Pipeline, QuantizeOptions, build, export_zoo
from densecast.imaging.folder import images_in
from densecast.io import codec, files
from densecast.report.markdown import table
from densecast.runtime import machine
from densecast.runtime.clock import StopWatch
from densecast.spec.precision import PRECISIONS, short
from densecast.verbs.export.tensorflow_source import ConversionSubprocess

MODEL = "deeplabv3_mnv2_voc"
SIDE = 513
BASE = "TensorFlow, untouched"
# Outside the network: whatever happens to an image but the engine's own call.
OUTSIDE = ("decode", "preprocess", "postprocess")
_SHOWN = {"median_ms": 1, "times_faster": 2, "median_cpu_ms": 1, "times_less_cpu": 2}
Labels = npt.NDArray[np.uint8]
Network = Callable[[npt.NDArray[np.uint8]], npt.NDArray[Any]]
Contender = Callable[[Path], Labels]


def as_a_user_writes_it(network: Network) -> Contender:
    """An image file, stretched to 513×513 bytes in RGB, to labels at its own size."""
    import cv2

    def run(path: Path) -> Labels:
        image = cv2.imread(str(path))
        height, width = image.shape[:2]
        small = cv2.cvtColor(cv2.resize(image, (SIDE, SIDE)), cv2.COLOR_BGR2RGB)
        labels = np.asarray(network(small[None]))[0].astype(np.uint8)
        return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)

    return run


def serve_tensorflow(graph: Path, threads: int, pipe: Any) -> None:
    """The untouched graph in TensorFlow, in a process of its own: each answer is milliseconds passed and of CPUs."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef()
    definition.ParseFromString(graph.read_bytes())
    with tf.Graph().as_default() as scope:
        tf.import_graph_def(definition, name="")
    limits = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=1)
    session = tf.compat.v1.Session(graph=scope, config=limits)
    contender = as_a_user_writes_it(lambda image: session.run("SemanticPredictions:0", {"ImageTensor:0": image}))
    while (path := pipe.recv()) is not None:
        pipe.send(timed(partial(contender, path)))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds that passed, and those of CPU time in all threads of this process."""
    start, start_cpu = time.perf_counter_ns(), time.process_time_ns()
    work()
    return (time.perf_counter_ns() - start) / 1e6, (time.process_time_ns() - start_cpu) / 1e6


def onnxruntime_network(graph: Path, threads: int) -> Network:
    """The converted graph, otherwise untouched."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda image: session.run(None, {name: image})[0]


def openvino_network(graph: Path, threads: int) -> Network:
    """The `.pb` itself, at the one shape it sees, as `benchmark_app` compiles it."""
    import openvino

    core = openvino.Core()
    model = core.read_model(graph)
    model.reshape([1, SIDE, SIDE, 3])
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(model, "CPU", config).create_infer_request()
    return lambda image: request.infer({0: image})[0]


def in_stages(pipeline: Pipeline, photo: Path, watch: StopWatch) -> None:
    """An image file to its prediction, every stage timed."""
    for _ in pipeline.stream([photo], pipeline.read, lambda predicted: None, clock=watch):
        pass


def measure(
    graph: Path, photos: list[Path], calibration: Path, rounds: int, folder: Path, threads: int
) -> dict[str, Any]:
    """Milliseconds of every contender for every image, in turn."""
    exported = export_zoo(MODEL, folder / "float", ExportOptions(variant="stretch"), given=graph)
    frozen = exported.file("graph.pb")
    conversion = ConversionSubprocess(folder, str(frozen))
    conversion.run(task="convert", graph=str(frozen.resolve()), input=None, output=None, opset=17)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    served = context.Process(target=serve_tensorflow, args=(frozen, threads, theirs), daemon=True)
    served.start()
    contenders: dict[str, Contender] = {
        "ONNX Runtime, untouched": as_a_user_writes_it(onnxruntime_network(conversion.folder / "graph.onnx", threads)),
        "OpenVINO, untouched": as_a_user_writes_it(openvino_network(frozen, threads)),
    }
    times: dict[str, list[tuple[float, float]]] = {BASE: []} | {name: [] for name in contenders}
    watches: dict[str, StopWatch] = {}
    ran: dict[str, str] = {}
    with ExitStack() as stack:
        pipelines: dict[str, Pipeline] = {}
        for precision in PRECISIONS:
            options = BuildOptions(precision=precision, quantize=QuantizeOptions(images=0))
            built = build(exported, folder / short(precision), options, data=calibration)
            pipeline = stack.enter_context(Pipeline.open(built, threads=threads))
            name = f"densecast {short(precision)}"
            pipelines[name], ran[name] = pipeline, str(pipeline.precision)
            times[name] = []
        for turn in range(rounds + 1):
            for photo in photos:
                ours.send(photo)
                taken = {BASE: ours.recv()}
                for name, contender in contenders.items():
                    taken[name] = timed(partial(contender, photo))
                for name, pipeline in pipelines.items():
                    watch = watches.setdefault(name, StopWatch()) if turn else StopWatch()
                    taken[name] = timed(partial(in_stages, pipeline, photo, watch))
                if turn:  # the first round warms up
                    for name, value in taken.items():
                        times[name].append(value)
    ours.send(None)
    served.join()
    base = np.asarray(times[BASE])
    found: dict[str, Any] = {}
    for name, values in times.items():
        found[name] = {
            "ran": ran.get(name, "as the engine chooses"),
            "median_ms": float(np.median(values, axis=0)[0]),
            "median_cpu_ms": float(np.median(values, axis=0)[1]),
            "times_faster": float(np.median(base / np.asarray(values), axis=0)[0]),
            "times_less_cpu": float(np.median(base / np.asarray(values), axis=0)[1]),
            "samples_ms_and_cpu_ms": values,
        }
        if name in watches:
            stages = {stage: float(np.median(watches[name].samples_ms[stage])) for stage in (*OUTSIDE, "infer")}
            outside = sum(stages[stage] for stage in OUTSIDE)
            found[name] |= {"stages_ms": stages, "outside_share": outside / (outside + stages["infer"])}
    return found


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("graph", type=Path, help="frozen_inference_graph.pb or the published archive")
    parser.add_argument("photos", type=Path, help="a folder of images, as VOC2012/JPEGImages")
    parser.add_argument("--calibration", type=Path, required=True, help="a folder of other images, for int8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=9, help="how many of the photos")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    threads = machine.usable_cpus()
    photos = images_in(arguments.photos)[: arguments.count]
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments.graph, photos, arguments.calibration, arguments.rounds, Path(folder), threads)
    rows = []
    for name, case in found.items():
        outside = f"{case['outside_share']:.1%}" if "outside_share" in case else ""
        figures = [f"{case[key]:.{digits}f}" for key, digits in _SHOWN.items()]
        rows.append([name, case["ran"], *figures, outside])
    heads = ["contender", "ran", "ms", "times as fast", "CPU ms", "times less CPU", "outside the network"]
    print(f"{len(photos)} images, {arguments.rounds} rounds, {threads} threads")
    print(table(heads, rows, "<<>>>>>"))
    if arguments.json:
        here = codec.to_plain(machine.describe())
        files.write_text(arguments.json, codec.json_text({"machine": here, "threads": threads, "contenders": found}))


if __name__ == "__main__":
    main()
