"""Data sets under their names in configurations: folders as their publishers lay them out give the labels painted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densecast.datasets import _layouts
from densecast.datasets._base import ReadsForModel
from densecast.errors import BadDatasetError, UnknownNameError, UsageError
from densecast.measure import data_source
from densecast.spec.data_options import Data, DataOptions, Reading
from densecast.spec.model import Evaluation
from densecast.spec.preprocess import Native, Preprocess
from densecast.verbs.data_check import check_data
from densecast.verbs.export import SpecFile

SIZE_HW = (12, 16)


@dataclass(frozen=True)
class Layout:
    """Where a data set has the pictures and masks of one split, and how these are named."""

    name: str
    images: str
    masks: str
    image_suffix: str
    mask_suffix: str
    lists: str | None = None
    classes: int = 0
    reduce_zero: bool = False
    split: str = "val"


CASES = [
    Layout(
        "CityscapesDataset",
        "leftImg8bit/val/frankfurt",
        "gtFine/val/frankfurt",
        "_leftImg8bit.png",
        "_gtFine_labelTrainIds.png",
        classes=19,
    ),
    Layout(
        "CityscapesDataset",
        "leftImg8bit/train/aachen",
        "gtFine/train/aachen",
        "_leftImg8bit.png",
        "_gtFine_labelTrainIds.png",
        classes=19,
        split="train",
    ),
    Layout(
        "PascalVOCDataset",
        "JPEGImages",
        "SegmentationClass",
        ".jpg",
        ".png",
        "ImageSets/Segmentation/val.txt",
        21,
    ),
    Layout("ADE20KDataset", "images/validation", "annotations/validation", ".jpg", ".png", None, 150, True),
    Layout("ADE20KDataset", "images/training", "annotations/training", ".jpg", ".png", None, 150, True, "train"),
    Layout("LoveDADataset", "img_dir/val", "ann_dir/val", ".png", ".png", None, 7, True),
    Layout("PotsdamDataset", "img_dir/val", "ann_dir/val", ".png", ".png", None, 6, True),
    Layout("ISPRSDataset", "img_dir/train", "ann_dir/train", ".png", ".png", None, 6, True, "train"),
    Layout("COCOStuffDataset", "images/val2017", "annotations/val2017", ".jpg", "_labelTrainIds.png", None, 171),
    Layout("COCOStuffDataset", "images/test2014", "annotations/test2014", ".jpg", "_labelTrainIds.png", None, 171),
    Layout(
        "PascalContextDataset",
        "JPEGImages",
        "SegmentationClassContext",
        ".jpg",
        ".png",
        "ImageSets/SegmentationContext/val.txt",
        60,
    ),
    Layout(
        "PascalContextDataset59",
        "JPEGImages",
        "SegmentationClassContext",
        ".jpg",
        ".png",
        "ImageSets/SegmentationContext/val.txt",
        59,
        True,
    ),
    Layout("ChaseDB1Dataset", "images/validation", "annotations/validation", ".png", "_1stHO.png", None, 2),
    Layout("DRIVEDataset", "images/validation", "annotations/validation", ".png", "_manual1.png", None, 2),
    Layout("STAREDataset", "images/validation", "annotations/validation", ".png", ".ah.png", None, 2),
    Layout("HRFDataset", "images/training", "annotations/training", ".png", ".png", None, 2, split="train"),
    Layout(
        "DarkZurichDataset",
        "rgb_anon/val/night/GOPR0356",
        "gt/val/night/GOPR0356",
        "_rgb_anon.png",
        "_gt_labelTrainIds.png",
        classes=19,
    ),
    Layout(
        "NightDrivingDataset",
        "leftImg8bit/test/night",
        "gtCoarse_daytime_trainvaltest/test/night",
        "_leftImg8bit.png",
        "_gtCoarse_labelTrainIds.png",
        classes=19,
    ),
    Layout("iSAIDDataset", "img_dir/val", "ann_dir/val", ".png", "_instance_color_RGB.png", None, 16),
]


def painted(index: int, classes: int) -> np.ndarray:
    """Class indices in stripes, with 255 in a corner."""
    labels = ((np.arange(SIZE_HW[1]) // 3 + index) * 7 % classes)[None].repeat(SIZE_HW[0], 0).astype(np.uint8)
    labels[:2, :2] = 255
    return labels


def write(root: Path, case: Layout, count: int = 3, classes: int | None = None) -> dict[str, np.ndarray]:
    """Pictures and masks of the layout; what was painted, as class indices, by the pictures' stems."""
    expected = {}
    for folder in (case.images, case.masks):
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = [f"aachen_{index:06}_000019" for index in range(count)]
    for index, name in enumerate(names):
        Image.new("RGB", SIZE_HW[::-1], (index * 40, 90, 120)).save(root / case.images / f"{name}{case.image_suffix}")
        labels = painted(index, classes or case.classes)
        # Stored as the publishers do: with 0 for what has no class, all others from 1.
        stored = np.where(labels == 255, 0, labels + 1).astype(np.uint8) if case.reduce_zero else labels
        Image.fromarray(stored).save(root / case.masks / f"{name}{case.mask_suffix}")
        expected[f"{name}{case.image_suffix}".rpartition(".")[0]] = labels
    if case.lists is not None:
        (root / case.lists).parent.mkdir(parents=True, exist_ok=True)
        # One picture has no place in the list, as those that other tasks use.
        Image.new("RGB", SIZE_HW[::-1]).save(root / case.images / f"unlisted{case.image_suffix}")
        (root / case.lists).write_text("".join(f"{name}\n" for name in names))
    return expected


