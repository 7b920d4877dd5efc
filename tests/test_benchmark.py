"""A benchmark counts what ran and divides by the time that passed, on a made-up clock that only inference moves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
from command_line import failed
from made_images import carvana

from densecast.artifact import Artifact
from densecast.errors import UsageError
from densecast.pipeline import Pipeline
from densecast.runtime.clock import StopWatch
from densecast.session import Slot
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.tensor import Feeds
from densecast.spec.verb_options import BenchmarkOptions
from densecast.verbs.benchmark import benchmark
from densecast.verbs.builder import build

INFERENCE_S = 0.5


class Engine:
    """What the network was given, and a clock that only inference moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.feeds: list[np.ndarray] = []


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    watched, run = Engine(), Slot.run

    def slow(self: Slot, feeds: Feeds) -> Feeds:
        watched.feeds.append(next(iter(feeds.values())).copy())
        watched.seconds += INFERENCE_S
        return run(self, feeds)

    monkeypatch.setattr(Slot, "run", slow)
    monkeypatch.setattr("time.perf_counter", lambda: watched.seconds)
    monkeypatch.setattr("time.perf_counter_ns", lambda: int(watched.seconds * 1e9))
    # Two CPUs are at work all the time.
    monkeypatch.setattr("time.process_time", lambda: 2 * watched.seconds)
    return watched


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return sorted((carvana(tmp_path_factory.mktemp("cars"), count=3) / "imgs").iterdir())


def built(folder: Path, batch: int, *, uint8: bool = False) -> Artifact:
    options = BuildOptions("onnxruntime", shape=InputShape((batch,), 24, 32), uint8_input=uint8)
    return build(tiny_artifacts.exported(folder), folder / "built", options)


