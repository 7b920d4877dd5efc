"""A candidate's speed is its baseline's time over its own, on a made-up clock that only their inferences move."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest
import tiny_artifacts

from densecast.artifact import CompiledArtifact
from densecast.pipeline import Pipeline
from densecast.runtime import ab_timing
from densecast.session import Slot
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.tensor import Feeds
from densecast.verbs.mixed_precision.candidates import measure_speed


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> CompiledArtifact:
    options = BuildOptions("onnxruntime", shape=InputShape((1,), 24, 32))
    artifact = tiny_artifacts.compiled(tmp_path_factory.mktemp("built"), options)
    assert isinstance(artifact, CompiledArtifact)
    return artifact


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, float]]:
    """Milliseconds that an inference in each slot takes."""
    seconds, took_ms, run = [0.0], dict[int, float](), Slot.run

    def counted(self: Slot, feeds: Feeds) -> Feeds:
        seconds[0] += took_ms[id(self)] / 1e3
        return run(self, feeds)

    monkeypatch.setattr(Slot, "run", counted)
    made_up = functools.partial(ab_timing.timed, clock_ns=lambda: round(seconds[0] * 1e9))
    monkeypatch.setattr(ab_timing, "timed", made_up)
    yield took_ms


def test_a_candidate_of_a_quarter_of_the_time_is_four_times_as_fast(
    built: CompiledArtifact, clock: dict[int, float]
) -> None:
    with Pipeline.open(built, threads=1) as candidate, Pipeline.open(built, threads=1) as baseline:
        for pipeline, took_ms in ((candidate, 5.0), (baseline, 20.0)):
            with pipeline.session.lease() as slot:
                clock[id(slot)] = took_ms
        inputs = candidate.preprocess(np.zeros((48, 64, 3), np.uint8))
        found = measure_speed(candidate, baseline, inputs)
    assert found.speed == pytest.approx(4.0) and found.infer_ms == pytest.approx(5.0)
    assert found.speed_range is not None and found.speed_range.low == pytest.approx(4.0)
