"""What a model's own description keeps out of int8, and its 16-bit type, reach the engine beside what the user asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_artifacts
import tiny_graphs
from made_images import write_jpeg

from densecast.artifact import FloatArtifact
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.backends._base import BACKENDS, BuildJob, Built
from densecast.errors import UsageError
from densecast.spec.cpu import takes_full_weights
from densecast.spec.options import BuildOptions, HalfType, InputShape, QuantizeOptions
from densecast.spec.precision import PrecisionRan
from densecast.verbs.builder import build, graph_passes, refuse_anothers
from densecast.verbs.builder.compile_plan import prepare

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


def test_a_pass_that_changes_nothing_is_told_of_where_it_was_asked_for() -> None:
    model = tiny_graphs.segmentation()
    assert graph_passes.apply(model, BuildOptions("openvino"))[1] == []
    named = BuildOptions("openvino", graph_passes=("drop_outside_taps",))
    (note,) = graph_passes.apply(model, named)[1]
    assert note.startswith("drop_outside_taps not applied: ")


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


@pytest.mark.parametrize("cpu", ["avx512", "vnni", "amx"])
def test_only_int8_needs_the_sums_of_the_cpu_it_is_built_for(
    cpu: Any, source: FloatArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of 16 and 32 bits are computed alike without them, so that a lesser CPU may build and check them."""
    monkeypatch.setattr("densecast.runtime.machine.able", frozenset)
    for precision in ("force_float32", "force_float16"):
        options = BuildOptions("openvino", precision, SHAPE, half_type="auto", cpu=cpu)
        assert prepare(source, tmp_path / "out", options).options.cpu == cpu
    write_jpeg(tmp_path / "images" / "a.jpg")
    int8 = BuildOptions("openvino", "qint8_mixed_float16", SHAPE, cpu=cpu)
    if takes_full_weights(cpu):
        with pytest.raises(UsageError, match="nothing that is built can be checked"):
            prepare(source, tmp_path / "out", int8, data=tmp_path / "images")
    else:
        prepare(source, tmp_path / "out", int8, data=tmp_path / "images")


def test_beside_the_copy_of_a_url_nothing_is_built_unasked(
    source: FloatArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))
    refuse_anothers(tmp_path / "cache" / "other" / "built", source)
    with pytest.raises(UsageError, match="name the folder to build into"):
        refuse_anothers(tmp_path / "cache" / "remote" / "1234" / "built", source)


def test_what_a_backend_reports_of_its_build_is_in_the_manifest(source: FloatArtifact, tmp_path: Path) -> None:
    options = BuildOptions("onnxruntime", "force_float32", SHAPE)
    ran = PrecisionRan("f32", {"f32": 2}, "as scripted")
    choice = HalfTypeRecord("bf16", "f16", "as scripted", decided=True)
    built = Built(ran, {"HINT": "f32"}, {"f16 ms": 1.5}, choice)
    manifest = prepare(source, tmp_path / "out", options).manifest(built, ("a note",), 1.23456)
    assert (manifest.precision_ran, manifest.settings, manifest.measurements) == (ran, built.settings, {"f16 ms": 1.5})
    assert (manifest.half_type, manifest.build_seconds, manifest.passes[-1]) == (choice, 1.235, "a note")
    assert (manifest.precision_asked, manifest.parent_name) == ("force_float32", source.folder.name)
