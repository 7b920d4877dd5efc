"""Views of one image: averaged as MMSegmentation's `aug_test` does, batched as the artifact allows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_images
import mmseg_cases
import numpy as np
import pytest
import tiny_artifacts
from PIL import Image

from densecast.artifact import Artifact
from densecast.errors import BadGraphError, BadInputError, BadShapeError, UsageError
from densecast.imaging.prepare import prepare
from densecast.kernels.probabilities import mean_argmax
from densecast.pipeline import Pipeline
from densecast.spec.augment import Augment, View
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.preprocess import KeepRatio, ScaleBy, Stretch
from densecast.tasks.segmentation import SegmentationDecode, SegmentationMap, postprocess
from densecast.verbs.infer import infer

# Made by parity/make_segmentation_goldens.py with MMSegmentation 0.30.0 on torch 2.13.
GOLDENS = np.load(Path(__file__).parent / "golden" / "segmentation_pipeline.npz")


def views_and_heads(case: mmseg_cases.Case, name: str) -> tuple[list[View], list[np.ndarray]]:
    width, height = case.scale_wh
    resize = KeepRatio(width, height) if case.keep_ratio else Stretch((height, width))
    views = [
        View(resize.scaled(ratio).place(case.image_hw), mirrored)
        for ratio in case.ratios
        for mirrored in ((False, True) if case.flip else (False,))
    ]
    return views, [mmseg_cases.head(name, i, view.placement.model_hw) for i, view in enumerate(views)]


def spec(labels_resized: bool = False) -> ModelSpec:
    decode = SegmentationDecode(to_image="nearest_labels" if labels_resized else "bilinear_logits")
    names = tuple(map(str, range(mmseg_cases.CLASSES)))
    return replace(tiny_artifacts.spec(), decode=decode, labels=names, palette=((0, 0, 0),) * len(names))


@pytest.mark.parametrize("probability", [False, True])
@pytest.mark.parametrize("name", mmseg_cases.CASES)
def test_labels_and_probabilities_are_mmsegmentations(name: str, probability: bool) -> None:
    case = mmseg_cases.CASES[name]
    views, heads = views_and_heads(case, name)
    found = postprocess.decode_views(heads, views, spec(case.labels_resized), probability=probability)
    np.testing.assert_array_equal(found.class_id, GOLDENS[f"{name} labels"])
    assert (found.probability is not None) == probability
    if found.probability is not None and not case.labels_resized:
        # The exponentials of torch and of this kernel differ in the last bits of float32.
        np.testing.assert_allclose(found.probability[::8, ::8], GOLDENS[f"{name} probability"], rtol=0, atol=1e-6)


def test_views_at_the_networks_size_must_be_of_one_size() -> None:
    views, heads = views_and_heads(mmseg_cases.CASES["ratios"], "ratios")
    with pytest.raises(UsageError, match="ratios lead to several"):
        postprocess.decode_views(heads, views, spec(), "network")
    views, heads = views_and_heads(mmseg_cases.CASES["flip"], "flip")
    assert postprocess.decode_views(heads, views, spec(), "network").class_id.shape == views[0].placement.model_hw


def test_labels_that_are_resized_cannot_be_averaged() -> None:
    views, heads = views_and_heads(mmseg_cases.CASES["flip"], "flip")
    with pytest.raises(UsageError, match="after the argmax"):
        postprocess.decode_views(heads, views, spec(labels_resized=True))


def test_an_output_of_another_number_of_classes_is_refused() -> None:
    views, heads = views_and_heads(mmseg_cases.CASES["flip"], "flip")
    with pytest.raises(BadGraphError, match="expected logits"):
        postprocess.decode_views([heads[0], heads[1][:5]], views, spec())


def test_the_order_of_threads_does_not_show() -> None:
    rng = np.random.default_rng(0)
    logits = [rng.normal(size=(5, 9, 14)).astype(np.float32) for _ in range(3)]
    sizes, mirrored = [[(33, 41), (70, 81)], [(70, 81)], [(17, 80), (70, 81)]], [False, True, True]
    alone, several = (mean_argmax(logits, sizes, mirrored, threads=threads) for threads in (1, 3))
    for left, right in zip(alone, several, strict=True):
        np.testing.assert_array_equal(left, right)


def test_what_cannot_be_averaged_is_refused() -> None:
    logits = np.zeros((3, 4, 5), np.float32)
    with pytest.raises(BadShapeError, match="one size in the end"):
        mean_argmax([logits, logits], [[(8, 8)], [(8, 9)]], [False, False])
    with pytest.raises(BadShapeError, match="with one C"):
        mean_argmax([logits, logits[:2]], [[(8, 8)], [(8, 8)]], [False, False])
    with pytest.raises(UsageError, match="equally many"):
        mean_argmax([logits], [[(8, 8)]], [False, True])
    with pytest.raises(BadInputError, match="finite"):
        mean_argmax([logits + np.float32("nan")], [[(8, 8)]], [False])


@pytest.mark.parametrize("ratios", [(), (0.0,), (1.0, -0.5), (float("nan"),), (float("inf"),)])
def test_ratios_that_are_none_are_refused(ratios: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="--ratios"):
        Augment(ratios)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    shape = InputShape(Range(1, 8), Range(8, 512), Range(8, 512))
    return tiny_artifacts.compiled(tmp_path_factory.mktemp("augment"), BuildOptions("onnxruntime", shape=shape))


def by_hand(pipeline: Pipeline, image: np.ndarray, ratio: float, mirrored: bool) -> np.ndarray:
    """One view's probabilities at the image's size, by the engine and float64 alone."""
    usual = pipeline.spec.preprocess
    assert isinstance(usual.resize, ScaleBy)
    array, _ = prepare(image, replace(usual, resize=ScaleBy(usual.resize.factor * ratio)))
    fed = array[:, :, ::-1] if mirrored else array
    logits = pipeline.session.forward({"image": np.ascontiguousarray(fed)[None]})["logits"][0].astype(np.float64)
    logits = bilinear(bilinear(logits, image.shape[0], 1), image.shape[1], 2)
    exponentials = np.exp(logits - logits.max(axis=0))
    probabilities = exponentials / exponentials.sum(axis=0)
    return probabilities[:, :, ::-1] if mirrored else probabilities


def bilinear(values: np.ndarray, length: int, axis: int) -> np.ndarray:
    at = np.clip((np.arange(length) + 0.5) * values.shape[axis] / length - 0.5, 0, values.shape[axis] - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, values.shape[axis] - 1)
    weight = (at - low).reshape([-1 if each == axis else 1 for each in range(3)])
    return values.take(low, axis) * (1 - weight) + values.take(high, axis) * weight


def test_a_pipeline_averages_its_views(artifact: Artifact) -> None:
    image = made_images.picture((70, 92), seed=3)
    with Pipeline.open(artifact, augment=Augment((1.0, 1.5), flip=True)) as pipeline:
        found = pipeline(image, scores=True)
        wanted = np.mean([by_hand(pipeline, image, *view) for view in _order(pipeline)], axis=0)
    assert isinstance(found, SegmentationMap) and found.probability is not None
    margin = np.abs(wanted[0] - wanted[1])
    assert 0.05 < found.class_id.mean() < 0.95
    np.testing.assert_array_equal(found.class_id[margin > 1e-5], wanted.argmax(axis=0)[margin > 1e-5])
    # float32 against float64, over four views
    np.testing.assert_allclose(found.probability, wanted.max(axis=0), rtol=0, atol=2e-6)


def _order(pipeline: Pipeline) -> list[tuple[float, bool]]:
    return [(ratio, mirrored) for ratio in pipeline.augment.ratios for mirrored in (False, True)]


def test_batches_of_views_change_nothing(artifact: Artifact) -> None:
    images = [made_images.picture(size_hw, seed=1) for size_hw in ((70, 92), (64, 64), (70, 92), (33, 120))]
    with Pipeline.open(artifact, augment=Augment((0.5, 1.0), flip=True)) as pipeline:
        alone = [pipeline(image) for image in images]
        together = list(pipeline.stream(images, lambda image: image, lambda done: done.prediction, batch=4))
    for left, right in zip(together, alone, strict=True):
        assert isinstance(left, SegmentationMap) and isinstance(right, SegmentationMap)
        np.testing.assert_array_equal(left.class_id, right.class_id)


def test_a_mirror_image_is_seen_as_the_image_is(artifact: Artifact) -> None:
    image = made_images.picture((64, 80), seed=2)
    with Pipeline.open(artifact, augment=Augment(flip=True)) as pipeline:
        this, other = pipeline(image), pipeline(np.ascontiguousarray(image[:, ::-1]))
    assert isinstance(this, SegmentationMap) and isinstance(other, SegmentationMap)
    np.testing.assert_array_equal(other.class_id[:, ::-1], this.class_id)


def test_a_view_the_artifact_does_not_take_is_refused(artifact: Artifact) -> None:
    with (
        Pipeline.open(artifact, augment=Augment((1.0, 20.0))) as pipeline,
        pytest.raises(BadShapeError, match="Export it with a resize"),
    ):
        pipeline(made_images.picture((64, 80)))


def test_scores_are_written_in_16_bits(artifact: Artifact, tmp_path: Path) -> None:
    path = made_images.write_jpeg(tmp_path / "car.jpg", (70, 92))
    with Pipeline.open(artifact) as pipeline:
        infer(pipeline, [path], tmp_path / "out", scores=True)
        wanted = pipeline(pipeline.read(path), scores=True)
        infer(pipeline, [path], tmp_path / "plain")
    assert isinstance(wanted, SegmentationMap) and wanted.probability is not None
    with Image.open(tmp_path / "out" / "car_score.png") as stored:
        assert stored.mode.startswith("I;16")
        scores = np.asarray(stored)
    # Half a step of 16 bits.
    np.testing.assert_allclose(scores / 65535, wanted.probability, rtol=0, atol=0.5001 / 65535)
    assert scores.min() >= 65535 // 2
    assert [path.name for path in sorted((tmp_path / "plain").glob("[!.]*"))] == ["car.png"]
    assert (tmp_path / "plain" / "car.png").read_bytes() == (tmp_path / "out" / "car.png").read_bytes()
