"""Own pictures and masks through the verbs: the right score, what was understood, and refusals of what would lie."""

from __future__ import annotations

import json
from pathlib import Path

import colour_network
import made_label_maps
import made_mask_folders as made_pairs
import numpy as np
import pytest
from command_line import densecast, failed
from made_mask_folders import labels_of, pairs, write
from PIL import Image

import densecast as package
from densecast.errors import BadDatasetError
from densecast.spec.model import Evaluation


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`three`, `two` without a data set; `voc` of two classes that names VOC2012."""
    folder = tmp_path_factory.mktemp("models")
    colour_network.built(folder / "three", 3)
    colour_network.built(folder / "two", 2)
    colour_network.built(folder / "voc", 2, Evaluation("voc2012", "iou"))
    return folder


def miou(confusion: np.ndarray) -> float:
    both = np.diagonal(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    return float(np.mean(both[union > 0] / union[union > 0]))


def evaluated(model: Path, data: Path, *options: str) -> dict[str, object]:
    ended = densecast("evaluate", model / "built", "--data", data, "--split", "all", "-q", "--json", "-", *options)
    assert ended.code == 0, ended.err
    return dict(json.loads(ended.out)["score"])


def test_a_model_without_a_data_set_is_measured_on_pairs_by_its_miou(models: Path, tmp_path: Path) -> None:
    root = pairs(tmp_path / "d")
    confusion = np.zeros((3, 3))
    for index in range(10):
        truth, drawn = labels_of(index), labels_of(index)
        truth = truth.copy()
        truth[:4] = 1  # the picture shows something else there
        write(root / "masks" / f"p{index:02d}.png", truth)
        np.add.at(confusion, (truth, drawn), 1)
    score = evaluated(models / "three", root)
    assert score["name"] == "mIoU"
    assert score["value"] == pytest.approx(miou(confusion), abs=1e-12)
    assert score["data"]["dataset"] == "pairs"
    assert "pictures in images, masks in masks" in score["data"]["layout"]
    shown = densecast("evaluate", models / "three" / "built", "--data", root, "--split", "all", "-q")
    assert "data: pictures in images" in shown.out


def test_dice_is_measured_by_choice(models: Path, tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", count=4, classes=2)
    for path in (root / "masks").iterdir():
        with Image.open(path) as mask:
            Image.fromarray(np.asarray(mask) * 255).save(path)
    for options in (("--metric", "dice"),):
        score = evaluated(models / "two", root, *options)
        assert score["name"] == "dice_per_image" and score["value"] == pytest.approx(1.0, abs=1e-6)
    (root / "data.toml").write_text('metric = "dice"\n', encoding="utf-8")
    assert evaluated(models / "two", root)["name"] == "dice_per_image"
    assert evaluated(models / "two", root / "data.toml")["name"] == "dice_per_image"


def test_folders_are_named_on_the_command_line(models: Path, tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", images="photo", masks="paint", mask="{}_x.png")
    folders = ("--images-dir", "photo", "--masks-dir", "paint", "--suffix", "_x")
    assert evaluated(models / "three", root, *folders)["value"] == 1.0
    assert "--masks-dir: " in failed(
        3, "evaluate", models / "three" / "built", "--data", root, "-q", *folders[:3], "absent"
    )


def test_calibration_and_a_largest_drop_take_the_pictures_of_the_split(models: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime.quantization")
    root = pairs(tmp_path / "d", count=24)
    write(root / "preview.png", np.zeros((16, 24, 3), np.uint8))
    write(root / "images" / "._p00.png", np.zeros((4, 4), np.uint8))
    out = tmp_path / "int8"
    ended = densecast(
        "build", models / "three" / "float", "-p", "int8", "-b", "onnxruntime", "--data", root, "--out", out, "-q",
        "--calibration-method", "minmax", "--bias-correction", "none", "--json", "-",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    record = json.loads(ended.out)["calibration"]
    assert record["source"] == "pairs train" and record["count"] == 22


def test_a_folder_of_pictures_is_one_still(models: Path, tmp_path: Path) -> None:
    from densecast.artifact import Artifact
    from densecast.spec.options import QuantizeOptions
    from densecast.verbs.builder.calibration import choose

    for index in range(3):
        write(tmp_path / "photos" / f"{index}.png", made_pairs.painted(labels_of(index)))
    spec = Artifact.open(models / "three" / "float").spec
    items, record = choose(spec, QuantizeOptions(split="all"), tmp_path / "photos")
    assert len(items) == 3 and record.source == "folder photos"


def test_masks_are_no_pictures_to_calibrate_with(models: Path, tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", count=2)
    given = ("build", models / "three" / "float", "-b", "onnxruntime", "-p", "int8", "--out", tmp_path / "out", "-q")
    told = failed(3, *given, "--data", root / "masks")
    assert told.endswith(f"{root / 'masks'} holds masks: calibrate with the pictures, in {root / 'images'}.")


def test_data_from_python_is_measured_without_files(models: Path) -> None:
    labels = [labels_of(index) for index in range(4)]
    wrong = [np.where(each == 2, 1, each) for each in labels]
    items = [(f"i{index}", made_pairs.painted(each), wrong[index]) for index, each in enumerate(labels)]
    confusion = np.zeros((3, 3))
    for predicted, truth in zip(labels, wrong, strict=True):
        np.add.at(confusion, (truth, predicted), 1)
    for data in (items, iter(items), tuple(items)):
        score = package.evaluate(models / "three" / "built", data).score
        assert score.value == pytest.approx(miou(confusion), abs=1e-12)
        assert score.count == 4 and score.data is not None and score.data.dataset == "python"
    for bad, told in (([], "holds no"), ([1], "must be .id, image, target."), ([items[0], items[0]], "one id 'i0'")):
        with pytest.raises(BadDatasetError, match=told.replace("one id 'i0'", "have one id, 'i0'")):
            package.evaluate(models / "three" / "built", bad)


# What would make a score a lie


def voc(root: Path, masks: dict[str, np.ndarray]) -> Path:
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in masks), encoding="utf-8")
    for name, mask in masks.items():
        write(root / "JPEGImages" / f"{name}.png", np.zeros((*mask.shape, 3), np.uint8))
        made_label_maps.write_grey(root / "SegmentationClass" / f"{name}.png", mask)
    return root


def test_masks_of_0_and_255_are_refused_where_255_is_not_evaluated(models: Path, tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :3] = 255
    root = voc(tmp_path / "d", {"a": mask, "b": mask})
    message = failed(3, "evaluate", models / "voc" / "built", "--data", root, "-q")
    assert "holds only 'ground' and 255, not evaluated (37.5% of the pixels)" in message
    assert "--remap 255=1" in message
    # The cure that is named: pairs, where 255 is the second class; a network that sees none has 5/8 of the first.
    score = evaluated(models / "voc", root, "--dataset", "pairs", "--remap", "255=1")
    assert score["value"] == pytest.approx((0.625 + 0) / 2)


def test_labels_without_a_class_are_refused_with_their_share(models: Path, tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :2], mask[:, 2] = 7, 15
    root = voc(tmp_path / "d", {"a": mask})
    message = failed(3, "evaluate", models / "voc" / "built", "--data", root, "-q")
    assert "37.5% of the pixels have labels that the model has no class for (7, 15; it has 2 classes)" in message


def test_mostly_ignored_truth_needs_a_word(models: Path, tmp_path: Path) -> None:
    mask = np.full((8, 8), 255, np.uint8)
    mask[:, :2], mask[:, 2] = 0, 1
    root = voc(tmp_path / "d", {"a": mask})
    assert "62.5% of the pixels are not evaluated" in failed(
        3, "evaluate", models / "voc" / "built", "--data", root, "-q"
    )
    assert evaluated(models / "voc", root, "--allow-ignored")["value"] == pytest.approx((2 / 3 + 0) / 2)


def test_classes_that_nothing_shows_are_remarked(models: Path, tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", classes=2)
    score = evaluated(models / "three", root)
    assert score["remarks"] == ["nowhere in the ground truth: green"]
    for path in (root / "masks").iterdir():
        write(path, np.zeros((16, 24), np.uint8))
    remarks = evaluated(models / "three", root)["remarks"]
    assert remarks == ["the ground truth holds only 'ground': nothing is said about any other class"]


def test_more_classes_than_vocs_are_read_for_a_model_that_has_them(tmp_path: Path) -> None:
    from densecast.datasets import voc2012
    from densecast.spec.data_options import Reading

    mask = np.arange(64, dtype=np.uint8).reshape(8, 8) % 30
    root = voc(tmp_path / "d", {"a": mask})
    labels = tuple(f"c{index}" for index in range(30))
    dataset = voc2012.open(root, "val", reading=Reading(labels))
    np.testing.assert_array_equal(dataset.read_target(dataset.samples[0]), mask)
    with pytest.raises(BadDatasetError, match=r"known are 0\.\.20, 255"):
        voc2012.open(root, "val").read_target(dataset.samples[0])


def test_an_option_without_effect_and_a_model_of_other_folders_are_told(models: Path, tmp_path: Path) -> None:
    root = pairs(tmp_path / "d")
    message = failed(3, "evaluate", models / "voc" / "built", "--data", root, "-q")
    assert "name the dataset (--dataset pairs)" in message
    message = failed(
        2, "evaluate", models / "voc" / "built", "--data", root, "-q", "--dataset", "voc2012", "--suffix", "_x"
    )
    assert "--suffix: the option 'suffix' has no effect" in message
    message = failed(2, "build", models / "voc" / "float", "-q", "--suffix", "_x")
    assert "pass --data" in message


def test_an_upright_model_is_measured_on_turned_photographs(tmp_path: Path) -> None:
    colour_network.built(tmp_path / "m", 3, use_exif=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    for index in range(2):
        labels = labels_of(index)
        write(tmp_path / "d" / "images" / f"{index}.png", made_pairs.painted(labels), exif=exif)
        upright = np.ascontiguousarray(np.rot90(labels, -1)) if index else labels
        write(tmp_path / "d" / "masks" / f"{index}.png", upright)
    assert evaluated(tmp_path / "m", tmp_path / "d")["value"] == 1.0
