"""Annotation files of any name and place: as CVAT, Roboflow, FiftyOne, Label Studio and Supervisely lay them out."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import made_coco
import made_coco_labels
import numpy as np
import pytest
import seeded_people
from command_line import densecast, failed
from made_coco_labels import SIZE_HW
from made_mask_folders import write
from PIL import Image

from densecast.datasets import coco_keypoints, coco_segmentation
from densecast.errors import BadConfigError, BadDatasetError, MissingExtraError, MissingFileError
from densecast.measure.data_source import find
from densecast.spec.data_options import Data, DataOptions, Reading
from densecast.spec.sample import Split
from densecast.zoo._base import ZOO

pytestmark = [pytest.mark.coco, pytest.mark.filterwarnings("ignore:__array__ implementation")]
pytest.importorskip("pycocotools")
POSE = ZOO.load("mobilenetv2_ae_tiny").spec
READING = Reading(("background", "red", "green"))
# Of each tool: the annotation file, the folder of images, what names in the file have before them, and the root.
LAYOUTS = {
    "cvat": ("annotations/{kind}_default.json", "images/default", "", "."),
    "cvat subset": ("annotations/{kind}_Validation.json", "images/Validation", "", "."),
    "roboflow": ("valid/_annotations.coco.json", "valid", "", "."),
    "fiftyone": ("labels.json", "data", "", "."),
    "label studio": ("result.json", "images", "images/", "."),
    "label studio on Windows": ("result.json", "images", "images\\", "."),
    "supervisely": ("ds0/annotations/instances.json", "ds0/images", "", "ds0"),
    "named": ("any where.json", "photos", "photos/", "any where.json"),
    "named below": ("annotations/any.json", "images", "", "annotations/any.json"),
}  # fmt: skip


def move(made: Path, root: Path, kind: str, layout: str) -> Path:
    """Lay the folder `made`, which has a split val, out as a tool does; returns what is named as the data."""
    file, images, before, named = LAYOUTS[layout]
    (source,) = (made / "annotations").glob("*.json")
    document = json.loads(source.read_text(encoding="utf-8"))
    for image in document["images"]:
        target = root / images / image["file_name"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made / "val2017" / image["file_name"], target)
        image["file_name"] = before + image["file_name"]
    place = root / file.format(kind=kind)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(document), encoding="utf-8")
    return root / named


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_coco.folder(tmp_path_factory.mktemp("people"), ("val",))


@pytest.fixture(scope="module")
def outlines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_coco_labels.instances(tmp_path_factory.mktemp("outlines"), ("val",), count=12)


def joints(root: Path, split: Split = "all") -> np.ndarray:
    dataset = find(POSE, root).open(split)
    return np.concatenate([dataset.read_target(sample).xy_px for sample in dataset.samples])


def original_joints() -> np.ndarray:
    document, _ = seeded_people.images(0)
    return np.reshape([each["keypoints"] for each in document["annotations"]], (-1, 17, 3))[..., :2]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_key_points_are_found_where_tools_put_them(tmp_path: Path, people: Path, layout: str) -> None:
    data = move(people, tmp_path, "person_keypoints", layout)
    np.testing.assert_array_equal(joints(data), original_joints())


def test_files_of_splits_may_number_their_images_alike(tmp_path: Path) -> None:
    root = made_coco_labels.instances(tmp_path, count=2)
    file = root / "annotations" / "instances_val2017.json"
    expected = [coco_segmentation.open(root, split, reading=READING) for split in ("train", "val")]
    document = json.loads(file.read_text(encoding="utf-8"))
    for each in document["images"]:
        each["id"] -= 100
    for each in document["annotations"]:
        each["image_id"] -= 100
    file.write_text(json.dumps(document), encoding="utf-8")
    found = coco_segmentation.open(root, "all", reading=READING)
    wanted = [(split, sample) for split in expected for sample in split.samples]
    assert [sample.image for sample in found.samples] == [sample.image for _, sample in wanted]
    for sample, (split, other) in zip(found.samples, wanted, strict=True):
        np.testing.assert_array_equal(found.read_target(sample), split.read_target(other))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outlines_are_found_where_tools_put_them(tmp_path: Path, outlines: Path, layout: str) -> None:
    data = move(outlines, tmp_path, "instances", layout)
    expected, found = (
        coco_segmentation.open(outlines, "all", reading=READING),
        coco_segmentation.open(data, "all", reading=READING),
    )
    assert len(found.samples) == 12
    for left, right in zip(expected.samples, found.samples, strict=True):
        np.testing.assert_array_equal(found.read_target(right), expected.read_target(left))
        assert set(np.unique(found.read_target(right))) == {0, 1, 2, 255}


def test_a_data_file_names_annotations_and_images(tmp_path: Path, people: Path, outlines: Path) -> None:
    for made, key, read in ((people, "p", joints), (outlines, "o", None)):
        (source,) = (made / "annotations").glob("*.json")
        shutil.copytree(made / "val2017", tmp_path / key / "deep" / "photos")
        shutil.copyfile(source, tmp_path / key / "x.v2.json")
        text = 'path = "."\ncoco = "x.v2.json"\nimages = "deep/photos"\n'
        (tmp_path / key / "data.toml").write_text(text, encoding="utf-8")
        for root in (tmp_path / key, tmp_path / key / "data.toml"):
            if read is not None:
                np.testing.assert_array_equal(read(root), original_joints())
            else:
                assert len(coco_segmentation.open(root, "all", reading=READING).samples) == 12
    file = tmp_path / "o" / "data.toml"
    file.write_text(f'{file.read_text(encoding="utf-8")}remap = {{ Green = "red" }}\n', encoding="utf-8")
    dataset = coco_segmentation.open(file, "all", reading=Reading(("background", "red")))
    assert set(np.unique(dataset.read_target(dataset.samples[0]))) == {0, 1, 255}


def test_a_data_file_names_a_file_a_split(tmp_path: Path) -> None:
    made = made_coco.folder(tmp_path, ("train", "val"))
    for split in ("train", "val"):
        (made / "annotations" / f"person_keypoints_{split}2017.json").rename(made / f"{split} 3.json")
    text = 'coco = { train = "train 3.json", val = "val 3.json" }\n'
    (made / "data.toml").write_text(text, encoding="utf-8")
    ids = {split: {sample.id for sample in find(POSE, made).open(split).samples} for split in ("train", "val")}
    assert len(ids["train"]) == len(ids["val"]) == 8 and not ids["train"] & ids["val"]


@pytest.mark.parametrize("folder", ["photos/val", "photos/val2017", "photos"])
def test_images_of_a_split_lie_in_the_folder_that_is_named_or_in_one_of_its_name_there(
    folder: str, tmp_path: Path
) -> None:
    made = made_coco.folder(tmp_path, ("train", "val"))
    for split in ("train", "val"):
        (made / "annotations" / f"person_keypoints_{split}2017.json").rename(made / f"{split} 3.json")
    (made / folder).parent.mkdir(exist_ok=True)
    (made / "val2017").rename(made / folder)
    text = 'coco = { train = "train 3.json", val = "val 3.json" }\nimages = "photos"\n'
    (made / "data.toml").write_text(text, encoding="utf-8")
    samples = find(POSE, made).open("val").samples
    assert len(samples) == 8 and {sample.image.parent for sample in samples} == {made / folder}


def test_a_file_whose_name_tells_no_split_is_divided_as_folders_are(tmp_path: Path, people: Path) -> None:
    data = move(people, tmp_path, "person_keypoints", "named")
    dataset = find(POSE, data)
    every = [sample.id for sample in dataset.open("all").samples]
    drawn = {every[place] for place in np.random.default_rng(3).permutation(len(every))[:1]}
    assert {sample.id for sample in dataset.open("val", 3).samples} == drawn
    assert {sample.id for sample in dataset.open("train", 3).samples} == set(every) - drawn
    record = dataset.open("val", 3).record()
    assert (record.count, record.total, record.seed) == (1, 8, 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('coco = "x.json"\nsuffix = "_m"\n', "'suffix' has no effect beside 'coco'"),
        ('coco = "x.json"\nval = 0.2\n', "'val' has no effect beside 'coco'"),
        ("coco = 3\n", "'coco' must name a file"),
        ('coco = { test = "x.json" }\n', "'coco' must name a file"),
    ],
)
def test_a_data_file_that_is_wrong_names_its_key(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "data.toml").write_text(text, encoding="utf-8")
    with pytest.raises(BadConfigError, match=told):
        coco_keypoints.open(tmp_path)


def test_what_is_not_there_is_named_with_the_cure(tmp_path: Path, people: Path) -> None:
    (tmp_path / "data.toml").write_text('coco = "x.json"\n', encoding="utf-8")
    with pytest.raises(MissingFileError, match=r"x\.json, which does not exist"):
        coco_keypoints.open(tmp_path)
    data = move(people, tmp_path / "n", "person_keypoints", "named")
    shutil.move(tmp_path / "n" / "photos", tmp_path / "n" / "elsewhere")
    with pytest.raises(BadDatasetError, match=r'8 annotated images or masks are not there.*images = "FOLDER"'):
        find(POSE, data).open("all")


def turned(root: Path, polygons: dict[int, list[float]], annotated_hw: tuple[int, int]) -> Path:
    """Pictures stored 32 wide and 24 high with a tag of a quarter turn, each with one red polygon."""
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "val2017").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    for number in polygons:
        picture = Image.fromarray(np.zeros((*SIZE_HW, 3), np.uint8))
        picture.save(root / "val2017" / f"{number}.jpg", exif=exif)
        images.append({"id": number, "file_name": f"{number}.jpg", "height": annotated_hw[0], "width": annotated_hw[1]})
    annotations = [
        {"id": number, "image_id": number, "category_id": 7, "iscrowd": 0, "segmentation": [polygon]}
        for number, polygon in polygons.items()
    ]
    document = {"images": images, "annotations": annotations, "categories": made_coco_labels.CATEGORIES}
    path = root / "annotations" / "instances_val2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return root


def filled(polygon: list[float], size_hw: tuple[int, int]) -> np.ndarray:
    from pycocotools import mask

    return mask.decode(mask.merge(mask.frPyObjects([polygon], *size_hw)))


UPRIGHT = [4.0, 20.0, 20.0, 20.0, 20.0, 30.0, 4.0, 30.0]  # reaches below 24: of the upright frame, 24 wide, 32 high
STORED = [10.0, 3.0, 30.0, 3.0, 30.0, 9.0]
EITHER = [2.0, 3.0, 12.0, 3.0, 12.0, 14.0]


@pytest.mark.parametrize("annotated_hw", [SIZE_HW, SIZE_HW[::-1]])
def test_outlines_lie_in_the_frame_that_their_extent_tells(tmp_path: Path, annotated_hw: tuple[int, int]) -> None:
    reading = Reading(READING.labels, use_exif=True)
    for others, frame in (({2: UPRIGHT}, "upright"), ({2: STORED}, "stored")):
        root = turned(tmp_path / frame, {1: EITHER, **others}, annotated_hw)
        dataset = coco_segmentation.open(root, "val", reading=reading)
        for place, polygon in enumerate((EITHER, others[2])):
            wanted = filled(polygon, SIZE_HW[::-1] if frame == "upright" else SIZE_HW)
            # The tag 6 says: turn the stored picture clockwise.
            wanted = wanted if frame == "upright" else np.rot90(wanted, -1)
            np.testing.assert_array_equal(dataset.read_target(dataset.samples[place]), wanted)


def test_where_nothing_tells_outlines_are_of_the_annotated_frame(tmp_path: Path) -> None:
    root = turned(tmp_path, {1: EITHER}, SIZE_HW)
    dataset = coco_segmentation.open(root, "val", reading=Reading(READING.labels, use_exif=True))
    np.testing.assert_array_equal(dataset.read_target(dataset.samples[0]), np.rot90(filled(EITHER, SIZE_HW), -1))


def test_without_pycocotools_polygons_say_what_to_install(
    tmp_path: Path, outlines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pycocotools" else there(name))
    with pytest.raises(MissingExtraError, match=r"densecast\[coco\]"):
        coco_segmentation.open(outlines, "val", reading=READING)
    # Run lengths need nothing.
    shutil.copytree(outlines, tmp_path / "runs")
    path = tmp_path / "runs" / "annotations" / "instances_val2017.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["annotations"] = [each for each in document["annotations"] if isinstance(each["segmentation"], dict)]
    path.write_text(json.dumps(document), encoding="utf-8")
    dataset = coco_segmentation.open(tmp_path / "runs", "val", reading=READING)
    assert (dataset.read_target(dataset.samples[0]) == 255).any()


def test_the_check_without_a_model_knows_annotation_files(tmp_path: Path, people: Path, outlines: Path) -> None:
    # What was drawn has joints outside of its pictures, which the check is to find.
    of_people = densecast("data", "check", move(people, tmp_path / "p", "x", "named"), "-q")
    assert of_people.out.startswith("coco_keypoints: 8 images") and of_people.code == 1
    ended = densecast("data", "check", outlines, "-q")
    assert ended.out.startswith("coco_segmentation: 12 images")
    assert "duplicate: 12 files" in ended.out  # they are one black picture
    message = failed(3, "data", "check", tmp_path / "p" / "photos" / "none.json", "-q")
    assert "does not exist" in message


def test_cvats_masks_with_its_list_and_colours(tmp_path: Path) -> None:
    """`Segmentation mask 1.1`: RGB masks, labelmap.txt, ImageSets/Segmentation/default.txt."""
    from densecast.datasets import pairs

    table = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:200,40,30::\n"
    (tmp_path / "labelmap.txt").write_text(table, encoding="utf-8")
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "default.txt").write_text("a b\nc\n", encoding="utf-8")
    labels = np.zeros((8, 10), np.uint8)
    labels[2:5, 3:7] = 1
    colours = np.asarray([(0, 0, 0), (200, 40, 30)], np.uint8)
    for name in ("a b", "c"):
        write(tmp_path / "JPEGImages" / f"{name}.png", colours[labels])
        for folder in ("SegmentationClass", "SegmentationObject"):
            write(tmp_path / folder / f"{name}.png", colours[labels])
    dataset = pairs.open(tmp_path, "all", reading=Reading(("background", "car"), options=DataOptions()))
    assert [sample.id for sample in dataset.samples] == ["a b", "c"]
    for sample in dataset.samples:
        np.testing.assert_array_equal(dataset.read_target(sample), labels)
    assert Data(tmp_path).path == tmp_path


@pytest.mark.parametrize(("scale", "is_refused"), [(1.0, False), (1.08, False), (2.0, True)])
def test_outlines_drawn_on_a_larger_picture_are_refused(tmp_path: Path, scale: float, is_refused: bool) -> None:
    height, width = SIZE_HW
    root = turned(tmp_path, {1: [0, 0, width * scale, 0, width * scale, height * scale, 0, height * scale]}, SIZE_HW)
    Image.fromarray(np.zeros((*SIZE_HW, 3), np.uint8)).save(root / "val2017" / "1.jpg")
    dataset = coco_segmentation.open(root, "val", reading=READING)
    if is_refused:
        with pytest.raises(BadDatasetError, match=r"annotation 1: its outline reaches x = 64 in a picture of 32×24"):
            dataset.read_target(dataset.samples[0])
    else:
        assert (dataset.read_target(dataset.samples[0]) == 1).all()
