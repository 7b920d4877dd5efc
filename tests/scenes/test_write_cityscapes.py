"""A written folder has Cityscapes' layout, is the same however it was made, and never passes for another."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densecast.datasets import cityscapes
from densecast.errors import BadConfigError, BadDatasetError
from densecast.scenes import folder, street, write_cityscapes

SMALL_HW = (64, 128)
COUNT = 12


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("street")
    write_cityscapes.write(root, COUNT, SMALL_HW, seed=5, workers=1)
    return root


def test_layout_is_cityscapes(written: Path) -> None:
    images = sorted((written / "leftImg8bit").glob("*/*/*"))
    labels = sorted((written / "gtFine").glob("*/*/*"))
    assert len(images) == len(labels) == COUNT
    for image, label in zip(images, labels, strict=True):
        found = re.fullmatch(r"(([a-z]+)_\d{6}_\d{6})_leftImg8bit\.png", image.name)
        assert found and found[2] == image.parent.name
        assert label.name == f"{found[1]}_gtFine_labelTrainIds.png"
        assert label.parent.relative_to(written / "gtFine") == image.parent.relative_to(written / "leftImg8bit")
    assert {path.name for path in written.iterdir()} == {"leftImg8bit", "gtFine", "scene.json"}


def test_a_tenth_is_for_validation_and_no_city_is_in_both_splits() -> None:
    cities: dict[str, set[str]] = {"train": set(), "val": set()}
    splits = [write_cityscapes.split_of(index) for index in range(400)]
    for index, split in enumerate(splits):
        cities[split].add(write_cityscapes.stem(0, index).split("_")[0])
    assert splits.count("val") == 40
    assert len(cities["train"]) > 1
    assert len(cities["val"]) > 1
    assert not cities["train"] & cities["val"]
    assert len({write_cityscapes.stem(0, index) for index in range(400)}) == 400


def test_files_hold_exactly_what_was_drawn(written: Path) -> None:
    for index in (0, 1, 11):
        scene = street.render(5, index, SMALL_HW)
        with Image.open(write_cityscapes.image_path(written, 5, index)) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (128, 64))
            np.testing.assert_array_equal(np.asarray(image), scene.image)
        with Image.open(write_cityscapes.label_path(written, 5, index)) as label:
            assert (label.format, label.mode, label.size) == ("PNG", "L", (128, 64))
            np.testing.assert_array_equal(np.asarray(label), scene.classes)


def test_the_data_sets_reader_takes_the_folder(written: Path) -> None:
    for split, indices in (("train", (*range(1, 10), 11)), ("val", (0, 10))):
        opened = cityscapes.open(written, split)
        by_name = {sample.id: sample for sample in opened.samples}
        assert set(by_name) == {write_cityscapes.stem(5, index) for index in indices}
        for index in indices[-2:]:
            truth = opened.read_target(by_name[write_cityscapes.stem(5, index)])
            np.testing.assert_array_equal(truth, street.render(5, index, SMALL_HW).classes)


@pytest.mark.slow  # carvana's twin is a default test
def test_number_of_workers_does_not_show(written: Path, tmp_path: Path) -> None:
    write_cityscapes.write(tmp_path, COUNT, SMALL_HW, seed=5, workers=2)
    assert contents(tmp_path) == contents(written)


def test_record_tells_what_the_folder_is(written: Path) -> None:
    assert json.loads((written / "scene.json").read_text()) == {
        "generator": "street",
        "version": street.VERSION,
        "seed": 5,
        "count": COUNT,
        "size_hw": [64, 128],
    }
    assert folder.is_written(written, write_cityscapes.record(COUNT, SMALL_HW, seed=5))
    for other in ((COUNT + 1, SMALL_HW, 5), (COUNT, (64, 130), 5), (COUNT, SMALL_HW, 6)):
        assert not folder.is_written(written, write_cityscapes.record(*other))


def test_a_finished_folder_is_left_alone(written: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    write_cityscapes.write(written, COUNT, SMALL_HW, seed=5)
    assert {path: path.stat().st_mtime_ns for path in written.rglob("*")} == before


@pytest.mark.slow
def test_an_interrupted_folder_is_finished_with_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write_cityscapes.write(whole, 3, SMALL_HW)
    real = street.render

    def stops(seed: int, index: int, size_hw: tuple[int, int]) -> street.Scene:
        if index == 2:
            raise KeyboardInterrupt
        return real(seed, index, size_hw)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(street, "render", stops)
        write_cityscapes.write(broken, 3, SMALL_HW, workers=1)
    assert not folder.is_written(broken, write_cityscapes.record(3, SMALL_HW))
    write_cityscapes.write(broken, 3, SMALL_HW)
    assert contents(broken) == contents(whole)


def test_a_larger_set_of_the_same_seed_is_refused(written: Path) -> None:
    before = contents(written)
    with pytest.raises(BadDatasetError, match=r"count 2, but it has \d+ other files"):
        write_cityscapes.write(written, 2, SMALL_HW, seed=5)
    assert contents(written) == before


def test_a_folder_of_another_seed_is_refused(written: Path) -> None:
    before = contents(written)
    with pytest.raises(BadDatasetError, match=r"seed 8 .* other files.*Name another folder"):
        write_cityscapes.write(written, COUNT, SMALL_HW, seed=8)
    assert contents(written) == before


def test_a_real_city_is_refused(tmp_path: Path) -> None:
    city = tmp_path / "leftImg8bit" / "val" / "frankfurt"
    city.mkdir(parents=True)
    (city / "frankfurt_000000_000294_leftImg8bit.png").write_bytes(b"")
    with pytest.raises(BadDatasetError, match="frankfurt"):
        write_cityscapes.write(tmp_path, 1, SMALL_HW)
    assert len(contents(tmp_path)) == 1


@pytest.mark.parametrize("wrong", [{"count": 0}, {"size_hw": (32, 96)}, {"size_hw": (96, 100_000)}, {"seed": -1}])
def test_arguments_out_of_bounds_are_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(BadConfigError, match=r"count of 1|sides of 64"):
        write_cityscapes.write(tmp_path, **({"count": 1, "size_hw": SMALL_HW} | wrong))
    assert not list(tmp_path.iterdir())
