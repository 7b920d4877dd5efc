"""What the network is given in a benchmark, how often, and what the spread is taken from, on a clock of its own."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import write_jpeg

from densecast.artifact import Artifact
from densecast.pipeline import Pipeline
from densecast.session import Slot
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.slide import Slide
from densecast.spec.tensor import Feeds
from densecast.spec.verb_options import BenchmarkOptions
from densecast.verbs.benchmark import benchmark
from densecast.verbs.builder import build
from densecast.verbs.export import SpecFile, export_file

Shape = tuple[int, ...]


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> list[Shape]:
    """The shape of every input that the network is given, in their order."""
    seen: list[Shape] = []
    run = Slot.run

    def watched(self: Slot, feeds: Feeds) -> Feeds:
        seen.append(next(iter(feeds.values())).shape)
        return run(self, feeds)

    monkeypatch.setattr(Slot, "run", watched)
    return seen


def slid(folder: Path, batch: tuple[int, ...]) -> Artifact:
    """A network that sees windows of 16×24 pixels every 16×24."""
    onnx.save(tiny_graphs.segmentation(), folder / "tiny.onnx")
    described = SpecFile(
        tiny_artifacts.LABELS,
        Preprocess(Native()),
        slide=Slide((16, 24), (16, 24)),
        side=Range(8, 512),
        largest_batch=8,
    )
    exported = export_file(folder / "tiny.onnx", described.model("tiny"), folder / "float")
    return build(exported, folder / "built", BuildOptions("onnxruntime", shape=InputShape(batch)))


def once(images: int = 1, batch: int | None = None, warm_up: int = 0) -> BenchmarkOptions:
    return BenchmarkOptions(batch=batch, images=images, seconds=0.0, warm_up=warm_up)


def test_all_windows_of_an_image_are_inferred_the_last_ones_in_a_smaller_batch(
    tmp_path: Path, shapes: list[Shape]
) -> None:
    write_jpeg(tmp_path / "a.jpg", size_hw=(16, 168))  # seven windows
    with Pipeline.open(slid(tmp_path, (1, 3)), threads=1) as pipeline:
        shapes.clear()
        benchmark(pipeline, [tmp_path / "a.jpg"], once(batch=3))
        half = len(shapes) // 2
        # The pipeline, and then inference alone.
        assert shapes[:half] == shapes[half:]
        assert [shape[0] for shape in shapes[half:]] == [3, 3, 1]
        shapes.clear()
        # Without an image one window stands for it, as high and wide as the network sees them.
        benchmark(pipeline, (), once(batch=1))
    assert shapes == [(1, 3, 16, 24)]


def test_images_of_another_size_than_the_first_are_not_part_of_a_batch_of_inference_alone(
    tmp_path: Path, shapes: list[Shape]
) -> None:
    write_jpeg(tmp_path / "a.jpg", size_hw=(48, 64))
    write_jpeg(tmp_path / "b.jpg", size_hw=(32, 96))
    artifact = build(
        tiny_artifacts.exported(tmp_path), tmp_path / "built", BuildOptions("onnxruntime", shape=InputShape((1, 2)))
    )
    with Pipeline.open(artifact, threads=1) as pipeline:
        shapes.clear()
        benchmark(pipeline, [tmp_path / "a.jpg", tmp_path / "b.jpg"], once(batch=2, images=2))
    assert shapes[-1] == (2, 3, 24, 32) and sorted(shapes[:-1]) == [(1, 3, 16, 48), (1, 3, 24, 32)]


@pytest.fixture(scope="module")
def of_one(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_artifacts.compiled(
        tmp_path_factory.mktemp("one"), BuildOptions("onnxruntime", shape=InputShape((1,), 24, 32))
    )


def test_every_worker_is_warmed_up(of_one: Artifact, tmp_path: Path, shapes: list[Shape]) -> None:
    write_jpeg(tmp_path / "a.jpg")
    with Pipeline.open(of_one, threads=2, mode="throughput") as pipeline:
        shapes.clear()
        assert pipeline.config.num_workers == 2
        benchmark(pipeline, [tmp_path / "a.jpg"], once(images=4, batch=1, warm_up=3))
    # Three for each of two workers, then four images: once through the pipeline, once through the network alone.
    assert len(shapes) == 2 * (2 * 3 + 4)


def test_the_spread_is_that_of_whole_images_where_there_are_some(
    of_one: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first one is read for inference alone.
    now_s, took_s = 0.0, iter([0.5, 0.5, 0.5, 0.5, 0.5, 2.0])
    run, read = Slot.run, Pipeline.read

    def infer(self: Slot, feeds: Feeds) -> Feeds:
        nonlocal now_s
        now_s += 0.5
        return run(self, feeds)

    def decode(self: Pipeline, path: Path) -> object:
        nonlocal now_s
        now_s += next(took_s)
        return read(self, path)

    monkeypatch.setattr(Slot, "run", infer)
    monkeypatch.setattr(Pipeline, "read", decode)
    monkeypatch.setattr("time.perf_counter", lambda: now_s)
    monkeypatch.setattr("time.perf_counter_ns", lambda: int(now_s * 1e9))
    write_jpeg(tmp_path / "a.jpg")
    with Pipeline.open(of_one, threads=1) as pipeline:
        timing = benchmark(pipeline, [tmp_path / "a.jpg"], once(images=5)).timing
    assert timing.samples_ms["infer"] == (500.0,) * 5
    assert timing.spread == 1.5  # 2.5 s of the slowest less 1 s of the others, over their 1 s