def opened(name: str, root: Path, split: str, labels: tuple[str, ...]) -> tuple[dict[str, np.ndarray], str]:
    layout: object = _layouts.layout(name)
    assert isinstance(layout, ReadsForModel)
    dataset = layout.for_model(Reading(labels, options=DataOptions(dataset=name))).open(root, split)
    return {sample.image.stem: dataset.read_target(sample) for sample in dataset.samples}, dataset.record().layout or ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.images.replace('/', '_')}")
def test_labels_are_those_painted_in_the_publishers_folders(tmp_path: Path, case: Layout) -> None:
    expected = write(tmp_path, case)
    labels = _layouts.class_names(case.name)
    assert len(labels) == case.classes
    found, words = opened(case.name, tmp_path, case.split, labels)
    assert words.startswith(case.name)
    assert found.keys() == expected.keys()
    for name, mask in found.items():
        np.testing.assert_array_equal(mask, expected[name])


ISPRS = ("impervious_surface", "building", "low_vegetation", "tree", "car", "clutter")


@pytest.mark.parametrize("name", ["PotsdamDataset", "ISPRSDataset"])
def test_a_subset_of_classes_in_another_order_is_what_the_model_names(tmp_path: Path, name: str) -> None:
    case = next(each for each in CASES if each.name == name)
    expected = write(tmp_path, case)
    assert _layouts.class_names(name) == ISPRS
    wanted = ("tree", "building", "car")
    found, words = opened(name, tmp_path, case.split, wanted)
    for stem, mask in found.items():
        meant = np.full(SIZE_HW, 255, np.uint8)
        for index, label in enumerate(wanted):
            meant[expected[stem] == ISPRS.index(label)] = index
        np.testing.assert_array_equal(mask, meant)
    assert "impervious_surface, low_vegetation, clutter" in words
    assert "classes by name" in words, "nobody would look for a reordering that is not told"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (slice(0, 2), "building, wall, fence, pole, traffic light and 12 more"),
        (slice(0, 13), "car, truck, bus, train, motorcycle and 1 more"),
        (slice(0, 14), "truck, bus, train, motorcycle, bicycle"),
        (slice(0, 18), "bicycle"),
    ],
)
def test_five_classes_that_are_left_out_are_named_and_the_rest_counted(
    wanted: slice, said: str, tmp_path: Path
) -> None:
    case = next(each for each in CASES if each.name == "CityscapesDataset")
    write(tmp_path, case)
    labels = _layouts.class_names(case.name)
    _, words = opened(case.name, tmp_path, case.split, labels[wanted])
    assert words.endswith(f"not evaluated, as the model does not have them: {said}")
    assert "classes by name" not in words, "those that both have stand in the same order"
    _, words = opened(case.name, tmp_path, case.split, labels)
    assert "not evaluated" not in words


