"""Parquet files in Hugging Face's form are read as folders of pictures and masks are."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import colour_network
import made_parquet
import numpy as np
import pytest
from command_line import densecast, failed
from made_mask_folders import labels_of, painted
from made_parquet import encoded, row, write

import densecast as package
from densecast.datasets import parquet
from densecast.errors import BadDatasetError, MissingExtraError
from densecast.imaging.read import read_image
from densecast.spec.data_options import Data, DataOptions, Reading

pytest.importorskip("pyarrow", reason="Parquet needs the [store] extra")
READING = Reading(("ground", "red", "green"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_network.built(tmp_path_factory.mktemp("model"), 3).folder


def assert_rows(dataset: Any, indices: list[int]) -> None:
    assert len(dataset.samples) == len(indices)
    for sample, index in zip(dataset.samples, indices, strict=True):
        np.testing.assert_array_equal(dataset.read_target(sample), labels_of(index))
        np.testing.assert_array_equal(read_image(sample.image), painted(labels_of(index)))


def test_splits_are_those_of_the_files_names(tmp_path: Path) -> None:
    root = made_parquet.folder(tmp_path)
    assert_rows(parquet.open(root, "train", reading=READING), list(range(8)))
    opened = parquet.open(root, "val", reading=READING)
    assert_rows(opened, [8, 9, 10])
    assert "columns 'image' and 'label' of 3 Parquet files" in opened.words
    assert len(parquet.open(root, "all", reading=READING).samples) == 11


@pytest.mark.parametrize(("image", "mask"), [("image", "annotation"), ("img", "segmentation_mask"), ("photo", "gt")])
def test_columns_are_found_by_usual_names(tmp_path: Path, image: str, mask: str) -> None:
    file = write(tmp_path / "x.parquet", [row(k, image, mask) for k in range(4)], image, mask)
    assert_rows(parquet.open(file, "all", reading=READING), [0, 1, 2, 3])


def test_other_columns_are_named(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", [row(k, "left", "classes") for k in range(3)], "left", "classes")
    with pytest.raises(BadDatasetError, match=r"no column of images is found; there are id, left, classes, scene"):
        parquet.open(file, "all", reading=READING)
    options = DataOptions(images_dir="left", masks_dir="classes")
    assert_rows(parquet.open(file, "all", reading=Reading(READING.labels, options=options)), [0, 1, 2])
    options = DataOptions(images_dir="left", masks_dir="nothing")
    with pytest.raises(BadDatasetError, match="no column 'nothing'"):
        parquet.open(file, "all", reading=Reading(READING.labels, options=options))


def test_names_are_those_of_the_images_where_they_are_unique(tmp_path: Path) -> None:
    names = ["b/x.png", "c/x.png", "../../y.png", ".hidden.png", None]
    file = write(tmp_path / "x.parquet", [row(k, name=name) for k, name in enumerate(names)])
    dataset = parquet.open(file, "all", reading=READING)
    assert [sample.id for sample in dataset.samples] == ["00000001", "00000003", "00000004", "x", "y"]
    assert all(sample.image.is_relative_to(dataset.samples[0].image.parents[3]) for sample in dataset.samples)


def test_images_may_lie_beside_the_file_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "in" / "pics").mkdir(parents=True)
    (tmp_path / "in" / "pics" / "a.png").write_bytes(encoded(painted(labels_of(1))))
    (tmp_path / "secret.png").write_bytes(encoded(painted(labels_of(1))))
    one = {**row(1), "image": {"bytes": None, "path": "pics/a.png"}}
    assert_rows(parquet.open(write(tmp_path / "in" / "x.parquet", [one]), "all", reading=READING), [1])
    for path in ("../secret.png", str(tmp_path / "secret.png"), "pics/none.png"):
        two = {**row(1), "image": {"bytes": None, "path": path}}
        with pytest.raises(BadDatasetError, match=r"has no bytes, and .* is no file beside"):
            parquet.open(write(tmp_path / "in" / "y.parquet", [two]), "all", reading=READING)


def test_masks_may_be_rows_of_numbers(tmp_path: Path) -> None:
    rows = [{**row(k), "label": labels_of(k).tolist()} for k in range(3)]
    assert_rows(parquet.open(write(tmp_path / "x.parquet", rows), "all", reading=READING), [0, 1, 2])


def test_one_file_is_divided_and_a_test_split_is_left_out(tmp_path: Path) -> None:
    rows = [row(k) for k in range(20)]
    write(tmp_path / "train-0.parquet", rows)
    write(tmp_path / "test-0.parquet", rows[:5])
    drawn = sorted(np.random.default_rng(4).permutation(20)[:2].tolist())
    assert_rows(parquet.open(tmp_path, "val", 4, READING), drawn)
    assert len(parquet.open(tmp_path, "train", 4, READING).samples) == 18


def test_rows_that_are_wrong_are_named(tmp_path: Path) -> None:
    for wrong in ({"bytes": None, "path": None}, None):
        rows = [row(0), {**row(1), "label": wrong}]
        with pytest.raises(BadDatasetError, match=r"x\.parquet, row 1: the mask"):
            parquet.open(write(tmp_path / "x.parquet", rows), "all", reading=READING)
    (tmp_path / "y.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(BadDatasetError, match="no readable Parquet file"):
        parquet.open(tmp_path / "y.parquet", "all", reading=READING)
    whole = made_parquet.folder(tmp_path / "z") / "data" / "train-00000-of-00002.parquet"
    data = bytearray(whole.read_bytes())
    data[40:400] = b"\0" * 360
    (tmp_path / "damaged.parquet").write_bytes(bytes(data))
    with pytest.raises(BadDatasetError, match=r"damaged\.parquet"):
        parquet.open(tmp_path / "damaged.parquet", "all", reading=READING)


def test_a_table_without_rows_says_so(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet as tables

    empty = pyarrow.table({name: pyarrow.array([], pyarrow.binary()) for name in ("image", "label")})
    tables.write_table(empty, tmp_path / "x.parquet")
    with pytest.raises(BadDatasetError, match="holds no rows"):
        parquet.open(tmp_path, "all", reading=READING)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", [row(0), row(1)])
    assert_rows(parquet.open(file, "all", reading=READING), [0, 1])
    write(tmp_path / "x.parquet", [row(2), row(1), row(0)])
    assert_rows(parquet.open(file, "all", reading=READING), [2, 1, 0])


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = made_parquet.folder(tmp_path)
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pyarrow" else there(name))
    with pytest.raises(MissingExtraError, match=r"densecast\[store\]"):
        parquet.open(root, "val", reading=READING)


def test_evaluation_finds_parquet_by_itself(tmp_path: Path, model: Path) -> None:
    root = made_parquet.folder(tmp_path / "d")
    file = root / "data" / "validation-00000-of-00001.parquet"
    for data, count in ((root, 3), (file, 3)):
        split = package.EvaluateOptions(split="val" if data == root else "all")
        score = package.evaluate(model, Data(data), split).score
        assert score.value == 1.0 and score.count == count
        assert score.data is not None and score.data.dataset == "parquet"
    ended = densecast("data", "check", root, "--model", model, "-q")
    assert "11 pairs" in ended.out, ended.out + ended.err
    shutil.rmtree(root / "data")
    (root / "data").mkdir()
    assert "parquet" in failed(3, "evaluate", model, "--data", root, "--dataset", "parquet", "-q")
