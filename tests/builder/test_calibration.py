"""Which images set int8 ranges is fixed by the folder and the seed, recorded, and read one at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
from made_images import carvana, write_jpeg

from densecast.datasets import carvana as carvana_set
from densecast.errors import BadDatasetError, BadImageError, BadShapeError, MissingFileError
from densecast.imaging.prepare import prepare
from densecast.imaging.read import read_for, read_image
from densecast.spec.model import ModelSpec
from densecast.spec.options import QuantizeOptions
from densecast.spec.preprocess import Preprocess, ScaleBy
from densecast.spec.tensor import Dim, TensorSpec
from densecast.verbs.builder import calibration

SPEC = tiny_artifacts.spec()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images, written in no order, beside other files."""
    made = tmp_path_factory.mktemp("images")
    for index in np.random.default_rng(3).permutation(20).tolist():
        write_jpeg(made / f"{index:02}.JPG", seed=index)
    (made / "readme.txt").write_text("no image")
    (made / "inner").mkdir()
    write_jpeg(made / "inner" / "deep.jpg")
    return made


def names(items: list[calibration.Item]) -> list[str]:
    return [item.name for item in items]


def test_all_images_of_a_folder_in_sorted_order(folder: Path) -> None:
    for count in (0, 20, 300):
        items, record = calibration.choose(SPEC, QuantizeOptions(images=count), folder)
        assert names(items) == [f"{index:02}.JPG" for index in range(20)]
        assert record.ids == tuple(names(items))
        assert (record.count, record.source, record.split) == (20, f"folder {folder.name}", None)


def test_one_image_fewer_than_there_are_is_drawn_too(folder: Path) -> None:
    items, record = calibration.choose(SPEC, QuantizeOptions(images=19), folder)
    assert len(items) == record.count == len(set(names(items))) == 19


def test_the_seed_draws_without_repeats_and_nothing_else_does(folder: Path) -> None:
    drawn = [names(calibration.choose(SPEC, QuantizeOptions(images=7, seed=seed), folder)[0]) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for each in drawn:
        assert len(set(each)) == 7 and each == sorted(each)


def test_a_list_says_which_images_and_in_which_order(folder: Path) -> None:
    there = sorted(path.name for path in folder.iterdir())
    listed = (there[5], there[2].rsplit(".", 1)[0], there[5])
    items, record = calibration.choose(SPEC, QuantizeOptions(listed=listed), folder)
    assert [item.name for item in items] == [there[5], there[2]] and record.count == 2
    with pytest.raises(MissingFileError, match="absent"):
        calibration.choose(SPEC, QuantizeOptions(listed=(there[0], "absent.jpg")), folder)


def test_a_data_set_gives_its_training_split_and_says_so(tmp_path: Path) -> None:
    root = carvana(tmp_path / "data", count=20)
    items, record = calibration.choose(SPEC, QuantizeOptions(), root)
    train = carvana_set.DATASET.open(root, "train")
    assert names(items) == [sample.id for sample in train.samples]
    assert record.source == "carvana train" and record.split == train.record()
    validation = {sample.id for sample in carvana_set.DATASET.open(root, "val").samples}
    assert validation and not validation & set(record.ids)
    _, of_all = calibration.choose(SPEC, QuantizeOptions(split="all"), root)
    assert of_all.count == 20


def test_feeds_are_prepared_when_they_are_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path, *rest: ModelSpec) -> np.ndarray:
        read.append(path)
        return read_for(path, *rest)

    monkeypatch.setattr(calibration, "read_for", counted)
    items, _ = calibration.choose(SPEC, QuantizeOptions(), folder)
    progress: list[tuple[int, int]] = []
    feeds = calibration.CalibrationFeeds(items, SPEC, lambda done, total: progress.append((done, total)))
    assert len(feeds) == 20 and not read
    expected, _ = prepare(read_image(items[3].path), SPEC.preprocess)
    np.testing.assert_array_equal(feeds[3]["image"], expected[None])
    assert read == [items[3].path] and progress == [(4, 20)]
    assert len(feeds[5:9]) == 4 and len(read) == 1
    assert len(list(feeds)) == 20
    with pytest.raises(IndexError):
        feeds[20]


