"""Labels and scores meet the image, or the network's input, as the model's rule says; what cannot meet is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny_specs

from densecast.errors import BadConfigError, BadGraphError, UsageError
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import FitCentre, FitInto, Native, Preprocess, ScaleBy, Stretch
from densecast.spec.slide import Slide, Window
from densecast.tasks import _planes
from densecast.tasks.segmentation import TASK, SegmentationDecode, postprocess

FORMS = ("logits", "probabilities")
HALF = ScaleBy(0.5)


def spec_of(to_image: str, form: str = "logits", resize: Any = HALF, count: int = 3) -> ModelSpec:
    decode = SegmentationDecode(form=form, to_image=to_image)  # type: ignore[arg-type]
    return tiny_specs.segmentation(tuple(f"c{k}" for k in range(count)), resize, decode)


def one_hot(labels: np.ndarray, count: int = 3, largest: float = 1.0) -> np.ndarray:
    """(C, h, w) whose largest plane is the label, the others zero."""
    return np.stack([labels == k for k in range(count)]).astype(np.float32) * np.float32(largest)


def predicted(output: np.ndarray, spec: ModelSpec, placement: Placement, frame: Any = "image", **how: Any) -> Any:
    return TASK.postprocess([{"logits": output}], [View(placement)], spec, frame, **how)


def nearest(plane: np.ndarray, size_hw: tuple[int, int], *, centres: bool) -> np.ndarray:
    """The pixel that a target's corner, or its centre, lies in."""
    add = 0.5 if centres else 0.0
    rows, columns = (
        np.floor((np.arange(new) + add) * old / new).astype(int) for old, new in zip(plane.shape, size_hw, strict=True)
    )
    return plane[rows[:, None], columns[None]]


LABELS = np.array([[0, 1, 2], [2, 2, 1]])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("to_image", "centres"), [("nearest_labels", False), ("nearest_labels_pillow", True)])
@pytest.mark.parametrize("image_hw", [(4, 6), (5, 7), (2, 3), (1, 2)])
def test_labels_and_scores_are_brought_to_the_image_by_the_nearest_pixel(
    form: str, to_image: str, centres: bool, image_hw: tuple[int, int]
) -> None:
    placement = Placement.resized(image_hw, (2, 3))
    output = one_hot(LABELS, largest=1.0 if form == "probabilities" else 3.0)
    found = predicted(output, spec_of(to_image, form), placement, scores=True)
    np.testing.assert_array_equal(found.class_id, nearest(LABELS, image_hw, centres=centres))
    score = 1.0 if form == "probabilities" else np.exp(3) / (np.exp(3) + 2)
    np.testing.assert_allclose(found.probability, np.full(image_hw, score), rtol=1e-5)
    network = predicted(output, spec_of(to_image, form), placement, "network")
    np.testing.assert_array_equal(network.class_id, LABELS)


@pytest.mark.parametrize("form", FORMS)
def test_in_the_networks_frame_the_part_that_shows_the_image_is_kept(form: str) -> None:
    padded = Placement.resized((4, 4), (2, 2), model_hw=(2, 3))
    found = predicted(one_hot(LABELS), spec_of("bilinear_logits", form, FitInto((2, 3))), padded, "network")
    np.testing.assert_array_equal(found.class_id, LABELS[:, :2])


CENTRED = Placement.resized((4, 2), (2, 1), model_hw=(2, 3), offset_xy=(1, 0))


@pytest.mark.parametrize("to_image", ["nearest_labels", "nearest_labels_pillow"])
def test_an_image_in_the_middle_is_cut_out_before_its_labels_are_resized(to_image: str) -> None:
    spec = spec_of(to_image, resize=FitCentre((2, 3)))
    found = predicted(one_hot(LABELS), spec, CENTRED)
    np.testing.assert_array_equal(found.class_id, LABELS[:, 1:2].repeat(2, axis=0).repeat(2, axis=1))
    for form in FORMS:
        with pytest.raises(UsageError, match="have labels only, no scores") as raised:
            predicted(one_hot(LABELS), spec_of(to_image, form, FitCentre((2, 3))), CENTRED, scores=True)
        assert raised.value.field == "scores"


