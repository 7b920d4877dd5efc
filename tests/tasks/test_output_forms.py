"""One plane for two labels, probabilities, and labels from inside the graph become the right classes and scores."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_specs
from PIL import Image

from densecast.errors import BadConfigError, BadGraphError, BadInputError, UsageError
from densecast.spec.augment import View
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import FitInto, Native, ScaleBy
from densecast.tasks.segmentation import TASK, SegmentationDecode, SegmentationMap
from densecast.testing import check_task

MANY = tuple(f"c{number}" for number in range(300))
IMAGE_HW = (48, 64)


def spec_of(
    form: str, labels: tuple[str, ...] = ("no", "yes"), resize: object = ScaleBy(0.5), **options: object
) -> ModelSpec:
    return tiny_specs.segmentation(labels, resize, SegmentationDecode(form=form, **options))  # type: ignore[arg-type]


def predicted(
    output: np.ndarray, spec: ModelSpec, image_hw: tuple[int, int] = IMAGE_HW, *, scores: bool = False
) -> SegmentationMap:
    placement = spec.preprocess.resize.place(image_hw)
    return TASK.postprocess([{"logits": output}], [View(placement)], spec, scores=scores)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Smooth enough that few pixels are near a tie."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=(shape[0], 6, 8)).astype(np.float32)
    return np.stack([cv2.resize(plane, shape[:0:-1], interpolation=cv2.INTER_CUBIC) for plane in rough])


def resized(plane: np.ndarray, size_hw: tuple[int, int] = IMAGE_HW) -> np.ndarray:
    """OpenCV's float bilinear, twice as the network's size and the image's are met one after the other."""
    half = cv2.resize(plane, (size_hw[1] // 2, size_hw[0] // 2), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(half, size_hw[::-1], interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.9])
@pytest.mark.parametrize("form", ["binary_logits", "binary_probability"])
def test_one_plane_is_the_second_label_where_its_probability_is_above_the_threshold(
    form: str, threshold: float
) -> None:
    logits = 3 * noise(1, 12, 16)
    output = logits if form == "binary_logits" else 1 / (1 + np.exp(-logits))
    made = predicted(output, spec_of(form, threshold=threshold), scores=True)
    map_ = resized(output[0])
    probability = 1 / (1 + np.exp(-map_)) if form == "binary_logits" else map_
    clear = np.abs(probability - threshold) > 1e-4
    assert clear.mean() > 0.95 and 0.05 < (probability > threshold).mean() < 0.95
    np.testing.assert_array_equal(made.class_id[clear], (probability > threshold)[clear])
    assert made.probability is not None and made.class_id.dtype == np.uint8
    np.testing.assert_allclose(made.probability, np.where(made.class_id == 1, probability, 1 - probability), atol=2e-6)
    plain = predicted(output, spec_of(form, threshold=threshold))
    np.testing.assert_array_equal(plain.class_id, made.class_id)
    assert plain.probability is None


def test_probabilities_are_not_softened_a_second_time() -> None:
    labels = ("a", "b", "c")
    powers = np.exp(4 * noise(3, 12, 16))
    output = (powers / powers.sum(axis=0)).astype(np.float32)
    made = predicted(output, spec_of("probabilities", labels), scores=True)
    maps = np.stack([resized(plane) for plane in output])
    best = np.sort(maps, axis=0)
    clear = best[-1] - best[-2] > 1e-4
    np.testing.assert_array_equal(made.class_id[clear], maps.argmax(axis=0)[clear])
    assert made.probability is not None
    np.testing.assert_allclose(made.probability, maps.max(axis=0), atol=2e-6)
    assert made.probability.max() > 0.9


@pytest.mark.parametrize("form", ["binary_logits", "binary_probability", "probabilities"])
def test_views_are_averaged_as_probabilities(form: str) -> None:
    raw = [noise(1, 24, 32, seed=seed) for seed in (1, 2)]
    soft = [1 / (1 + np.exp(-each)) for each in raw]
    both = [np.concatenate([1 - each, each]) for each in soft]
    outputs = {"binary_logits": raw, "binary_probability": soft, "probabilities": both}[form]
    spec = spec_of(form, resize=Native())
    placement = Native().place((24, 32))
    made = TASK.postprocess(
        [{"logits": output} for output in outputs],
        [View(placement), View(placement, mirrored=True)],
        spec,
        scores=True,
    )
    mean = (soft[0][0] + soft[1][0][:, ::-1]) / 2
    np.testing.assert_array_equal(made.class_id, mean > 0.5)
    assert made.probability is not None
    np.testing.assert_allclose(made.probability, np.maximum(mean, 1 - mean), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32])
@pytest.mark.parametrize("lead", [(), (1,)])
def test_labels_come_to_the_image_by_nearest_neighbour(dtype: type, lead: tuple[int, ...]) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (24, 32))
    spec = spec_of("labels", ("a", "b", "c"))
    made = predicted(labels.astype(dtype).reshape(*lead, 24, 32), spec)
    expected = Image.fromarray(labels.astype(np.uint8)).resize((64, 48), Image.Resampling.NEAREST)
    assert made.class_id.dtype == np.uint8
    np.testing.assert_array_equal(made.class_id, np.asarray(expected))


