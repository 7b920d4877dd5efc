"""Predicts what a built model would compute on a CPU of another kind, before it is taken there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from densecast.artifact import CompiledArtifact, elsewhere, stored_answer
from densecast.artifact.stored_answer import Forward
from densecast.backends._base import BACKENDS, EmulatesSaturation
from densecast.errors import UsageError
from densecast.spec import cpu as cpus
from densecast.spec.cpu import Cpu
from densecast.tasks._base import TASKS, WeighsOutputs

# As at opening, where sums may saturate: all else that rounds otherwise moved the shipped networks' answers by less.
MOST = 0.02


@dataclass(frozen=True, slots=True)
class Prediction:
    """Whether a model computes on a kind of CPU what it does here, and why, in words.

    `relative_l2` and `change` (in the task's measure) are of the stored test image; None where nothing was computed.
    """

    agrees: bool
    told: str
    relative_l2: float | None = None
    change: float | None = None


def predict(artifact: CompiledArtifact, cpu: Cpu, forward: Forward) -> Prediction:
    """What `artifact`, whose network here is `forward`, would compute on CPUs of a kind; `any` is the least able.

    Exact for int8 convolutions of OpenVINO on x86, which are emulated; said without computing where sums cannot
    saturate.

    Raises:
        UsageError: an unknown kind, or one that cannot be meant here.
    """
    cpu = cpus.parse(cpu)
    if cpu in ("native", "arm64"):
        told = "runs ARM's own kernels, which are not emulated" if cpu == "arm64" else "is this one"
        raise UsageError(f"{cpu} {told}. Known: any, avx2, avx512, vnni, amx.", field="cpu")
    build, needed = artifact.manifest.build, elsewhere.needs(artifact.manifest)
    if build.precision != "qint8_mixed_float16":
        return Prediction(True, f"nothing is int8; a 16-bit type that {cpu} lacks is computed in float32 there")
    if cpus.takes_full_weights(cpu):
        return Prediction(True, "its int8 sums have 32 bits, as here")
    if "wide_int8_sums" not in needed:
        return Prediction(True, "int8 weights take 7 of 8 bits: no sum saturates")
    backend: object = BACKENDS.load_trusted(build.backend)
    if not isinstance(backend, EmulatesSaturation):
        return Prediction(True, f"{build.backend} is opened in its exact mode there, which is slower")
    feeds, spec = stored_answer.golden_feeds(artifact.spec), artifact.spec
    name = spec.output.name
    here = np.asarray(forward(feeds)[name], np.float32)
    there = np.asarray(backend.saturating(artifact, feeds)[name], np.float32)
    apart = stored_answer.relative_l2(here, there)
    task: object = TASKS.load_trusted(spec.task)
    change, measured = None, ""
    if isinstance(task, WeighsOutputs):
        change = task.output_change([here], [there], spec)
        measured = f"; {task.output_measure.replace('_', ' ')}: {change:.2%}"
    told = f"int8 sums saturate: its output for the test image would be off by {apart:.2g} (at most {MOST:g}){measured}"
    agrees = apart <= MOST
    return Prediction(agrees, told if agrees else f"{told}. Build it with --cpu {cpu}, or any.", apart, change)
