"""Options of segmentation on the command line: tables of IoU, views, scores and variants."""

from __future__ import annotations

import json
from pathlib import Path

import made_label_maps
import numpy as np
import onnx
import pytest
import tiny_graphs
from command_line import densecast, failed
from made_images import write_jpeg
from PIL import Image

from densecast.errors import UnknownNameError
from densecast.spec.preprocess import Stretch
from densecast.tasks.segmentation import SegmentationDecode
from densecast.zoo._base import ZOO

SPEC = """
labels = ["dark", "bright"]
side = { min = 8, max = 512 }
[preprocess]
resize = { kind = "native" }
[evaluation]
dataset = "cityscapes"
metric = "iou"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact that tells bright from dark, and streets whose labels are 0 or 1."""
    made = tmp_path_factory.mktemp("segmentation")
    onnx.save(tiny_graphs.brightness(), made / "bright.onnx")
    (made / "bright.toml").write_text(SPEC, encoding="utf-8")
    for command in (
        ("export", made / "bright.onnx", "--spec", made / "bright.toml", "--out", made / "float"),
        ("build", made / "float", "--out", made / "built", "-b", "onnxruntime", "--batch", "1:4"),
    ):
        ended = densecast(*command, "-q")
        assert ended.code == 0, ended.err
    made_label_maps.cityscapes(made / "data")
    for path in (made / "data" / "leftImg8bit").rglob("*.png"):
        labels = np.asarray(Image.open(path)).mean(axis=2) > 127.5
        name = path.name.replace("_leftImg8bit", "_gtFine_labelTrainIds")
        split, city = path.parts[-3:-1]
        made_label_maps.write_grey(made / "data" / "gtFine" / split / city / name, labels.astype(np.uint8))
    return made


def evaluated(folder: Path, *options: str) -> tuple[str, dict[str, object]]:
    file = folder / "score.json"
    ended = densecast("evaluate", folder / "built", "--data", folder / "data", "--json", file, "-q", *options)
    assert (ended.code, ended.err) == (0, "")
    found: dict[str, object] = json.loads(file.read_text())
    return ended.out, found


def test_iou_prints_mmsegmentations_table_unless_another_is_asked_for(folder: Path) -> None:
    usual, found = evaluated(folder)
    assert usual.startswith("per class results:\n\n+--------+-----")
    assert "Summary:\n\n+-----" in usual
    assert "| global |" in evaluated(folder, "--table", "ascend")[0]
    assert evaluated(folder, "--table", "none")[0].startswith("mIoU: ")
    score = found["score"]
    assert isinstance(score, dict)
    assert set(score["per_class"]) == {"IoU", "Acc"} and set(score["others"]) == {"mAcc", "aAcc"}
    # Labels come from the mean of bytes, predictions from float32: only a mean of exactly half may go either way.
    assert score["value"] > 0.99
    assert "augment" not in found


def test_one_picture_is_enough_to_compare_on(folder: Path, tmp_path: Path) -> None:
    image = write_jpeg(tmp_path / "one.jpg")
    ended = densecast(
        "compare", folder / "float", folder / "built", "--images", image, "--json", tmp_path / "a.json", "-q"
    )
    assert ended.code == 0, ended.err
    assert {stage["images"] for stage in json.loads((tmp_path / "a.json").read_text())} == {1}


def test_an_unknown_table_is_refused_before_anything_is_evaluated(folder: Path) -> None:
    told = failed(2, "evaluate", folder / "built", "--data", folder / "absent", "--table", "mmsge", "-q")
    assert "Did you mean 'mmseg'?" in told


def test_views_are_recorded_with_the_score(folder: Path) -> None:
    _, found = evaluated(folder, "--flip", "--ratios", "1.0,1.5")
    assert found["augment"] == {"ratios": [1.0, 1.5], "flip": True}


@pytest.mark.parametrize("ratios", ["", "1.0,", "a", "0", "-1", "nan"])
def test_ratios_that_are_none_are_refused(folder: Path, ratios: str, tmp_path: Path) -> None:
    assert "--ratios" in failed(2, "infer", folder / "built", folder / "data", "--out", tmp_path, "--ratios", ratios)


def test_scores_and_views_of_images(folder: Path, tmp_path: Path) -> None:
    images = folder / "data" / "leftImg8bit" / "val" / "lindau"
    ended = densecast("infer", folder / "built", images, "--out", tmp_path, "--scores", "--flip", "--batch", "2", "-q")
    assert (ended.code, ended.err) == (0, "")
    names = {path.name for path in tmp_path.glob("[!.]*")}
    assert len(names) == 4 and sum(name.endswith("_leftImg8bit_score.png") for name in names) == 2


def test_the_magicmind_variant_stretches_images_and_resizes_labels() -> None:
    entry = ZOO.load("ocrnet_hr18")
    spec = entry.spec_for("magicmind")
    assert spec.preprocess.resize == Stretch((1024, 2048))
    assert spec.decode == SegmentationDecode(to_image="nearest_labels")
    assert (spec.preprocess.mean, spec.evaluation) == (entry.spec.preprocess.mean, entry.spec.evaluation)
    assert entry.spec_for("original") == entry.spec_for() == entry.spec
    with pytest.raises(UnknownNameError, match="Did you mean 'magicmind'"):
        entry.spec_for("magicmnd")


def test_colours_are_the_palettes_and_lists_choose_images(folder: Path, tmp_path: Path) -> None:
    images = folder / "data" / "leftImg8bit" / "val" / "munster"
    paths = sorted(images.glob("*.png"))
    (tmp_path / "two.txt").write_text(f"{paths[1].stem}\n{paths[0].name}\n", encoding="utf-8")
    listed = ("infer", folder / "built", images, "--list", tmp_path / "two.txt", "--colour", "-q", "--out")
    ended = densecast(*listed, tmp_path / "both", "--json", tmp_path / "both.json")
    assert (ended.code, ended.err) == (0, "")
    results = json.loads((tmp_path / "both.json").read_text())["results"]
    assert [Path(each["image"]).stem for each in results] == [paths[1].stem, paths[0].stem]
    for each in results:
        labels = np.asarray(Image.open(each["file"]))
        colours = Image.open(Path(each["file"]).with_name(f"{Path(each['file']).stem}_colour.png"))
        assert colours.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(colours), np.uint8([(0, 0, 0), (128, 0, 0)])[labels])  # VOC's palette
    assert densecast(*listed, tmp_path / "one", "--limit", "1").code == 0
    assert len(list((tmp_path / "one").glob("[!.]*"))) == 2
    (tmp_path / "two.txt").write_text("absent", encoding="utf-8")
    assert "names 1 images that are not given, the first is absent" in failed(3, *listed, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_data_set_without_protocols_says_so(folder: Path) -> None:
    message = failed(2, "evaluate", folder / "built", "--data", folder / "data", "--protocol", "magicmind_1000", "-q")
    assert "cityscapes has no published way to measure" in message


@pytest.mark.parametrize("flag", ["--variant", "--protocol"])
def test_run_refuses_an_unknown_variant_before_it_writes_anything(tmp_path: Path, flag: str) -> None:
    line = failed(2, "run", "ocrnet_hr18s", flag, "magicmin", "--out", tmp_path / "out")
    assert "Did you mean 'magicmind'?" in line
    assert not (tmp_path / "out").exists()
