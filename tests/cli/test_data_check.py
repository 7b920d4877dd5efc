"""`densecast data check`: every kind of problem is named, a sound folder has none, and counts are those of numpy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import colour_network
import made_coco
import made_label_maps
import made_pairs
import numpy as np
import pytest
import tiny_specs
from command_line import densecast, failed
from made_images import carvana
from made_mask_folders import labels_of, painted, write
from made_tiff import tiff
from PIL import Image

import densecast as package
from densecast import Data, DataCheckOptions, DataOptions

NAMES = 'names = ["ground", "red", "green"]\n'


def sound(root: Path, count: int = 6, suffix: str = ".png") -> Path:
    """Pictures that all differ, with index masks of three classes that have names."""
    for index in range(count):
        labels = labels_of(index)
        picture = painted(labels)
        picture[8:12, 3 * index : 3 * index + 3] = (40 * index, 7, 90)
        write(root / "images" / f"p{index}{suffix}", picture)
        write(root / "masks" / f"p{index}.png", labels)
    (root / "data.toml").write_text(NAMES, encoding="utf-8")
    return root


def checked(root: Path, code: int, *options: str | Path) -> dict[str, Any]:
    ended = densecast("data", "check", root, "-q", "--json", "-", *options)
    assert ended.code == code, ended.err + ended.out
    return dict(json.loads(ended.out))


def kinds(found: dict[str, Any]) -> Counter[str]:
    return Counter(each["kind"] for each in found["problems"])


def test_a_sound_folder_has_no_problems_and_the_counts_of_numpy(tmp_path: Path) -> None:
    root = sound(tmp_path / "d")
    found = checked(root, 0)
    masks = np.stack([labels_of(index) for index in range(6)])
    assert found["sound"] and found["problems"] == [] and found["format"] == 1
    for index, each in enumerate(found["classes"]):
        assert each["name"] == ("ground", "red", "green")[index]
        assert each["pixels"] == int((masks == index).sum()) and each["images"] == 6
        assert each["share"] == pytest.approx((masks == index).mean())
    assert found["counts"] == {"images": 6, "targets": 6, "pairs": 6, "read": 6}
    assert "pictures in images, masks in masks" in found["layout"]
    assert "no problems found" in densecast("data", "check", root, "-q").out


def without_mask(root: Path) -> None:
    write(root / "images" / "alone.png", np.full((4, 4, 3), 50, np.uint8))


def without_picture(root: Path) -> None:
    write(root / "masks" / "alone.png", labels_of(0))


def of_another_size(root: Path) -> None:
    write(root / "masks" / "p2.png", labels_of(2, size_hw=(16, 20)))


def foreign_value(root: Path) -> None:
    labels = labels_of(1)
    labels[:4] = 9
    write(root / "masks" / "p1.png", labels)


def cut_off(root: Path) -> None:
    path = root / "images" / "p3.png"
    path.write_bytes(path.read_bytes()[:-30])


def broken_mask(root: Path) -> None:
    (root / "masks" / "p3.png").write_bytes(b"no picture")


def twice(root: Path) -> None:
    with Image.open(root / "images" / "p1.png") as image:
        image.save(root / "images" / "q1.png", compress_level=0)
    write(root / "masks" / "q1.png", labels_of(1))


def nowhere(root: Path) -> None:
    (root / "data.toml").write_text('names = ["ground", "red", "green", "blue"]\n', encoding="utf-8")


def one_class(root: Path) -> None:
    for path in (root / "masks").iterdir():
        write(path, np.zeros((16, 24), np.uint8))


def only_0_and_255(root: Path) -> None:
    for index, path in enumerate(sorted((root / "masks").iterdir())):
        write(path, (255 * (labels_of(index) == 1)).astype(np.uint8))


def mostly_ignored(root: Path) -> None:
    for index, path in enumerate(sorted((root / "masks").iterdir())):
        labels = labels_of(index)
        labels[:10] = 255
        write(path, labels)


@pytest.mark.parametrize(
    ("plant", "kind", "named"),
    [
        (without_mask, "missing target", "alone.png"),
        (without_picture, "missing picture", "alone.png"),
        (of_another_size, "size", "20×16"),
        (foreign_value, "values", "25.0%"),
        (cut_off, "unreadable", "p3.png"),
        (broken_mask, "unreadable", "p3.png"),
        (twice, "duplicate", "q1.png"),
        (nowhere, "absent class", "blue"),
        (one_class, "one class", "ground"),
        (only_0_and_255, "0 and 255", "--remap 255=1"),
        (mostly_ignored, "not evaluated", "62.5%"),
    ],
)
def test_a_planted_problem_is_the_only_one_and_named(
    tmp_path: Path, plant: Callable[[Path], None], kind: str, named: str
) -> None:
    root = sound(tmp_path / "d")
    plant(root)
    found = checked(root, 1)
    assert kinds(found) == {kind: 1}, found["problems"]
    assert named in found["problems"][0]["text"]


def test_all_files_that_do_not_decode_are_named(tmp_path: Path) -> None:
    root = sound(tmp_path / "d", suffix=".jpg")
    for name in ("p1.jpg", "p4.jpg"):
        path = root / "images" / name
        path.write_bytes(path.read_bytes()[:-60])
    found = checked(root, 1)
    assert {Path(each["files"][0]).name for each in found["problems"]} == {"p1.jpg", "p4.jpg"}
    assert kinds(found) == {"unreadable": 2}


def test_pictures_of_more_bands_than_the_model_takes_are_problems(tmp_path: Path) -> None:
    root = sound(tmp_path / "d")
    (root / "images" / "p1.png").unlink()
    (root / "images" / "p1.tif").write_bytes(tiff(np.zeros((16, 24, 6), np.uint16)))
    spec = tiny_specs.segmentation(("ground", "red", "green"))
    (problem,) = package.check_data(Data(root, DataOptions(dataset="pairs")), spec).problems
    assert problem.kind == "unreadable" and "p1.tif: 6 bands" in problem.text


def test_a_picture_of_train_in_val_is_a_leak(tmp_path: Path) -> None:
    root = sound(tmp_path / "d")
    twice(root)
    (root / "train.txt").write_text("p0\np1\np2\np5\n", encoding="utf-8")
    (root / "val.txt").write_text("p3\np4\nq1\np5\n", encoding="utf-8")
    found = checked(root, 1)
    assert kinds(found) == {"leak": 2}
    assert found["splits"] == {"train": 4, "val": 4}
    assert checked(root, 1, "--split", "val")["counts"]["read"] == 4  # p5 is in both lists


def test_masks_are_held_against_a_models_classes(tmp_path: Path) -> None:
    root = sound(tmp_path / "d")
    (root / "data.toml").unlink()
    assert checked(root, 0)["model"] is None
    colour_network.built(tmp_path / "two", 2)
    found = checked(root, 1, "--model", tmp_path / "two" / "float")
    masks = np.stack([labels_of(index) for index in range(6)])
    assert found["foreign"]["2"]["pixels"] == int((masks == 2).sum())
    assert kinds(found) == {"values": 6}
    colour_network.built(tmp_path / "four", 4)
    assert kinds(checked(root, 1, "--model", tmp_path / "four" / "float")) == {"absent class": 1}


def test_masks_of_turned_photographs_are_told_by_their_frame(tmp_path: Path) -> None:
    root = sound(tmp_path / "d", suffix=".jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, turned in (("p1", True), ("p2", False)):
        labels = labels_of(int(name[1]))
        with Image.open(root / "images" / f"{name}.jpg") as image:
            image.save(root / "images" / f"{name}.jpg", exif=exif)
        write(root / "masks" / f"{name}.png", np.ascontiguousarray(np.rot90(labels, -1)) if turned else labels)
    found = checked(root, 1)
    assert found["frames"] == {"stored": 1, "upright": 1} and kinds(found) == {"frames": 1}


def test_people_are_counted_and_boxes_outside_named(tmp_path: Path) -> None:
    root = made_coco.folder(tmp_path / "coco", ("val",))
    document = json.loads((root / made_coco.VAL).read_text(encoding="utf-8"))
    found = package.check_data(root)
    assert found.dataset == "coco_keypoints"
    assert found.counts["people"] == sum(not each["iscrowd"] for each in document["annotations"])
    seen = sum(value == 2 for each in document["annotations"] for value in each["keypoints"][2::3])
    assert found.counts["joints seen"] == seen
    gone = sorted((root / "val2017").iterdir())[:2]
    for path in gone:
        path.unlink()
    told = " ".join(each["text"] for each in checked(root, 1)["problems"])
    assert all(path.name in told for path in gone)


def test_the_page_holds_small_pictures_problems_first_and_no_foreign_markup(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    root = sound(tmp_path / "d")
    write(root / "images" / "<b>x.png", painted(labels_of(1))[::-1])
    write(root / "masks" / "<b>x.png", np.full((16, 24), 9, np.uint8))
    page = tmp_path / "sheet.html"
    checked(root, 1, "--html", page)
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 7 and "<b>x" not in text and "&lt;b&gt;x" in text
    assert text.index('alt="&lt;b&gt;x"') < text.index('alt="p0"')
    assert "rgb(128, 0, 0)" in text
    assert "prefers-color-scheme: dark" in text and "http" not in text
    other = tmp_path / "notes.txt"
    other.write_text("mine", encoding="utf-8")
    assert "did not write it" in failed(2, "data", "check", root, "-q", "--html", other)
    assert other.read_text(encoding="utf-8") == "mine"


def test_published_layouts_are_checked_in_part_and_name_what_has_no_partner(tmp_path: Path) -> None:
    cars = carvana(tmp_path / "cars", count=3)
    cities = made_label_maps.cityscapes(tmp_path / "cities")
    voc = made_label_maps.voc2012(tmp_path / "voc")
    for root, name, gone in (
        (cars, "carvana", "masks/0001_01_mask.gif"),
        (cities, "cityscapes", "gtFine/val/lindau/lindau_000001_000019_gtFine_labelTrainIds.png"),
        (voc, "voc2012", "VOCdevkit/VOC2012/SegmentationClass/2009_000001.png"),
    ):
        before = checked(root, 0 if name == "carvana" else 1, "--dataset", name)
        assert any("the whole data set has" in each for each in before["remarks"])
        # The made pictures are the same in every split, which is what is said.
        assert set(kinds(before)) <= {"leak", "duplicate"}
        (root / gone).unlink()
        found = checked(root, 1, "--dataset", name)
        assert kinds(found)["missing target"] == 1 and found["counts"]["pairs"] == before["counts"]["pairs"] - 1


def test_several_classes_a_pixel_and_depth_are_counted(tmp_path: Path) -> None:
    several = Data(made_pairs.multilabel(tmp_path / "several", count=4), DataOptions(dataset="multilabel_pairs"))
    found = package.check_data(several, options=DataCheckOptions(limit=3))
    bits = [made_pairs.bits_of(made_pairs.scene(index)) for index in range(3)]
    assert found.dataset == "multilabel_pairs"
    for each in found.classes:
        assert each.pixels == sum(int(one[each.index].sum()) for one in bits)
    found = package.check_data(made_pairs.depth(tmp_path / "depth", count=4))
    assert found.dataset == "depth_pairs" and found.counts["pairs"] == 4 and found.is_sound


def test_a_depth_map_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    root = made_pairs.depth(tmp_path / "depth", 3)
    write(root / "depth" / "01.png", np.zeros((32, 40), np.uint8))
    found = package.check_data(root).problems
    assert [(each.kind, "16 bits" in each.text) for each in found] == [("unreadable", True)]


EXPORTS: dict[str, tuple[str, str, tuple[str, ...], dict[str, str]]] = {
    "CVAT": (
        "JPEGImages/{}.png", "SegmentationClass/{}.png", ("colours",),
        {"labelmap.txt": "background:0,0,0::\nred:200,40,30::\ngreen:20,160,60::\n"},
    ),
    "Label Studio": ("images/{}.png", "masks/{}.png", (), {}),
    "Supervisely": ("ds0/img/{}.png", "ds0/masks_machine/{}.png", (), {"meta.json": "{}"}),
    "FiftyOne": ("data/{}.png", "labels/{}.png", (), {}),
    "milesial": ("imgs/{}.png", "masks/{}_mask.png", (), {}),
    "CustomDataset": ("img_dir/train/{}.png", "ann_dir/train/{}_seg.png", (), {}),
    "ADE20K": ("images/training/{}.png", "annotations/training/{}.png", ("--reduce-zero-label",), {}),
    "CamVid": (
        "train/{}.png", "trainannot/{}.png", ("colours",),
        {"label_colors.txt": "0 0 0 ground\n200 40 30 red\n20 160 60 green\n"},
    ),
    "Ultralytics": (
        "images/train/{}.png", "masks/train/{}.png", (),
        {"data.yaml": "path: .\ntrain: images/train\nmasks_dir: masks\nnames: {0: a, 1: b, 2: c}\n"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("tool", EXPORTS)
def test_the_recipes_of_the_docs_read_every_tools_export(tmp_path: Path, tool: str) -> None:
    assert tool in (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    image, mask, options, files = EXPORTS[tool]
    for index in range(5):
        labels = labels_of(index)
        picture = painted(labels)
        picture[8:12, 3 * index : 3 * index + 3] = (40 * index, 7, 90)
        write(tmp_path / image.format(f"p{index}"), picture)
        shown = labels + 1 if "--reduce-zero-label" in options else labels
        write(tmp_path / mask.format(f"p{index}"), painted(labels) if "colours" in options else shown)
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    place = tmp_path / "data.yaml" if tool == "Ultralytics" else tmp_path
    found = checked(place, 0, *(each for each in options if each.startswith("--")))
    masks = np.stack([labels_of(index) for index in range(5)])
    assert [each["pixels"] for each in found["classes"]] == [int((masks == index).sum()) for index in range(3)]
    assert found["counts"]["pairs"] == 5


def test_what_is_no_data_set_ends_with_3(tmp_path: Path) -> None:
    assert "does not exist" in failed(3, "data", "check", tmp_path / "absent", "-q")
    assert "no data set" in failed(3, "data", "check", tmp_path, "-q")
    root = sound(tmp_path / "d", count=2)
    for path in (root / "images").iterdir():
        path.write_bytes(b"nothing")
    assert "can be read" in failed(3, "data", "check", root, "-q")
