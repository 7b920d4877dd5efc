"""Folders and files of kinds that are no data set yet say what they hold and what to do; near misses are read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_mask_folders import labels_of, painted, pairs, write
from PIL import Image

from densecast.datasets import pairs as pairs_set
from densecast.datasets._base import DATASETS
from densecast.errors import DensecastError
from densecast.spec.data_options import DataOptions, Reading
from densecast.spec.sample import Split

READING = Reading(("ground", "red", "green"))
COUNT = 3


def pictures(root: Path, folder: str = "images") -> None:
    for index in range(COUNT):
        write(root / folder / f"{index}.png", painted(labels_of(index)))


def arrays(root: Path) -> Path:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
        for index in range(COUNT):
            np.save(root / folder / f"{index}.npy", labels_of(index))
    return root


def outlines_as_text(root: Path) -> Path:
    pictures(root)
    (root / "labels").mkdir()
    for index in range(COUNT):
        (root / "labels" / f"{index}.txt").write_text("1 0.1 0.1 0.5 0.1 0.5 0.5\n", encoding="utf-8")
    return root


def volumes(root: Path) -> Path:
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
        for index in range(COUNT):
            (root / folder / f"{index}.nii.gz").write_bytes(b"\x1f\x8b")
    return root


def outlines_beside(root: Path) -> Path:
    pictures(root, ".")
    for index in range(COUNT):
        (root / f"{index}.json").write_text('{"shapes": []}', encoding="utf-8")
    return root


def nothing_in_masks(root: Path) -> Path:
    pictures(root)
    (root / "masks").mkdir()
    return root


def other_names(root: Path) -> Path:
    pictures(root, "left eye")
    pictures(root, "right eye")
    return root


def coco_of_another_name(root: Path) -> Path:
    pictures(root, "photos")
    (root / "annotations").mkdir()
    text = '{"info": {}, "images": [], "annotations": [], "categories": []}'
    (root / "annotations" / "mine.json").write_text(text, encoding="utf-8")
    return root


def archive(root: Path) -> Path:
    pairs(root / "d", count=2)
    return Path(shutil.make_archive(str(root / "data"), "zip", root / "d"))


def table(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "index.csv").write_text("image,mask\na.png,b.png\n", encoding="utf-8")
    return root / "index.csv"


def picture(root: Path) -> Path:
    return write(root / "a.png", painted(labels_of(0)))


def address(root: Path) -> Path:
    return Path("https://example.org/data")


def pages(root: Path) -> Path:
    pictures(root)
    (root / "masks").mkdir()
    for index in range(COUNT):
        planes = [Image.fromarray(((labels_of(index) == k) * 255).astype(np.uint8)) for k in range(3)]
        planes[0].save(root / "masks" / f"{index}.tif", save_all=True, append_images=planes[1:])
    return root


def below_zero(root: Path) -> Path:
    pictures(root)
    for index in range(COUNT):
        write(root / "masks" / f"{index}.tif", labels_of(index).astype(np.int32) - 1)
    return root


def deeper(root: Path) -> Path:
    return pairs(root, count=COUNT, images="images/10k/train", masks="labels/drawn/masks/train")


def test_a_wrong_ending_does_not_name_the_folders_that_are_found(tmp_path: Path) -> None:
    root = pairs(tmp_path, count=COUNT)
    with pytest.raises(DensecastError, match=r"masks holds p00\.png\. Say how masks are named with --suffix"):
        pairs_set.open(root, "all", reading=Reading(READING.labels, options=DataOptions(suffix="_gt")))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            arrays,
            r"images/ \(3 \.npy\), masks/ \(3 \.npy\)\. Masks may be numpy's arrays, pictures have to be image files",
        ),
        (
            outlines_as_text,
            r"labels/ \(3 \.txt\)\. Of outlines in text files Ultralytics' are read \(--dataset yolo_segmentation",
        ),
        (volumes, r"labelsTr/ \(3 \.nii\.gz\)\. Volumes have to be written as a PNG or TIFF a slice"),
        (
            outlines_beside,
            r"It holds 3 \.json, 3 \.png\. Of outlines in a file a picture LabelMe's are read \(--dataset labelme",
        ),
        (nothing_in_masks, r"masks/ \(nothing\)\."),
        (other_names, r"It holds left eye/ \(3 \.png\), right eye/ \(3 \.png\)\."),
        (coco_of_another_name, r"annotations/mine\.json is COCO's: name the file itself"),
        (deeper, r"p00\.png may be it\. Name the folders: --images-dir images/10k --masks-dir labels/drawn/masks, or"),
        (archive, r"data\.zip is an archive: unpack it"),
        (table, r"index\.csv: names the picture 'a\.png', which does not exist"),
        (picture, r"a\.png is no data file"),
        (address, "is an address; data are files here: download them"),
        (pages, r"0\.tif: it holds 3 pages, and one mask has one"),
        (below_zero, r"values from -1 to 1; .* Write 255 for what is not evaluated"),
    ],
)
def test_what_is_no_data_says_what_it_is_and_what_to_do(
    tmp_path: Path, make: Callable[[Path], Path], told: str
) -> None:
    with pytest.raises(DensecastError, match=told) as caught:
        dataset = pairs_set.open(make(tmp_path / "d"), "all", reading=READING)
        for sample in dataset.samples:
            dataset.read_target(sample)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["carvana", "cityscapes", "voc2012", "coco_keypoints", "depth_pairs"])
def test_a_root_that_is_no_folder_says_what_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.zip").write_bytes(b"PK")
    for root, told in (
        (tmp_path / "data.zip", r"data\.zip is an archive: unpack it" if name != "coco_keypoints" else r"data\.zip"),
        (Path("s3://bucket/data"), "is an address; data are files here"),
        (tmp_path / "absent", "absent does not exist"),
    ):
        with pytest.raises(DensecastError, match=told):
            DATASETS.load(name).open(root, "val")


def test_overviews_in_a_tiff_are_no_further_masks(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / "masks").mkdir()
    for index in range(COUNT):
        mask = Image.fromarray(labels_of(index))
        mask.save(tmp_path / "masks" / f"{index}.tif", save_all=True, append_images=[mask.resize((12, 8))])
    dataset = pairs_set.open(tmp_path, "all", reading=READING)
    for index, sample in enumerate(dataset.samples):
        np.testing.assert_array_equal(dataset.read_target(sample), labels_of(index))


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("img_{}.png", "lab_{}.png"),
        ("{}_rgb.png", "{}_seg.png"),
        ("case_{}_0000.png", "case_{}.png"),
        ("IMG_{}.PNG", "img_{}.png"),
        ("frame 00{}.png", "{}.png"),
    ],
)
def test_names_that_differ_only_around_the_middle_are_pairs(tmp_path: Path, picture: str, mask: str) -> None:
    indices = (8, 9, 10, 11)
    for index in indices:
        write(tmp_path / "images" / picture.format(index), painted(labels_of(index)))
        write(tmp_path / "masks" / mask.format(index), labels_of(index))
    dataset = pairs_set.open(tmp_path, "all", reading=READING)
    assert len(dataset.samples) == 4 and "with the same in the middle" in dataset.words
    for sample in dataset.samples:
        index = next(each for each in indices if sample.image.name == picture.format(each))
        np.testing.assert_array_equal(dataset.read_target(sample), labels_of(index))


def test_names_of_which_the_middles_differ_are_no_pairs(tmp_path: Path) -> None:
    for index in range(4):
        write(tmp_path / "images" / f"img_{index}.png", painted(labels_of(index)))
        write(tmp_path / "masks" / f"lab_{index + 1}.png", labels_of(index))
    with pytest.raises(DensecastError, match="4 of 4 pictures have no mask"):
        pairs_set.open(tmp_path, "all", reading=READING)


def test_a_mask_serves_one_picture(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / "images" / folder / "x.png", painted(labels_of(0)))
    write(tmp_path / "masks" / "x.png", labels_of(0))
    with pytest.raises(DensecastError, match=r"x\.png would be the mask of .*a/x\.png and of .*b/x\.png"):
        pairs_set.open(tmp_path, "all", reading=READING)


@pytest.mark.parametrize(
    ("images", "masks", "split"),
    [
        ("train_images", "train_masks", "train"),
        ("val-imgs", "val-labels", "val"),
        ("images_validation", "masks_validation", "val"),
        ("imagesTr", "labelsTr", "train"),
    ],
)
def test_folders_may_have_the_split_in_their_names(tmp_path: Path, images: str, masks: str, split: Split) -> None:
    root = pairs(tmp_path / "d", count=3, images=images, masks=masks)
    dataset = pairs_set.open(root, split, reading=READING)
    assert len(dataset.samples) == 3
    np.testing.assert_array_equal(dataset.read_target(dataset.samples[2]), labels_of(2))


@pytest.mark.parametrize(
    ("images", "masks"), [("rgb", "seg"), ("image_2", "semantic"), ("Images", "Masks"), ("original", "ground truth")]
)
def test_more_folders_are_found_by_usual_names(tmp_path: Path, images: str, masks: str) -> None:
    root = pairs(tmp_path / "d", count=3, images=images, masks=masks, picture="{}.PNG", mask="{}.PNG")
    dataset = pairs_set.open(root, "all", reading=READING)
    np.testing.assert_array_equal(dataset.read_target(dataset.samples[2]), labels_of(2))


def test_scenes_of_their_own_folders_are_one_data_set(tmp_path: Path) -> None:
    for scene in ("a", "b"):
        pairs(tmp_path / scene, count=2)
    assert [each.id for each in pairs_set.open(tmp_path, "all", reading=READING).samples] == [
        "a/p00", "a/p01", "b/p00", "b/p01",
    ]  # fmt: skip


def test_links_that_lead_up_again_hold_nothing_more(tmp_path: Path) -> None:
    pairs(tmp_path / "d", count=2)
    (tmp_path / "d" / "images" / "again").symlink_to(".")
    (tmp_path / "d" / "masks" / "up").symlink_to("..")
    (tmp_path / "e").mkdir()
    for name in ("images", "masks"):
        (tmp_path / "e" / name).symlink_to(tmp_path / "d" / name)
    for root in ("d", "e"):
        ids = [each.id for each in pairs_set.open(tmp_path / root, "all", reading=READING).samples]
        assert ids == ["p00", "p01"]


def test_outlines_that_a_data_file_names_say_what_to_do(tmp_path: Path) -> None:
    outlines_as_text(tmp_path)
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [ground, red, green]\n", encoding="utf-8")
    with pytest.raises(
        DensecastError,
        match=r"labels/ \(3 \.txt\)\. Of outlines in text files Ultralytics' are read \(--dataset yolo_segmentation",
    ):
        pairs_set.open(tmp_path, "val", reading=READING)


@pytest.mark.parametrize(("classes", "ignored"), [(255, 255), (256, 65535), (300, 65535)])
def test_models_of_hundreds_of_classes_have_a_value_for_what_is_not_evaluated(
    tmp_path: Path, classes: int, ignored: int
) -> None:
    labels = np.arange(16 * 24, dtype=np.uint16).reshape(16, 24) % classes
    write(tmp_path / "images" / "a.png", painted(labels_of(0)))
    write(tmp_path / "masks" / "a.png", labels)
    reading = Reading(tuple(map(str, range(classes))), options=DataOptions(ignore=("7",)))
    dataset = pairs_set.open(tmp_path, "all", reading=reading)
    wanted = np.where(labels == 7, ignored, labels)
    np.testing.assert_array_equal(dataset.read_target(dataset.samples[0]), wanted)


@pytest.mark.parametrize("name", ["images", "masks"])
def test_one_of_the_two_folders_names_the_folder_above(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = pairs(tmp_path / "d", count=2)
    monkeypatch.chdir(root / name)
    for given in (root / name, Path()):
        with pytest.raises(DensecastError, match=f"name the folder of both, {root.resolve()}"):
            pairs_set.open(given, "all", reading=READING)
