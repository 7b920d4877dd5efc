"""COCO's key points are read as annotated, and what is wrong with a file is named before anything uses it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_coco
import numpy as np
import pytest
import seeded_people
from PIL import Image

from densecast.datasets import _coco_annotations, coco_keypoints
from densecast.errors import BadDatasetError, MissingFileError

Edit = Callable[[dict[str, Any]], None]
FIRST, NAN = 0, float("nan")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_coco.folder(tmp_path_factory.mktemp("drawn") / "coco")


@pytest.fixture
def root(drawn: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(drawn, tmp_path / "coco"))


def test_people_are_those_of_the_file(root: Path) -> None:
    dataset = coco_keypoints.open(root, "train")
    document, _ = seeded_people.images(0)
    assert [sample.id for sample in dataset.samples] == [f"{image['id']:012d}" for image in document["images"]]
    for sample in dataset.samples:
        people = dataset.read_target(sample)
        wanted = [each for each in document["annotations"] if each["image_id"] == int(sample.id)]
        assert (people.image_id, len(people)) == (int(sample.id), len(wanted))
        for row, each in enumerate(wanted):
            joints = np.reshape(each["keypoints"], (17, 3))
            np.testing.assert_array_equal(people.xy_px[row], joints[:, :2])
            np.testing.assert_array_equal(people.visibility[row], joints[:, 2])
            assert people.area_px[row] == each["area"]
            np.testing.assert_array_equal(people.box_xywh_px[row], each["bbox"])
            assert people.is_crowd[row] == each["iscrowd"]


@pytest.mark.coco
def test_the_index_is_pycocotools(root: Path) -> None:
    from pycocotools.coco import COCO

    truth = COCO(str(root / made_coco.VAL))
    dataset = coco_keypoints.open(root, "val")
    assert sorted(truth.getImgIds()) == [int(sample.id) for sample in dataset.samples]
    for sample in dataset.samples:
        wanted = truth.loadAnns(truth.getAnnIds(imgIds=[int(sample.id)]))
        np.testing.assert_array_equal(dataset.read_target(sample).area_px, [each["area"] for each in wanted])


def annotation(**changes: object) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        document["annotations"][FIRST].update(changes)

    return edit


def image(**changes: object) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        document["images"][FIRST].update(changes)

    return edit


def joints(place: int, value: object) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        document["annotations"][FIRST]["keypoints"][place] = value

    return edit


def drop(kind: str, key: str) -> Edit:
    def edit(document: dict[str, Any]) -> None:
        del document[kind][FIRST][key]

    return edit


WRONG: dict[str, tuple[Edit, str]] = {
    "a joint too few": (annotation(keypoints=[0.0] * 48), "annotation 1: keypoints must be 51"),
    "keypoints as text": (annotation(keypoints="0" * 51), "annotation 1: keypoints"),
    "NaN among the joints": (joints(4, NAN), "annotation 1: keypoints"),
    "an infinite joint": (joints(4, float("-inf")), "annotation 1: keypoints"),
    "a whole number beyond any float": (joints(4, 10**400), "annotation 1: keypoints"),
    "a joint as text": (joints(4, "12"), "annotation 1: keypoints"),
    "a joint as truth": (joints(4, True), "annotation 1: keypoints"),
    "visibility 3": (joints(2, 3), "annotation 1: the visibility"),
    "an infinite area": (annotation(area=float("inf")), "annotation 1: area"),
    "an area below 0": (annotation(area=-1.0), "annotation 1: area"),
    "a box of three": (annotation(bbox=[0, 0, 5]), "annotation 1: bbox"),
    "NaN in a box": (annotation(bbox=[0, 0, 5, NAN]), "annotation 1: bbox"),
    "another category": (annotation(category_id=2), "annotation 1: category_id"),
    "crowd as text": (annotation(iscrowd="no"), "annotation 1: iscrowd"),
    "an unknown image": (annotation(image_id=5), "annotation 1: image_id 5"),
    "a list as image": (annotation(image_id=[1]), "annotation 1: image_id"),
    "an id twice": (annotation(id=2), "annotation 2: there is another"),
    "no id": (drop("annotations", "id"), "annotation at place 0 of the list: id"),
    "no joints": (drop("annotations", "keypoints"), "annotation 1: keypoints"),
    "no area": (drop("annotations", "area"), "annotation 1: area"),
    "an image twice": (image(id=1107), "image 1107: there is another"),
    "an image id below 0": (image(id=-1), "image at place 0 of the list: id"),
    "an image id of thirteen digits": (image(id=10**12), "image at place 0 of the list: id"),
    "a name that leaves the folder": (image(file_name="../../secret.jpg"), "image 1100: file_name"),
    "a name with a zero byte": (image(file_name="a\0.jpg"), "image 1100: file_name"),
    "no height": (drop("images", "height"), "image 1100: height"),
    "a width of 0": (image(width=0), "image 1100: width"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_entry_is_named_and_nothing_is_used(what: str, root: Path) -> None:
    edit, message = WRONG[what]
    made_coco.change(root, edit)
    with pytest.raises(BadDatasetError, match=re.escape(message)) as caught:
        coco_keypoints.open(root, "val")
    assert len(str(caught.value)) < 500
    assert any(message in problem for problem in coco_keypoints.check(root).problems)
    coco_keypoints.open(root, "train")


OUTLINES: dict[str, object] = {
    "two points": [[1.0, 1.0, 5.0, 5.0]],
    "an odd number": [[1.0, 1.0, 5.0, 5.0, 1.0, 5.0, 2.0]],
    "no polygon": [],
    "NaN": [[1.0, 1.0, 5.0, NAN, 1.0, 5.0]],
    "text": "outline",
    "runs that do not fill the size": {"counts": [5], "size": [10, 10]},
    "runs below 0": {"counts": [105, -5], "size": [10, 10]},
    "no size": {"counts": [100]},
}


@pytest.mark.parametrize("what", OUTLINES)
def test_a_bad_outline_is_reported_and_does_not_matter(what: str, root: Path) -> None:
    made_coco.change(root, annotation(segmentation=OUTLINES[what]))
    problems = coco_keypoints.check(root).problems
    assert any("annotation 1: segmentation" in problem for problem in problems)
    assert coco_keypoints.open(root, "val").samples


def test_a_wrong_number_of_joints_is_reported(root: Path) -> None:
    made_coco.change(root, annotation(num_keypoints=99))
    assert any("annotation 1: num_keypoints is 99" in problem for problem in coco_keypoints.check(root).problems)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"images": {}, "annotations": []}', "[" * 100_000])
def test_what_is_no_annotation_file_is_refused(text: str, root: Path) -> None:
    (root / made_coco.VAL).write_text(text, encoding="utf-8")
    with pytest.raises(BadDatasetError, match=re.escape(made_coco.VAL.name)):
        coco_keypoints.open(root, "val")
    assert any(made_coco.VAL.name in problem for problem in coco_keypoints.check(root).problems)


def test_an_enormous_file_is_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_coco_annotations, "MAX_BYTES", 1000)
    with pytest.raises(BadDatasetError, match="larger than"):
        coco_keypoints.open(root, "val")


def test_an_image_of_another_size_is_refused(root: Path) -> None:
    made_coco.change(root, image(width=999))
    dataset = coco_keypoints.open(root, "val")
    with pytest.raises(BadDatasetError, match="000000001100 is"):
        dataset.read_target(dataset.samples[FIRST])


def test_a_missing_split_says_what_to_pass(tmp_path: Path) -> None:
    root = made_coco.folder(tmp_path / "coco", ("val",))
    with pytest.raises(BadDatasetError, match="split 'all'"):
        coco_keypoints.open(root, "train")
    assert coco_keypoints.open(root, "all").samples == coco_keypoints.open(root, "val").samples


def test_images_of_two_splits_may_have_one_number(root: Path) -> None:
    """Tools number the images of each file from 0."""
    alone = {split: coco_keypoints.open(root, split) for split in ("train", "val")}
    made_coco.change(root, image(id=100))
    made_coco.change(root, lambda document: document.update(annotations=[]))
    opened = coco_keypoints.open(root, "all")
    ids = {sample.id: sample.image for sample in opened.samples}
    assert len(ids) == sum(len(each.samples) for each in alone.values())
    assert (ids["train/000000000100"].parent.name, ids["val/000000000100"].parent.name) == ("train2017", "val2017")


def test_a_missing_image_is_named(root: Path) -> None:
    (root / "val2017" / "000000001107.jpg").unlink()
    with pytest.raises(BadDatasetError, match=r"000000001107\.jpg"):
        coco_keypoints.open(root, "val")
    with pytest.raises(MissingFileError):
        coco_keypoints.check(root / "absent")


def test_four_photographs_of_coco(test_data: Path) -> None:
    root = test_data / "coco"
    if not root.is_dir():
        pytest.skip("DENSECAST_TEST_DATA holds no coco")
    dataset = coco_keypoints.open(root, "val")
    document = json.loads((root / made_coco.VAL).read_text(encoding="utf-8"))
    assert sum(len(dataset.read_target(sample)) for sample in dataset.samples) == len(document["annotations"])
    problems = coco_keypoints.check(root).problems
    assert len(problems) == 1 and "whole data set has" in problems[0]


def test_sides_that_are_swapped_need_an_orientation_tag(tmp_path: Path) -> None:
    root = made_coco.folder(tmp_path / "data")
    dataset = coco_keypoints.open(root, "val")
    sample = dataset.samples[0]
    with Image.open(sample.image) as image:
        turned = image.transpose(Image.Transpose.ROTATE_90)
    assert turned.size[0] != turned.size[1]
    turned.save(sample.image)
    with pytest.raises(BadDatasetError, match="belong to another image"):
        dataset.read_target(sample)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(sample.image, exif=exif)
    assert dataset.read_target(sample) is dataset.people[sample.id]


def test_an_id_has_twelve_digits_at_most_as_names_of_files_have() -> None:
    assert [_coco_annotations.is_id(each) for each in (0, 10**12 - 1, 10**12, -1, True, 1.0)] == [True, True] + [
        False
    ] * 4
