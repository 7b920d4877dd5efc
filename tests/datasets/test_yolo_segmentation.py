"""Outlines in text files are the label maps that Ultralytics fills: whole pixels, with borders, the smaller on top."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import made_outlines
import numpy as np
import pytest
import tiny_specs
from made_outlines import GREEN, RED, SIZE_HW, line, picture
from PIL import Image

from densecast.datasets import yolo_segmentation
from densecast.errors import BadConfigError, BadDatasetError
from densecast.measure import data_source
from densecast.spec.data_options import DataOptions, Reading

LABELS = ("background", "red", "green")
FILE = Path("labels", "val", "val0.txt")


def read(root: Path, labels: tuple[str, ...] = LABELS, use_exif: bool = False, **options: Any) -> np.ndarray:
    reading = Reading(labels, use_exif=use_exif, options=DataOptions(**options))
    dataset = yolo_segmentation.open(root, "val", reading=reading)
    return dataset.read_target(dataset.samples[0])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return made_outlines.yolo(tmp_path / "data", count=1)


def filled(points: np.ndarray, size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    mask = np.zeros(size_hw, np.uint8)
    cv2.fillPoly(mask, [np.trunc(points).astype(np.int32)], 1)
    return mask > 0


@pytest.mark.parametrize("seed", range(6))
def test_smaller_outlines_lie_on_larger_ones_whatever_their_order(seed: int, root: Path) -> None:
    rng = np.random.default_rng(seed)
    outlines = [rng.uniform(0, 1, (5, 2)).astype(np.float32) for _ in range(6)]
    numbers = rng.integers(0, 2, 6).tolist()
    text = "\n".join(
        f"{k} {' '.join(map(repr, each.reshape(-1).tolist()))}" for k, each in zip(numbers, outlines, strict=True)
    )
    (root / FILE).write_text(f"\n{text}\n", encoding="utf-8")
    masks = [filled(each * np.array(SIZE_HW[::-1], np.float32)) for each in outlines]
    wanted = np.zeros(SIZE_HW, np.uint8)
    for _, place in sorted((-int(mask.sum()), place) for place, mask in enumerate(masks)):
        wanted[masks[place]] = (2, 1)[numbers[place]]
    np.testing.assert_array_equal(read(root), wanted)


def test_pictures_without_outlines_show_background_and_are_counted(root: Path) -> None:
    (root / FILE).unlink()
    dataset = yolo_segmentation.open(root, "val", reading=Reading(LABELS))
    assert not dataset.read_target(dataset.samples[0]).any()
    assert "1 pictures have no file of outlines" in dataset.record().layout
    (root / FILE).write_text("\n", encoding="utf-8")
    assert not read(root).any() and read(root, ("red", "green")).min() == 255


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 0.5 0.5 0.2 0.2", "line 1 is a box"),
        (f"{line(0, GREEN)}\n1 0.1 0.1 0.2", "line 2 is no outline"),
        ("0 0.1 0.1 0.2 0.2 0.3", "line 1 is no outline"),
        ("2 0.1 0.1 0.2 0.2 0.3 0.1", "line 1 has the class 2; named are 0 to 1"),
        ("-1 0.1 0.1 0.2 0.2 0.3 0.1", "line 1 has the class -1"),
        ("0.5 0.1 0.1 0.2 0.2 0.3 0.1", "line 1 has the class 0.5"),
        ("nan 0.1 0.1 0.2 0.2 0.3 0.1", "line 1 has the class nan"),
        ("0 0.1 0.1 0.2 nan 0.3 0.1", "line 1 has points outside"),
        ("0 12 8 20 8 20 16", "line 1 has points outside"),
        ("0 0.1 0.1 x 0.2 0.3 0.1", "line 1 holds something that is no number"),
    ],
)
def test_a_wrong_line_is_named(text: str, words: str, root: Path) -> None:
    (root / FILE).write_text(text, encoding="utf-8")
    with pytest.raises(BadDatasetError, match=words) as caught:
        read(root)
    assert str(FILE) in str(caught.value)
    assert any(words in problem for problem in yolo_segmentation.check(root, Reading(LABELS)).problems)


def test_points_that_rounding_put_outside_are_taken_as_the_border(root: Path) -> None:
    (root / FILE).write_text("1 -0.005 0 1.005 0 1.005 1.005 0 1", encoding="utf-8")
    assert (read(root) == 1).all()


def test_folders_of_roboflow_and_lists_of_pictures_are_found(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        picture(tmp_path / split / "images" / "a.png")
        path = tmp_path / split / "labels" / "a.txt"
        path.parent.mkdir(parents=True)
        path.write_text(line(0, RED), encoding="utf-8")
    (tmp_path / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 1\nnames: ['red']\n"
        "roboflow:\n  workspace: me\n", encoding="utf-8"
    )  # fmt: skip
    (sample,) = yolo_segmentation.open(tmp_path, "val", reading=Reading(LABELS)).samples
    assert sample.image == tmp_path / "valid" / "images" / "a.png"
    (tmp_path / "list.txt").write_text("./train/images/a.png\n", encoding="utf-8")
    (tmp_path / "data.yaml").write_text("train: valid/images\nval: list.txt\nnames: [red]\n", encoding="utf-8")
    (sample,) = yolo_segmentation.open(tmp_path / "data.yaml", "val", reading=Reading(LABELS)).samples
    assert sample.target == tmp_path / "train" / "labels" / "a.txt"
    (tmp_path / "list.txt").write_text("./train/images/b.png\n", encoding="utf-8")
    with pytest.raises(BadDatasetError, match=r"list\.txt names .*b\.png, which does not exist"):
        yolo_segmentation.open(tmp_path, "val", reading=Reading(LABELS))


def test_without_a_data_file_folders_tell_splits_and_classes_txt_the_names(root: Path) -> None:
    (root / "data.yaml").unlink()
    with pytest.raises(BadDatasetError, match="nothing names the classes"):
        read(root)
    (root / "classes.txt").write_text("green\nred\n", encoding="utf-8")
    found = read(root)
    assert found[10, 10] == 2 and found[6, 6] == 1 and found[0, 0] == 0


def test_a_class_called_background_is_the_models_and_other_classes_are_by_name(root: Path) -> None:
    (root / "data.yaml").write_text(
        "train: images/train\nval: images/val\nnames: [background, red]\n", encoding="utf-8"
    )
    found = read(root, ("background", "red"))
    assert found[10, 10] == 0 and found[6, 6] == 1
    with pytest.raises(BadDatasetError, match="red are none of the model's"):
        read(root, ("background", "blue"))
    assert read(root, ("background", "blue"), remap=("red=blue",))[6, 6] == 1


def test_keys_of_masks_have_no_effect_on_outlines(root: Path) -> None:
    (root / "data.yaml").write_text("val: images/val\nnames: [green, red]\nsoft_masks: true\n", encoding="utf-8")
    with pytest.raises(BadConfigError, match="'soft_masks' has no effect on outlines"):
        read(root)


def test_outlines_of_a_turned_photograph_are_upright(root: Path) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    (root / "images" / "val" / "val0.png").unlink()
    Image.new("RGB", SIZE_HW[::-1]).save(root / "images" / "val" / "val0.jpg", exif=tag)
    (root / FILE).write_text("1 0 0 0.5 0 0.5 0.25 0 0.25", encoding="utf-8")
    height, width = SIZE_HW[::-1]
    upright = np.zeros((height, width), np.uint8)
    upright[: height // 4 + 1, : width // 2 + 1] = 1
    np.testing.assert_array_equal(read(root, use_exif=True), upright)
    np.testing.assert_array_equal(read(root), np.rot90(upright))


@pytest.mark.parametrize("name", ["labelme", "yolo"])
def test_a_model_without_a_data_set_finds_what_the_folder_is(name: str, tmp_path: Path) -> None:
    root, found = getattr(made_outlines, name)(tmp_path / "data"), {"yolo": "yolo_segmentation"}.get(name, name)
    spec = dataclasses.replace(tiny_specs.segmentation(), evaluation=None)
    source = data_source.find(spec, root)
    assert source.evaluation.dataset == found and source.is_recognised
    with pytest.raises(BadDatasetError, match=f"--dataset {found}"):
        data_source.find(tiny_specs.segmentation(), root).open("val")


def test_one_folder_for_train_and_val_is_both_and_is_remarked(root: Path) -> None:
    count = len(yolo_segmentation.open(root, "val", reading=Reading(LABELS)).samples)
    (root / "data.yaml").write_text("train: images/val\nval: images/val\nnames: [green, red]\n", encoding="utf-8")
    for split in ("train", "val"):
        dataset = yolo_segmentation.open(root, split, reading=Reading(LABELS))
        assert len(dataset.samples) == count
        told = [text.partition(":")[0] for text in dataset.remarks]
        assert told == ([f"{count} of {count} pictures of val are in train as well"] if split == "val" else [])


def test_a_split_whose_folder_does_not_exist_says_which_one_it_would_be(root: Path) -> None:
    (root / "data.yaml").write_text("train: images/val\nval: images/test\nnames: [green, red]\n", encoding="utf-8")
    assert yolo_segmentation.open(root, "train", reading=Reading(LABELS)).samples
    with pytest.raises(BadDatasetError, match=r"'val'; .*images/test, where the data file says .* does not exist"):
        yolo_segmentation.open(root, "val", reading=Reading(LABELS))
