"""Cityscapes folders: splits, both kinds of label files, and what is wrong with a folder."""

from __future__ import annotations

from pathlib import Path

import made_label_maps
import numpy as np
import pytest

from densecast.datasets import cityscapes
from densecast.errors import BadDatasetError
from densecast.scenes import write_cityscapes
from densecast.spec.sample import Sample

# The official label table by hand: id to train id of what is evaluated (cityscapesScripts, helpers/labels.py).
EVALUATED = {
    7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9,
    23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18,
}  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return made_label_maps.cityscapes(tmp_path / "data")


def train_ids_to_ids(sample: Sample, labels: np.ndarray) -> Path:
    sample.target.unlink()
    path = sample.target.with_name(sample.target.name.replace("labelTrainIds", "labelIds"))
    return made_label_maps.write_grey(path, labels)


def test_each_split_is_its_folders_in_the_order_of_ids(root: Path) -> None:
    assert [sample.id for sample in cityscapes.open(root, "val").samples] == [
        f"{city}_{index:06d}_000019" for city in ("lindau", "munster") for index in range(2)
    ]
    assert len(cityscapes.open(root, "all").samples) == 8
    assert cityscapes.open(root, "train").record().total == 8


def test_train_ids_are_read_as_they_are(root: Path) -> None:
    dataset = cityscapes.open(root, "val")
    target = dataset.read_target(dataset.samples[0])
    np.testing.assert_array_equal(target, made_label_maps.striped((24, 48), 19))


def test_train_ids_are_taken_where_both_are_there(root: Path) -> None:
    sample = cityscapes.open(root, "val").samples[0]
    ids = sample.target.with_name(sample.target.name.replace("labelTrainIds", "labelIds"))
    made_label_maps.write_grey(ids, np.full((24, 48), 7, np.uint8))
    again = cityscapes.open(root, "val")
    assert again.samples[0].target == sample.target
    np.testing.assert_array_equal(again.read_target(again.samples[0]), made_label_maps.striped((24, 48), 19))


def test_ids_become_train_ids_by_the_official_table(root: Path) -> None:
    labels = np.arange(24 * 48, dtype=np.uint16).reshape(24, 48) % 35
    labels[labels == 34] = 255  # the licence plate's -1
    train_ids_to_ids(cityscapes.open(root, "val").samples[1], labels.astype(np.uint8))
    dataset = cityscapes.open(root, "val")
    wanted = np.vectorize(lambda label: EVALUATED.get(label, 255))(labels)
    np.testing.assert_array_equal(dataset.read_target(dataset.samples[1]), wanted)


def test_check_counts_cities_and_sizes(root: Path) -> None:
    counts = cityscapes.check(root).counts
    assert counts["val lindau"] == counts["train ulm"] == 2
    assert counts["48×24 pixels"] == 8


@pytest.mark.parametrize("value", [19, 254])
def test_a_train_id_that_is_none_is_named(root: Path, value: int) -> None:
    dataset = cityscapes.open(root, "val")
    made_label_maps.write_grey(dataset.samples[0].target, np.full((24, 48), value, np.uint8))
    with pytest.raises(BadDatasetError, match=rf"lindau_000000.*label {value}; known are 0..18, 255"):
        dataset.read_target(dataset.samples[0])
    assert any(f"label {value}" in problem for problem in cityscapes.check(root).problems)


def test_an_id_that_is_none_is_named(root: Path) -> None:
    train_ids_to_ids(cityscapes.open(root, "val").samples[0], np.full((24, 48), 34, np.uint8))
    dataset = cityscapes.open(root, "val")
    with pytest.raises(BadDatasetError, match=r"label 34; known are 0..33, 255"):
        dataset.read_target(dataset.samples[0])


def test_labels_without_an_image_are_found(root: Path) -> None:
    sample = cityscapes.open(root, "train").samples[0]
    sample.image.unlink()
    assert any(sample.target.name in problem and "no image" in problem for problem in cityscapes.check(root).problems)


def test_where_only_validation_is_there_the_error_says_what_to_pass(root: Path) -> None:
    for path in sorted((root / "leftImg8bit" / "train").rglob("*.png")):
        path.unlink()
    with pytest.raises(BadDatasetError, match=r"only of val \(4\).*split 'all'.*folder of images"):
        cityscapes.open(root, "train")
    assert len(cityscapes.open(root, "all").samples) == 4


def test_values_as_they_lie_in_files_are_told_with_the_class_of_each(root: Path) -> None:
    """Of ids 34 are known, of which 19 are evaluated; of train ids those, and 255."""
    sample = cityscapes.open(root, "val").samples[0]
    striped = made_label_maps.striped((24, 48), 19)
    values, classes = cityscapes.survey(root).values(sample)
    np.testing.assert_array_equal(values, striped)
    assert {value: found for value, found in classes.items() if found >= 0} == {each: each for each in range(19)}
    assert classes[255] < 0
    official = {train_id: number for number, train_id in EVALUATED.items()}
    stored = np.vectorize(lambda train_id: official.get(int(train_id), 0))(striped).astype(np.uint8)
    path = train_ids_to_ids(sample, stored)
    found = cityscapes.survey(root)
    values, classes = found.values(next(each for each in found.samples if each.target == path))
    np.testing.assert_array_equal(values, stored)
    assert {value: label for value, label in classes.items() if label >= 0} == EVALUATED


def test_drawn_streets_are_such_a_folder(tmp_path: Path) -> None:
    write_cityscapes.write(tmp_path, 2, size_hw=(64, 128), workers=1)
    report = cityscapes.check(tmp_path)
    assert [problem for problem in report.problems if "whole data set has" not in problem] == []
    assert len(cityscapes.open(tmp_path, "all").samples) == 2


def test_real_images_are_sound(test_data: Path) -> None:
    report = cityscapes.check(test_data / "cityscapes")
    assert report.counts["val images"] == report.counts["2048×1024 pixels"] == 3
    assert len(report.problems) == 1
    dataset = cityscapes.open(test_data / "cityscapes", "val")
    seen = {int(value) for sample in dataset.samples for value in np.unique(dataset.read_target(sample))}
    assert {0, 2, 8, 10, 13, 255} <= seen <= {*range(19), 255}
