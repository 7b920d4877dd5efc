"""A timing of 16-bit types is kept for later builds where it decided, and taken anew where noise was larger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_artifacts

from densecast.artifact import FloatArtifact
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.backends import _openvino_half_type, _openvino_trial
from densecast.backends._base import BuildJob
from densecast.spec.options import BuildOptions

ov = pytest.importorskip("openvino")


class Core:
    """An engine on a CPU with both types, whose inferences take no time."""

    def __init__(self, *abilities: str) -> None:
        self.abilities = abilities
        self.compiled: list[str] = []

    def get_property(self, device: str, name: str) -> Any:
        """What the CPU can do, or the type that the engine prefers."""
        return list(self.abilities) if name == "OPTIMIZATION_CAPABILITIES" else ov.Type.f16

    def compile_model(self, model: Any, device: str, settings: dict[str, Any]) -> Any:
        """A model with a single output of finite numbers."""
        self.compiled.append(settings["INFERENCE_PRECISION_HINT"])
        request = SimpleNamespace(infer=lambda feeds: {0: np.zeros(1, np.float32)})
        return SimpleNamespace(create_infer_request=lambda: request)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FloatArtifact:
    made = tiny_artifacts.exported(tmp_path_factory.mktemp("source"))
    assert isinstance(made, FloatArtifact)
    return made


@pytest.fixture
def job(source: FloatArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildJob:
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_openvino_trial, "fault", lambda *_: None)
    return BuildJob(source, source.file("model.onnx"), source.spec, BuildOptions("openvino"), ())


@pytest.mark.parametrize("decided", [True, False])
def test_only_a_timing_that_decides_is_taken_again(
    decided: bool, job: BuildJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = HalfTypeRecord("bf16", "f16", "as it was measured", decided)
    monkeypatch.setattr(_openvino_half_type, "decide", lambda *_: record)
    model = ov.Core().read_model(job.graph)
    core = Core("FP32", "FP16", "BF16")
    assert _openvino_half_type.choose(core, model, job, "1") == record
    assert core.compiled == ["f16", "bf16"]
    again = _openvino_half_type.choose(core, model, job, "1")
    assert again == replace(record, from_cache=decided)
    assert core.compiled == ["f16", "bf16"] * (1 if decided else 2)
    # Of another version of the engine nothing is known yet.
    assert _openvino_half_type.choose(core, model, job, "2") == record


def test_of_one_type_or_none_there_is_nothing_to_time(job: BuildJob) -> None:
    model = ov.Core().read_model(job.graph)
    assert _openvino_half_type.choose(Core("FP32"), model, job, "1") is None
    only = _openvino_half_type.choose(Core("FP32", "BF16"), model, job, "1")
    assert only is not None and (only.chosen, only.native, only.decided, only.rounds) == ("bf16", "bf16", True, 0)
    asked = replace(job, half_types=("f16",))
    only = _openvino_half_type.choose(Core("FP32", "FP16", "BF16"), model, asked, "1")
    assert only is not None and only.chosen == "f16"
