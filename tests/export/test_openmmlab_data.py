"""A checkpoint's own configuration says where ground truth lies: `--data ROOT` alone is enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densecast.datasets import pairs
from densecast.errors import BadDatasetError, MissingFileError
from densecast.measure import data_source
from densecast.spec.data_layout import DataLayout, SplitFolders
from densecast.spec.data_options import Data, DataOptions, Reading
from densecast.spec.model import Evaluation
from densecast.spec.preprocess import Stretch
from densecast.verbs.export.openmmlab import data_folders, recipe

BASE = {"type": "CustomDataset", "img_suffix": "_rgb.tif", "seg_map_suffix": "_cls.png", "data_root": "data/fields"}


def table(**keys: Any) -> dict[str, Any]:
    return {**BASE, **keys}


OLD = {
    "data": {
        "train": {
            "type": "RepeatDataset",
            "times": 4,
            "dataset": table(img_dir=["img/a", "img/b"], ann_dir=["m/a", "m/b"]),
        },
        "val": table(img_dir="img/v", ann_dir="m/v", split="lists/v.txt"),
        "test": table(img_dir="img/t"),
    }
}
LATER = {
    "model": {"type": "EncoderDecoder", "decode_head": {"type": "FCNHead", "num_classes": 2}},
    "data_preprocessor": {"type": "SegDataPreProcessor", "mean": [1, 2, 3], "std": [4, 5, 6], "bgr_to_rgb": True},
}
EXPECTED = DataLayout(
    (SplitFolders("val", "img/v", "m/v", "lists/v.txt"), SplitFolders("train", "img/a", "m/a")), "_cls.png", "_rgb"
)


def test_folders_lists_and_endings_are_read_from_old_and_new_configurations() -> None:
    assert data_folders.layout_of(OLD, None) == EXPECTED
    new = {
        "train_dataloader": {"dataset": table(data_prefix={"img_path": "img/a", "seg_map_path": "m/a"})},
        "val_dataloader": {
            "dataset": table(data_prefix={"img_path": "img/v", "seg_map_path": "m/v"}, ann_file="lists/v.txt")
        },
    }
    assert data_folders.layout_of(new, True) == DataLayout(EXPECTED.splits, "_cls.png", "_rgb", True)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda inner: {"type": "RepeatDataset", "times": 2, "dataset": inner},
        lambda inner: {"type": "ConcatDataset", "datasets": [inner, {"type": "CityscapesDataset"}]},
        lambda inner: {"type": "RepeatDataset", "dataset": {"type": "ConcatDataset", "datasets": [inner]}},
        lambda inner: [{"type": "ClassBalancedDataset", "oversample_thr": 0.1, "dataset": inner}],
    ],
)
def test_what_a_test_set_says_is_found_within_what_repeats_or_joins_it(wrapped: Any) -> None:
    names, colours = ("road", "car"), [[1, 2, 3], [4, 5, 6]]
    pipeline = [{"type": "LoadImageFromFile"}, {"type": "Resize", "scale": (64, 32), "keep_ratio": False}]
    paths = {"img_path": "img/v", "seg_map_path": "m/v"}
    inner = table(data_prefix=paths, metainfo={"classes": names, "palette": colours}, pipeline=pipeline)
    made = recipe.read({**LATER, "test_dataloader": {"dataset": wrapped(inner)}})
    assert made.labels == names and made.palette == ((1, 2, 3), (4, 5, 6))
    assert made.preprocess.resize == Stretch((32, 64))
    assert made.dataset is not None and made.dataset.type == "CustomDataset" and made.dataset.layout is not None
    assert made.dataset.layout.splits == (SplitFolders("val", "img/v", "m/v"),)


def test_without_a_root_the_folder_above_all_of_them_is_it() -> None:
    one = {"type": "CustomDataset", "img_dir": "data/my/images/val", "ann_dir": "data/my/masks/val"}
    other = {"type": "CustomDataset", "img_dir": "data/my/images/train", "ann_dir": "data/my/masks/train"}
    found = data_folders.layout_of({"data": {"train": other, "val": one}}, None)
    assert found is not None and found.splits[0] == SplitFolders("val", "images/val", "masks/val")
    assert (found.suffix, found.image_suffix) == (".png", "")


@pytest.mark.parametrize(
    "val",
    [
        {"img_dir": "../elsewhere", "ann_dir": "masks"},
        {"img_dir": "images"},
        {"img_dir": "/mnt/images", "ann_dir": "masks"},
        {"img_dir": 3, "ann_dir": "masks"},
    ],
)
def test_what_lies_in_no_one_root_is_left_to_conventions(val: dict[str, Any]) -> None:
    assert data_folders.layout_of({"data": {"val": table(**val)}}, None) is None


def pictures(root: Path) -> None:
    """Two splits under names that no convention knows; values of masks are the number in their name."""
    for folder, masks, numbers in (("img/a", "m/a", (0, 1, 2)), ("img/v", "m/v", (3, 4))):
        (root / folder).mkdir(parents=True)
        (root / masks).mkdir(parents=True)
        for number in numbers:
            Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(root / folder / f"p{number}_rgb.tif")
            Image.fromarray(np.full((4, 6), number, np.uint8)).save(root / masks / f"p{number}_cls.png")
            Image.fromarray(np.full((4, 6), 9, np.uint8)).save(root / masks / f"p{number}_view.png")
    (root / "lists").mkdir()
    (root / "lists" / "v.txt").write_text("p4\n", encoding="utf-8")


def test_pictures_and_masks_are_those_that_the_configuration_names(tmp_path: Path) -> None:
    pictures(tmp_path)
    layout = DataLayout((SplitFolders("val", "img/v", "m/v"), EXPECTED.splits[1]), "_cls.png", "_rgb")
    reading = Reading(("a", "b", "c", "d", "e"), layout=layout)
    val, train = pairs.open(tmp_path, "val", reading=reading), pairs.open(tmp_path, "train", reading=reading)
    assert [sample.image.name for sample in val.samples] == ["p3_rgb.tif", "p4_rgb.tif"]
    assert [sample.image.name for sample in train.samples] == ["p0_rgb.tif", "p1_rgb.tif", "p2_rgb.tif"]
    assert [int(train.read_target(sample)[0, 0]) for sample in train.samples] == [0, 1, 2]
    assert "as the model's configuration says: img/v with m/v" in val.words


def test_a_list_and_values_from_one_on_are_followed(tmp_path: Path) -> None:
    pictures(tmp_path)
    layout = DataLayout((EXPECTED.splits[0],), "_cls.png", "_rgb", reduce_zero_label=True)
    found = pairs.open(tmp_path, "val", reading=Reading(("a", "b", "c", "d"), layout=layout))
    assert [sample.image.name for sample in found.samples] == ["p4_rgb.tif"]
    assert int(found.read_target(found.samples[0])[0, 0]) == 3
    (tmp_path / "lists" / "v.txt").unlink()
    with pytest.raises(MissingFileError, match=r"img/v, as the model's configuration says, but not its list"):
        pairs.open(tmp_path, "val", reading=Reading(("a",), layout=layout))


@pytest.mark.parametrize(
    ("gone", "said"), [("m/v", "but not its masks, m/v"), ("lists/v.txt", "but not its list, lists/v.txt")]
)
def test_what_a_split_lacks_is_said_of_every_kind_and_a_list_is_needed_by_none(
    tmp_path: Path, gone: str, said: str
) -> None:
    """Without the refusal a model would be scored on other pictures than its own, or by another folder's masks."""
    pictures(tmp_path)
    reading = Reading(("a", "b", "c", "d", "e"), layout=DataLayout((EXPECTED.splits[0],), "_cls.png", "_rgb"))
    assert len(pairs.open(tmp_path, "val", reading=reading).samples) == 1
    (tmp_path / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(MissingFileError, match=said):
        pairs.open(tmp_path, "val", reading=reading)


def test_a_split_whose_pictures_are_not_there_is_left_out_with_all_it_lacks(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "img" / "v").rename(tmp_path / "elsewhere")
    (tmp_path / "lists" / "v.txt").unlink()
    reading = Reading(("a", "b", "c"), layout=DataLayout(EXPECTED.splits, "_cls.png", "_rgb"))
    assert len(pairs.open(tmp_path, "all", reading=reading).samples) == 3


def test_endings_and_values_that_the_user_gives_go_before_the_configurations(tmp_path: Path) -> None:
    """Each of them changes which file is the truth, or what its numbers mean."""
    pictures(tmp_path)
    labels = tuple("abcdefghij")

    def values(reduce_zero: bool | None, **given: Any) -> list[int]:
        layout = DataLayout((SplitFolders("val", "img/v", "m/v"),), "_cls.png", "_rgb", reduce_zero)
        found = pairs.open(tmp_path, "val", reading=Reading(labels, options=DataOptions(**given), layout=layout))
        return [int(found.read_target(sample)[0, 0]) for sample in found.samples]

    assert values(None) == values(False) == [3, 4]
    assert values(True) == values(None, reduce_zero_label=True) == [2, 3]
    assert values(None, suffix="_view.png") == [9, 9]


def test_what_the_user_says_goes_first_and_other_folders_are_found_by_convention(tmp_path: Path) -> None:
    pictures(tmp_path)
    reading = Reading(("a", "b", "c", "d", "e"), layout=EXPECTED)
    said = Reading(reading.labels, options=DataOptions(images_dir="img/a", masks_dir="m/a", suffix="_view.png"))
    with pytest.raises(BadDatasetError):
        pairs.open(tmp_path, "all", reading=Reading(said.labels, options=said.options, layout=EXPECTED))
    usual = tmp_path / "usual"
    for folder in ("images", "masks"):
        (usual / folder).mkdir(parents=True)
        Image.fromarray(np.zeros((4, 6), np.uint8)).save(usual / folder / "x.png")
    assert len(pairs.open(usual, "all", reading=reading).samples) == 1


def test_a_model_reads_its_own_folders_until_another_data_set_is_named(tmp_path: Path) -> None:
    from dataclasses import replace

    import tiny_specs

    pictures(tmp_path)
    spec = replace(tiny_specs.segmentation(), evaluation=Evaluation("CustomDataset", "iou", layout=EXPECTED))
    source = data_source.find(spec, Data(tmp_path))
    assert source.evaluation.layout == EXPECTED
    assert [sample.image.name for sample in source.open("val").samples] == ["p4_rgb.tif"]
    assert len(source.open("train").samples) == 3, "a split without a list has a folder of its own"
    other = data_source.find(spec, Data(tmp_path, DataOptions(dataset="pairs", images_dir="img/a", masks_dir="m/a")))
    assert other.evaluation.layout is None
