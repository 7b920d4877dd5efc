"""Chooses the 16-bit type of an OpenVINO build: float16, unless bfloat16 is clearly faster on this CPU."""

from __future__ import annotations

import functools
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.backends import _openvino_trial
from densecast.backends._base import BuildJob
from densecast.io import cache, codec, files
from densecast.runtime import ab_timing, machine
from densecast.runtime.cpu_load import LoadMeter
from densecast.spec.tensor import TensorSpec

# Of two 16-bit types, float16 carries three more bits of mantissa: it is taken unless it costs this much more time.
_WORTH_BFLOAT16 = 1.1
# Of sides that may have any size, while types are timed.
_SIDE = 512
_ROUNDS = ab_timing.RoundLimits(most=15, fewest=5, seconds=3.0)
# A round is at least so much CPU time, for the clock's and the binding's own cost not to matter.
_ROUND_S, _MOST_CALLS = 0.005, 50
_NAMES = {"f16": "float16", "bf16": "bfloat16"}


def choose(core: Any, model: Any, job: BuildJob, version: str) -> HalfTypeRecord | None:
    """The 16-bit type for `model` on this CPU; None if it has no 16-bit type that works.

    A type that the engine lists may all the same not compile, or give no numbers: it is tried before it is taken.

    Timed by the process's CPU time, in one thread and in alternation: what other programs take of the CPUs stretches
    wall time but hardly CPU time, and with one thread none waits, or spins, for another. A timing that decides is kept
    in the cache, so that later builds of the same graph agree with it.
    """
    abilities = set(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    able = [hint for name, hint in (("FP16", "f16"), ("BF16", "bf16")) if name in abilities]
    if not able:
        return None
    if job.half_types is not None:
        able = [hint for hint in able if hint in job.half_types]
    key = _key(job, version)
    earlier = cache.read_record("half_type", key, HalfTypeRecord)
    if earlier is not None:
        return replace(earlier, from_cache=True)
    if faults := _faults(model, job, able):
        return _without(faults, able, able[0])
    if len(able) < 2:
        return _only(core, model, job.spec.inputs, able)
    native = "bf16" if core.get_property("CPU", "INFERENCE_PRECISION_HINT").to_string() == "bf16" else "f16"
    record = _timed(core, model, job.spec.inputs, native)
    if record.decided:
        cache.write_record("half_type", key, record)
    return record


def decide(
    f16_s: ab_timing.Seconds, bf16_s: ab_timing.Seconds, native: str, meter: LoadMeter | None = None
) -> HalfTypeRecord:
    """The choice by the CPU seconds that one inference took in either type, round by round."""
    ratio = ab_timing.median_ratio(f16_s, bf16_s)
    verdict = ab_timing.decide(ratio, _WORTH_BFLOAT16)
    chosen = {"yes": "bf16", "no": "f16", "undecided": native}[verdict.answer]
    load = (meter or LoadMeter()).load()
    if verdict.answer == "undecided":
        why = f"whether bfloat16 is faster {verdict.why}; {load}; {_NAMES[native]} is what the engine prefers here"
    elif verdict.answer == "yes":
        why = f"bfloat16 is {ratio} times as fast as float16, and {_WORTH_BFLOAT16:g} times make up for its mantissa"
    else:
        why = f"bfloat16, of a shorter mantissa, is only {ratio} times as fast as float16"
    cpu_ms = {"f16": float(np.median(f16_s) * 1e3), "bf16": float(np.median(bf16_s) * 1e3)}
    return HalfTypeRecord(chosen, native, why, verdict.answer != "undecided", cpu_ms, ratio, len(f16_s), load)


def _timed(core: Any, model: Any, specs: Sequence[TensorSpec], native: str) -> HalfTypeRecord:
    rng = np.random.default_rng(0)
    feeds = {place: rng.random(spec.typical_shape(_SIDE), dtype=np.float32) for place, spec in enumerate(specs)}
    meter = LoadMeter()
    tried = {hint: _tried(core, model, feeds, hint) for hint in ("f16", "bf16")}
    faults = {hint: each for hint, each in tried.items() if isinstance(each, str)}
    if faults:
        return _without(faults, ("f16", "bf16"), native)
    calls = [each for each in tried.values() if not isinstance(each, str)]
    single = [ab_timing.timed(call, time.process_time_ns) for call in calls]
    count = min(_MOST_CALLS, math.ceil(_ROUND_S / max(min(workload() for workload in single), 1e-6)))
    repeated = [ab_timing.timed(functools.partial(_repeat, call, count), time.process_time_ns) for call in calls]
    f16_s, bf16_s = ab_timing.interleave(
        repeated, _ROUNDS, lambda seconds: ab_timing.is_settled(seconds[0], seconds[1], _WORTH_BFLOAT16)
    )
    return decide(f16_s / count, bf16_s / count, native, meter)


def _faults(model: Any, job: BuildJob, able: Sequence[str]) -> dict[str, str]:
    """The types that the engine cannot use this model in, or that end its process, each with why."""
    import openvino as ov

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        with files.written_by_library(Path(folder), "OpenVINO's model"):
            ov.save_model(model, path, compress_to_fp16=False)
        told = {hint: _openvino_trial.fault(path, hint, job.spec.inputs) for hint in able}
    return {hint: why for hint, why in told.items() if why is not None}


def _only(core: Any, model: Any, specs: Sequence[TensorSpec], able: Sequence[str]) -> HalfTypeRecord | None:
    """The only 16-bit type there is, if it works; None without one."""
    if not able:
        return None
    rng = np.random.default_rng(0)
    feeds = {place: rng.random(spec.typical_shape(_SIDE), dtype=np.float32) for place, spec in enumerate(specs)}
    tried = _tried(core, model, feeds, able[0])
    if isinstance(tried, str):
        return _without({able[0]: tried}, able, able[0])
    return HalfTypeRecord(able[0], able[0], "the only 16-bit type of this CPU", True)


def _tried(core: Any, model: Any, feeds: dict[int, Any], hint: str) -> Callable[[], object] | str:
    """A call that runs `model` in a 16-bit type; or why there is none, in words."""
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    try:
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        outputs = request.infer(feeds)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"does not compile ({(lines or ['no reason given'])[-1].rstrip('.')[:200]})"
    if not all(np.isfinite(outputs[place]).all() for place in range(len(outputs))):
        return "overflows: its outputs are no numbers"
    return functools.partial(request.infer, feeds)


def _without(faults: dict[str, str], able: Sequence[str], native: str) -> HalfTypeRecord:
    """The type that has no fault; float32 where none is left."""
    told = "; ".join(f"{_NAMES[hint]} {why}" for hint, why in faults.items())
    left = [hint for hint in able if hint not in faults]
    return HalfTypeRecord(left[0] if left else "f32", native, told, True)


def _repeat(call: Callable[[], object], count: int) -> None:
    for _ in range(count):
        call()


def _key(job: BuildJob, version: str) -> str:
    """A hash of what the times depend on; weights are in the graph's, calibration and biases change no speed."""
    quantize = job.options.quantize
    schemes = (quantize.activations, quantize.weights, quantize.excluded_types, quantize.excluded_names)
    parts = (
        files.sha256(job.graph),
        job.options.precision,
        schemes,
        codec.to_json(job.spec.inputs[0]),
        version,
        machine.cpu(),
    )
    return files.sha256_text(repr(parts))
