"""What a model's own description keeps out of int8, and its 16-bit type, reach the engine beside what the user asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_artifacts
from made_images import write_jpeg

from densecast.artifact import FloatArtifact
from densecast.backends._base import BACKENDS, BuildJob
from densecast.errors import UsageError
from densecast.spec.options import BuildOptions, HalfType, InputShape, QuantizeOptions
from densecast.verbs.builder import build

SHAPE = InputShape((1,), 24, 32)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FloatArtifact:
    """A network that wants float16, and neither products nor anything of its head in int8."""
    made = tiny_artifacts.exported(tmp_path_factory.mktemp("source"))
    assert isinstance(made, FloatArtifact)
    spec = replace(made.spec, half_type="f16", excluded_names=("head.*",), excluded_types=("MatMul",))
    return replace(made, manifest=replace(made.manifest, spec=spec))


class Seen(Exception):
    """Ends a build once its job is known."""

    def __init__(self, job: BuildJob) -> None:
        self.job = job


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = BACKENDS.load("onnxruntime")

    def stop(job: BuildJob, folder: Path) -> None:
        raise Seen(job)

    monkeypatch.setattr(type(backend), "build", lambda self, job, folder: stop(job, folder))


def job_of(source: FloatArtifact, options: BuildOptions, folder: Path, data: Path | None = None) -> BuildJob:
    with pytest.raises(Seen) as seen:
        build(source, folder / "built", options, data=data)
    return seen.value.job


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(("asked", "taken"), [("auto", "f16"), ("bf16", "bf16")])
def test_a_models_16_bit_type_is_taken_unless_another_is_asked_for(
    asked: HalfType, taken: HalfType, source: FloatArtifact, tmp_path: Path
) -> None:
    options = BuildOptions("onnxruntime", "force_float16", SHAPE, half_type=asked)
    assert job_of(source, options, tmp_path).options.half_type == taken


@pytest.mark.usefixtures("stopped")
def test_what_a_model_excludes_is_excluded_beside_what_is_asked(source: FloatArtifact, tmp_path: Path) -> None:
    write_jpeg(tmp_path / "data" / "a.jpg")
    quantize = QuantizeOptions(excluded_names=("mine",), excluded_types=("Relu",), calibration_method="minmax")
    options = BuildOptions("onnxruntime", "qint8_mixed_float16", SHAPE, quantize=quantize)
    found = job_of(source, options, tmp_path, tmp_path / "data").options.quantize
    assert set(found.excluded_names) == {"mine", "head.*"} and set(found.excluded_types) == {"Relu", "MatMul"}


def test_an_operator_that_is_nowhere_cannot_be_left_out_of_int8(source: FloatArtifact, tmp_path: Path) -> None:
    quantize = QuantizeOptions(excluded_types=("Conv", "Convolution"))
    options = BuildOptions("onnxruntime", "qint8_mixed_float16", SHAPE, quantize=quantize)
    with pytest.raises(UsageError, match=r"'Convolution' is no operator of this graph.* it has Conv, Relu\.") as caught:
        build(source, tmp_path / "built", options, data=tmp_path)
    assert caught.value.field == "excluded_types"
