"""Images through a pipeline in several workers: the sequential pipeline's results, order and errors, flat memory."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tiny_artifacts
from made_images import carvana, picture, write_jpeg

from densecast.artifact import Artifact
from densecast.errors import BadImageError
from densecast.pipeline import Pipeline, Predicted
from densecast.runtime.execution import ExecutionConfig
from densecast.session import Session
from densecast.spec.augment import Augment
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.verb_options import EvaluateOptions
from densecast.tasks.pose import Poses
from densecast.tasks.segmentation import SegmentationMap
from densecast.verbs.evaluate import evaluate
from densecast.verbs.infer import infer

SIZES_HW = ((64, 96), (96, 64), (64, 96), (70, 92), (64, 64), (33, 120), (64, 96))
# Two that run several inferences at a time, and one that cannot.
BACKENDS = ("openvino", "onnxruntime", "reference")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    shape = InputShape(Range(1, 4), Range(8, 512), Range(8, 512))
    return {
        name: tiny_artifacts.compiled(tmp_path_factory.mktemp(name), BuildOptions(name, shape=shape))
        for name in BACKENDS
    }


def pictures(backend: str) -> list[npt.NDArray[np.uint8]]:
    """Of all sizes, several times; few and small ones for the reference, which takes its time and has one stream."""
    sizes_hw = ((16, 24), (24, 16), (17, 30), (16, 24)) if backend == "reference" else SIZES_HW * 3
    return [picture(size_hw, seed) for seed, size_hw in enumerate(sizes_hw)]


def same(left: object, right: object) -> bool:
    if isinstance(left, SegmentationMap) and isinstance(right, SegmentationMap):
        return np.array_equal(left.class_id, right.class_id)
    assert isinstance(left, Poses) and isinstance(right, Poses)
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in ("xy_px", "score", "person_score"))


def prediction(found: Predicted[np.ndarray]) -> object:
    return found.prediction


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_predictions_are_the_sequential_pipelines_bit_for_bit(
    artifacts: dict[str, Artifact], backend: str, batch: int
) -> None:
    images = pictures(backend)
    with Pipeline.open(artifacts[backend], threads=1) as sequential:
        expected = [sequential(image) for image in images]
    with Pipeline.open(artifacts[backend], threads=3, mode="throughput") as pipeline:
        assert pipeline.config.num_streams == 3
        results = list(pipeline.stream(images, lambda image: image, prediction, batch=batch))
    assert len(results) == len(expected) and all(map(same, results, expected))


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_workers_than_streams_change_nothing(artifacts: dict[str, Artifact], backend: str) -> None:
    images = pictures(backend)
    with Pipeline.open(artifacts[backend], threads=1) as sequential:
        expected = [sequential(image) for image in images]
        config = ExecutionConfig(num_threads=4, num_streams=1, num_workers=4)
        with Pipeline(Session.open(artifacts[backend], config)) as pipeline:
            results = list(pipeline.stream(images, lambda image: image, prediction))
    assert len(results) == len(expected) and all(map(same, results, expected))


@pytest.mark.slow
def test_people_of_a_stream_are_those_of_single_images(tmp_path: Path) -> None:
    artifact = tiny_artifacts.compiled_pose(tmp_path, BuildOptions("openvino", shape=InputShape((2,))))
    images = [picture(size_hw, seed) for seed, size_hw in enumerate(SIZES_HW * 2)]
    with Pipeline.open(artifact, threads=1) as sequential:
        expected = [sequential(image) for image in images]
    with Pipeline.open(artifact, threads=2, mode="throughput") as pipeline:
        results = list(pipeline.stream(images, lambda image: image, prediction))
    assert any(len(people) for people in expected if isinstance(people, Poses))
    assert all(map(same, results, expected))


def test_views_of_a_stream_are_averaged_as_single_images_are(artifacts: dict[str, Artifact]) -> None:
    images = [picture(size_hw, seed) for seed, size_hw in enumerate(SIZES_HW)]
    views = Augment((0.5, 1.0), flip=True)
    with Pipeline.open(artifacts["onnxruntime"], threads=1, augment=views) as sequential:
        expected = [sequential(image) for image in images]
    with Pipeline.open(artifacts["onnxruntime"], threads=2, mode="throughput", augment=views) as pipeline:
        results = list(pipeline.stream(images, lambda image: image, prediction, batch=2))
    assert all(map(same, results, expected))


def test_a_broken_file_is_told_at_its_place(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    paths = [write_jpeg(tmp_path / f"{index}.jpg", seed=index) for index in range(8)]
    # Its header is whole: only decoding shows it.
    paths[5].write_bytes(paths[5].read_bytes()[:-100])
    told: list[int] = []
    with (
        Pipeline.open(artifacts["openvino"], threads=2, mode="throughput") as pipeline,
        pytest.raises(BadImageError, match=r"5\.jpg"),
    ):
        infer(pipeline, paths, tmp_path / "out", progress=lambda done, total: told.append(done))
    assert told == [1, 2, 3, 4, 5]
    assert {f"{index}.png" for index in range(5)} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_an_error_while_results_are_used_ends_all_threads(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    root = carvana(tmp_path / "data", count=12)

    def refuse(*_: object) -> None:
        raise KeyError("not wanted")

    before = set(threading.enumerate())
    with (
        Pipeline.open(artifacts["openvino"], threads=3, mode="throughput") as pipeline,
        pytest.raises(KeyError, match="not wanted"),
    ):
        evaluate(pipeline, root, EvaluateOptions("all"), observe=refuse)
    left = set(threading.enumerate()) - before  # a server of other tests may be running
    assert not [thread for thread in left if thread.name.startswith("densecast ")]


def test_scores_do_not_depend_on_the_mode(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    root = carvana(tmp_path / "data", count=12)
    with Pipeline.open(artifacts["openvino"], threads=1) as sequential:
        expected = evaluate(sequential, root, EvaluateOptions("all")).score
    with Pipeline.open(artifacts["openvino"], threads=3, mode="throughput") as pipeline:
        assert evaluate(pipeline, root, EvaluateOptions("all")).score == expected


def test_nothing_piles_up_however_many_images(artifacts: dict[str, Artifact]) -> None:
    image = picture((64, 96))
    alive, most = 0, 0
    changing = threading.Lock()

    class Counted(np.ndarray):
        def __del__(self) -> None:
            nonlocal alive
            if self.base is image:
                with changing:
                    alive -= 1

    def read(_: int) -> np.ndarray:
        nonlocal alive, most
        with changing:
            alive += 1
            most = max(most, alive)
        return image.view(Counted)

    with Pipeline.open(artifacts["openvino"], threads=2, mode="throughput") as pipeline:
        done = sum(1 for _ in pipeline.stream(range(300), read, lambda found: None))
    assert done == 300
    # Two in work, and what their workers' local names still hold from the image before.
    assert most <= 6
