"""Times every operator that OpenVINO runs, and what this machine reaches at most: both by the engine's own counters."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.backends import _openvino_model
from densecast.backends._inspection import layer_of
from densecast.io import cache, files
from densecast.runtime import machine
from densecast.runtime.cpu_load import LoadMeter
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.roofline import LayerCost, Peaks, Roofline
from densecast.spec.tensor import Feeds

MODEL_FILE = "model.xml"
# By the engine's name of a type: ours, and its bytes.
_TYPES = {"f32": ("float32", 4), "f16": ("float16", 2), "bf16": ("bfloat16", 2), "i8": ("int8", 1), "u8": ("int8", 1)}
_OTHER_BYTES = {"i32": 4, "u32": 4, "i64": 8, "boolean": 1}
_CONVOLUTIONS = frozenset({"Convolution", "GroupConvolution"})
_PRODUCTS = frozenset({"MatMul", "FullyConnected"})
_NOT_RUN = frozenset({"Input", "Const", "Output", "Parameter", "Result"})

# Convolutions whose sums are long and whose data fits into a core's cache, (channels, side): what runs fastest differs
# between CPUs, and the fastest counts. A chain of them, so that none pays for what a first or last layer does.
_SIZES = ((128, 56), (256, 56), (512, 28))
_CHAIN = 4
_PEAK_S = 0.1
_LEAST_RUNS = 2
# Far more than all caches hold.
_COPIED_VALUES = 1 << 25
_FORMAT = 1


def profile(artifact: CompiledArtifact, config: ExecutionConfig, feeds: Feeds, runs: int) -> Roofline:
    """Run an artifact's model `runs` times on feeds of its inputs, and note the median time of each operator."""
    ov = _openvino_model.imported()
    model = ov.Core().read_model(artifact.file(MODEL_FILE))
    arrays = [np.ascontiguousarray(feeds[spec.name]) for spec in artifact.spec.inputs]
    model.reshape({spec.name: list(array.shape) for spec, array in zip(artifact.spec.inputs, arrays, strict=True)})
    threads = config.num_threads
    # One stream: what layers take of a machine that they have to themselves.
    wanted = {**artifact.manifest.settings, "PERF_COUNT": True, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    compiled = ov.Core().compile_model(model, "CPU", wanted)
    request = compiled.create_infer_request()
    inputs = dict(enumerate(arrays))
    request.infer(inputs)
    times: dict[str, list[float]] = {}
    whole = []
    for _ in range(runs):
        start = time.perf_counter()
        request.infer(inputs)
        whole.append(1e3 * (time.perf_counter() - start))
        for info in request.profiling_info:
            times.setdefault(info.node_name, []).append(info.real_time.total_seconds() * 1e3)
    medians = {name: statistics.median(values) for name, values in times.items()}
    layers = _layers(compiled.get_runtime_model(), medians)
    return Roofline(tuple(layers), peaks(threads), statistics.median(whole), arrays[0].shape, runs)


def peaks(threads: int) -> Peaks:
    """What this machine reaches with the engine in each type and in memory, measured in about half a second.

    Kept in the cache for each CPU, number of threads and version of the engine, unless others were busy meanwhile.
    """
    ov = _openvino_model.imported()
    key = files.sha256_text(repr((_FORMAT, machine.cpu(), machine.usable_cpus(), threads, ov.get_version())))
    known = cache.read_record("peaks", key, Peaks)
    if known is not None:
        return known
    meter = LoadMeter()
    core = ov.Core()
    abilities = set(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    kinds = [("f32", "float32"), *(("bf16", "bfloat16") for _ in range("BF16" in abilities))]
    kinds += [*(("f16", "float16") for _ in range("FP16" in abilities)), ("i8", "int8")]
    found = {name: rate for kind, name in kinds if (rate := _macs_per_s(core, kind, name, threads))}
    bytes_per_s = _bytes_per_s(core, threads)
    measured = Peaks(found, bytes_per_s, threads, machine.cpu()[0], meter.load())
    if not measured.load.is_too_high:
        cache.write_record("peaks", key, measured)
    return measured


def _layers(runtime: Any, medians: Mapping[str, float]) -> list[LayerCost]:
    """Every operator of the compiled graph that was timed."""
    found = []
    for node in runtime.get_ordered_ops():
        words = node.get_rt_info()
        kind, name = words["layerType"].astype(str), node.get_friendly_name()
        if kind in _NOT_RUN or not medians.get(name):
            continue
        originals = _originals(node)
        precision = words["runtimePrecision"].astype(str)
        if precision in ("i8", "u8") and kind in _CONVOLUTIONS | _PRODUCTS | {"Deconvolution"}:
            precision = "i8"
        found.append(
            LayerCost(
                _layer_name(node),
                originals,
                kind,
                words["primitiveType"].astype(str),
                _TYPES.get(precision, (precision, 0))[0],
                round(medians[name], 4),
                _macs(node, kind),
                _bytes(node),
            )
        )
    return found


def _originals(node: Any) -> tuple[str, ...]:
    """The nodes of the graph that an operator stands for; none for what the engine has put in."""
    names = node.get_rt_info()["originalLayersNames"].astype(str).split(",")
    return tuple(name.removesuffix("/WithoutBiases") for name in names if name)


def _layer_name(node: Any) -> str:
    """The layer of the original network, else the node of the graph; of what the engine has put in, what follows it."""
    originals = _originals(node)
    if originals:
        return next(filter(None, map(layer_of, originals)), originals[0])
    kind = node.get_rt_info()["layerType"].astype(str)
    for target in node.output(0).get_target_inputs():
        if after := _originals(target.get_node()):
            return f"{kind.lower()} before {next(filter(None, map(layer_of, after)), after[0])}"
    return str(node.get_friendly_name())


def _macs(node: Any, kind: str) -> int:
    """Multiply-accumulates of an operator, from the shapes that the engine ran: padding counts as if it were data."""
    made = [int(size) for size in node.get_output_shape(0)]
    shapes = [[int(size) for size in source.get_shape()] for source in _sources(node)]
    if len(shapes) < 2:
        return 0
    read, weights = shapes[0], int(np.prod(shapes[1]))
    if kind in _CONVOLUTIONS:
        return int(np.prod(made)) * weights // made[1]
    if kind == "Deconvolution":
        return int(np.prod(read)) * weights // read[1]
    if kind in _PRODUCTS:
        return int(np.prod(made)) * read[-1]
    return 0


def _bytes(node: Any) -> int:
    """Bytes of an operator's inputs, weights and outputs, each counted once."""
    words = node.get_rt_info()
    kinds = words["outputPrecisions"].astype(str).split(",")
    total = 0
    for place, output in enumerate(node.outputs()):
        kind = kinds[min(place, len(kinds) - 1)]
        total += int(np.prod([int(size) for size in output.get_shape()])) * _width(kind)
    own = words["runtimePrecision"].astype(str)
    for source in _sources(node):
        producer = source.get_node().get_rt_info()
        # Weights are stored in the type that computes, whatever the constant in the graph was.
        is_constant = producer["layerType"].astype(str) == "Const"
        kind = own if is_constant else producer["outputPrecisions"].astype(str).split(",")[0]
        total += int(np.prod([int(size) for size in source.get_shape()])) * _width(kind)
    return total


def _sources(node: Any) -> list[Any]:
    """The outputs that feed an operator."""
    return [node.input_value(place) for place in range(node.get_input_size())]


def _width(kind: str) -> int:
    return _TYPES[kind][1] if kind in _TYPES else _OTHER_BYTES.get(kind, 4)


def _macs_per_s(core: Any, kind: str, name: str, threads: int) -> float:
    """The most multiply-accumulates a second that a convolution reaches in a type; 0 where none runs in it."""
    best = 0.0
    begun = time.perf_counter()
    for channels, side in _SIZES:
        if best and time.perf_counter() - begun > 2 * _PEAK_S:
            break  # a type that this machine is slow in
        # What is not quantised in the chain runs in float32: nothing of it is counted.
        settings = {"INFERENCE_PRECISION_HINT": "f32" if kind == "i8" else kind, "PERF_COUNT": True}
        settings |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        compiled = core.compile_model(_chain(channels, side, is_int8=kind == "i8"), "CPU", settings)
        request, feed = compiled.create_infer_request(), np.ones((1, channels, side, side), np.float32)
        shortest: dict[str, float] = {}
        start, runs = time.perf_counter(), 0
        while runs < _LEAST_RUNS or time.perf_counter() - start < _PEAK_S / len(_SIZES):
            request.infer({0: feed})
            runs += 1
            for info in request.profiling_info:
                taken = info.real_time.total_seconds() * 1e3
                shortest[info.node_name] = min(taken, shortest.get(info.node_name, taken))
        layers = _layers(compiled.get_runtime_model(), shortest)
        best = max([best, *(layer.macs / (layer.ms / 1e3) for layer in layers if layer.type == name and layer.macs)])
    return best


def _chain(channels: int, side: int, *, is_int8: bool) -> Any:
    """A chain of 3×3 convolutions that keep their input's size, between quantisers for int8."""
    ov = _openvino_model.imported()
    ops = ov.opset13
    parameter = ops.parameter([1, channels, side, side], np.float32)
    weights = np.random.default_rng(0).uniform(-1, 1, (channels, channels, 3, 3)).astype(np.float32)

    def quantised(value: Any, levels: int) -> Any:
        ends = [np.float32(-1), np.float32(1)] * 2
        return ops.fake_quantize(value, *ends, levels) if is_int8 else value

    value: Any = parameter
    for _ in range(_CHAIN):
        kernel = quantised(ops.constant(weights / channels), 255)
        value = ops.convolution(quantised(value, 256), kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    return ov.Model([value], [parameter], "peak")


def _bytes_per_s(core: Any, threads: int) -> float:
    """The most bytes a second that the engine reads and writes where nothing stays in a cache."""
    ov = _openvino_model.imported()
    parameter = ov.opset13.parameter([_COPIED_VALUES], np.float32)
    model = ov.Model([ov.opset13.relu(parameter)], [parameter], "memory")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": True, "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    feed, shortest = np.ones(_COPIED_VALUES, np.float32), float("inf")
    start, runs = time.perf_counter(), 0
    while runs < _LEAST_RUNS or time.perf_counter() - start < _PEAK_S:
        request.infer({0: feed}, share_inputs=True, share_outputs=True)
        runs += 1
        spent = max(info.real_time.total_seconds() for info in request.profiling_info)
        shortest = min(shortest, spent)
    return 2 * feed.nbytes / shortest
