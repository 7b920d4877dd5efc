"""The verbs from Python: what they take for a model, what they return, and the JSON that comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_artifacts
from made_images import carvana, write_jpeg

from densecast.artifact import Artifact
from densecast.errors import UsageError
from densecast.io import codec
from densecast.pipeline import Pipeline, PipelineConfig
from densecast.session import Session
from densecast.spec.augment import Augment
from densecast.spec.options import BuildOptions
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions
from densecast.verbs.benchmark import benchmark
from densecast.verbs.evaluate import evaluate
from densecast.verbs.infer import infer

ALL = EvaluateOptions("all")
QUICK = BenchmarkOptions(images=2, seconds=0.0, warm_up=0)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_artifacts.compiled(tmp_path_factory.mktemp("results"), BuildOptions("onnxruntime"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carvana(tmp_path_factory.mktemp("data"), count=4)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """Every session that is closed."""
    closed: list[Session] = []
    close = Session.close

    def recorded(session: Session) -> None:
        closed.append(session)
        close(session)

    monkeypatch.setattr(Session, "close", recorded)
    return closed


def test_a_model_may_be_an_open_pipeline_an_artifact_its_folder_or_a_config(
    artifact: Artifact, data: Path, sessions: list[Session]
) -> None:
    with Pipeline.open(artifact) as pipeline:
        result = evaluate(pipeline, data, ALL)
        assert not sessions  # the caller's own pipeline stays open
    for model in (artifact, artifact.folder, str(artifact.folder), PipelineConfig(artifact.folder)):
        sessions.clear()
        assert evaluate(model, str(data), ALL) == result
        assert len(sessions) == 1


def test_a_failed_evaluation_closes_what_it_opened(artifact: Artifact, data: Path, sessions: list[Session]) -> None:
    with pytest.raises(UsageError, match="no format of results"):
        evaluate(artifact, data, ALL, results=data / "results.json")
    assert len(sessions) == 1


def test_an_evaluation_as_json(artifact: Artifact, data: Path) -> None:
    result = evaluate(artifact, data, ALL)
    assert (result.score.count, result.model.backend, result.model.precision.asked) == (
        4, "onnxruntime", "force_float32",
    )  # fmt: skip
    plain = codec.to_plain(result)
    assert plain["format"] == 1 and plain["artifact"] == str(artifact.folder)
    assert plain["score"]["value"] == result.score.value and "protocol" not in plain["score"]
    assert set(plain) == {"format", "score", "precision", "backend", "model", "artifact"}
    flipped = evaluate(PipelineConfig(artifact.folder, augment=Augment(flip=True)), data, ALL)
    assert codec.to_plain(flipped)["augment"] == {"ratios": [1.0], "flip": True}


def test_a_benchmark_says_the_mode_it_ran_in(artifact: Artifact, tmp_path: Path) -> None:
    image = write_jpeg(tmp_path / "a.jpg")
    assert benchmark(artifact, [image], QUICK).mode == "latency"
    assert benchmark(artifact.folder, [str(image)], QUICK, mode="throughput").mode == "throughput"
    result = benchmark(PipelineConfig(artifact.folder, threads=1, mode="throughput"), options=QUICK)
    assert result.mode == "throughput" and result.timing.inputs == "random"
    plain = codec.to_plain(result)
    assert {name: plain["throughput"][name] for name in ("images_per_s", "inference_only_per_s")} == {
        "images_per_s": result.timing.images_per_s,
        "inference_only_per_s": result.timing.inference_only_per_s,
    }
    assert plain["workers"] == result.timing.workers and "images_per_s" not in plain


def test_inference_names_the_files_it_wrote(artifact: Artifact, tmp_path: Path) -> None:
    image = write_jpeg(tmp_path / "a.jpg")
    result = infer(str(artifact.folder), [str(image)], str(tmp_path / "out"))
    (written,) = result.results
    assert (written.image, written.file) == (image, tmp_path / "out" / "a.png") and written.file.is_file()
    assert codec.to_plain(result) == {
        "format": 1,
        "results": [{"image": str(image), "file": str(written.file)}],
        "failed": [],
        "skipped": [],
        "left_out": {},
        "precision": {"asked": "force_float32", "ran": str(result.model.precision.ran)},
    }


def test_colours_of_a_task_without_them_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    people = tiny_artifacts.compiled_pose(tmp_path / "pose", BuildOptions("onnxruntime"))
    image = write_jpeg(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match="no colours") as raised:
        infer(people, [image], tmp_path / "out", colour=True)
    assert raised.value.field == "colour" and not (tmp_path / "out").exists()
