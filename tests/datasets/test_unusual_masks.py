"""Masks as tools and people really have them: one file a class, transparency, smoothed edges, odd colour tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_mask_folders import COLOURS, labels_of, painted, pairs, write
from PIL import Image

from densecast.datasets._base import HasRemarks
from densecast.datasets.pairs import DATASET, survey
from densecast.errors import BadConfigError, BadDatasetError, BadImageError, DensecastError
from densecast.spec.data_options import DataOptions, Reading

LABELS = ("background", "red", "green")
COUNT = 10


def read_all(
    root: Path, labels: tuple[str, ...] = LABELS, use_exif: bool = False, **options: object
) -> list[np.ndarray]:
    how = Reading(labels, COLOURS[: len(labels)], use_exif, DataOptions(**options))  # type: ignore[arg-type]
    dataset = DATASET.for_model(how).open(root, "all")
    return [dataset.read_target(sample) for sample in dataset.samples]


def holds(found: list[np.ndarray], classes: int = 3, ignored: int | None = None) -> None:
    assert len(found) == COUNT
    for index, labels in enumerate(found):
        right = labels_of(index, classes)
        right = np.where(right == ignored, 255, right) if ignored is not None else right
        np.testing.assert_array_equal(labels, right)


NAMES = {
    "a folder for each class": "{label}/p{index:02d}.png",
    "an ending for each class": "p{index:02d}_{label}.png",
    "Label Studio": "task-{task}-annotation-{index}-by-1-tag-{label}-0.png",
}


def one_class_each(root: Path, name: str) -> Path:
    for index in range(COUNT):
        labels = labels_of(index)
        write(root / "images" / f"p{index:02d}.jpg", painted(labels))
        for place, label in ((1, "red"), (2, "Green")):
            file = NAMES[name].format(index=index, task=index + 7, label=label)
            write(root / "masks" / file, ((labels == place) * 255).astype(np.uint8))
    if name == "Label Studio":
        uploads = [f"/data/upload/1/0a1b2c3d-p{index:02d}.jpg" for index in range(COUNT)]
        tasks = [{"id": index + 7, "data": {"image": upload}} for index, upload in enumerate(uploads)]
        (root / "project-1-at-2026.json").write_text(json.dumps(tasks), encoding="utf-8")
    return root


@pytest.mark.parametrize("name", list(NAMES))
def test_masks_of_one_class_each_are_joined(name: str, tmp_path: Path) -> None:
    root = one_class_each(tmp_path, name)
    holds(read_all(root))
    holds(read_all(root, ("ground", "red", "green")), ignored=0)
    holds(read_all(root, ("ground", "red", "green"), remap=("background=ground",)))


def test_the_smaller_of_two_masks_lies_on_top_and_unknown_classes_are_named(tmp_path: Path) -> None:
    root = one_class_each(tmp_path, "a folder for each class")
    for index in range(COUNT):
        write(root / "masks" / "red" / f"p{index:02d}.png", np.full((16, 24), 255, np.uint8))
    for index, labels in enumerate(read_all(root)):
        np.testing.assert_array_equal(labels, np.where(labels_of(index) == 2, 2, 1))
    with pytest.raises(BadDatasetError, match="Green are none"):
        read_all(root, ("background", "red", "blue"))


def test_masks_of_one_picture_that_are_of_several_sizes_are_refused(tmp_path: Path) -> None:
    root = one_class_each(tmp_path, "a folder for each class")
    write(root / "masks" / "Green" / "p03.png", np.zeros((16, 25), np.uint8))
    with pytest.raises(BadDatasetError, match=r"red/p03\.png: its size is not that of p03\.png"):
        read_all(root)


def test_label_studios_smaller_json_tells_the_pictures_as_well(tmp_path: Path) -> None:
    root = one_class_each(tmp_path, "Label Studio")
    file = next(root.glob("*.json"))
    tasks = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps([{"id": each["id"], **each["data"], "tag": []} for each in tasks]), encoding="utf-8")
    holds(read_all(root))


def test_label_studios_masks_without_its_json_ask_for_it(tmp_path: Path) -> None:
    root = one_class_each(tmp_path, "Label Studio")
    next(root.glob("*.json")).unlink()
    with pytest.raises(BadDatasetError, match="JSON"):
        read_all(root)


def test_transparency_alone_is_the_mask_and_beside_colours_is_refused(tmp_path: Path) -> None:
    root = pairs(tmp_path, classes=2)
    for index in range(COUNT):
        labels = labels_of(index, 2)
        pixels = np.zeros((*labels.shape, 4), np.uint8)
        pixels[labels == 1, 3] = 255
        write(root / "masks" / f"p{index:02d}.png", pixels)
    holds(read_all(root, ("background", "red")), 2)
    pixels = np.dstack([painted(labels_of(0)), np.where(np.arange(16)[:, None] < 4, 0, 255) * np.ones((16, 24))])
    write(root / "masks" / "p00.png", pixels.astype(np.uint8))
    with pytest.raises(BadImageError, match="transparent in others"):
        read_all(root)


def smoothed(image: Image.Image) -> Image.Image:
    return image.resize((48, 32), Image.Resampling.BILINEAR).resize((24, 16), Image.Resampling.BILINEAR)


def test_smoothed_and_jpeg_masks_are_refused_and_taken_when_asked(tmp_path: Path) -> None:
    for kind, classes in (("colours", 3), ("binary", 2), ("jpeg", 3)):
        root = pairs(tmp_path / kind, classes=classes)
        for index in range(COUNT):
            labels = labels_of(index, classes)
            image = Image.fromarray(labels * 255 if kind == "binary" else painted(labels))
            path = root / "masks" / f"p{index:02d}.png"
            if kind == "jpeg":
                path.unlink()
                image.save(path.with_suffix(".jpg"), quality=95, subsampling=0)
            else:
                smoothed(image).save(path)
        with pytest.raises(DensecastError, match="soft-masks"):
            read_all(root, LABELS[:classes])
        holds(read_all(root, LABELS[:classes], soft_masks=True), classes)


def test_a_class_that_is_missing_is_no_edge_and_indices_are_not_smoothed(tmp_path: Path) -> None:
    root = pairs(tmp_path, classes=4)
    with pytest.raises(BadImageError, match="no nearest class"):
        read_all(root, soft_masks=True)
    for index in range(COUNT):
        write(root / "masks" / f"p{index:02d}.png", painted(labels_of(index, 4)))
    with pytest.raises(BadImageError, match="no edge"):
        read_all(root, soft_masks=True)


@pytest.mark.parametrize(
    "table",
    [
        "background   0 0 0\nred\t200 40 30\n  green  20  160   60  \n",
        "background;0;0;0\nred;200;40;30\ngreen;20;160;60\n",
        "0 0 0 0 background\n1 200 40 30 red\n2 20 160 60 green\n",
        "id,name,r,g,b\n0,background,0,0,0\n1,red,200,40,30\n2,green,20,160,60\n",
        "background: (0, 0, 0)\nred: [200, 40, 30]\ngreen: (20,160,60)\n",
        "#000000 background\n#c8281e red\ngreen #14a03c\n",
        "0 0 0\t\tbackground\n200 40 30\t\tred\n20 160 60\t\tgreen\n",
        '"background","0","0","0"\n"red","200","40","30"\n"green","20","160","60"\n',
        "name,b,g,r\nbackground,0,0,0\nred,30,40,200\ngreen,60,160,20\n",
        "R;G;B;A;Class name;Nr\n0;0;0;255;background;4\n200;40;30;255;red;9\n20;160;60;255;green;7\n",
        "label\tred\tgreen\tblue\nbackground\t0.0\t0.0\t0.0\nred\t200.0\t40.0\t30.0\ngreen\t20.0\t160.0\t60.0\n",
        "background,0,0,0,255\nred,200,40,30,255\ngreen,20,160,60,255\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_of_colours_are_read_in_every_usual_form(table: str, encoding: str, tmp_path: Path) -> None:
    root = pairs(tmp_path)
    for index in range(COUNT):
        write(root / "masks" / f"p{index:02d}.png", painted(labels_of(index)))
    (root / "colours.txt").write_text(table, encoding=encoding)
    holds(read_all(root, colours=str(root / "colours.txt")))


@pytest.mark.parametrize("heads", ["", "name,r,g,b\n"])
def test_tables_of_western_letters_and_of_names_with_commas_are_read(heads: str, tmp_path: Path) -> None:
    root = pairs(tmp_path)
    table = f'{heads}"mur, façade",0,0,0\nhôtel,200,40,30\n"straße 2",20,160,60\n'
    (root / "class_dict.csv").write_bytes(table.encode("cp1252"))
    assert survey(root, Reading()).labels == ("mur, façade", "hôtel", "straße 2")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"name,r,g,b\nroad,0.1,0.2,0.3\n", "road"),
        (b"name,r,g,b\nroad,1,2\n", "road"),
        (b"name,r,g,b\nroad,1,2,300\n", "road"),
        (b"name,r,g,b\nroad,1,2,3\ncar,1,2,3\n", "one colour"),
        (b"\xe9\x00\x01,1,2,3\n", "not a text"),
        (b'"' + b"a" * 200_000 + b'",1,2,3\n"\n', "line 2"),
    ],
)
def test_tables_that_are_none_name_what_is_wrong(table: bytes, said: str, tmp_path: Path) -> None:
    root = pairs(tmp_path)
    (root / "class_dict.csv").write_bytes(table)
    with pytest.raises(BadConfigError, match=said):
        read_all(root)


def test_a_file_that_may_hold_colours_is_taken_where_it_does(tmp_path: Path) -> None:
    root = pairs(tmp_path)
    (root / "classes.csv").write_text("id,name\n0,background\n1,red\n2,green\n", encoding="utf-8")
    holds(read_all(root))
    for index in range(COUNT):
        write(root / "masks" / f"p{index:02d}.png", painted(labels_of(index))[..., ::-1])
    (root / "class_dict_seg.csv").write_text("name, r, g, b\nbackground,0,0,0\nred,30,40,200\ngreen,60,160,20\n")
    holds(read_all(root))


def test_lists_of_windows_are_read(tmp_path: Path) -> None:
    root = pairs(tmp_path)
    (root / "val.txt").write_text("p01\r\np03\r\n", encoding="utf-16")
    how = Reading(LABELS, COLOURS[:3], False, DataOptions())
    assert [each.id for each in DATASET.for_model(how).open(root, "val").samples] == ["p01", "p03"]


# How a picture is stored of which the tag makes the upright one (EXIF 2.32, 4.6.4 A, orientation).
STORED = {
    1: lambda each: each,
    2: np.fliplr,
    3: lambda each: np.rot90(each, 2),
    4: np.flipud,
    6: np.rot90,
    8: lambda each: np.rot90(each, -1),
}


def turned(root: Path, tags: tuple[int, ...], *, are_upright: bool, size_hw: tuple[int, int] = (16, 24)) -> Path:
    """Pictures with orientation tags, and their masks as they are seen, or as they are stored."""
    for index, tag in enumerate(tags):
        labels = labels_of(index, 3, size_hw)
        labels[0] = 2
        exif = Image.Exif()
        exif[0x0112] = tag
        write(root / "images" / f"{index}.png", np.ascontiguousarray(STORED[tag](painted(labels))), exif=exif)
        write(root / "masks" / f"{index}.png", np.ascontiguousarray(labels if are_upright else STORED[tag](labels)))
    return root


@pytest.mark.parametrize("are_upright", [False, True])
@pytest.mark.parametrize("use_exif", [False, True])
def test_where_one_size_fits_both_frames_other_masks_tell(tmp_path: Path, are_upright: bool, use_exif: bool) -> None:
    tags = (3, 2, 6, 1, 4, 8)
    root = turned(tmp_path, tags, are_upright=are_upright)
    opened = DATASET.for_model(Reading(LABELS, COLOURS[:3], use_exif)).open(root, "all")
    for index, sample in enumerate(opened.samples):
        labels = labels_of(index)
        labels[0] = 2
        wanted = labels if use_exif else STORED[tags[index]](labels)
        np.testing.assert_array_equal(opened.read_target(sample), wanted)
    assert isinstance(opened, HasRemarks) and opened.remarks == ()


@pytest.mark.parametrize(("tags", "size_hw"), [((3, 1), (16, 24)), ((6, 8, 1), (16, 16))])
def test_masks_whose_frame_nothing_tells_are_remarked(
    tmp_path: Path, tags: tuple[int, ...], size_hw: tuple[int, int]
) -> None:
    root = turned(tmp_path, tags, are_upright=True, size_hw=size_hw)
    for use_exif, said in ((True, "upright"), (False, "stored")):
        opened = DATASET.for_model(Reading(LABELS, COLOURS[:3], use_exif)).open(root, "all")
        for sample in opened.samples:
            opened.read_target(sample)
        assert isinstance(opened, HasRemarks)
        (remark,) = opened.remarks
        assert remark.startswith(f"{len(tags) - 1} pictures have an orientation tag (0: {tags[0]})")
        assert f"taken as {said}" in remark


LOSSY = {"JPEG": {"quality": 95}, "WEBP": {"quality": 95}, "TIFF": {"compression": "jpeg"}}
EXACT = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}}


def read_one(root: Path, name: str, labels: np.ndarray, kind: str, how: dict[str, object]) -> np.ndarray:
    """The labels of a mask that was saved as `kind`, whatever its name says."""
    write(root / "images" / "a.png", np.zeros((*labels.shape, 3), np.uint8))
    (root / "masks").mkdir()
    picture = Image.fromarray(labels)
    (picture.convert("RGB") if kind == "WEBP" else picture).save(root / "masks" / name, format=kind, **how)
    (found,) = read_all(root, ("background", "red", "green", "blue"))
    return found


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize("kind", LOSSY)
def test_class_indices_of_a_lossy_file_are_refused_whatever_its_name_is(tmp_path: Path, kind: str, name: str) -> None:
    """At the edge of 0 and 3 such a file holds 1 and 2, which nobody drew, and which are classes as well."""
    labels = np.zeros((32, 32), np.uint8)
    labels[:, 13:] = 3
    with pytest.raises(BadImageError, match=r"lossy.*PNG"):
        read_one(tmp_path, name, labels, kind, LOSSY[kind])


@pytest.mark.parametrize("kind", EXACT)
def test_class_indices_of_an_exact_file_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (32, 32)).astype(np.uint8)
    np.testing.assert_array_equal(read_one(tmp_path, "a.png", labels, kind, EXACT[kind]), labels)


def test_a_lossy_mask_of_one_class_is_what_it_was(tmp_path: Path) -> None:
    labels = np.full((32, 32), 2, np.uint8)
    np.testing.assert_array_equal(read_one(tmp_path, "a.jpg", labels, "JPEG", {}), labels)
