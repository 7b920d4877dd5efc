"""A folder for each picture, with a mask for each of its objects, is read as one label map of two classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densecast.datasets import pairs
from densecast.errors import BadDatasetError
from densecast.spec.data_options import Reading

PICTURES, HW = 12, (20, 26)


def objects_of(picture: int) -> list[np.ndarray]:
    """Discs that may overlap, as bytes of 0 and 255."""
    rng = np.random.default_rng(picture)
    rows, columns = np.ogrid[: HW[0], : HW[1]]
    places = rng.integers(3, 17, (picture % 3 + 1, 2))
    return [(255 * ((rows - y) ** 2 + (columns - x) ** 2 <= 9)).astype(np.uint8) for y, x in places]


def nuclei(root: Path) -> Path:
    for picture in range(PICTURES):
        folder, name = root / f"{picture:04x}b12", f"{picture:04x}b12.png"
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True)
        Image.fromarray(np.full((*HW, 3), 9 * picture, np.uint8)).save(folder / "images" / name)
        for index, inside in enumerate(objects_of(picture)):
            Image.fromarray(inside).save(folder / "masks" / f"{7919 * (index + 1 + picture):08x}.png")
    return root


@pytest.mark.parametrize("labels", [("background", "nucleus"), ("other", "nucleus"), ()])
def test_objects_are_of_the_second_class_and_all_else_of_the_first(labels: tuple[str, ...], tmp_path: Path) -> None:
    dataset = pairs.open(nuclei(tmp_path), "all", reading=Reading(labels))
    assert len(dataset.samples) == PICTURES
    for picture, sample in enumerate(dataset.samples):
        assert sample.image.parent.parent.name == f"{picture:04x}b12"
        np.testing.assert_array_equal(dataset.read_target(sample), np.max(objects_of(picture), axis=0) > 0)
    assert "of one object each" in dataset.words and "and 4 more folders" in dataset.words


def test_a_tenth_of_the_pictures_is_for_validation(tmp_path: Path) -> None:
    root, reading = nuclei(tmp_path), Reading(("background", "nucleus"))
    train, val = (pairs.open(root, split, reading=reading).samples for split in ("train", "val"))
    assert len(val) == 1 and len(train) == PICTURES - 1 and not set(train) & set(val)


def test_a_check_of_the_folder_finds_nothing_wrong(tmp_path: Path) -> None:
    report = pairs.check(nuclei(tmp_path), Reading(("background", "nucleus")))
    assert report.problems == () and report.counts["pairs"] == PICTURES


def test_masks_of_objects_are_not_of_several_classes(tmp_path: Path) -> None:
    with pytest.raises(BadDatasetError, match="no mask"):
        pairs.open(nuclei(tmp_path), "all", reading=Reading(("background", "nucleus", "cell")))


def test_a_mask_of_an_object_has_the_size_of_the_others(tmp_path: Path) -> None:
    root = nuclei(tmp_path)
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(root / "0002b12" / "masks" / "odd.png")
    dataset = pairs.open(root, "all", reading=Reading(("background", "nucleus")))
    with pytest.raises(BadDatasetError, match="size"):
        dataset.read_target(dataset.samples[2])
