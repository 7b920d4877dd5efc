"""COCO's instances and panoptic PNGs are the label maps that pycocotools' masks make."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import colour_network
import made_coco_labels
import numpy as np
import pytest
from command_line import densecast
from made_coco_labels import INSIDE, RED, SIZE_HW, column_runs, crowd
from made_mask_folders import COLOURS, write

from densecast.datasets import coco_segmentation
from densecast.errors import BadDatasetError, UsageError
from densecast.spec.data_options import DataOptions, Reading

# pycocotools' decoder under NumPy 2.
pytestmark = [pytest.mark.coco, pytest.mark.filterwarnings("ignore:__array__ implementation")]
pytest.importorskip("pycocotools")

FILE = Path("annotations", "instances_val2017.json")
LABELS = ("background", "red", "green")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return made_coco_labels.instances(tmp_path / "coco", ("val",))


def change(root: Path, edit: Any) -> None:
    document = json.loads((root / FILE).read_text(encoding="utf-8"))
    edit(document)
    (root / FILE).write_text(json.dumps(document), encoding="utf-8")


def read(root: Path, labels: tuple[str, ...] = LABELS, **options: Any) -> np.ndarray:
    dataset = coco_segmentation.open(root, "val", reading=Reading(labels, options=DataOptions(**options)))
    return dataset.read_target(dataset.samples[0])


def by_pycocotools(background: int = 0, red: int = 1, green: int = 2) -> np.ndarray:
    """Red over the crowd, and green, which is smaller, over red."""
    from pycocotools import mask

    wanted = np.full(SIZE_HW, background, np.uint8)
    wanted[crowd()] = 255
    for polygons, index in ((RED, red), (INSIDE, green)):
        wanted[mask.decode(mask.merge(mask.frPyObjects(polygons, *SIZE_HW))) > 0] = index
    return wanted


def test_smaller_instances_lie_on_larger_ones_and_crowds_are_not_evaluated(root: Path) -> None:
    labels = read(root)
    np.testing.assert_array_equal(labels, by_pycocotools())
    assert set(np.unique(labels)) == {0, 1, 2, 255}


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_of_all_kinds_are_pycocotools(seed: int, root: Path) -> None:
    from pycocotools import mask

    drawn = np.random.default_rng(seed).random(SIZE_HW) < (0.02, 0.3, 0.7, 0.98)[seed]
    compressed = mask.encode(np.asfortranarray(drawn.astype(np.uint8)))
    compressed["counts"] = compressed["counts"].decode()
    for outline in (compressed, column_runs(drawn)):
        change(root, lambda document, outline=outline: document["annotations"][0].update(segmentation=outline))
        change(root, lambda document: document.update(annotations=document["annotations"][:1]))
        np.testing.assert_array_equal(read(root), np.where(drawn, 2, 0))


def test_a_model_without_background_is_not_measured_where_nothing_is_annotated(root: Path) -> None:
    np.testing.assert_array_equal(read(root, ("green", "red")), by_pycocotools(255, 1, 0))


def test_categories_that_the_model_lacks_are_refused_or_said(root: Path) -> None:
    with pytest.raises(BadDatasetError, match=r"the categories Green are none of the model's .*--remap Green=CLASS"):
        read(root, ("background", "red"))
    np.testing.assert_array_equal(read(root, ("background", "red"), ignore=("green",)), by_pycocotools(green=255))
    np.testing.assert_array_equal(read(root, ("background", "red"), remap=("40=red",)), by_pycocotools(green=1))
    with pytest.raises(UsageError, match="'blue' is no category"):
        read(root, ignore=("blue",))
    change(root, lambda document: document["categories"].append({"id": 0, "name": "my-project"}))
    np.testing.assert_array_equal(read(root), by_pycocotools())


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"segmentation": []}, "annotation 1: has no segmentation"),
        ({"segmentation": [[1, 2, 3, 4]]}, "annotation 1: segmentation must be"),
        ({"segmentation": {"size": [5, 5], "counts": [25]}}, "annotation 1: its run lengths are of 5×5"),
        ({"segmentation": {"size": list(SIZE_HW), "counts": "0"}}, "annotation 1: its run lengths do not fill"),
        ({"segmentation": {"size": list(SIZE_HW), "counts": "\x7f"}}, "annotation 1: its compressed run lengths"),
        ({"category_id": 8}, "annotation 1: category_id 8 is no category"),
        ({"image_id": 8}, "annotation 1: image_id 8 is no image"),
    ],
)  # fmt: skip
def test_a_wrong_annotation_is_named(edit: dict[str, Any], message: str, root: Path) -> None:
    change(root, lambda document: document["annotations"][0].update(edit))
    with pytest.raises(BadDatasetError, match=re.escape(message)):
        read(root)
    assert any(message in problem for problem in coco_segmentation.check(root).problems)


def panoptic(root: Path) -> np.ndarray:
    """One image of four stripes: void, red, green, a crowd of red. Returns the labels."""
    stripes = np.repeat(np.array([0, 70000, 300, 5]), SIZE_HW[1] // 4)[None].repeat(SIZE_HW[0], 0)
    pixels = np.stack([stripes & 255, stripes >> 8 & 255, stripes >> 16], axis=-1).astype(np.uint8)
    write(root / "annotations" / "panoptic_val2017" / "1.png", pixels)
    write(root / "val2017" / "1.png", np.full((*SIZE_HW, 3), COLOURS[0], np.uint8))
    parts = [
        {"id": 70000, "category_id": 7, "iscrowd": 0},
        {"id": 300, "category_id": 40, "iscrowd": 0},
        {"id": 5, "category_id": 7, "iscrowd": 1},
    ]
    document = {
        "images": [{"id": 1, "file_name": "1.png", "height": SIZE_HW[0], "width": SIZE_HW[1]}],
        "annotations": [{"image_id": 1, "file_name": "1.png", "segments_info": parts}],
        "categories": made_coco_labels.CATEGORIES,
    }
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(document), encoding="utf-8")
    return np.repeat(np.array([255, 1, 2, 255]), SIZE_HW[1] // 4)[None].repeat(SIZE_HW[0], 0)


def test_panoptic_pngs_are_ids_of_segments(tmp_path: Path) -> None:
    wanted = panoptic(tmp_path)
    np.testing.assert_array_equal(read(tmp_path), wanted)
    write(tmp_path / "annotations" / "panoptic_val2017" / "1.png", np.full((*SIZE_HW, 3), 9, np.uint8))
    with pytest.raises(BadDatasetError, match="segment 592137 is in the PNG, and not in the file"):
        read(tmp_path)


def test_of_two_files_for_one_split_neither_is_taken(root: Path) -> None:
    panoptic(root)
    with pytest.raises(BadDatasetError, match="which is meant cannot be known"):
        read(root)
    np.testing.assert_array_equal(read(root / FILE), by_pycocotools())


def test_evaluation_finds_coco_by_itself(root: Path, tmp_path: Path) -> None:
    colour_network.built(tmp_path / "model", 3)
    change(root, lambda document: document["categories"].append({"id": 1, "name": "ground"}))
    change(root, lambda document: document["annotations"][0].update(category_id=1))
    change(root, lambda document: document["annotations"].__setitem__(slice(3, None), []))
    for data in (root, root / FILE):
        options = ("--split", "val", "-q", "--ignore", "background", "--allow-ignored", "--json", "-", "--limit", "1")
        ended = densecast("evaluate", tmp_path / "model" / "built", "--data", data, *options)
        assert ended.code == 0, ended.err
        score = json.loads(ended.out)["score"]
        truth = by_pycocotools(background=255, red=1, green=0)
        # Everything is painted as ground: its IoU is its share of what is evaluated; red's is 0.
        assert score["data"]["dataset"] == "coco_segmentation"
        assert score["value"] == pytest.approx((truth == 0).sum() / (truth != 255).sum() / 2, abs=1e-12)
