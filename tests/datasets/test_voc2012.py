"""VOC2012 folders: which folder may be named, the lists, palette files, and what is wrong with a folder."""

from __future__ import annotations

from pathlib import Path

import made_label_maps
import numpy as np
import pytest
from PIL import Image

from densecast.datasets import voc2012
from densecast.datasets.voc2012 import PROTOCOLS
from densecast.errors import BadDatasetError, BadImageError

LISTS = Path("ImageSets", "Segmentation")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return made_label_maps.voc2012(tmp_path / "data") / "VOCdevkit" / "VOC2012"


def test_the_folder_may_be_named_at_three_heights(home: Path) -> None:
    found = [voc2012.open(folder, "val").samples for folder in (home, home.parent, home.parent.parent)]
    assert found[0] == found[1] == found[2]
    assert found[0][0].image == home / "JPEGImages" / "2007_000033.jpg"


def test_a_split_keeps_the_order_of_its_list_which_published_subsets_count_on(home: Path) -> None:
    names = ["2010_000002", "2007_000033"]
    (home / LISTS / "val.txt").write_text("\n".join(names), encoding="utf-8")
    assert [sample.id for sample in voc2012.open(home, "val").samples] == names
    assert [sample.id for sample in voc2012.open(home, "all").samples] == sorted(
        [*names, *made_label_maps.VOC_IDS["train"]]
    )


def test_trainval_alone_is_all(home: Path) -> None:
    (home / LISTS / "val.txt").rename(home / LISTS / "trainval.txt")
    (home / LISTS / "train.txt").unlink()
    assert [sample.id for sample in voc2012.open(home, "all").samples] == list(made_label_maps.VOC_IDS["val"])
    with pytest.raises(BadDatasetError, match=r"'val'; there is trainval.txt \(3\)"):
        voc2012.open(home, "val")


def test_palette_indices_are_the_classes(home: Path) -> None:
    dataset = voc2012.open(home, "val")
    with Image.open(dataset.samples[1].target) as stored:
        assert stored.mode == "P"
    np.testing.assert_array_equal(dataset.read_target(dataset.samples[1]), made_label_maps.striped((41, 62), 21))


def test_labels_as_vocs_colours_are_read_and_other_colours_refused(home: Path) -> None:
    dataset = voc2012.open(home, "val")
    Image.new("RGB", (63, 40), (128, 0, 0)).save(dataset.samples[0].target)
    np.testing.assert_array_equal(dataset.read_target(dataset.samples[0]), np.ones((40, 63), np.uint8))
    Image.new("RGB", (63, 40), (1, 2, 3)).save(dataset.samples[0].target)
    with pytest.raises(BadImageError, match=r"one index a pixel.*\(1, 2, 3\).*--colours"):
        dataset.read_target(dataset.samples[0])
    assert any("one index a pixel" in problem for problem in voc2012.check(home).problems)


def test_a_label_that_is_none_is_named(home: Path) -> None:
    dataset = voc2012.open(home, "val")
    made_label_maps.write_palette(dataset.samples[0].target, np.full((40, 63), 21, np.uint8))
    with pytest.raises(BadDatasetError, match=r"2007_000033.*label 21; known are 0..20, 255"):
        dataset.read_target(dataset.samples[0])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"../../etc/passwd\n", "no file name"),
        (b"a" * 101, "no file name"),
        (b"a\0b\n", "no file name"),
        (b"\xff\xfe\n", "not a text"),
        (b"2007_000033\n2007_000033\n", "names 1 images twice"),
        (b"2007_000033\nabsent\n", "2 listed files are not there, the first is .*absent.jpg"),
        (b"", "there is train.txt"),
        (b"a\n" * (3 << 20), "larger than 4 MiB"),
    ],
    ids=["path", "long", "zero byte", "no text", "twice", "absent", "empty", "large"],
)
def test_a_list_that_is_none_is_refused(home: Path, text: bytes, told: str) -> None:
    (home / LISTS / "val.txt").write_bytes(text)
    with pytest.raises(BadDatasetError, match=told):
        voc2012.open(home, "val")


def test_check_names_what_is_listed_and_not_there(home: Path) -> None:
    (home / "JPEGImages" / "2008_000008.jpg").unlink()
    problems = voc2012.check(home).problems
    assert any("2008_000008.jpg is listed and not there" in problem for problem in problems)


def test_real_images_are_sound(test_data: Path) -> None:
    report = voc2012.check(test_data)
    assert (report.counts["val images"], len(report.problems)) == (9, 1)
    dataset = voc2012.open(test_data, "val")
    assert all((dataset.read_target(sample) != 255).any() for sample in dataset.samples)


def test_a_protocols_numbers_are_those_of_its_name_and_of_voc() -> None:
    """The validation list of VOC 2012's segmentation has 1449 images."""
    assert len(PROTOCOLS) == 3
    for name, protocol in PROTOCOLS.items():
        assert (protocol.count, protocol.total) == (int(name.split("_")[1]), 1449)
        assert (protocol.resizes == ("stretch",)) == name.endswith("_stretched")