@pytest.mark.parametrize(("images", "masks"), [("images", "masks"), ("pictures", "annotations"), ("img", "labels")])
def test_a_folder_under_another_usual_name_is_found_whichever_of_the_two_it_is(
    images: str, masks: str, tmp_path: Path
) -> None:
    """Names and values of a data set hold for folders that somebody renamed, too."""
    case = Layout("HRFDataset", images, masks, ".png", ".png", classes=2)
    expected = write(tmp_path, case)
    found, _ = opened(case.name, tmp_path, "all", _layouts.class_names(case.name))
    assert found.keys() == expected.keys()
    for name, mask in found.items():
        np.testing.assert_array_equal(mask, expected[name])


def test_classes_that_are_not_the_data_sets_are_refused(tmp_path: Path) -> None:
    case = next(each for each in CASES if each.name == "LoveDADataset")
    write(tmp_path, case)
    with pytest.raises(BadDatasetError, match="none of the model's"):
        opened(case.name, tmp_path, "val", ("cat", "dog"))


def test_own_folders_suffixes_and_lists_go_with_the_plain_names(tmp_path: Path) -> None:
    case = Layout("CustomDataset", "photos/a", "labels/a", "_rgb.jpg", "_rgb_mask.png", classes=4)
    expected = write(tmp_path, case, classes=4)
    names = [stem.removesuffix("_rgb") for stem in expected]
    (tmp_path / "val.txt").write_text(f"{names[0]}_rgb\n{names[2]}_rgb\n")
    labels = ("one", "two", "three", "four")
    for name in ("CustomDataset", "BaseSegDataset"):
        options = DataOptions(dataset=name, images_dir="photos", masks_dir="labels", suffix="_mask.png")
        layout: object = _layouts.layout(name)
        assert isinstance(layout, ReadsForModel)
        dataset = layout.for_model(Reading(labels, options=options)).open(tmp_path, "val")
        assert [sample.image.stem for sample in dataset.samples] == [f"{names[0]}_rgb", f"{names[2]}_rgb"]
        for sample in dataset.samples:
            np.testing.assert_array_equal(dataset.read_target(sample), expected[sample.image.stem])


def test_a_model_may_name_its_data_set_so_and_so_may_the_user(tmp_path: Path) -> None:
    case = next(each for each in CASES if each.name == "LoveDADataset")
    write(tmp_path, case)
    labels = _layouts.class_names(case.name)
    spec = SpecFile(labels, Preprocess(Native()), evaluation=Evaluation(case.name, "iou")).model("rural")
    source = data_source.find(spec, tmp_path)
    assert source.evaluation == Evaluation(case.name, "iou")
    dataset = source.open("val")
    assert dataset.name == case.name and len(dataset.samples) == 3
    plain = SpecFile(labels, Preprocess(Native())).model("rural")
    chosen = data_source.find(plain, Data(tmp_path, DataOptions(dataset=case.name)))
    assert chosen.open("val").record() == dataset.record()
    with pytest.raises(UnknownNameError, match="LoveDADataset"):
        data_source.find(plain, Data(tmp_path, DataOptions(dataset="LoveDataset")))


def test_a_check_of_the_data_reads_them_as_well(tmp_path: Path) -> None:
    case = next(each for each in CASES if each.name == "CityscapesDataset")
    write(tmp_path, case)
    # Files of other kinds lie beside the masks.
    Image.new("RGB", SIZE_HW[::-1]).save(tmp_path / case.masks / "aachen_000000_000019_gtFine_color.png")
    result = check_data(Data(tmp_path, DataOptions(dataset=case.name)))
    assert result.counts["pairs"] == 3 and {each.kind for each in result.problems} <= {"absent class"}


def test_options_that_a_layout_does_not_have_are_still_refused(tmp_path: Path) -> None:
    layout: object = _layouts.layout("voc2012")
    assert isinstance(layout, ReadsForModel)
    with pytest.raises(UsageError, match="no effect"):
        layout.for_model(Reading(("a", "b"), options=DataOptions(suffix="_mask")))
