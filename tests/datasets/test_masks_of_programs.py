"""Masks that programs write: numpy's arrays, and a simulator's picture with the class in one channel."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_mask_folders import COLOURS, labels_of, painted, pairs, write
from PIL import Image

from densecast.datasets import _mask_arrays
from densecast.datasets.pairs import DATASET, survey
from densecast.errors import BadImageError, DensecastError
from densecast.spec.data_options import DataOptions, Reading
from densecast.spec.sample import Split

LABELS = ("ground", "red", "green")
COUNT = 4


def opened(root: Path, split: Split = "all", palette: bool = True, suffix: str | None = None) -> list[np.ndarray]:
    how = Reading(LABELS, COLOURS[:3] if palette else (), False, DataOptions(suffix=suffix))
    dataset = DATASET.for_model(how).open(root, split)
    return [dataset.read_target(sample) for sample in dataset.samples]


def holds(found: list[np.ndarray]) -> None:
    assert len(found) == COUNT
    for index, labels in enumerate(found):
        np.testing.assert_array_equal(labels, labels_of(index))


def with_arrays(root: Path, save: Callable[[Path, np.ndarray], None], name: str = "p{:02d}.npy") -> Path:
    (root / "masks").mkdir(parents=True)
    for index in range(COUNT):
        write(root / "images" / f"p{index:02d}.jpg", painted(labels_of(index)))
        save(root / "masks" / name.format(index), labels_of(index))
    return root


SAVED: dict[str, tuple[Callable[[Path, np.ndarray], None], str]] = {
    "bytes": (lambda path, labels: np.save(path, labels), "p{:02d}.npy"),
    "64 bits": (lambda path, labels: np.save(path, labels.astype(np.int64)), "p{:02d}_mask.npy"),
    "whole floats": (lambda path, labels: np.save(path, labels.astype(np.float32)), "p{:02d}.npy"),
    "an axis of one": (lambda path, labels: np.save(path, labels[None]), "p{:02d}.npy"),
    "another axis of one": (lambda path, labels: np.save(path, labels[..., None]), "p{:02d}.npy"),
    "colours": (lambda path, labels: np.save(path, painted(labels)), "p{:02d}.npy"),
    "one packed array": (lambda path, labels: np.savez_compressed(path, labels), "p{:02d}.npz"),
    "one of several": (lambda path, labels: np.savez(path, image=painted(labels), label=labels), "p{:02d}.npz"),
}


@pytest.mark.parametrize("kind", list(SAVED))
def test_arrays_are_masks(kind: str, tmp_path: Path) -> None:
    save, name = SAVED[kind]
    holds(opened(with_arrays(tmp_path, save, name)))


def test_an_array_of_true_and_false_is_a_mask_of_two_classes(tmp_path: Path) -> None:
    root = with_arrays(tmp_path, lambda path, labels: np.save(path, labels > 0))
    dataset = DATASET.for_model(Reading(("ground", "thing"))).open(root, "all")
    for index, sample in enumerate(dataset.samples):
        np.testing.assert_array_equal(dataset.read_target(sample), labels_of(index) > 0)


def test_arrays_of_one_class_each_are_joined(tmp_path: Path) -> None:
    for index in range(COUNT):
        write(tmp_path / "images" / f"p{index:02d}.png", painted(labels_of(index)))
        for place, label in enumerate(LABELS[1:], start=1):
            (tmp_path / "masks" / label).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "masks" / label / f"p{index:02d}.npy", labels_of(index) == place)
    found = opened(tmp_path)
    for index, labels in enumerate(found):
        np.testing.assert_array_equal(labels, np.where(labels_of(index) == 0, 255, labels_of(index)))


def test_images_go_before_arrays_unless_these_are_named_or_all_that_serves(tmp_path: Path) -> None:
    root = pairs(tmp_path, COUNT)
    for index in range(COUNT):
        np.save(root / "masks" / f"p{index:02d}.npy", np.zeros((16, 24), np.uint8))
    holds(opened(root))
    assert not np.any(opened(root, suffix=".npy"))
    for index in range(COUNT):
        (root / "masks" / f"p{index:02d}.png").rename(root / "masks" / f"p{index:02d}_shown.png")
    assert not np.any(opened(root))


def test_arrays_lie_beside_their_pictures_if_they_have_their_size(tmp_path: Path) -> None:
    for index in range(COUNT):
        write(tmp_path / f"p{index:02d}.png", painted(labels_of(index)))
        np.save(tmp_path / f"p{index:02d}.npy", labels_of(index))
    holds(opened(tmp_path))
    for path in tmp_path.glob("*.npy"):
        np.save(path, np.zeros(512, np.float32))
    with pytest.raises(DensecastError, match="holds no pictures with masks"):
        opened(tmp_path)


def test_a_turned_picture_s_array_tells_its_frame(tmp_path: Path) -> None:
    tag = Image.Exif()
    tag[274] = 6
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.fromarray(painted(labels_of(0))).save(tmp_path / "images" / "a.png", exif=tag)
    np.save(tmp_path / "masks" / "a.npy", np.rot90(labels_of(0), -1))
    (found,) = opened(tmp_path)
    np.testing.assert_array_equal(found, labels_of(0))


@pytest.mark.parametrize(
    ("save", "told"),
    [
        (
            lambda path, labels: np.save(path, np.eye(3, dtype=np.uint8)[labels]),
            "one class a pixel; .* save its argmax",
        ),
        (lambda path, labels: np.save(path, labels / 2), "holds fractions"),
        (lambda path, labels: np.save(path, labels.astype(np.complex64)), "complex64"),
        (lambda path, labels: np.save(path, labels.astype(object), allow_pickle=True), "no array that can be read"),
        (lambda path, labels: path.write_bytes(b"\x93NUMPY\x01\x00"), "no array that can be read"),
        (lambda path, labels: path.write_bytes(b""), "the file is empty"),
    ],
    ids=["a plane a class", "fractions", "complex", "pickled", "cut off", "empty"],
)
def test_arrays_that_are_no_masks_are_refused(
    save: Callable[[Path, np.ndarray], None], told: str, tmp_path: Path
) -> None:
    with pytest.raises(BadImageError, match=told):
        opened(with_arrays(tmp_path, save))


def test_an_archive_says_which_array_is_the_mask_and_is_not_unpacked_without_end(tmp_path: Path) -> None:
    root = with_arrays(tmp_path / "two", lambda path, labels: np.savez(path, a=labels, b=labels), "p{:02d}.npz")
    with pytest.raises(BadImageError, match=r"which array is the mask.* a, b"):
        opened(root)

    def bomb(path: Path, labels: np.ndarray) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("mask.npy", "w") as entry:
            np.lib.format.write_array_header_1_0(
                entry, {"descr": "<i8", "fortran_order": False, "shape": (1 << 15, 1 << 14)}
            )
            for _ in range(1 << 5):
                entry.write(bytes(1 << 20))
        # The directory claims what the header does.
        data = path.read_bytes()
        size = (1 << 25) + 128
        path.write_bytes(data.replace(size.to_bytes(4, "little"), (3 << 30).to_bytes(4, "little")))

    with pytest.raises(BadImageError, match="masks of up to 178,956,970 pixels"):
        opened(with_arrays(tmp_path / "bomb", bomb, "p{:02d}.npz"))


@pytest.mark.parametrize("channel", [0, 2], ids=["red", "blue"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("palette", [False, True])
def test_a_class_in_one_channel_is_read_from_it(channel: int, alpha: bool, palette: bool, tmp_path: Path) -> None:
    for index in range(COUNT):
        labels = labels_of(index)
        # Most of it is class 0, black, as what is not labelled.
        labels[2:] = 0
        colours = np.zeros((*labels.shape, 4 if alpha else 3), np.uint8)
        colours[..., channel] = labels
        if alpha:
            colours[..., 3] = 255
        write(tmp_path / "images" / f"p{index:02d}.png", painted(labels))
        write(tmp_path / "masks" / f"p{index:02d}.png", colours)
    for index, found in enumerate(opened(tmp_path, palette=palette)):
        np.testing.assert_array_equal(found[:2], labels_of(index)[:2])
        assert not found[2:].any()


@pytest.mark.parametrize("value", [3, 128, 255])
def test_one_colour_on_black_that_is_no_index_is_no_class(value: int, tmp_path: Path) -> None:
    for index in range(COUNT):
        colours = np.zeros((16, 24, 3), np.uint8)
        colours[:, :8, 0] = value
        write(tmp_path / "images" / f"p{index:02d}.png", painted(labels_of(index)))
        write(tmp_path / "masks" / f"p{index:02d}.png", colours)
    with pytest.raises(BadImageError, match="--colours"):
        opened(tmp_path, palette=False)


def test_the_folder_of_an_unpacked_archive_is_looked_into(tmp_path: Path) -> None:
    home = tmp_path / "data-v2" / "data-v2"
    pairs(home, COUNT)
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "README.md").write_text("a data set\n", encoding="utf-8")
    holds(opened(tmp_path))
    assert len(survey(tmp_path).samples) == COUNT
    # A table beside the folder may say what its values are: then the folder is not taken without it.
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nroad,0,0,0\ncar,9,9,9\n", encoding="utf-8")
    with pytest.raises(DensecastError, match="holds no pictures with masks"):
        opened(tmp_path)


def test_pictures_of_val_that_are_in_train_are_remarked(tmp_path: Path) -> None:
    pairs(tmp_path, COUNT, images="images/train", masks="masks/train")
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/train\n", encoding="utf-8")
    how = Reading(LABELS, COLOURS[:3])
    dataset = DATASET.for_model(how).open(tmp_path, "val")
    assert len(dataset.samples) == COUNT
    assert [text.partition(":")[0] for text in dataset.remarks] == ["4 of 4 pictures of val are in train as well"]
    assert DATASET.for_model(how).open(tmp_path, "train").remarks == ()
    listed = pairs(tmp_path / "listed", COUNT)
    (listed / "train.txt").write_text("p00\np01\np02\n", encoding="utf-8")
    (listed / "val.txt").write_text("p02\np03\n", encoding="utf-8")
    remarks = DATASET.for_model(how).open(listed, "val").remarks
    assert [text.partition(":")[0] for text in remarks] == ["1 of 2 pictures of val are in train as well"]


def test_the_size_of_an_array_is_that_of_its_plane_and_of_a_picture_that_of_its_header(tmp_path: Path) -> None:
    np.save(tmp_path / "plane.npy", np.zeros((5, 7), np.uint8))
    np.save(tmp_path / "first.npy", np.zeros((1, 5, 7), np.int64))
    np.save(tmp_path / "last.npy", np.zeros((5, 7, 1), np.int64))
    (tmp_path / "last.npy").rename(tmp_path / "last.NPY")
    np.savez(tmp_path / "one.npz", mask=np.zeros((5, 7), bool))
    Image.new("L", (7, 5)).save(tmp_path / "picture.png")
    for name in ("plane.npy", "first.npy", "last.NPY", "one.npz"):
        assert _mask_arrays.is_array(tmp_path / name)
        assert _mask_arrays.size_hw(tmp_path / name) == (5, 7)
    assert not _mask_arrays.is_array(tmp_path / "picture.png")
    assert _mask_arrays.size_hw(tmp_path / "picture.png") == (5, 7)
