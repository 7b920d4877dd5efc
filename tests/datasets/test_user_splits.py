"""Which pictures of a user's folder are of which split: by folders, lists and lists of pairs, as people name them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_mask_folders import pairs

from densecast.datasets import pairs as pairs_set
from densecast.errors import DensecastError
from densecast.spec.data_options import DataOptions, Reading

READING = Reading(("ground", "red", "green"))


@pytest.mark.parametrize("form", ["{}/images|{}/masks", "images/{}|masks/{}"])
@pytest.mark.parametrize(
    "words", [("train2017", "val2017"), ("training_set", "validation_set"), ("01_Train", "02_dev")]
)
def test_folders_that_are_called_after_both_splits_are_the_splits(
    tmp_path: Path, words: tuple[str, str], form: str
) -> None:
    for word, count in zip(words, (4, 2), strict=True):
        images, masks = form.format(word, word).split("|")
        pairs(tmp_path, count=count, images=images, masks=masks)
    dataset = pairs_set.open(tmp_path, "val", reading=READING)
    assert [each.id for each in dataset.samples] == [f"{words[1]}/p00", f"{words[1]}/p01"]
    assert len(pairs_set.open(tmp_path, "train", reading=READING).samples) == 4


@pytest.mark.parametrize("images", [None, "photos/left"])
def test_folders_that_are_named_may_lie_in_each_split(tmp_path: Path, images: str | None) -> None:
    """As Mapillary's `training/images` and `training/v2.0/labels`."""
    for word, count in (("training", 4), ("validation", 2)):
        pairs(tmp_path, count=count, images=f"{word}/{images or 'images'}", masks=f"{word}/v2.0/labels")
    reading = replace(READING, options=DataOptions(images_dir=images, masks_dir="v2.0/labels"))
    opened = {split: pairs_set.open(tmp_path, split, reading=reading) for split in ("train", "val", "all")}
    assert {split: len(each.samples) for split, each in opened.items()} == {"train": 4, "val": 2, "all": 6}
    assert {each.target.parent for each in opened["val"].samples} == {tmp_path / "validation" / "v2.0" / "labels"}


@pytest.mark.parametrize("form", ["{}/images|{}/masks", "images/{}|masks/{}"])
def test_a_folder_that_is_no_split_is_said_to_be_left_out(tmp_path: Path, form: str) -> None:
    for word in ("train", "test"):
        images, masks = form.format(word, word).split("|")
        pairs(tmp_path, count=2, images=images, masks=masks)
    assert ", test left out; " in pairs_set.open(tmp_path, "all", reading=READING).words
    with pytest.raises(DensecastError, match="test left out: for these name the folder itself, with --images-dir"):
        pairs_set.open(tmp_path, "val", reading=READING)


@pytest.mark.parametrize("words", [("train_a", "b"), ("val d'or", "sion"), ("train_val", "train2")])
def test_folders_of_which_one_alone_is_called_so_are_no_splits(tmp_path: Path, words: tuple[str, str]) -> None:
    for word in words:
        pairs(tmp_path, count=2, images=f"images/{word}", masks=f"masks/{word}")
    dataset = pairs_set.open(tmp_path, "val", reading=READING)
    assert len(dataset.samples) == 1 and "no split is named" in dataset.words


@pytest.mark.parametrize(
    "line", ["images/p00.png other/p01.png", "images/p00.png,other/p01.png", "/x/images/p00.png\tother/p01.png"]
)
def test_a_list_of_two_paths_says_which_mask_is_meant(tmp_path: Path, line: str) -> None:
    pairs(tmp_path, count=3)
    pairs(tmp_path, count=3, images="unused", masks="other")
    (tmp_path / "val.txt").write_text(f"{line}\n", encoding="utf-8")
    (sample,) = pairs_set.open(tmp_path, "val", reading=READING).samples
    assert (sample.image, sample.target) == (tmp_path / "images" / "p00.png", tmp_path / "other" / "p01.png")


@pytest.mark.parametrize(
    "names", [("train_list.txt", "val_list.txt"), ("Train.txt", "Val.txt"), ("trn.lst", "dev.lst")]
)
def test_lists_may_have_longer_names(tmp_path: Path, names: tuple[str, str]) -> None:
    pairs(tmp_path, count=3)
    for name, lines in zip(names, ("p00\np01\n", "p02\n"), strict=True):
        (tmp_path / name).write_text(lines, encoding="utf-8")
    dataset = pairs_set.open(tmp_path, "val", reading=READING)
    assert [each.id for each in dataset.samples] == ["p02"] and names[1] in dataset.words


def test_lists_of_other_kinds_are_said_not_to_be_read(tmp_path: Path) -> None:
    pairs(tmp_path, count=3)
    for name in ("val.xlsx", "split.json", "notes.txt"):
        (tmp_path / name).write_text("p02\n", encoding="utf-8")
    words = pairs_set.open(tmp_path, "val", reading=READING).words
    assert "1 of 3 drawn for val with seed 0 (split.json, val.xlsx not read: lists of splits are train.txt" in words


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("images/p00.png masks/p09.png", "names the mask 'masks/p09.png' of p00.png"),
        ("images/gone.png masks/p01.png", "is no picture"),
    ],
)
def test_a_list_of_two_paths_of_which_one_is_gone_is_refused(tmp_path: Path, line: str, told: str) -> None:
    pairs(tmp_path, count=2)
    (tmp_path / "val.txt").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(DensecastError, match=told):
        pairs_set.open(tmp_path, "val", reading=READING)
