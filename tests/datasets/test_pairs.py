"""Folders of pictures and masks: every layout and kind of mask gives the labels that were painted, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import made_mask_folders as made_pairs
import numpy as np
import pytest
from made_mask_folders import COLOURS, labels_of, pairs, write
from PIL import Image

from densecast.datasets.pairs import DATASET, files_root
from densecast.errors import BadDatasetError, BadImageError, DensecastError, MissingFileError, UsageError
from densecast.spec.data_options import DataOptions, Reading
from densecast.spec.sample import Split

LABELS = ("ground", "red", "green")


def reading(labels: tuple[str, ...] = LABELS, use_exif: bool = False, **options: object) -> Reading:
    return Reading(labels, COLOURS[: len(labels)], use_exif, DataOptions(**options))


def read_all(root: Path, split: Split = "all", how: Reading | None = None) -> dict[str, np.ndarray]:
    dataset = DATASET.for_model(how or reading()).open(root, split)
    return {sample.image.stem: dataset.read_target(sample) for sample in dataset.samples}


def holds_what_was_painted(root: Path, how: Reading | None = None, count: int = 10) -> str:
    """All pairs have the labels of their number; what the record says."""
    found = read_all(root, "all", how)
    assert len(found) == count
    for index, name in enumerate(sorted(found)):
        np.testing.assert_array_equal(found[name], labels_of(index))
    return str(DATASET.for_model(how or reading()).open(root, "all").record().layout)


@pytest.mark.parametrize(
    ("images", "masks", "picture", "mask"),
    [
        ("images", "masks", "{}.jpg", "{}.png"),
        ("imgs", "masks", "{}.JPG", "{}_mask.png"),
        ("imgs", "masks", "{}.png", "{}_mask.gif"),
        ("JPEGImages", "SegmentationClass", "{}.jpeg", "{}.png"),
        ("img", "masks_machine", "{}.jpg", "{}.jpg.png"),
        ("data", "labels", "{}.bmp", "{}.png"),
        ("img_dir/a", "ann_dir/a", "{}.tif", "{}.bmp"),
        (".", ".", "{}.jpg", "{}.png"),
        (".", ".", "{}.png", "{}_mask.png"),
        ("project/ds0/img", "project/ds0/masks_machine", "{}.png", "{}.png"),
    ],
)
def test_usual_folders_and_names_are_found(tmp_path: Path, images: str, masks: str, picture: str, mask: str) -> None:
    root = pairs(tmp_path / "d", images=images, masks=masks, picture=picture, mask=mask)
    said = holds_what_was_painted(root / "project" if images.startswith("project") else root)
    assert "masks are named as their pictures" in said


@pytest.mark.parametrize(
    "layout",
    [
        "images/{}|masks/{}|train|val",
        "{}/images|{}/masks|train|val",
        "img_dir/{}|ann_dir/{}|train|val",
        "images/{}|annotations/{}|training|validation",
        "{}|{}annot|train|val",
        "{}|{}|train|val",
    ],
)
def test_splits_are_folders(tmp_path: Path, layout: str) -> None:
    images, masks, train, val = layout.split("|")
    for name, indices in ((train, range(6)), (val, range(6, 10))):
        for index in indices:
            labels = labels_of(index)
            write(tmp_path / images.format(name) / f"p{index:02d}.jpg", made_pairs.painted(labels))
            write(tmp_path / masks.format(name) / f"p{index:02d}.png", labels)
    holds_what_was_painted(tmp_path)
    assert sorted(read_all(tmp_path, "train")) == [f"p{index:02d}" for index in range(6)]
    assert sorted(read_all(tmp_path, "val")) == [f"p{index:02d}" for index in range(6, 10)]


def test_without_a_split_a_tenth_is_drawn_by_the_seed_and_said(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", count=30)
    for seed in (0, 5):
        dataset = DATASET.open(root, "val", seed)
        expected = sorted(np.random.default_rng(seed).permutation(30)[:3].tolist())
        assert [sample.id for sample in dataset.samples] == [f"p{index:02d}" for index in expected]
        record = dataset.record()
        assert record.seed == seed and "3 of 30 drawn" in str(record.layout)


LISTS = {
    "stems": b"p01\np03\n",
    "file names": b"p01.png\r\np03.png\r\n\r\n",
    "byte order mark": b"\xef\xbb\xbfp01\np03",
    "paths": b"./images/p01.png\nimages/p03.png\n",
    "both paths": b"/set/images/p01.png /set/masks/p01.png\n/set/images/p03.png /set/masks/p03.png\n",
    "flags": b"p01  1\np03 -1\n",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
def test_lists_are_one_name_a_line(tmp_path: Path, text: bytes) -> None:
    root = pairs(tmp_path / "d")
    (root / "val.txt").write_bytes(text)
    (root / "train.txt").write_bytes(b"p00\n")
    assert [sample.id for sample in DATASET.open(root, "val").samples] == ["p01", "p03"]
    assert [sample.id for sample in DATASET.open(root, "all").samples] == ["p00", "p01", "p03"]


def test_names_with_blanks_are_whole_names(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", count=2)
    for name in ("my photo 1", "my", "1"):
        write(root / "images" / f"{name}.png", made_pairs.painted(labels_of(0)))
        write(root / "masks" / f"{name}.png", labels_of(0))
    (root / "val.txt").write_text("my photo 1\n", encoding="utf-8")
    assert [sample.id for sample in DATASET.open(root, "val").samples] == ["my photo 1"]
    (root / "val.txt").write_text("my other\n", encoding="utf-8")
    with pytest.raises(BadDatasetError, match="'my other', which is no picture"):
        DATASET.open(root, "val")


def test_hidden_files_are_left_out_and_names_found_in_either_spelling(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", count=2)
    (root / "images" / "._p00.png").write_bytes(b"\0\5\x16\7")
    (root / "masks" / "._p00.png").write_bytes(b"\0\5\x16\7")
    write(root / "images" / "e\u0301n.png", made_pairs.painted(labels_of(0)))
    write(root / "masks" / "\u00e9n.png", labels_of(0))
    (root / "val.txt").write_text("\u00e9n\n", encoding="utf-8")
    assert len(DATASET.open(root, "val").samples) == 1


# Kinds of masks


def _palette(order: tuple[int, ...]) -> Callable[[Path, np.ndarray], None]:
    """Indices are places in `order`, and the palette has the right colours there."""

    def save(path: Path, labels: np.ndarray) -> None:
        places = np.argsort(order).astype(np.uint8)
        image = Image.fromarray(places[labels]).convert("P")
        image.putdata(places[labels].reshape(-1))
        image.putpalette([channel for index in order for channel in COLOURS[index]])
        image.save(path.with_suffix(".png"))

    return save


def _rgb(path: Path, labels: np.ndarray) -> None:
    Image.fromarray(made_pairs.painted(labels)).save(path.with_suffix(".png"))


def _rgba(path: Path, labels: np.ndarray) -> None:
    Image.fromarray(made_pairs.painted(labels)).convert("RGBA").save(path.with_suffix(".png"))


def _grey_rgb(path: Path, labels: np.ndarray) -> None:
    Image.fromarray(np.stack([labels] * 3, axis=-1)).save(path.with_suffix(".png"))


def _wide(path: Path, labels: np.ndarray) -> None:
    Image.fromarray(labels.astype(np.uint16)).save(path.with_suffix(".png"))


def _float_tiff(path: Path, labels: np.ndarray) -> None:
    Image.fromarray(labels.astype(np.float32)).save(path.with_suffix(".tif"))


def _gif(path: Path, labels: np.ndarray) -> None:
    Image.fromarray(made_pairs.painted(labels)).save(path.with_suffix(".gif"))


def _grey_palette(path: Path, labels: np.ndarray) -> None:
    """Index 0 is grey 2, 1 is grey 0, 2 is grey 1: the greys are the labels."""
    image = Image.fromarray(((labels + 1) % 3).astype(np.uint8)).convert("P")
    image.putdata(((labels + 1) % 3).reshape(-1))
    image.putpalette([2, 2, 2, 0, 0, 0, 1, 1, 1])
    image.save(path.with_suffix(".png"))


@pytest.mark.parametrize(
    "save",
    [_palette((0, 1, 2)), _palette((2, 0, 1)), _rgb, _rgba, _grey_rgb, _wide, _float_tiff, _gif, _grey_palette],
    ids=["palette", "palette in another order", "rgb", "rgba", "grey rgb", "16 bit", "float", "gif", "grey palette"],
)
def test_masks_of_every_kind_hold_the_same_labels(tmp_path: Path, save: Callable[[Path, np.ndarray], None]) -> None:
    root = pairs(tmp_path / "d")
    for index in range(10):
        (root / "masks" / f"p{index:02d}.png").unlink()
        save(root / "masks" / f"p{index:02d}", labels_of(index))
    holds_what_was_painted(root)


TABLES = {
    "labelmap.txt": "# label:color_rgb:parts:actions\nground:9,9,9::\ngreen:7,200,7::\nred:250,1,1::\n",
    "label_colors.txt": "9 9 9 ground\n7 200 7 green\n250 1 1 red\n",
    "class_dict.csv": "name,r,g,b\nground,9,9,9\ngreen,7,200,7\nred,250,1,1\n",
}


@pytest.mark.parametrize("name", [*TABLES, "data.toml", "data.yaml"])
def test_colours_are_classes_by_name_in_any_order_of_a_table(tmp_path: Path, name: str) -> None:
    root = pairs(tmp_path / "d")
    own = np.array([(9, 9, 9), (250, 1, 1), (7, 200, 7)], np.uint8)
    for index in range(10):
        write(root / "masks" / f"p{index:02d}.png", own[labels_of(index)])
    text = TABLES.get(name) or (
        '[colours]\nground = [9, 9, 9]\ngreen = [7, 200, 7]\nred = "#fa0101"\n'
        if name == "data.toml"
        else "colors:\n  ground: [9, 9, 9]\n  green: [7, 200, 7]\n  red: [250, 1, 1]\n"
    )
    (root / name).write_text(text, encoding="utf-8")
    assert "3 colours of classes" in holds_what_was_painted(root)


def test_colours_without_a_table_and_smoothed_ones_are_refused_with_the_cure(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", count=1)
    write(root / "masks" / "p00.png", np.full((16, 24, 3), (1, 2, 3), np.uint8))
    with pytest.raises(BadImageError, match=r"colours \(RGB\), as \(1, 2, 3\).*--colours labelmap"):
        read_all(root)
    (root / "labelmap.txt").write_text("ground:0,0,0::\nred:200,40,30::\n", encoding="utf-8")
    with pytest.raises(BadImageError, match=r"100\.0% of the pixels have colours of no class.*\(1, 2, 3\)\); add it"):
        read_all(root)
    smooth = np.linspace(0, 255, 16 * 24 * 3).reshape(16, 24, 3).astype(np.uint8)
    write(root / "masks" / "p00.png", smooth)
    with pytest.raises(BadImageError, match="without antialiasing"):
        read_all(root)


@pytest.mark.parametrize("kind", ["grey", "one bit", "white-first palette", "palette"])
def test_0_and_255_are_the_two_classes_of_a_binary_model(tmp_path: Path, kind: str) -> None:
    root = pairs(tmp_path / "d", classes=2)
    for index in range(10):
        labels = labels_of(index, 2)
        path = root / "masks" / f"p{index:02d}.png"
        if kind == "grey":
            Image.fromarray(labels * 255).save(path)
        elif kind == "one bit":
            Image.fromarray(labels * 255).convert("1").save(path)
        else:
            stored = 1 - labels if kind.startswith("white") else labels
            image = Image.fromarray(stored).convert("P")
            image.putdata(stored.reshape(-1))
            image.putpalette([255] * 3 + [0] * 3 if kind.startswith("white") else [0] * 3 + [255] * 3)
            image.save(path)
    two = reading(("ground", "red"))
    for index, (_, found) in enumerate(sorted(read_all(root, "all", two).items())):
        np.testing.assert_array_equal(found, labels_of(index, 2))
    said = str(DATASET.for_model(two).open(root, "all").record().layout)
    assert ("two classes" in said) == (kind == "grey")


def test_255_is_not_evaluated_where_masks_also_hold_1(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", classes=2)
    write(root / "masks" / "p03.png", np.full((16, 24), 255, np.uint8))
    found = read_all(root, "all", reading(("ground", "red")))
    assert set(np.unique(found["p03"])) == {255} and set(np.unique(found["p00"])) == {0, 1}


# What values are to the model


def test_labels_without_a_class_are_refused_with_their_share(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", classes=4)
    with pytest.raises(BadDatasetError, match=r"p00.*25\.0% of the pixels have labels that are no class.*\(3; known"):
        read_all(root)


@pytest.mark.parametrize(
    ("values", "labels", "shown", "cure"),
    [
        ((0, 1, 2, 3), LABELS, "(3; known", "if masks count classes from 1, pass --reduce-zero-label"),
        ((0, 1, 2, 4), LABELS, "(4; known", "say what they are: --ignore 4, or --remap 4=CLASS"),
        ((0, 4, 5, 6, 7, 8), LABELS, "(4, 5, 6, 7, 8; known", "--ignore 4, or --remap 4=CLASS."),
        ((0, 4, 5, 6, 7, 8, 9), LABELS, "(4, 5, 6, 7, 8, …; known", "--ignore 4, or --remap 4=CLASS."),
        ((0, 1, 7, 9), LABELS[:2], "(7, 9; known", "or pass --soft-masks, if edges are smoothed"),
        (
            (0, 1, 2, 3, 4),
            LABELS[:2],
            "(2, 3, 4; known",
            "if they number objects, write the masks anew with 1 for each",
        ),
        (tuple(range(30)), LABELS[:2], "(2, 3, 4, 5, 6, …; known", "if they number objects"),
        (tuple(range(255)), LABELS[:2], "(2, 3, 4, 5, 6, …; known", "the values are smoothed"),
        ((0, 1, 9), LABELS[:2], "(9; known", "--ignore 9, or --remap 9=CLASS."),
        (tuple(range(0, 230, 10)), LABELS, "(10, 20, 30, 40, 50, …; known", "the values are smoothed"),
        (tuple(range(0, 210, 10)), LABELS, "(10, 20, 30, 40, 50, …; known", "--ignore 10, or --remap 10=CLASS"),
    ],
)
def test_the_cure_for_labels_without_a_class_goes_by_which_they_are(
    tmp_path: Path, values: tuple[int, ...], labels: tuple[str, ...], shown: str, cure: str
) -> None:
    root = pairs(tmp_path / "d")
    for path in sorted((root / "masks").iterdir()):
        mask = np.resize(np.array(values, np.uint8), np.asarray(Image.open(path)).shape[:2])
        Image.fromarray(mask).save(path)
    with pytest.raises(BadDatasetError) as caught:
        read_all(root, "all", reading(labels))
    assert shown in str(caught.value) and cure in str(caught.value)


def test_values_are_moved_left_out_and_chosen(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", classes=4)
    plain = labels_of(1, 4)
    table = {
        ("3=1",): np.where(plain == 3, 1, plain),
        ("3=red",): np.where(plain == 3, 1, plain),
        ("3=ignore",): np.where(plain == 3, 255, plain),
    }
    for remap, expected in table.items():
        np.testing.assert_array_equal(read_all(root, "all", reading(remap=remap))["p01"], expected)
    ignored = read_all(root, "all", reading(ignore=("3", "0")))["p01"]
    np.testing.assert_array_equal(ignored, np.where(np.isin(plain, (0, 3)), 255, plain))
    # Nothing names the values: they are the model's classes, which may be said by name.
    for by_name, value in ((reading(ignore=("3", "Red")), 255), (reading(ignore=("3",), remap=("red=green",)), 2)):
        found = read_all(root, "all", by_name)["p01"]
        np.testing.assert_array_equal(found, np.where(plain == 1, value, np.where(plain == 3, 255, plain)))
    some = read_all(root, "all", reading(ignore=("3",), subset=("red",)))["p01"]
    np.testing.assert_array_equal(some, np.where(plain == 1, 1, 255))
    reduced = read_all(root, "all", reading(reduce_zero_label=True))["p01"]
    np.testing.assert_array_equal(reduced, np.where(plain == 0, 255, plain - 1))


def test_names_of_the_file_meet_the_models_by_name(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d")
    (root / "data.yaml").write_text("names: {0: Green, 1: ground, 2: red}\n", encoding="utf-8")
    plain = labels_of(0)
    np.testing.assert_array_equal(read_all(root)["p00"], np.array([2, 0, 1], np.uint8)[plain])
    (root / "data.yaml").write_text("names: [ground, red, sky]\n", encoding="utf-8")
    with pytest.raises(BadDatasetError, match=r"class sky are none of the model's.*--remap sky=CLASS, or --ignore sky"):
        read_all(root)
    found = read_all(root, "all", reading(remap=("sky=green",)))["p00"]
    np.testing.assert_array_equal(found, plain)
    (root / "data.yaml").write_text("names: [a, b, c]\n", encoding="utf-8")
    assert "classes by their order" in holds_what_was_painted(root)


def test_an_ultralytics_file_is_read_as_it_is(tmp_path: Path) -> None:
    for split, indices in (("train", range(6)), ("val", range(6, 10))):
        for index in indices:
            labels = labels_of(index)
            write(tmp_path / "set" / "images" / split / f"p{index:02d}.jpg", made_pairs.painted(labels))
            write(tmp_path / "set" / "seg" / split / f"p{index:02d}.png", labels)
    text = (
        "path: set\ntrain: images/train\nval: images/val\ntest:\nmasks_dir: seg\nnc: 3\n"
        "names:\n  0: ground\n  1: red\n  2: green\n"
    )
    (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
    said = holds_what_was_painted(tmp_path / "my.yaml")
    assert "as my.yaml says" in said
    assert len(read_all(tmp_path / "my.yaml", "val")) == 4


def test_a_file_names_folders_rule_and_share(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", images="pic", masks="lab", mask="m_{}_x.png")
    (root / "data.toml").write_text(
        'images = "pic"\nmasks = "lab"\nsuffix = "m_{stem}_x"\nval = 0.4\n', encoding="utf-8"
    )
    holds_what_was_painted(root)
    assert len(read_all(root, "val")) == 4 and len(read_all(root, "train")) == 6


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("imges = 'a'", "unknown key 'imges'. Did you mean 'images'"),
        ("names = ['a', 'a']", "a class twice"),
        ("names = ['a', true]", "put it in quotes"),
        ("ignore = [1]\nremap = { 1 = 2 }", "'1' is in 'ignore'"),
        ("nc = 4\nnames = ['a', 'b']", "'nc' is 4, and there are 2"),
        ("val = 2.0", "between 0 and 1"),
        ("colours = {a = [1, 2]}", "must be .r, g, b."),
        ("images = ", "not valid toml"),
        ("val = 'absent'", "val: folder .*absent does not exist"),
        ("val = 'absent.txt'", "val: list .*absent.txt does not exist"),
    ],
)
def test_a_file_that_is_wrong_names_its_key(tmp_path: Path, text: str, told: str) -> None:
    root = pairs(tmp_path / "d", count=2)
    (root / "data.toml").write_text(text, encoding="utf-8")
    with pytest.raises((UsageError, MissingFileError), match=told):
        DATASET.for_model(reading()).open(root, "all")


# What is missing or can be meant in two ways


def test_pictures_without_a_mask_are_refused_with_an_example(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d")
    (root / "masks" / "p04.png").rename(root / "masks" / "q04.png")
    with pytest.raises(
        BadDatasetError, match=r"1 of 10 pictures have no mask, the first is .*p04.png; masks holds p00"
    ):
        DATASET.open(root, "all")
    report = DATASET.check(root)
    assert any("p04.png has no mask" in each for each in report.problems)
    assert any("q04.png has no picture" in each for each in report.problems)


def test_what_can_be_meant_in_two_ways_is_asked_for(tmp_path: Path) -> None:
    root = pairs(tmp_path / "d", count=2)
    write(root / "labels" / "p00.png", labels_of(0))
    with pytest.raises(BadDatasetError, match="masks in masks and labels"):
        DATASET.for_model(reading()).open(root, "all")
    assert len(read_all(root, "all", reading(masks_dir="masks"))) == 2
    write(root / "images" / "p00.bmp", made_pairs.painted(labels_of(0)))
    with pytest.raises(BadDatasetError, match="pictures of one name"):
        read_all(root, "all", reading(masks_dir="masks"))


def test_masks_lie_in_the_frame_that_pictures_are_seen_in(tmp_path: Path) -> None:
    labels = labels_of(0)  # as the picture is stored: 16 high, 24 wide
    for tag, seen in ((6, np.rot90(labels, -1)), (8, np.rot90(labels)), (5, labels.T), (7, labels[::-1, ::-1].T)):
        root = tmp_path / str(tag)
        exif = Image.Exif()
        exif[0x0112] = tag
        for name, mask in (("stored", labels), ("upright", np.ascontiguousarray(seen))):
            write(root / "images" / f"{name}.png", made_pairs.painted(labels), exif=exif)
            write(root / "masks" / f"{name}.png", mask)
        for found in read_all(root, "all", reading(use_exif=True)).values():
            np.testing.assert_array_equal(found, seen)
        for found in read_all(root, "all", reading(use_exif=False)).values():
            np.testing.assert_array_equal(found, labels)
    write(root / "masks" / "stored.png", np.zeros((16, 16), np.uint8))
    with pytest.raises(BadDatasetError, match=r"labels are 16×16 pixels, their image .* 24×16 \(16×24 upright\)"):
        read_all(root)


def test_ade20ks_masks_count_from_one(tmp_path: Path) -> None:
    for split in ("training", "validation"):
        write(tmp_path / "images" / split / "a.jpg", np.zeros((4, 4, 3), np.uint8))
        write(
            tmp_path / "annotations" / split / "a.png", np.array([[0, 1], [2, 150]], np.uint8).repeat(2, 0).repeat(2, 1)
        )
    labels = tuple(f"c{index}" for index in range(150))
    dataset = DATASET.for_model(Reading(labels)).open(tmp_path, "val")
    assert np.unique(dataset.read_target(dataset.samples[0])).tolist() == [0, 1, 149, 255]
    assert "1 is the first class" in str(dataset.record().layout)


def test_folders_that_are_no_pairs_say_how_they_are_laid_out(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "a.jpg", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DensecastError, match=r"holds no pictures with masks.*--images-dir"):
        DATASET.open(tmp_path, "val")


def test_files_lie_below_the_folder_or_where_the_data_file_says_even_if_it_cannot_be_read(tmp_path: Path) -> None:
    """A result that was written there belongs to the data, whatever state their description is in."""
    root = tmp_path / "cars"
    (root / "annotations").mkdir(parents=True)
    assert files_root(root) == root, "without a description"
    for folder in (root, root / "annotations"):
        file = folder / "data.toml"
        file.write_text("coco = 3", encoding="utf-8")
        assert files_root(file) == root
        file.unlink()
    (root / "data.toml").write_text('path = ".."\nimages = "photos"\nmasks = "masks"\n', encoding="utf-8")
    assert files_root(root).resolve() == tmp_path
    (root / "rows.parquet").touch()
    assert files_root(root / "rows.parquet") == root / "rows.parquet"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"remap": ("1=2", "1=0")}, "'1=0' says that 1 is 0, and 2 as well"),
        ({"remap": ("truck=car",), "ignore": ("truck",)}, "truck is car, and ignore as well"),
    ],
)
def test_what_is_said_twice_of_a_value_is_refused(options: dict[str, tuple[str, ...]], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        DataOptions(**options)
    assert DataOptions(remap=("1=2", "1=2", "3=ignore"), ignore=("3",)).named == {"remap", "ignore"}
