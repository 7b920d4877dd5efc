"""A drop is measured on ground truth by any metric, or as unlikeness to float32's predictions, image by image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_artifacts
from made_images import carvana, write_jpeg

from densecast.errors import BadDatasetError, UsageError
from densecast.metrics._base import METRICS
from densecast.metrics.dice import METRIC as DICE
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.verb_options import MaxDrop
from densecast.tasks.pose import TASK as POSE
from densecast.tasks.pose import Poses
from densecast.tasks.segmentation import SegmentationMap
from densecast.verbs.mixed_precision.accuracy import AccuracyEvaluator

OPTIONS = MaxDrop(1.0, images=6, split="all")
STANDING = np.random.default_rng(0).uniform(0, 200, (17, 2)).astype(np.float32)


class SlowDice:
    """Dice that has to be scored anew for every mixture of images."""

    name, check, count, score = DICE.name, DICE.check, DICE.count, DICE.score


def nothing(done: int, total: int) -> None: ...


def people(*shifts_px: float) -> Poses:
    xy = np.stack([STANDING + shift for shift in shifts_px]) if shifts_px else np.zeros((0, 17, 2))
    return Poses(xy.astype(np.float32), np.ones((len(xy), 17), np.float32), np.ones(len(xy), np.float32))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carvana(tmp_path_factory.mktemp("cars"), count=12)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    options = BuildOptions("onnxruntime", shape=InputShape((1,), 24, 32))
    return Pipeline.open(tiny_artifacts.compiled(tmp_path_factory.mktemp("built"), options), threads=1)


def spoiled(monkeypatch: pytest.MonkeyPatch, share: Callable[[int], float]) -> None:
    """From now on, of the image that comes n-th, that share of the rows has another class."""
    predict, calls = Pipeline.predict, [0]

    def worse(self: Pipeline, *arguments: Any) -> SegmentationMap:
        labels = predict(self, *arguments).class_id.copy()
        rows = round(share(calls[0]) * len(labels))
        labels[:rows] = 1 - labels[:rows]
        calls[0] += 1
        return SegmentationMap(labels)

    monkeypatch.setattr(Pipeline, "predict", worse)


def test_without_ground_truth_the_drop_is_the_mean_share_of_changed_pixels(
    data: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracy = AccuracyEvaluator(pipeline.spec, data / "imgs", OPTIONS)
    assert accuracy.metric == "disagreement" and accuracy.images == 6
    accuracy.measure_reference(pipeline, nothing)
    assert accuracy.reference_score == 1.0
    assert accuracy.drop(pipeline, nothing).value == 0
    spoiled(monkeypatch, lambda number: 0.5 if number % 2 else 0.25)
    drop = accuracy.drop(pipeline, nothing)
    assert drop.value == pytest.approx(37.5) and 25 <= drop.low < 37.5 < drop.high <= 50


def test_a_metric_that_cannot_resample_gives_the_same_drop(
    data: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    drops = []
    for has_resampled in (True, False):
        with monkeypatch.context() as patch:
            if not has_resampled:
                patch.setattr(METRICS, "load_trusted", lambda name: SlowDice())
            accuracy = AccuracyEvaluator(pipeline.spec, data, OPTIONS)
            assert accuracy.metric == "dice_per_image"
            accuracy.measure_reference(pipeline, nothing)
            spoiled(patch, lambda number: 0.1 * number)
            drops.append(accuracy.drop(pipeline, nothing))
    fast, slow = drops
    np.testing.assert_allclose([slow.value, slow.low, slow.high], [fast.value, fast.low, fast.high], rtol=1e-12)


def test_a_metric_is_named_in_full_or_by_its_beginning(data: Path, pipeline: Pipeline) -> None:
    for name, metric in ((None, "dice_per_image"), ("Dice", "dice_per_image"), ("disagreement", "disagreement")):
        assert AccuracyEvaluator(pipeline.spec, data, replace(OPTIONS, metric=name)).metric == metric
    with pytest.raises(UsageError, match="dice_per_image or disagreement") as caught:
        AccuracyEvaluator(pipeline.spec, data, replace(OPTIONS, metric="oks"))
    assert caught.value.field == "max_drop.metric"


def test_data_that_cannot_be_used_names_the_split(tmp_path: Path, pipeline: Pipeline) -> None:
    with pytest.raises(BadDatasetError, match=r"measure a drop on \(split 'all'\)"):
        AccuracyEvaluator(pipeline.spec, tmp_path, OPTIONS)


def test_images_that_others_used_are_left_out_where_enough_are_left(tmp_path: Path, pipeline: Pipeline) -> None:
    data = carvana(tmp_path / "cars", count=30)
    first = AccuracyEvaluator(pipeline.spec, data, OPTIONS)
    used = {sample.id for sample in first.samples}
    others = AccuracyEvaluator(pipeline.spec, data, OPTIONS, excluded_ids=used)
    others.set_count(1000)
    assert others.images == 24 and not used & {sample.id for sample in others.samples}
    too_many = {sample.id for sample in others.samples[:15]}
    everything = AccuracyEvaluator(pipeline.spec, data, OPTIONS, excluded_ids=too_many)
    everything.set_count(1000)
    assert everything.images == 30


def test_people_are_as_alike_as_compare_says() -> None:
    def alike(left: Poses, right: Poses) -> float:
        return 1 - POSE.difference(left, right).value

    assert alike(people(0, 500), people(500, 0)) == pytest.approx(1) and alike(people(), people()) == 1
    assert alike(people(0, 900), people(0)) == alike(people(0), people(0, 900)) == pytest.approx(0.5)
    assert alike(people(0), people()) == alike(people(), people(0)) == 0


def test_a_drop_and_both_its_ends_are_in_points(
    data: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracy = AccuracyEvaluator(pipeline.spec, data / "imgs", OPTIONS)
    accuracy.measure_reference(pipeline, nothing)
    spoiled(monkeypatch, lambda number: 0.25)
    drop = accuracy.drop(pipeline, nothing)  # the same of every image: nothing is uncertain
    assert (drop.value, drop.low, drop.high) == pytest.approx((25.0, 25.0, 25.0))


def test_an_images_time_is_the_mean_without_the_first(
    data: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracy = AccuracyEvaluator(pipeline.spec, data / "imgs", OPTIONS)
    # 50 seconds for the first, then 1, 2 and 6.
    ticks = iter((0.0, 50.0, 100.0, 101.0, 200.0, 202.0, 300.0, 306.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    assert accuracy.seconds_per_image(pipeline) == pytest.approx(3.0)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    picture = write_jpeg(folder / "000.jpg").read_bytes()
    for index in range(1, 250):
        (folder / f"{index:03}.jpg").write_bytes(picture)
    return folder


@pytest.mark.parametrize(
    ("seconds_per_image", "images"),
    [(0.05, 80), (0.0498, 80), (0.0001, 200), (0.02, 200), (0.0201, 199), (10.0, 20), (0.19, 21)],
)
def test_a_pass_over_the_images_takes_a_25th_of_the_time_but_20_to_200_of_them(
    many: Path, seconds_per_image: float, images: int
) -> None:
    accuracy = AccuracyEvaluator(tiny_artifacts.spec(), many, MaxDrop(1.0, seconds=100.0))
    assert accuracy.images == 0
    accuracy.choose_count(seconds_per_image)
    assert accuracy.images == images == len(accuracy.samples) == len({each.id for each in accuracy.samples})


def test_a_number_of_images_that_is_asked_for_holds_and_there_are_no_more_than_there_are(many: Path) -> None:
    accuracy = AccuracyEvaluator(tiny_artifacts.spec(), many, MaxDrop(1.0, images=7))
    accuracy.choose_count(1e-6)
    assert accuracy.images == 7
    accuracy.set_count(9)
    assert accuracy.images == 9
    accuracy.set_count(9999)
    assert accuracy.images == 250


def test_excluded_images_are_left_out_while_twenty_others_are_there(many: Path) -> None:
    names = [f"{index:03}.jpg" for index in range(250)]
    for left, used in ((20, 20), (19, 250)):
        accuracy = AccuracyEvaluator(
            tiny_artifacts.spec(), many, MaxDrop(1.0, images=9999), excluded_ids=set(names[left:])
        )
        assert accuracy.images == used
