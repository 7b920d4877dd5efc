"""Logits that go to the image's size in one step, as transformers takes them, have the labels of that step."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import tiny_specs

from densecast.errors import BadConfigError
from densecast.spec.augment import View
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import FitInto, Letterbox, Native, Resize, ScaleBy, Stretch
from densecast.spec.slide import Slide
from densecast.spec.verb_options import ExportOptions
from densecast.tasks.segmentation import TASK, SegmentationDecode, postprocess
from densecast.verbs.export import asked

NETWORK_HW, IMAGE_HW = (32, 48), (67, 101)
WHOLE = Stretch(NETWORK_HW)
LABELS = ("sky", "road", "car", "tree")


def spec(resize: Resize = WHOLE, **options: object) -> ModelSpec:
    decode = SegmentationDecode(to_image="bilinear_logits_once", **options)  # type: ignore[arg-type]
    labels = LABELS[:2] if str(options.get("form", "")).startswith("binary") else LABELS
    return tiny_specs.segmentation(labels, resize, decode)


def coarse(planes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(planes, 8, 12)).astype(np.float32)


def once(plane: np.ndarray, size_hw: tuple[int, int] = IMAGE_HW) -> np.ndarray:
    return cv2.resize(plane, size_hw[::-1], interpolation=cv2.INTER_LINEAR)


def clear(planes: np.ndarray) -> np.ndarray:
    """Where rounding decides nothing."""
    best = np.sort(planes, axis=0)
    return np.asarray(best[-1] - best[-2] > 1e-4)


def view(model: ModelSpec, *, mirrored: bool = False) -> View:
    return View(model.preprocess.place(IMAGE_HW), mirrored)


@pytest.mark.parametrize("form", ["logits", "probabilities"])
def test_the_class_is_that_of_the_largest_value_resized_once(form: str) -> None:
    model, output = spec(form=form), coarse(4)
    if form == "probabilities":
        output = np.exp(output) / np.exp(output).sum(axis=0)
    found = TASK.postprocess([{"logits": output}], [view(model)], model, scores=True)
    at_image = np.stack([once(plane) for plane in output])
    sure = clear(at_image)
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(found.class_id[sure], at_image.argmax(axis=0)[sure])
    share = at_image if form == "probabilities" else np.exp(at_image) / np.exp(at_image).sum(axis=0)
    np.testing.assert_allclose(found.probability[sure], share.max(axis=0)[sure], atol=1e-5)
    at_network = np.stack([once(plane, NETWORK_HW) for plane in output])
    twice = np.stack([once(plane) for plane in at_network]).argmax(axis=0)
    assert (twice != found.class_id)[sure].any(), "two steps give other labels"
    inside = TASK.postprocess([{"logits": output}], [view(model)], model, "network").class_id
    sure = clear(at_network)
    np.testing.assert_array_equal(inside[sure], at_network.argmax(axis=0)[sure])


def test_one_plane_is_compared_with_its_threshold_where_it_was_resized_to() -> None:
    model, output = spec(form="binary_logits", threshold=0.3), coarse(1)
    found = TASK.postprocess([{"logits": output}], [view(model)], model).class_id
    at_image, limit = once(output[0]), np.log(0.3 / 0.7)
    sure = np.abs(at_image - limit) > 1e-4
    np.testing.assert_array_equal(found[sure], (at_image > limit)[sure])


def test_a_mirrored_view_is_averaged_at_the_images_size() -> None:
    model, outputs = spec(), [coarse(4), coarse(4, seed=1)]
    views = [view(model), view(model, mirrored=True)]
    found = postprocess.decode_views(outputs, views, model).class_id
    powers = [np.exp(np.stack([once(plane) for plane in each])) for each in outputs]
    shares = [each / each.sum(axis=0) for each in powers]
    mean = (shares[0] + shares[1][:, :, ::-1]) / 2
    sure = clear(mean)
    np.testing.assert_array_equal(found[sure], mean.argmax(axis=0)[sure])


@pytest.mark.parametrize("resize", [FitInto((32, 48)), Letterbox((32, 48))])
def test_padding_around_images_is_refused(resize: Resize) -> None:
    model = spec(resize)
    with pytest.raises(BadConfigError, match=r"padding.*shifted.*bilinear_logits'"):
        TASK.check(model)
    with pytest.raises(BadConfigError, match=r"padding.*shifted"):
        TASK.postprocess([{"logits": coarse(4)}], [View(model.preprocess.place((60, 60)))], model)


def test_sliding_windows_are_refused() -> None:
    with pytest.raises(BadConfigError, match=r"sliding windows.*shifted"):
        TASK.check(replace(spec(Native()), slide=Slide((8, 8), (4, 4))))


def test_windows_that_are_asked_for_are_averaged_at_the_networks_size() -> None:
    model = asked.with_options(spec(Native()), ExportOptions(slide=(32, 32), stride=(16, 16)))
    assert model.slide == Slide((32, 32), (16, 16)) and model.decode == SegmentationDecode()


@pytest.mark.parametrize(
    ("resize", "multiple", "is_padded"),
    [(Stretch((32, 48)), 16, False), (Stretch((32, 40)), 16, True), (Native(), 1, False), (ScaleBy(0.5), 8, True)],
)
def test_a_multiple_pads_only_where_the_resize_does_not_give_it(resize: Resize, multiple: int, is_padded: bool) -> None:
    model = spec(resize)
    model = replace(model, preprocess=replace(model.preprocess, pad_multiple=multiple))
    assert (model.preprocess.surroundings() is not None) == is_padded
    if is_padded:
        with pytest.raises(BadConfigError, match="padding"):
            TASK.check(model)
    else:
        TASK.check(model)