@pytest.fixture(scope="module")
def of_four(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return built(tmp_path_factory.mktemp("four"), 4)


def test_a_stopwatch_tells_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    wall_ns, cpu_ns = iter((1_000_000, 3_500_000)), iter((7_000_000, 8_000_000))
    monkeypatch.setattr("time.perf_counter_ns", lambda: next(wall_ns))
    monkeypatch.setattr("time.thread_time_ns", lambda: next(cpu_ns))
    watch = StopWatch()
    with watch("infer"):
        pass
    assert watch.samples_ms == {"infer": [2.5]} and watch.cpu_ms == {"infer": [1.0]}


@pytest.mark.parametrize("warm_up", [0, 3])
def test_whole_batches_are_counted_and_divided_by_their_time(
    warm_up: int, of_four: Artifact, images: list[Path], engine: Engine
) -> None:
    with Pipeline.open(of_four, threads=1) as pipeline:
        workers = pipeline.config.num_workers
        timing = benchmark(pipeline, images, BenchmarkOptions(batch=4, images=5, seconds=0.0, warm_up=warm_up)).timing
    # Five images are two batches of four; in each loop once measured, and warmed up before.
    assert timing.images == 8 and timing.batch == 4
    assert timing.images_per_s == timing.inference_only_per_s == 8 / (2 * INFERENCE_S)
    assert timing.samples_ms["infer"] == (1000 * INFERENCE_S,) * 2
    assert len(engine.feeds) == 2 * (2 + warm_up * workers)
    assert {len(feed) for feed in engine.feeds} == {4}
    # CPU time of the timed loop alone, of the images that it had.
    assert timing.cpu_ms_per_image == pytest.approx(1000 * 2 * 2 * INFERENCE_S / 8)
    assert (timing.warm_up, timing.inputs, timing.spread) == (warm_up, "3 image files", None)
    assert timing.workers == workers and timing.threads == 1
    assert set(timing.samples_ms) == set(timing.scope) == {"decode", "preprocess", "infer", "postprocess", "end_to_end"}
    assert {name: len(values) for name, values in timing.samples_ms.items()} == {
        "decode": 8, "preprocess": 8, "infer": 2, "postprocess": 8, "end_to_end": 2,
    }  # fmt: skip


def test_what_an_image_costs_besides_inference_is_the_median_which_one_hiccup_does_not_move(
    of_four: Artifact, images: list[Path], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = now_ns = 0

    def thread_time_ns() -> int:
        """A millisecond a look, but twice a second: at the begin or the end of what one image goes through."""
        nonlocal looks, now_ns
        looks += 1
        now_ns += 1_000_000_000 if looks in (30, 31) else 1_000_000
        return now_ns

    monkeypatch.setattr("time.thread_time_ns", thread_time_ns)
    with Pipeline.open(of_four, threads=1) as pipeline:
        timing = benchmark(pipeline, images, BenchmarkOptions(batch=4, images=8, seconds=0.0, warm_up=0)).timing
    assert timing.other_stages_cpu_ms == pytest.approx(3.0)  # decode, preprocess and postprocess


@pytest.mark.parametrize("with_images", [True, False])
def test_energy_is_that_of_the_loop_over_the_images_that_it_had(
    with_images: bool, of_four: Artifact, images: list[Path], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Meter:
        """Twelve joules for whatever is measured."""

        def joules(self) -> float:
            return 12.0

    monkeypatch.setattr("densecast.verbs.benchmark.EnergyMeter", Meter)
    options = BenchmarkOptions(batch=4, images=5, seconds=0.0, warm_up=1)
    with Pipeline.open(of_four, threads=1) as pipeline:
        timing = benchmark(pipeline, images if with_images else (), options).timing
    assert (timing.images, timing.joules_per_image) == (8, 12 / 8)


def test_progress_ends_at_the_number_that_was_asked_for(of_four: Artifact, images: list[Path], engine: Engine) -> None:
    told: list[tuple[int, int]] = []
    options = BenchmarkOptions(batch=4, images=6, seconds=0.0, warm_up=1)
    with Pipeline.open(of_four, threads=1) as pipeline:
        benchmark(pipeline, images, options, progress=lambda done, total: told.append((done, total)))
    # The last batch is filled up, and warming up is not told.
    assert told == [(done, 6) for done in (1, 2, 3, 4, 5, 6, 6, 6)]


def test_a_run_goes_on_until_its_seconds_have_passed(of_four: Artifact, images: list[Path], engine: Engine) -> None:
    with Pipeline.open(of_four, threads=1) as pipeline:
        timing = benchmark(pipeline, images, BenchmarkOptions(batch=4, images=1, seconds=1.4, warm_up=0)).timing
    assert timing.images >= 12 and timing.images % 4 == 0  # three inferences pass 1.4 s
    assert timing.images_per_s == pytest.approx(4 / INFERENCE_S, rel=0.34)  # one batch more may have been begun


def test_without_images_inference_alone_is_told(of_four: Artifact, engine: Engine) -> None:
    with Pipeline.open(of_four, threads=1) as pipeline:
        timing = benchmark(pipeline, (), BenchmarkOptions(batch=4, images=8, seconds=0.0, warm_up=0)).timing
    assert timing.images == 8 and timing.images_per_s == 8 / (2 * INFERENCE_S) and timing.inputs == "random"
    assert set(timing.samples_ms) == set(timing.scope) == {"infer"}
    assert timing.cpu_ms_per_image == pytest.approx(1000 * 2 * 2 * INFERENCE_S / 8)
    assert timing.images_per_s == timing.inference_only_per_s


def test_random_bytes_fill_an_input_of_bytes(tmp_path: Path, engine: Engine) -> None:
    artifact = built(tmp_path, 1, uint8=True)
    engine.feeds.clear()
    with Pipeline.open(artifact, threads=1) as pipeline:
        benchmark(pipeline, (), BenchmarkOptions(images=1, seconds=0.0, warm_up=0))
    (feed,) = engine.feeds
    assert feed.dtype == np.uint8 and feed.max() > 250 and len(np.unique(feed)) > 200


def test_a_batch_that_no_inference_takes_is_refused(tmp_path: Path, of_four: Artifact, images: list[Path]) -> None:
    with pytest.raises(UsageError, match="takes 4 images at most, not 5"):
        benchmark(of_four, images, BenchmarkOptions(batch=5, images=1, seconds=0.0))
    artifact = built(tmp_path, 1)
    message = failed(2, "benchmark", artifact.folder, "--batch", "16", "--style", "ascend", *images)
    assert "takes 1 images at most, not 16" in message and "build --batch 16" in message