def test_opencvs_nearest_neighbour_is_taken_where_it_is_asked_for() -> None:
    labels = np.random.default_rng(0).integers(0, 3, (15, 20))
    spec = spec_of("labels", ("a", "b", "c"), resize=ScaleBy(0.4), to_image="nearest_labels")
    made = predicted(labels, spec, (38, 50))
    expected = cv2.resize(labels.astype(np.uint8), (50, 38), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(made.class_id, expected)


def test_labels_of_a_padded_input_are_cut() -> None:
    spec = spec_of("labels", ("a", "b", "c"), resize=FitInto((40, 40)))
    labels = np.zeros((40, 40), np.int64)
    labels[:30], labels[30:] = 1, 2
    made = predicted(labels, spec, (30, 40))
    assert made.class_id.shape == (30, 40) and (made.class_id == 1).all()


def test_smaller_label_maps_are_brought_to_the_networks_size_first() -> None:
    spec = spec_of("labels", ("a", "b", "c"))
    labels = np.random.default_rng(0).integers(0, 3, (12, 16))
    made = predicted(labels, spec)
    np.testing.assert_array_equal(made.class_id, labels.repeat(4, axis=0).repeat(4, axis=1))


@pytest.mark.parametrize("value", [3, -1, 255])
def test_a_label_that_the_model_does_not_have_is_refused(value: int) -> None:
    labels = np.zeros((24, 32), np.int64)
    labels[0, 0] = value
    with pytest.raises(BadGraphError, match=f"gives label {value}, and it has 3 labels"):
        predicted(labels, spec_of("labels", ("a", "b", "c")))


def test_scores_and_views_of_labels_are_refused() -> None:
    spec, labels = spec_of("labels"), np.zeros((24, 32), np.int64)
    with pytest.raises(UsageError, match="no scores") as refused:
        predicted(labels, spec, scores=True)
    assert refused.value.field == "scores"
    views = [View(ScaleBy(0.5).place(IMAGE_HW)), View(ScaleBy(0.5).place(IMAGE_HW), mirrored=True)]
    with pytest.raises(UsageError, match="cannot be averaged") as refused:
        TASK.postprocess([{"logits": labels}] * 2, views, spec)
    assert refused.value.field == "flip"


@pytest.mark.parametrize("form", ["binary_logits", "probabilities"])
def test_outputs_of_another_form_or_not_finite_are_refused(form: str) -> None:
    channels = 1 if form == "binary_logits" else 2
    with pytest.raises(BadGraphError, match="expected"):
        predicted(np.zeros((3, 24, 32), np.float32), spec_of(form))
    with pytest.raises(BadInputError, match="finite"):
        predicted(np.full((channels, 24, 32), np.nan, np.float32), spec_of(form))


def test_what_cannot_be_is_refused_when_it_is_declared() -> None:
    for threshold in (0.0, 1.0, 7.0):
        with pytest.raises(BadConfigError, match="threshold is a probability"):
            SegmentationDecode(form="binary_logits", threshold=threshold)
    with pytest.raises(BadConfigError, match="the largest wins"):
        SegmentationDecode(threshold=0.3)
    with pytest.raises(BadConfigError, match="two labels") as refused:
        TASK.check(spec_of("binary_logits", ("a", "b", "c")))
    assert refused.value.field == "labels"
    with pytest.raises(BadConfigError, match="16 bits"):
        TASK.check(spec_of("logits", tuple(map(str, range(65537)))))


def test_a_change_is_a_change_of_labels_in_every_form() -> None:
    left, right = np.array([[[[-1.0, 1.0, 2.0, 3.0]]]], np.float32), np.array([[[[1.0, 1.0, 2.0, -3.0]]]], np.float32)
    assert TASK.output_change([left], [right], spec_of("binary_logits")) == 0.5
    whole = np.array([[[0, 1, 2, 2]]], np.float32)
    assert TASK.output_change([whole], [whole[..., ::-1]], spec_of("labels", ("a", "b", "c"))) == 1.0
    np.testing.assert_allclose(
        TASK.meaning(left[0], spec_of("binary_logits"))[1], 1 / (1 + np.exp(-left[0, 0])), rtol=1e-6
    )


def output_of(form: str, labels: tuple[str, ...]) -> np.ndarray:
    if form == "labels":
        return np.random.default_rng(0).integers(0, len(labels), (24, 32))
    return np.abs(noise(1 if form.startswith("binary") else len(labels), 24, 32)) % 1


@pytest.mark.parametrize(
    ("form", "labels"),
    [
        ("binary_logits", ("no", "yes")),
        ("binary_probability", ("no", "yes")),
        ("probabilities", ("a", "b", "c")),
        ("labels", ("a", "b", "c")),
        ("labels", MANY),
    ],
)
def test_predictions_of_every_form_keep_the_tasks_promises(form: str, labels: tuple[str, ...]) -> None:
    target = np.random.default_rng(1).integers(0, 2, IMAGE_HW).astype(np.uint8)
    check_task(TASK, spec_of(form, labels), {"logits": output_of(form, labels)}, target)


def test_more_than_256_labels_are_saved_as_16_bits(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 300, (24, 32))
    spec = spec_of("labels", MANY, resize=Native())
    made = predicted(labels, spec, (24, 32))
    assert made.class_id.dtype == np.uint16
    read = np.asarray(Image.open(TASK.save(tmp_path / "x", made, spec)))
    np.testing.assert_array_equal(read, labels)
