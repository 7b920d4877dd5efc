"""The keys under which results are kept and found again: a key stands for everything that changes an answer.

A spec is part of every key, as a corrected mean or a renamed label makes another model of the same weights. So is the
processor, whose instructions decide what an engine runs, and with it any target that options will name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from densecast.artifact import Artifact, CalibrationRecord, CompiledArtifact, FloatArtifact
from densecast.datasets import pairs
from densecast.io import codec, files
from densecast.measure.data_source import here
from densecast.runtime import machine
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.options import BuildOptions
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions

_PACKAGES = ("densecast", "nncf", "onnx", "onnxruntime")


def build_key(
    source: FloatArtifact,
    options: BuildOptions,
    graph_passes: Sequence[str],
    calibration: CalibrationRecord | None,
    engine_version: str,
) -> str:
    """The key of a build: the exported artifact with its spec, options, calibration images, versions and processor."""
    here = machine.describe()
    return _hashed(
        source.meaning,
        codec.to_json(options),
        tuple(graph_passes),
        codec.to_json(calibration) if calibration else "",
        engine_version,
        machine.versions(_PACKAGES),
        here.cpu,
        here.cpu_flags,
    )


def timing_key(
    source: FloatArtifact,
    options: Sequence[BuildOptions],
    streams_and_batches: Sequence[tuple[int, int]],
    threads: int,
    engine_version: str,
) -> str:
    """The key of one timing of two builds."""
    here = machine.describe()
    return _hashed(
        source.meaning,
        [codec.to_json(each) for each in options],
        list(streams_and_batches),
        threads,
        engine_version,
        machine.versions(_PACKAGES),
        here.cpu,
        here.cpu_flags,
    )


def search_key(plan_key: str, data: Path | Data, samples: str, metric: str) -> str:
    """The key of a search's measurements: the build it varies, and the files that it measures on."""
    return _hashed(plan_key, _data_state(data), samples, metric)


def measure_key(
    artifact: CompiledArtifact,
    data: Path | Data,
    images: Sequence[Path],
    score: EvaluateOptions,
    speed: BenchmarkOptions,
) -> str:
    """The key of a measurement: the model with its spec, all files of the data set, options and the machine."""
    return _hashed(
        artifact.meaning,
        _data_state(data),
        [path.name for path in images],
        codec.to_json(score),
        codec.to_json(speed),
        machine.describe(),
    )


def handoff_key(
    source: Artifact, options: PrepareOptions, data: Path | Data, calibration_data: Path | Data | None, samples: str
) -> str:
    """The key of a handoff: model, options, images and versions. The number of processes changes no file."""
    return _hashed(
        source.meaning,
        codec.to_json(options),
        _data_state(data),
        _data_state(calibration_data) if calibration_data else "",
        samples,
        machine.versions(_PACKAGES),
    )


def _data_state(data: Path | Data) -> object:
    """The state of all files below the data's root, of its data file, and how they are read."""
    given = here(data)
    assert given.path is not None
    state: object = files.tree_state(given.path)
    below = pairs.files_root(given.path)
    if below != given.path:
        state = (state, files.tree_state(below))
    return state if given.options == DataOptions() else (state, repr(given.options))


def _hashed(*parts: object) -> str:
    return files.sha256_text(repr(parts))