def test_labels_of_resized_logits_are_not_placed_afterwards() -> None:
    spec, labels = spec_of("bilinear_logits"), LABELS.astype(np.uint8)
    same = Placement.resized((2, 3), (2, 3))
    np.testing.assert_array_equal(postprocess.place_labels(labels, same, spec).class_id, LABELS)
    with pytest.raises(UsageError, match="its labels are those of logits at the image's size"):
        postprocess.place_labels(labels, Placement.resized((4, 6), (2, 3)), spec)
    assert postprocess.place_labels(labels, Placement.resized((4, 6), (2, 3)), spec, "network").class_id.shape == (2, 3)
    # Labels of another size than the network's input are brought there first.
    twice = postprocess.place_labels(labels, Placement.resized((4, 6), (4, 6)), spec)
    np.testing.assert_array_equal(twice.class_id, LABELS.repeat(2, axis=0).repeat(2, axis=1))


def views(*sides: int, mirrored: bool = False) -> list[View]:
    return [
        View(Placement.resized((8, 8), (side, side)), mirrored and place > 0, side / 4)
        for place, side in enumerate(sides)
    ]


@pytest.mark.parametrize(
    ("to_image", "resize", "sides", "mirrored", "frame", "field"),
    [
        ("nearest_labels", HALF, (4, 4), True, "image", "flip"),
        ("nearest_labels", HALF, (4, 8), False, "image", "ratios"),
        ("nearest_labels", FitCentre((4, 4)), (4, 4), True, "network", "flip"),
        ("nearest_labels", FitCentre((4, 4)), (4, 8), False, "network", "ratios"),
        ("bilinear_logits", HALF, (4, 8), False, "network", "ratios"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_views_that_do_not_meet_are_refused(
    form: str, to_image: str, resize: Any, sides: tuple[int, int], mirrored: bool, frame: Any, field: str
) -> None:
    spec = spec_of(to_image, form, resize)
    outputs = [{"logits": np.zeros((3, side, side), np.float32)} for side in sides]
    with pytest.raises(UsageError) as raised:
        TASK.postprocess(outputs, views(*sides, mirrored=mirrored), spec, frame)
    assert raised.value.field == field


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("frame", ["image", "network"])
def test_views_that_meet_are_averaged_and_mirrored_ones_turned_back(form: str, frame: Any) -> None:
    labels = np.array([[0, 1, 2, 2]] * 4)
    straight, turned = one_hot(labels), one_hot(labels[:, ::-1], largest=0.5)
    outputs = [{"logits": straight}, {"logits": turned}]
    found = TASK.postprocess(outputs, views(4, 4, mirrored=True), spec_of("bilinear_logits", form), frame)
    if frame == "network":
        np.testing.assert_array_equal(found.class_id, labels)
    else:
        np.testing.assert_array_equal(found.class_id[:, [0, -1]], [[0, 2]] * 8)


@pytest.mark.parametrize(
    ("scores", "count", "mirrored", "field"),
    [(True, 1, False, "scores"), (False, 2, True, "flip"), (False, 2, False, "ratios")],
)
def test_labels_from_inside_the_graph_have_no_scores_and_no_mean(
    scores: bool, count: int, mirrored: bool, field: str
) -> None:
    spec = spec_of("nearest_labels", "labels")
    outputs = [{"logits": np.zeros((4, 4), np.int64)}] * count
    with pytest.raises(UsageError, match="its graph ends in the argmax") as raised:
        TASK.postprocess(outputs, views(*[4] * count, mirrored=mirrored), spec, scores=scores)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("shape", "words"), [((2, 4, 4), "expected labels"), ((1, 1, 4, 4), "expected labels"), ((4,), "expected labels")]
)
def test_labels_are_one_plane(shape: tuple[int, ...], words: str) -> None:
    spec = spec_of("nearest_labels", "labels")
    with pytest.raises(BadGraphError, match=words):
        predicted(np.zeros(shape, np.int64), spec, Placement.resized((8, 8), (4, 4)))
    for value, label in ((3, "3"), (-1, "-1")):
        with pytest.raises(BadGraphError, match=f"gives label {label}.*3 labels, 0 to 2"):
            predicted(np.full((4, 4), value, np.int64), spec, Placement.resized((8, 8), (4, 4)))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"preprocess": Preprocess(FitCentre((4, 4)))}, "'fit_centre' needs labels that are resized after the argmax"),
        ({"labels": ("a",), "palette": ((0, 0, 0),)}, "both: background,a"),
        ({"labels": (), "palette": ()}, "at least two labels, got 0. Name them"),
        ({"slide": Slide((8, 8), (4, 4)), "decode": SegmentationDecode(form="labels")}, "labels of sliding windows"),
        ({"decode": SegmentationDecode(form="binary_logits")}, "one plane tells two labels apart.*got 3 labels"),
        (
            {"decode": SegmentationDecode(to_image="bilinear_logits_once"), "preprocess": Preprocess(FitInto((4, 4)))},
            "padding around images",
        ),
        (
            {"decode": SegmentationDecode(to_image="bilinear_logits_once"), "slide": Slide((8, 8), (4, 4))},
            "sliding windows",
        ),
    ],
)
def test_rules_that_exclude_each_other_are_refused(changed: dict[str, Any], words: str) -> None:
    plain = spec_of("bilinear_logits", resize=Native())
    TASK.check(plain)
    with pytest.raises(BadConfigError, match=words):
        TASK.check(replace(plain, **changed))
    once = replace(
        plain, decode=SegmentationDecode(to_image="bilinear_logits_once"), preprocess=Preprocess(Stretch((4, 4)))
    )
    TASK.check(once)


