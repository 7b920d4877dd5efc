"""What tuning found best is what throughput mode does by itself: as many at a time, in batches as large."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_artifacts
from command_line import densecast
from made_images import carvana

from densecast.artifact import Artifact
from densecast.artifact.tune_record import Setting, TuneRecord
from densecast.errors import UsageError
from densecast.pipeline import Pipeline
from densecast.session import Slot
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.tensor import Feeds
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions, Goal, TuneOptions
from densecast.verbs.benchmark import benchmark
from densecast.verbs.builder import build
from densecast.verbs.evaluate import evaluate
from densecast.verbs.infer import infer

IMAGES = 6


def record(goal: Goal = "throughput", threads: int = 2) -> TuneRecord:
    winner = Setting("force_float32", "auto", (), "asymmetric", 1, 4)
    return TuneRecord(TuneOptions(goal), "force_float32", winner, threads, (), "made up", 1.0, True)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carvana(tmp_path_factory.mktemp("cars"), count=IMAGES)


def built(folder: Path, tuning: TuneRecord | None) -> Artifact:
    folder.mkdir(exist_ok=True)
    options = BuildOptions("onnxruntime", shape=InputShape((1, 2, 4), 24, 32))
    return build(tiny_artifacts.exported(folder), folder / "built", options, tuning=tuning)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return built(tmp_path_factory.mktemp("tuned"), record())


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The batch of every inference."""
    batches: list[int] = []
    run = Slot.run

    def watched(self: Slot, feeds: Feeds) -> Feeds:
        batches.append(len(next(iter(feeds.values()))))
        return run(self, feeds)

    monkeypatch.setattr(Slot, "run", watched)
    yield batches


def photos(data: Path) -> list[Path]:
    return sorted((data / "imgs").iterdir())


def test_without_a_batch_named_images_run_as_tuned(
    tuned: Artifact, data: Path, tmp_path: Path, sizes: list[int]
) -> None:
    with Pipeline.open(tuned, threads=2, mode="throughput") as pipeline:
        infer(pipeline, photos(data), tmp_path)
        assert sorted(sizes) == [2, 4]
        sizes.clear()
        evaluate(pipeline, data, EvaluateOptions("all"))
        assert sorted(sizes) == [2, 4]
        sizes.clear()
        timing = benchmark(pipeline, photos(data), BenchmarkOptions(images=4, seconds=0, warm_up=0)).timing
        assert timing.batch == 4 and set(sizes) == {4}


def test_a_batch_that_is_named_wins(tuned: Artifact, data: Path, tmp_path: Path, sizes: list[int]) -> None:
    with Pipeline.open(tuned, threads=2, mode="throughput") as pipeline:
        infer(pipeline, photos(data), tmp_path, batch=1)
        evaluate(pipeline, data, EvaluateOptions("all", batch=1))
        timing = benchmark(pipeline, photos(data), BenchmarkOptions(1, images=4, seconds=0, warm_up=0)).timing
    assert timing.batch == 1 and set(sizes) == {1}


def test_latency_mode_other_cpus_and_other_goals_see_one_image_at_a_time(
    tuned: Artifact, data: Path, tmp_path: Path, sizes: list[int]
) -> None:
    for_latency = built(tmp_path / "latency", record("latency"))
    untuned = built(tmp_path / "untuned", None)
    sizes.clear()  # a build runs once, too
    with (
        Pipeline.open(tuned, threads=2) as latency,
        Pipeline.open(tuned, threads=1, mode="throughput") as fewer_cpus,
        Pipeline.open(for_latency, threads=2, mode="throughput") as other_goal,
        Pipeline.open(untuned, threads=2, mode="throughput") as nothing_known,
    ):
        for number, pipeline in enumerate((latency, fewer_cpus, other_goal, nothing_known)):
            infer(pipeline, photos(data), tmp_path / f"out{number}")
    assert set(sizes) == {1} and len(sizes) == 4 * IMAGES


def test_results_do_not_depend_on_it(tuned: Artifact, data: Path) -> None:
    with Pipeline.open(tuned, threads=2, mode="throughput") as pipeline:
        tuned_batch, one = (evaluate(pipeline, data, EvaluateOptions("all", batch=batch)) for batch in (None, 1))
    assert tuned_batch.score == one.score


def test_the_command_line_takes_it_over(tuned: Artifact, data: Path, tmp_path: Path, sizes: list[int]) -> None:
    common = [*photos(data), "--count", "4", "--seconds", "0", "--warm-up", "0", "--threads", "2", "-q"]
    for arguments, batch in ((["--mode", "throughput"], 4), (["--mode", "throughput", "--batch", "2"], 2), ([], 1)):
        ended = densecast("benchmark", tuned.folder, *common, *arguments, "--json", tmp_path / "speed.json")
        assert ended.code == 0, ended.err
        assert json.loads((tmp_path / "speed.json").read_text())["batch"] == batch
        assert f"batch {batch}, " in ended.out
    sizes.clear()
    out = ["--out", tmp_path / "out", "--threads", "2", "-q"]
    assert densecast("infer", tuned.folder, data / "imgs", *out).code == 0
    assert sorted(sizes) == [2, 4]
    sizes.clear()
    evaluated = densecast("evaluate", tuned.folder, "--data", data, "--split", "all", "--threads", "2", "-q")
    assert evaluated.code == 0 and sorted(sizes) == [2, 4]


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="batch must be at least 1"):
        EvaluateOptions(batch=0)
    with pytest.raises(UsageError, match="batch must be at least 1"):
        BenchmarkOptions(batch=0)
