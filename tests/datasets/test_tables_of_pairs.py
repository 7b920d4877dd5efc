"""Tables that list pictures with their masks or splits, as notebooks and platforms write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_mask_folders import COLOURS, labels_of, pairs

from densecast.datasets.pairs import FORMAT, looks_like, survey
from densecast.errors import BadDatasetError, DensecastError
from densecast.spec.data_options import Reading
from densecast.spec.sample import Split

LABELS = ("ground", "red", "green")
COUNT, TRAINED = 6, 4
HOW = Reading(LABELS, COLOURS[:3])


def numbers(root: Path, split: Split) -> list[int]:
    """The pictures of a split by their numbers; each mask is checked to be its picture's."""
    dataset = FORMAT.for_model(HOW).open(root, split)
    found = [int(sample.image.stem.strip("p")) for sample in dataset.samples]
    for number, sample in zip(found, dataset.samples, strict=True):
        np.testing.assert_array_equal(dataset.read_target(sample), labels_of(number))
    return found


def table(path: Path, head: str, line: str, of: range = range(COUNT), root: Path = Path(), end: str = "\n") -> Path:
    lines = [line.format(root=root, name=f"p{k:02d}", split="train" if k < TRAINED else "val") for k in of]
    path.write_text(end.join([*([head] if head else []), *lines, ""]), encoding="utf-8", newline="")
    return path


ODD = {
    "heads": ("image,mask", "a/{name}.png,b/{name}_m.png", "\n"),
    "other heads and columns": ("id;Mask Path;weight;Image-Path", "{name};b/{name}_m.png;0.5;a/{name}.png", "\r\n"),
    "absolute, quoted": ("img_path,label_path", '"{root}/a/{name}.png","{root}/b/{name}_m.png"', "\n"),
    "no heads": ("", "a/{name}.png, b/{name}_m.png", "\n"),
    "paths of another machine": ("file\tlabel", "C:\\\\data\\a\\{name}.png\tC:\\\\data\\b\\{name}_m.png", "\n"),
}


@pytest.mark.parametrize("kind", list(ODD))
def test_a_table_of_pairs_is_a_data_set(kind: str, tmp_path: Path) -> None:
    head, line, end = ODD[kind]
    root = pairs(tmp_path, COUNT, images="a", masks="b", mask="{}_m.png")
    path = table(root / "data.tsv" if "\t" in head else root / "data.csv", head, line, root=root, end=end)
    for data in (path, root):
        assert looks_like(data)
        assert numbers(data, "all") == list(range(COUNT))
        assert len(numbers(data, "val")) == 1 and len(survey(data).samples) == COUNT


def test_a_column_of_splits_and_a_table_for_each_tell_them(tmp_path: Path) -> None:
    root = pairs(tmp_path / "column", COUNT, images="a", masks="b")
    path = table(root / "data.csv", "image,mask,split", "a/{name}.png,b/{name}.png,{split}")
    with path.open("a", encoding="utf-8") as file:
        file.write("a/gone.png,b/gone.png,test\n")
    each = pairs(tmp_path / "each", COUNT, images="a", masks="b")
    table(each / "train.csv", "image,mask", "a/{name}.png,b/{name}.png", range(TRAINED))
    table(each / "valid.csv", "image,mask", "a/{name}.png,b/{name}.png", range(TRAINED, COUNT))
    for data in (path, root, each):
        assert numbers(data, "train") == [0, 1, 2, 3]
        assert numbers(data, "val") == [4, 5]
        assert numbers(data, "all") == list(range(COUNT))


@pytest.mark.parametrize("line", ["{name}", "{name}.png", "images/{name}.png", "/elsewhere/images/{name}.png"])
def test_tables_tell_the_splits_of_usual_folders(line: str, tmp_path: Path) -> None:
    root = pairs(tmp_path / "one", COUNT)
    table(root / "folds.csv", "filename,split", f"{line},{{split}}")
    each = pairs(tmp_path / "each", COUNT)
    table(each / "train.csv", "image", line, range(TRAINED))
    table(each / "val.csv", "image", line, range(TRAINED, COUNT))
    for data in (root, each):
        assert numbers(data, "train") == [0, 1, 2, 3]
        assert numbers(data, "val") == [4, 5]


def test_a_data_file_names_tables_as_its_lists(tmp_path: Path) -> None:
    root = pairs(tmp_path, COUNT)
    table(root / "learn.csv", "image", "{name}.png", range(TRAINED))
    table(root / "judge.csv", "image", "{name}.png", range(TRAINED, COUNT))
    (root / "data.toml").write_text('images = "images"\ntrain = "learn.csv"\nval = "judge.csv"\n', encoding="utf-8")
    assert numbers(root, "train") == [0, 1, 2, 3]
    assert numbers(root, "val") == [4, 5]


def test_tables_of_something_else_are_left_alone(tmp_path: Path) -> None:
    root = pairs(tmp_path, COUNT)
    table(root / "train.csv", "image,label", "elsewhere_{name}.png,cat")
    table(root / "val.csv", "image,label", "elsewhere_{name}_b.png,dog")
    (root / "results.csv").write_text("epoch,loss\n1,0.5\n", encoding="utf-8")
    (root / "bytes.csv").write_bytes(bytes(range(256)))
    assert numbers(root, "all") == list(range(COUNT))
    assert len(numbers(root, "val")) == 1


@pytest.mark.parametrize(
    ("head", "line", "told"),
    [
        ("image,mask", "a/{name}.png,b/{name}_gone.png", "names the mask 'b/p00_gone.png', which does not exist"),
        ("image,mask", "a/{name}_x.png,b/{name}.png", "names the picture 'a/p00_x.png', which does not exist"),
        ("image,label", "a/{name}.png,cat", "columns called image and mask"),
        ("epoch,loss", "{name},0.5", "columns called image and mask"),
    ],
)
def test_a_table_that_is_no_data_set_says_what_it_lacks(head: str, line: str, told: str, tmp_path: Path) -> None:
    root = pairs(tmp_path, COUNT, images="a", masks="b")
    path = table(root / "data.csv", head, line)
    with pytest.raises(BadDatasetError, match=told):
        FORMAT.for_model(HOW).open(path, "all")


def test_a_listed_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    root = pairs(tmp_path, COUNT)
    table(root / "train.csv", "image", "{name}.png", range(TRAINED))
    table(root / "val.csv", "image", "{name}_x.png", range(TRAINED, COUNT))
    with pytest.raises(DensecastError, match=r"val\.csv: names 'p04_x\.png', which is no picture with a mask"):
        numbers(root, "val")