def test_planes_are_brought_back_from_where_they_lie() -> None:
    planes = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    placement = Placement.resized((3, 2), (3, 2), model_hw=(3, 4), offset_xy=(1, 0))
    np.testing.assert_array_equal(_planes.bring_back(planes, View(placement), "image"), planes[:, :, 1:3])
    mirrored = _planes.bring_back(planes, View(placement, True), "image")
    np.testing.assert_array_equal(mirrored, planes[:, :, 2:0:-1])
    whole = _planes.bring_back(planes, View(Placement.resized((3, 4), (3, 4))), "network")
    assert whole is not planes and not np.may_share_memory(whole, planes)
    mean = _planes.mean_planes([planes, planes + 2], [View(placement), View(placement)], "image", align_corners=False)
    np.testing.assert_array_equal(mean, planes[:, :, 1:3] + 1)
    with pytest.raises(UsageError, match="these ratios lead to several") as raised:
        _planes.mean_planes([planes, planes], views(4, 8), "network", align_corners=False)
    assert raised.value.field == "ratios"


def test_truth_is_brought_to_the_networks_input_by_the_nearest_centre() -> None:
    truth = np.arange(2 * 6, dtype=np.float32).reshape(1, 2, 6)
    placement = Placement.resized((2, 6), (1, 3))
    assert _planes.nearest(truth, placement, "image") is truth
    assert _planes.nearest(truth, Placement.resized((2, 6), (2, 6)), "network") is truth
    np.testing.assert_array_equal(
        _planes.nearest(truth, placement, "network"), [nearest(truth[0], (1, 3), centres=True)]
    )


@pytest.mark.parametrize(
    ("frame", "to_image", "size"),
    [
        ("image", "bilinear_logits", (8, 12)),
        ("network", "bilinear_logits", (4, 6)),
        ("image", "nearest_labels", (8, 12)),
    ],
)
def test_windows_of_one_view_are_labelled_in_the_frame_that_is_asked_for(frame: Any, to_image: str, size: Any) -> None:
    labels = np.array([[0, 1, 2, 2, 1, 0]] * 4)
    spec = replace(spec_of(to_image), slide=Slide((4, 4), (4, 2)))
    placement = Placement.resized((8, 12), (4, 6))
    seen = [View(placement, window=Window(0, left, 4, 4)) for left in (0, 2)]
    joiner = TASK.joiner(seen, spec, frame)
    for view in seen:
        joiner.add({"logits": one_hot(labels[:, view.window.left : view.window.left + 4])})
    found = joiner.prediction()
    assert found.class_id.shape == size
    np.testing.assert_array_equal(found.class_id[:: size[0] // 4, :: size[1] // 6], labels)


def test_only_an_image_in_the_middle_of_its_input_is_cut_out_of_it() -> None:
    planes = np.arange(2 * 6 * 8, dtype=np.float32).reshape(2, 6, 8)
    inside = Placement.resized((3, 5), (3, 5), model_hw=(6, 8), offset_xy=(2, 1))
    corner = Placement.resized((3, 5), (3, 5), model_hw=(6, 8))
    cut, seen = postprocess.cut_out([planes, planes], [View(inside), View(corner, True)], False)
    np.testing.assert_array_equal(cut[0], planes[:, 1:4, 2:7])
    np.testing.assert_array_equal(cut[1], planes)
    assert [each.mirrored for each in seen] == [False, True] and seen[1].placement == corner
    assert (seen[0].placement.model_hw, seen[0].placement.offset_xy) == ((3, 5), (0, 0))