def test_broken_and_wrongly_sized_images_are_named(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "a.jpg", (8, 2000))
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8 and no more")
    items, _ = calibration.choose(SPEC, QuantizeOptions(), tmp_path)
    feeds = calibration.CalibrationFeeds(items, SPEC)
    with pytest.raises(BadShapeError, match=r"a\.jpg becomes 4×1000"):
        feeds[0]
    with pytest.raises(BadImageError, match=r"b\.jpg"):
        feeds[1]


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDatasetError, match=r"holds no imgs"):
        calibration.choose(SPEC, QuantizeOptions(), tmp_path)
    with pytest.raises(MissingFileError, match="absent does not exist"):
        calibration.choose(SPEC, QuantizeOptions(), tmp_path / "absent")
    with pytest.raises(BadDatasetError, match="holds no images"):
        calibration.images_in(tmp_path)


@pytest.mark.parametrize(("batch", "images"), [(1, 1), (3, 3), (Dim("N", 2, 4), 2)])
def test_one_image_fills_the_smallest_batch(batch: int | Dim, images: int, folder: Path) -> None:
    spec = SPEC.with_input(replace(SPEC.input, shape=(batch, *SPEC.input.shape[1:])))
    items, _ = calibration.choose(spec, QuantizeOptions(images=1), folder)
    array = calibration.CalibrationFeeds(items, spec)[0][spec.input.name]
    single = calibration.CalibrationFeeds(items, SPEC)[0][spec.input.name]
    assert len(array) == images
    assert all(np.array_equal(each, single[0]) for each in array)


def test_every_input_is_prepared_from_the_same_image_by_its_own_rule(folder: Path) -> None:
    half = Preprocess(ScaleBy(0.25), interpolation="bicubic_pillow")
    small = TensorSpec("small", "float32", (2, 3, *SPEC.input.shape[2:]))
    spec = replace(SPEC, inputs=(SPEC.input, small), input_preprocess={"small": half})
    items, _ = calibration.choose(spec, QuantizeOptions(images=1), folder)
    feeds = calibration.CalibrationFeeds(items, spec)[0]
    image = read_image(items[0].path)
    np.testing.assert_array_equal(feeds["image"], prepare(image, SPEC.preprocess)[0][None])
    np.testing.assert_array_equal(feeds["small"], np.repeat(prepare(image, half)[0][None], 2, axis=0))


@pytest.mark.parametrize(("total", "count"), [(10, 3), (100, 7), (5, 5), (9, 1), (1000, 300)])
def test_each_of_equal_parts_of_the_data_gives_one_image(total: int, count: int) -> None:
    from densecast.verbs.builder.calibration import spread

    for seed in range(5):
        drawn = spread(total, count, seed)
        assert drawn == spread(total, count, seed)
        for place, index in enumerate(drawn):
            assert place * total // count <= index < (place + 1) * total // count
    if count < total:
        assert len({tuple(spread(total, count, seed)) for seed in range(20)}) > 1
    # Any image of a part may be the one: over many seeds all are drawn.
    assert {index for seed in range(400) for index in spread(9, 3, seed)} == set(range(9))


def test_every_beginning_of_the_order_of_images_is_spread_over_all_of_them() -> None:
    for count in (1, 2, 7, 64, 100):
        order = calibration.in_spread_order(count)
        assert sorted(order) == list(range(count))
        for some in (4, 16, 32):
            if some <= count // 2:
                # No quarter of all is left out, and none has all.
                quarters = np.bincount(4 * np.array(order[:some]) // count, minlength=4)
                assert quarters.min() >= some // 4 - 1 and quarters.max() <= some // 4 + 2
    assert calibration.in_spread_order(8) == [0, 4, 2, 6, 1, 5, 3, 7]


def test_a_part_of_the_images_is_told_of_by_its_place_among_all(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    items, _ = calibration.choose(SPEC, QuantizeOptions(images=6), folder)
    feeds = calibration.CalibrationFeeds(items, SPEC, lambda done, total: told.append((done, total)))
    part = feeds.picked([5, 1, 3, 0])[1:3]
    assert [each["image"].tobytes() for each in part] == [feeds[index]["image"].tobytes() for index in (1, 3)]
    assert told[:2] == [(2, 4), (3, 4)]
