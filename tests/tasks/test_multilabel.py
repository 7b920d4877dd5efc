"""Multi-label segmentation: resizing and thresholds against torch, files against numpy, refusals in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_specs
from PIL import Image

from densecast.datasets import multilabel_pairs
from densecast.errors import BadConfigError, BadDatasetError, BadGraphError
from densecast.metrics.multilabel_iou import MultilabelIou
from densecast.spec.augment import View
from densecast.spec.preprocess import FitCentre, FitInto, Letterbox, PoseAffine, Resize
from densecast.tasks.multilabel import MultilabelDecode, MultilabelMap, MultilabelTarget, MultilabelTask
from densecast.tasks.multilabel.files import draw_classes

TASK = MultilabelTask()
HW = (45, 61)


def views(resize: Resize, *mirrored: bool) -> list[View]:
    return [View(resize.place(HW), each, 1.0) for each in mirrored]


@pytest.mark.torch
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("resize", [tiny_specs.HALF, FitInto((32, 48))])
def test_maps_are_resized_as_by_torch_and_cut_to_the_image(resize: Resize, align_corners: bool) -> None:
    torch = pytest.importorskip("torch")
    placement = resize.place(HW)
    logits = np.random.default_rng(0).normal(size=(3, 8, 12)).astype(np.float32)
    spec = tiny_specs.multilabel(MultilabelDecode(align_corners=align_corners), resize)

    def to(size_hw: tuple[int, int], planes: object) -> object:
        return torch.nn.functional.interpolate(planes, size_hw, mode="bilinear", align_corners=align_corners)

    height, width = placement.content_hw
    inside = to(placement.model_hw, torch.from_numpy(logits)[None])[:, :, :height, :width]  # type: ignore[index]
    expected = torch.sigmoid(to(HW, inside))[0].numpy()
    found = TASK.postprocess([{"logits": logits}], views(resize, False), spec, scores=True)
    assert found.probability is not None
    np.testing.assert_allclose(found.probability, expected, atol=2e-6)
    sure = np.abs(expected - 0.5) > 1e-5
    np.testing.assert_array_equal(found.classes[sure], expected[sure] > 0.5)


def test_views_are_averaged_as_probabilities_and_turned_back() -> None:
    spec = tiny_specs.multilabel()
    size_hw = tiny_specs.HALF.place(HW).model_hw
    plain, mirrored = np.random.default_rng(0).normal(size=(2, 3, *size_hw)).astype(np.float32)
    both = TASK.postprocess(
        [{"logits": plain}, {"logits": mirrored}], views(tiny_specs.HALF, False, True), spec, "network", scores=True
    )
    expected = (1 / (1 + np.exp(-plain)) + 1 / (1 + np.exp(-mirrored[:, :, ::-1]))) / 2
    assert both.probability is not None
    np.testing.assert_allclose(both.probability, expected, atol=1e-6)


@pytest.mark.parametrize("resize", [FitCentre((48, 64)), Letterbox((48, 64))])
def test_an_image_in_the_middle_is_mirrored_where_it_lies(resize: Resize) -> None:
    placement = resize.place((40, 41))
    planes = np.zeros((3, 48, 64), np.float32)
    left, top = (int(each) for each in placement.offset_xy)
    height, width = placement.content_hw
    planes[:, top : top + height, left : left + width] = np.linspace(-5, 5, width)
    mirrored = planes.copy()
    mirrored[:, top : top + height, left : left + width] = np.linspace(5, -5, width)
    assert (64 - width) % 2 == 1
    turned = TASK.postprocess([{"logits": mirrored}], [View(placement, True, 1.0)], tiny_specs.multilabel(), "network")
    straight = TASK.postprocess([{"logits": planes}], [View(placement, False, 1.0)], tiny_specs.multilabel(), "network")
    np.testing.assert_array_equal(turned.classes, straight.classes)


def test_each_class_has_its_own_threshold() -> None:
    probability = np.array([0.2, 0.5, 0.8], np.float32)[:, None, None] * np.ones((3, *HW), np.float32)
    for activation, maps in (("none", probability), ("sigmoid", np.log(probability / (1 - probability)))):
        decode = MultilabelDecode(thresholds=(0.1, 0.6, 0.9), activation=activation)  # type: ignore[arg-type]
        spec = tiny_specs.multilabel(decode, tiny_specs.HALF)
        found = TASK.postprocess([{"logits": maps}], views(tiny_specs.HALF, False), spec)
        assert found.classes.all(axis=(1, 2)).tolist() == [True, False, False] and not found.classes[1:].any()


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (MultilabelDecode(thresholds=(0.5, 0.5)), "2 thresholds for 3 labels"),
        (MultilabelDecode(threshold=1.5), "between 0 and 1"),
        (MultilabelDecode(threshold=0.4, thresholds=(0.5, 0.5, 0.5)), "without effect"),
    ],
)
def test_options_that_cannot_be_are_refused(decode: MultilabelDecode, message: str) -> None:
    with pytest.raises(BadConfigError, match=message):
        TASK.check(tiny_specs.multilabel(decode))


def test_an_affine_map_and_other_channels_are_refused() -> None:
    with pytest.raises(BadConfigError, match="pose_affine"):
        TASK.check(tiny_specs.multilabel(resize=PoseAffine(64, 32)))
    with pytest.raises(BadGraphError, match=r"3, h, w"):
        TASK.postprocess(
            [{"logits": np.zeros((4, 8, 8), np.float32)}], views(tiny_specs.HALF, False), tiny_specs.multilabel()
        )


@pytest.mark.parametrize(("classes", "suffix", "dtype"), [(3, ".png", np.uint8), (9, ".png", np.uint16),
                                                         (17, ".npz", np.bool_)])  # fmt: skip
def test_a_result_is_read_back_as_ground_truth(classes: int, suffix: str, dtype: type, tmp_path: Path) -> None:
    from dataclasses import replace

    labels = tuple(f"class {place}" for place in range(classes))
    spec = replace(tiny_specs.multilabel(), labels=labels, palette=((1, 2, 3),) * classes)
    bits = np.random.default_rng(classes).random((classes, 16, 16)) < 0.4
    path = TASK.save(tmp_path / "masks" / "a", MultilabelMap(bits, bits.astype(np.float32)), spec)
    assert path.suffix == suffix
    stored = np.load(path)["classes"] if suffix == ".npz" else np.asarray(Image.open(path))
    assert stored.dtype == dtype
    expected = bits if suffix == ".npz" else sum(plane.astype(int) << place for place, plane in enumerate(bits))
    np.testing.assert_array_equal(stored, expected)
    np.testing.assert_array_equal(np.load(tmp_path / "masks" / "a_score.npz")["probability"], bits * 65535)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "images" / "a.png")
    (tmp_path / "masks" / "a_score.npz").unlink()
    (sample,) = (opened := multilabel_pairs.open(tmp_path, "all")).samples
    target = opened.read_target(sample)
    np.testing.assert_array_equal(target.classes[:classes], bits)
    assert MultilabelIou().score([MultilabelIou().count("a", MultilabelMap(bits), target, spec)], spec).value == 1.0


def test_the_seed_draws_who_is_in_a_split(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for place in range(40):
            Image.new("L" if folder == "masks" else "RGB", (4, 4)).save(tmp_path / folder / f"{place:02}.png")
    drawn = [[each.id for each in multilabel_pairs.open(tmp_path, "val", seed).samples] for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1] and len({tuple(each) for each in drawn}) == 3
    kept = {each.id for each in multilabel_pairs.open(tmp_path, "train", 1).samples}
    assert len(kept) + len(drawn[2]) == 40 and not kept & set(drawn[2])


def test_masks_in_folders_of_classes_need_the_order_of_classes(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((2, 16, 16)) < 0.4
    for name, plane in zip(("wet", "lit"), bits, strict=True):
        (tmp_path / "masks" / name).mkdir(parents=True)
        Image.fromarray(plane.astype(np.uint8) * 255).save(tmp_path / "masks" / name / "a.png")
    (tmp_path / "images").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "images" / "a.jpg")
    with pytest.raises(BadDatasetError, match=r"labels\.txt"):
        multilabel_pairs.open(tmp_path, "all")
    (tmp_path / "labels.txt").write_text("lit\nwet\nfar\n")
    opened = multilabel_pairs.open(tmp_path, "all")
    target = opened.read_target(opened.samples[0])
    assert target.labels == ("lit", "wet", "far")
    np.testing.assert_array_equal(target.classes, np.stack([bits[1], bits[0], np.zeros_like(bits[0])]))
    found = MultilabelMap(np.stack([bits[0], bits[1], np.zeros_like(bits[0])]))  # the model's are wet, lit, far
    count = MultilabelIou().count("a", found, target, tiny_specs.multilabel())
    np.testing.assert_array_equal(count.by_class, np.broadcast_to([*bits.sum(axis=(1, 2)), 0], (3, 3)))
    (tmp_path / "labels.txt").write_text("lit\n")
    with pytest.raises(BadDatasetError, match="lacks the folder wet"):
        multilabel_pairs.open(tmp_path, "all")


def test_a_bit_that_the_model_has_no_class_for_is_refused() -> None:
    for beyond in (3, 5, 7):
        bits = np.zeros((8, 4, 4), np.bool_)
        bits[beyond, 0, 0] = True
        with pytest.raises(BadDatasetError, match=f"bit {beyond} is set"):
            MultilabelIou().count("a", MultilabelMap(bits[:3]), MultilabelTarget(bits), tiny_specs.multilabel())


def test_classes_are_found_by_name_and_none_may_be_lost() -> None:
    bits = np.random.default_rng(3).random((4, 6, 8)) < 0.4
    named = MultilabelTarget(bits, ("Lit", "dry", "FAR", "wet"))
    with pytest.raises(BadDatasetError, match="'dry' is set"):
        named.planes_of(("wet", "lit", "far"), "a")
    bits[1] = False
    np.testing.assert_array_equal(named.planes_of(("wet", "lit", "far"), "a"), bits[[3, 0, 2]])
    with pytest.raises(BadDatasetError, match="The data lack near"):
        named.planes_of(("wet", "near"), "a")


def test_iou_and_dice_are_those_of_sets_of_pixels() -> None:
    rng = np.random.default_rng(5)
    spec, metric = tiny_specs.multilabel(), MultilabelIou()
    pairs = [(rng.random((3, 9, 7)) < 0.5, rng.random((3, 9, 7)) < 0.4) for _ in range(4)]
    for found, there in pairs:
        found[2], there[2] = False, False  # a class that is nowhere
    counts = [
        metric.count(str(place), MultilabelMap(found), MultilabelTarget(there), spec)
        for place, (found, there) in enumerate(pairs)
    ]
    score = metric.score(counts, spec)
    sets = [
        [{(image, *index) for image, pair in enumerate(pairs) for index in np.argwhere(pair[side][label])}
         for side in (0, 1)]
        for label in range(2)
    ]  # fmt: skip
    iou = [len(found & there) / len(found | there) for found, there in sets]
    dice = [2 * len(found & there) / (len(found) + len(there)) for found, there in sets]
    assert score.value == pytest.approx(np.mean(iou), abs=1e-12)
    assert score.others["mDice"] == pytest.approx(np.mean(dice), abs=1e-12)
    assert score.per_class is not None
    assert score.per_class["IoU"] == pytest.approx({"wet": iou[0], "lit": iou[1], "far": None})


def test_the_difference_is_the_share_of_bits_that_changed() -> None:
    left = np.zeros((3, 4, 5), np.bool_)
    right = left.copy()
    right[0, 0, 0] = right[2, 3, 4] = right[1, 0, 0] = True
    assert TASK.difference(MultilabelMap(left), MultilabelMap(right)).value == 3 / 60


def test_where_classes_overlap_the_picture_is_mixed_with_the_mean_of_their_colours() -> None:
    image = np.full((2, 3, 3), 100, np.uint8)
    classes = np.zeros((3, 2, 3), np.bool_)
    classes[0, 0], classes[1, 0, 1:] = True, True
    drawn = draw_classes(image, classes, [(200, 0, 40), (0, 100, 60), (9, 9, 9)], opacity=0.25)
    assert drawn[1].tolist() == [[100] * 3] * 3
    assert drawn[0].tolist() == [
        [125, 75, 85],
        [100, 87, 87],
        [100, 87, 87],
    ]  # 75 and a quarter of each, or of (100, 50, 50)
    outlined = draw_classes(image, classes, [(200, 0, 40), (0, 100, 60), (9, 9, 9)], contours=True)
    assert (outlined[0, 1] == 255).all() and (outlined[1] == 255).all() and (outlined[0, 0] != 255).any()


@pytest.mark.parametrize("activation", ["sigmoid", "none"])
def test_what_is_not_finite_means_a_large_error_and_not_one_without_bound(activation: Any) -> None:
    spec = tiny_specs.multilabel(MultilabelDecode(activation=activation))
    found = TASK.meaning(np.array([-np.inf, np.nan, np.inf, 0.25], np.float32), spec)
    expected = [0, 0.5, 1, 1 / (1 + np.exp(-0.25))] if activation == "sigmoid" else [-80, 0, 80, 0.25]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
