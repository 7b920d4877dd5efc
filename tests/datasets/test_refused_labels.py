"""Ground truth that cannot be meant is refused where it is read, and the error says which entry or file it is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from densecast.datasets import _coco_labels, depth_pairs, multilabel_pairs
from densecast.errors import BadDatasetError

IMAGES = [
    {"id": 1, "file_name": "a.jpg", "height": 4, "width": 6},
    {"id": 2, "file_name": "b.jpg", "height": 4, "width": 6},
]
CATEGORIES = [{"id": 7, "name": "car"}, {"id": 9, "name": "road"}]
PANOPTIC = {
    "images": IMAGES,
    "categories": CATEGORIES,
    "annotations": [
        {"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 1, "category_id": 7, "iscrowd": 0}]},
        {"image_id": 2, "file_name": "in/b.png", "segments_info": [{"id": (1 << 24) - 1, "category_id": 9}]},
    ],
}
OUTLINE = {"id": 5, "image_id": 1, "category_id": 7, "segmentation": [[0, 0, 3, 0, 3, 2]], "iscrowd": 1}
INSTANCES = {"images": IMAGES, "categories": CATEGORIES, "annotations": [OUTLINE]}


def problems(document: dict[str, Any], edit: Callable[[dict[str, Any]], object] = lambda document: None) -> list[str]:
    document = copy.deepcopy(document)
    edit(document)
    return list(_coco_labels.problems(document))


def test_sound_documents_have_no_problems() -> None:
    assert problems(PANOPTIC) == problems(INSTANCES) == []


@pytest.mark.parametrize(
    ("categories", "words"),
    [
        (None, "holds no list 'categories'"),
        ([], "holds no list 'categories'"),
        ({"7": "car"}, "holds no list 'categories'"),
        ([{"id": "7", "name": "car"}], "must be objects with a whole number as id, and a name"),
        ([{"id": True, "name": "car"}], "must be objects with a whole number as id, and a name"),
        ([{"id": 7}], "must be objects with a whole number as id, and a name"),
        ([{"id": 7, "name": "car"}, "road"], "must be objects with a whole number as id, and a name"),
        ([{"id": 7, "name": "car"}, {"id": 7, "name": "road"}], "two categories have one id"),
    ],
)
def test_categories_have_names_and_ids_of_their_own(categories: object, words: str) -> None:
    for document in (PANOPTIC, INSTANCES):
        (found,) = problems(document, lambda each: each.update(categories=categories))
        assert words in found


@pytest.mark.parametrize(
    ("place", "key", "value", "words"),
    [
        (0, "file_name", 3, "is no name of a PNG in or below the folder of masks"),
        (0, "file_name", "../a.png", "is no name of a PNG in or below the folder of masks"),
        (0, "segments_info", {}, "must be a list of objects"),
        (0, "segments_info", [{"id": 1, "category_id": 7}, 3], "must be a list of objects"),
        (0, "segments_info", [{"id": 0, "category_id": 7}], "whole numbers from 1 to 16777215, each once"),
        (0, "segments_info", [{"id": 1 << 24, "category_id": 7}], "whole numbers from 1 to 16777215, each once"),
        (0, "segments_info", [{"id": 1, "category_id": 7}] * 2, "whole numbers from 1 to 16777215, each once"),
        (0, "segments_info", [{"id": 1.0, "category_id": 7}], "whole numbers from 1 to 16777215, each once"),
        (0, "segments_info", [{"id": 1, "category_id": 8}], "category_id 8 is no category of the file"),
        (0, "segments_info", [{"id": 1, "category_id": True}], "category_id True is no category of the file"),
        (0, "segments_info", [{"id": 1, "category_id": 7, "iscrowd": 2}], "iscrowd must be 0 or 1"),
        (1, "image_id", 3, "image_id 3 is no image of the file"),
        (1, "image_id", "2", "image_id '2' is no image of the file"),
        (1, "image_id", 1, "there is another annotation of this image"),
    ],
)
def test_panoptic_entries_are_named_with_what_is_wrong(place: int, key: str, value: object, words: str) -> None:
    found = problems(PANOPTIC, lambda document: document["annotations"][place].update({key: value}))
    assert f"annotation at place {place} of the list: " in found[0] and words in found[0]
    lacks = ["image 2: there is no annotation of it"] if key == "image_id" else []
    assert found[1:] == lacks


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("segmentation", None, "has no segmentation: a box alone says nothing about pixels"),
        ("segmentation", [], "has no segmentation: a box alone says nothing about pixels"),
        ("segmentation", {}, "has no segmentation: a box alone says nothing about pixels"),
        ("segmentation", [[0, 0, 3, 0]], "segmentation must be polygons of at least three points"),
        ("category_id", 8, "category_id 8 is no category of the file"),
        ("iscrowd", 2, "iscrowd must be 0 or 1"),
    ],
)
def test_instances_are_named_with_what_is_wrong(key: str, value: object, words: str) -> None:
    (found,) = problems(INSTANCES, lambda document: document["annotations"][0].update({key: value}))
    assert found.startswith(f"annotation 5: {words}")


def test_entries_that_are_no_objects_are_named_by_their_place() -> None:
    assert problems(INSTANCES, lambda document: document["annotations"].append("x")) == [
        "annotation at place 1 of the list: not an object"
    ]
    found = problems(INSTANCES, lambda document: document["images"].append(3))
    assert found == ["image at place 2 of the list: not an object"]
    # All problems are told, and an image without an annotation is a problem of panoptic masks alone.
    found = problems(PANOPTIC, lambda document: document["annotations"].pop(0))
    assert found == ["image 1: there is no annotation of it"]


def picture(path: Path, size_hw: tuple[int, int] = (4, 6)) -> Path:
    return saved(path, np.zeros((*size_hw, 3), np.uint8))


def saved(path: Path, values: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def classes_of_first(root: Path) -> Any:
    opened = multilabel_pairs.open(root, "all")
    return opened.read_target(opened.samples[0])


BITS = np.array([[0, 1, 2, 3, 0, 0]] * 4, np.uint8)


def multilabel(root: Path, form: str, labels: str | None = "red\ngreen\n") -> Path:
    picture(root / "images" / "a.png")
    if labels is not None:
        (root / "labels.txt").write_text(labels)
    if form == "bits":
        saved(root / "masks" / "a.png", BITS)
    elif form == "folders":
        saved(root / "masks" / "red" / "a.png", (BITS & 1) * 255)
        saved(root / "masks" / "green" / "a.png", BITS >> 1)
    else:
        (root / "masks").mkdir(parents=True, exist_ok=True)
        bools = np.stack([BITS & 1, BITS >> 1]).astype(np.bool_)
        np.savez(root / "masks" / "a.npz", classes=bools, labels=np.array(["red", "green"]))
    return root


@pytest.mark.parametrize("form", ["bits", "folders", "npz"])
def test_each_form_holds_the_same_classes(tmp_path: Path, form: str) -> None:
    target = classes_of_first(multilabel(tmp_path, form))
    assert target.labels == ("red", "green")
    np.testing.assert_array_equal(target.classes[0], BITS & 1)
    np.testing.assert_array_equal(target.classes[1], BITS >> 1)


def test_names_come_from_the_file_of_labels_or_the_mask_itself_or_nowhere(tmp_path: Path) -> None:
    assert classes_of_first(multilabel(tmp_path / "npz", "npz", labels=None)).labels == ("red", "green")
    assert classes_of_first(multilabel(tmp_path / "bits", "bits", labels=None)).labels is None
    assert classes_of_first(multilabel(tmp_path / "more", "bits", labels="\n red \ngreen\nblue\n")).labels == (
        "red", "green", "blue",
    )  # fmt: skip


def test_a_class_without_a_mask_of_its_own_is_empty(tmp_path: Path) -> None:
    root = multilabel(tmp_path, "folders", labels="red\ngreen\nblue\n")
    (root / "masks" / "green" / "a.png").unlink()
    np.testing.assert_array_equal(classes_of_first(root).classes, [BITS & 1, BITS * 0, BITS * 0])


@pytest.mark.parametrize(
    ("form", "change", "words"),
    [
        ("bits", lambda root: multilabel(root, "npz"), "are both the masks of a"),
        ("bits", lambda root: (root / "labels.txt").write_bytes(b"\xe9\x00\x01"), "not a text of one class a line"),
        ("bits", lambda root: picture(root / "images" / "a.png", (4, 7)), "is not the size of its image"),
        ("bits", lambda root: saved(root / "masks" / "a.png", np.zeros((4, 6, 3), np.uint8)), r"got uint8 \(4, 6, 3\)"),
        ("folders", lambda root: (root / "labels.txt").unlink(), "name these in order"),
        ("folders", lambda root: (root / "labels.txt").write_text("red\n"), "lacks the folder green"),
        ("folders", lambda root: (root / "labels.txt").write_text("red\ngreen\nred\n"), "names one twice"),
        ("folders", lambda root: saved(root / "masks" / "red" / "a.png", BITS[:2]), "are of several sizes"),
        ("npz", lambda root: (root / "labels.txt").write_text("green\nred\n"), "its classes red, green are not those"),
        ("npz", lambda root: (root / "masks" / "a.npz").write_bytes(b"PK"), "has no 'classes' that can be read"),
        ("npz", lambda root: np.savez(root / "masks" / "a.npz", other=BITS), "has no 'classes' that can be read"),
        ("npz", lambda root: np.savez(root / "masks" / "a.npz", classes=BITS > 0), r"must be \(C, H, W\) bool"),
        ("npz", lambda root: np.savez(root / "masks" / "a.npz", classes=BITS[None]), r"must be \(C, H, W\) bool"),
        (
            "npz",
            lambda root: np.savez(root / "masks" / "a.npz", classes=BITS[None] > 0, labels=np.array(["red", "green"])),
            r"must be \(C, H, W\) bool",
        ),
    ],
)
def test_masks_of_several_classes_that_cannot_be_meant_are_refused(
    tmp_path: Path, form: str, change: Callable[[Path], object], words: str
) -> None:
    root = multilabel(tmp_path, form)
    change(root)
    with pytest.raises(BadDatasetError, match=words):
        classes_of_first(root)


def test_a_palette_holds_one_class_a_pixel_and_no_bits(tmp_path: Path) -> None:
    root = multilabel(tmp_path, "bits")
    image = Image.fromarray(BITS).convert("P")
    image.save(root / "masks" / "a.png")
    with pytest.raises(BadDatasetError, match="a PNG with a palette has one class a pixel"):
        classes_of_first(root)


def depth_of_first(root: Path) -> Any:
    opened = depth_pairs.open(root, "all")
    return opened.read_target(opened.samples[0])


def depth(root: Path, values: object, declared: str | None = None) -> Path:
    picture(root / "images" / "a.png", (2, 3))
    (root / "depth").mkdir(parents=True)
    if isinstance(values, np.ndarray) and values.dtype == np.uint16:
        saved(root / "depth" / "a.png", values)
    else:
        np.save(root / "depth" / "a.npy", values, allow_pickle=True)  # type: ignore[arg-type]
    if declared is not None:
        (root / "depth.toml").write_text(declared)
    return root


METRES = np.array([[1.5, 0, -2], [np.nan, np.inf, 4]], np.float64)


def test_depth_is_in_metres_and_what_is_not_above_zero_is_unknown(tmp_path: Path) -> None:
    wanted = [[1.5, 0, 0], [0, 0, 4]]
    np.testing.assert_array_equal(depth_of_first(depth(tmp_path / "a", METRES)), wanted)
    np.testing.assert_array_equal(depth_of_first(depth(tmp_path / "b", METRES[..., None].astype(np.float32))), wanted)
    steps = np.array([[384, 0, 1], [0, 0, 1024]], np.uint16)
    found = depth_of_first(depth(tmp_path / "c", steps, "units_per_m = 256"))
    np.testing.assert_array_equal(found, [[1.5, 0, 1 / 256], [0, 0, 4]])
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (np.ones((2, 3), np.int64), r"got int64 \(2, 3\)"),
        (METRES[None], r"got float64 \(1, 2, 3\)"),
        (np.zeros((2, 3, 2)), r"got float64 \(2, 3, 2\)"),
        (METRES[0], r"got float64 \(3,\)"),
        ([[None]], "cannot be read"),
        (METRES[:, :2], "is not the size of its image"),
    ],
)
def test_arrays_that_are_no_depth_map_are_refused(tmp_path: Path, values: object, got: str) -> None:
    with pytest.raises(BadDatasetError, match=got):
        depth_of_first(depth(tmp_path, values))


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (None, "nothing says how many steps"),
        ("units_per_m = 0", "must be a number above 0, got 0"),
        ("units_per_m = -1.5", "must be a number above 0, got -1.5"),
        ("units_per_m = true", "must be a number above 0, got True"),
        ("units_per_m = 'mm'", "must be a number above 0, got 'mm'"),
        ("", "must be a number above 0, got None"),
        ("units_per_m = 256\nmetres = 1", "'metres' has no effect"),
    ],
)
def test_steps_that_nobody_declared_are_refused_before_any_is_read(
    tmp_path: Path, declared: str | None, words: str
) -> None:
    root = depth(tmp_path, np.ones((2, 3), np.uint16), declared)
    with pytest.raises(BadDatasetError, match=words):
        depth_pairs.open(root, "all")
