"""Where the rules of masks and lists begin and end: each at its limit, and one beyond it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from made_images import picture
from made_tiff import tiff
from PIL import Image, ImageOps

from densecast.datasets import _coco_masks, _frames, _label_map, _lists, _masks, _names, _unusual_masks
from densecast.datasets._masks import MaskColours
from densecast.errors import BadDatasetError, BadImageError
from densecast.spec.sample import Sample

ORIENTATION = 0x0112
RED, GREEN = (200, 40, 30), (20, 160, 60)


def tagged(path: Path, pixels: np.ndarray, orientation: object) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(stream, "PNG", exif=exif)
    return np.asarray(ImageOps.exif_transpose(Image.open(stream)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_labels_go_from_either_frame_into_the_other_as_pillow_turns_them(tmp_path: Path, orientation: int) -> None:
    photo = tagged(tmp_path / "a.png", picture((12, 20)), orientation)
    stored = np.random.default_rng(orientation).integers(0, 9, (12, 20), dtype=np.uint8)
    upright = turned(stored, orientation)
    np.testing.assert_array_equal(_frames.upright(stored, orientation), upright)
    assert _frames.orientation(photo) == orientation
    assert _frames.sizes_hw(photo) == ((12, 20), upright.shape)
    mask = tmp_path / "m.png"
    if orientation >= 5:  # the size tells the frames apart
        for use_exif, wanted in ((False, stored), (True, upright)):
            for given in (stored, upright):
                np.testing.assert_array_equal(_frames.to_frame(given, photo, mask, use_exif=use_exif), wanted)
    else:  # labels are taken to be where they are needed
        for use_exif in (False, True):
            np.testing.assert_array_equal(_frames.to_frame(stored, photo, mask, use_exif=use_exif), stored)
    with pytest.raises(BadDatasetError, match=r"the labels are 19×12 pixels, their image a\.png 20×12"):
        _frames.to_frame(stored[:, 1:], photo, mask, use_exif=False)


@pytest.mark.parametrize("tag", [0, 9, 300])
def test_a_tag_that_turns_nothing_is_none(tmp_path: Path, tag: int) -> None:
    assert _frames.orientation(tagged(tmp_path / "a.png", picture((4, 6)), tag)) == 1


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_lie_as_they_are_stored_whatever_turns_a_library_by_itself(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    stored = np.random.default_rng(0).integers(0, 21, (5, 8), dtype=np.uint8)
    for pixels in (stored, stored.astype(np.uint16) * 256):
        grey = tagged(tmp_path / f"grey.{suffix}", pixels, orientation)
        np.testing.assert_array_equal(_masks.read_values(grey)[0], pixels)
    bits = tagged(tmp_path / f"bits.{suffix}", stored > 10, orientation)
    np.testing.assert_array_equal(_masks.lighter(bits), stored > 10)
    ids = stored.astype(np.int64) * 1000
    channels = np.stack([ids & 255, ids >> 8, ids * 0], axis=2).astype(np.uint8)
    panoptic = tagged(tmp_path / f"panoptic.{suffix}", channels, orientation)
    np.testing.assert_array_equal(_coco_masks.panoptic_ids(panoptic), ids)


def test_indices_beyond_a_palette_are_indices(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 5], [2, 5, 0]], np.uint8)
    # Written chunk by chunk: tools write palettes of the colours that they know of, and other indices all the same.
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 3, 2, 8, 3, 0, 0, 0),
        b"PLTE": bytes([9, 8, 7, 6, 5, 4]),
        b"IDAT": zlib.compress(b"".join(b"\0" + row.tobytes() for row in mask)),
        b"IEND": b"",
    }
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks.items()
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    values, how = _masks.read_values(tmp_path / "a.png")
    np.testing.assert_array_equal(values, mask)
    assert how == "indices"


@pytest.mark.parametrize(
    ("colours", "is_lighter"),
    [
        (((127, 127, 127),), (False,)),
        (((128, 128, 128),), (True,)),
        (((0, 0, 0),), (False,)),
        (((255, 255, 255),), (True,)),
        (((0, 0, 255), (100, 100, 100)), (False, True)),
        (((90, 90, 90), (255, 0, 0)), (True, False)),
        (((255, 255, 255), (0, 0, 0)), (True, False)),
    ],
)
def test_the_lighter_colour_is_the_object(tmp_path: Path, colours: tuple[object, ...], is_lighter: object) -> None:
    places = np.arange(24).reshape(4, 6) % len(colours)
    Image.fromarray(np.array(colours, np.uint8)[places]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(_masks.lighter(tmp_path / "a.png"), np.array(is_lighter)[places])


def test_colours_of_which_none_is_clearly_lighter_are_refused(tmp_path: Path) -> None:
    for pair in (((255, 0, 0), (0, 255, 0)), ((0, 0, 255), (60, 60, 60))):
        Image.fromarray(np.array(pair, np.uint8)[np.arange(24).reshape(4, 6) % 2]).save(tmp_path / "a.png")
        with pytest.raises(BadImageError, match="neither is clearly the lighter"):
            _masks.lighter(tmp_path / "a.png")
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) % 3).save(tmp_path / "a.png")
    with pytest.raises(BadImageError, match="two values, this one 3"):
        _masks.lighter(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "F"])
@pytest.mark.parametrize("high", [1, 7])
def test_grey_masks_of_any_depth_have_two_values(tmp_path: Path, mode: str, high: int) -> None:
    inside = np.random.default_rng(0).random((4, 6)) < 0.5
    dtype = {"1": bool, "L": np.uint8, "I;16": np.uint16, "F": np.float32}[mode]
    for values in (inside, np.zeros_like(inside), np.ones_like(inside)):
        stored = values.astype(dtype) if mode == "1" else (values * high).astype(dtype)
        Image.fromarray(stored).save(tmp_path / "a.tif")
        np.testing.assert_array_equal(_masks.lighter(tmp_path / "a.tif"), values)


def colours_of(values: np.ndarray, *table: tuple[int, int, int]) -> np.ndarray:
    return np.array(table, np.uint8)[values]


def test_an_even_area_may_be_48_away_from_its_class_and_an_edge_any(tmp_path: Path) -> None:
    soft = MaskColours(known=(((0, 0, 0), RED),), classes=2, nearest=True)
    labels = np.zeros((9, 9), np.uint8)
    labels[3:6, 3:6] = 1  # nine pixels, of which the middle one has equals all around it
    for away, is_read in ((48, True), (49, False)):
        Image.fromarray(colours_of(labels, (0, 0, 0), (RED[0], RED[1], RED[2] + away))).save(tmp_path / "a.png")
        if is_read:
            np.testing.assert_array_equal(_masks.read_values(tmp_path / "a.png", soft)[0], labels)
        else:
            with pytest.raises(BadImageError, match="an area of colour"):
                _masks.read_values(tmp_path / "a.png", soft)
    labels[5, 5] = 0  # no pixel has all eight equals: an edge, however far
    Image.fromarray(colours_of(labels, (0, 0, 0), (255, 255, 0))).save(tmp_path / "a.png")
    np.testing.assert_array_equal(_masks.read_values(tmp_path / "a.png", soft)[0], labels)
    Image.fromarray(colours_of(labels[:2], (0, 0, 0), (255, 255, 0))).save(tmp_path / "a.png")
    assert _masks.read_values(tmp_path / "a.png", soft)[0].shape == (2, 9)


def test_grey_edges_of_two_classes_are_nearest_to_black_or_white(tmp_path: Path) -> None:
    grey = np.array([[0, 100, 127, 128, 200, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "a.png")
    for classes in (None, 2):
        values, how = _masks.read_values(tmp_path / "a.png", MaskColours(classes=classes, nearest=True))
        assert values.tolist() == [[0, 0, 0, 1, 1, 1]] or values.tolist() == [[0, 0, 0, 255, 255, 255]]
        assert how == "values"
    for wrong, classes in ((grey, 3), (grey[:, :3], 2), (grey[:, :3], None)):
        Image.fromarray(wrong).save(tmp_path / "a.png")
        with pytest.raises(BadImageError, match="no nearest class"):
            _masks.read_values(tmp_path / "a.png", MaskColours(classes=classes, nearest=True))
    Image.fromarray(grey * 0).save(tmp_path / "a.png")
    assert not _masks.read_values(tmp_path / "a.png", MaskColours(nearest=True))[0].any()


@pytest.mark.parametrize(("known", "words"), [(13, "colours of no class"), (12, "one index a pixel")])
def test_a_mask_of_mostly_known_colours_has_foreign_ones_and_else_is_of_colours(
    tmp_path: Path, known: int, words: str
) -> None:
    labels = (np.arange(24) >= known).astype(np.uint8).reshape(4, 6)
    Image.fromarray(colours_of(labels, RED, (1, 2, 3))).save(tmp_path / "a.png")
    with pytest.raises(BadImageError, match=words):
        _masks.read_values(tmp_path / "a.png", MaskColours(known=(((0, 0, 0), RED, GREEN),)))


def palette_mask(path: Path, values: list[int], palette: dict[int, int]) -> Path:
    image = Image.frombytes("P", (len(values), 1), bytes(values))
    image.putpalette([channel for index in range(256) for channel in [palette.get(index, index)] * 3])
    image.save(path)
    return path


def test_a_black_and_white_palette_is_two_classes_unless_there_are_more(tmp_path: Path) -> None:
    path = palette_mask(tmp_path / "a.png", [0, 1, 1], {0: 255, 1: 0})
    for classes in (None, 2):
        assert _masks.read_values(path, MaskColours(classes=classes))[0].tolist() == [[1, 0, 0]]
    with pytest.raises(BadImageError, match="the palette is black and white, and the model has 3 classes"):
        _masks.read_values(path, MaskColours(classes=3))
    # An index that is no class says that indices are none.
    path = palette_mask(tmp_path / "b.png", [0, 3, 3], {0: 255, 3: 0})
    assert _masks.read_values(path, MaskColours(classes=3))[0].tolist() == [[255, 0, 0]]
    # Greys are values where all are classes, or 255; else indices are.
    path = palette_mask(tmp_path / "c.png", [0, 1, 2], {0: 2, 1: 0, 2: 255})
    assert _masks.read_values(path, MaskColours(classes=3))[0].tolist() == [[2, 0, 255]]
    assert _masks.read_values(path, MaskColours(classes=2))[0].tolist() == [[0, 1, 2]]


def test_what_lossy_formats_may_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("L", (16, 16)).save(path)
    with Image.open(path) as image:
        for values, classes, is_read in (
            ([5], 9, True),
            ([0, 1], 2, True),
            ([0, 1], None, True),
            ([0, 1], 3, False),
            ([0, 1, 2], 2, False),
            ([0, 1, 2], None, False),
        ):
            if is_read:
                _unusual_masks.refuse_lossy(path, image, np.array(values), classes)
            else:
                with pytest.raises(BadImageError, match="lossy"):
                    _unusual_masks.refuse_lossy(path, image, np.array(values), classes)


def test_pages_of_one_size_are_several_masks_and_smaller_ones_are_previews(tmp_path: Path) -> None:
    first, other, small = (Image.new("L", size, 3) for size in ((8, 6), (8, 6), (4, 3)))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[other])
    with pytest.raises(BadImageError, match="holds 2 pages"):
        _masks.read_values(tmp_path / "a.tif")
    first.save(tmp_path / "b.tif", save_all=True, append_images=[small])
    assert (_masks.read_values(tmp_path / "b.tif")[0] == 3).all()


def test_labels_are_0_to_255_and_known(tmp_path: Path) -> None:
    Image.fromarray(picture((1, 7))).save(tmp_path / "a.jpg")
    sample = Sample("a", tmp_path / "a.jpg", tmp_path / "a.tif")

    def read(values: list[int], dtype: str = "uint16") -> list[int]:
        sample.target.write_bytes(tiff(np.array(values, dtype).reshape(1, 7, 1)))
        return [int(each) for each in _label_map.read_label_map(sample, (*range(19), 255))[0]]

    assert read([0, 1, 18, 255, 2, 3, 4]) == [0, 1, 18, 255, 2, 3, 4]
    for values, dtype, words in (
        ([0, 0, 0, 0, 0, 0, 256], "uint16", r"holds the label 256; known are 0\.\.18, 255"),
        ([0, 0, 0, 0, 0, 0, -1], "int32", "holds the label -1"),
        ([0, 0, 0, 0, 0, 0, 19], "uint16", r"holds the label 19; .* 14\.3% of its pixels"),
        ([0, 20, 21, 22, 23, 24, 24], "uint16", "holds the label 20, 21, 22, 23, 24; known"),
        ([19, 20, 21, 22, 23, 24, 24], "uint16", "holds the label 19, 20, 21, 22, 23, …; known"),
    ):
        with pytest.raises(BadDatasetError, match=words):
            read(values, dtype)
    assert _label_map.in_words([3, 1, 2, 7, 255, 254]) == "1..3, 7, 254..255"


def test_lists_up_to_their_limits(tmp_path: Path) -> None:
    path = tmp_path / "val.txt"
    path.write_text("a\nb c\n\n  d \n")
    assert _lists.read_names(path, path.stat().st_size) == ["a", "b c", "d"]
    with pytest.raises(BadDatasetError, match="this is no list"):
        _lists.read_names(path, path.stat().st_size - 1)
    path.write_text("x" * 1024)
    assert _lists.read_names(path) == ["x" * 1024]
    for wrong in ("x" * 1025, "a\0b"):
        path.write_text(wrong)
        with pytest.raises(BadDatasetError, match="is no file name"):
            _lists.read_names(path)
    path.write_text("a\nb\na\nb\na\n")
    with pytest.raises(BadDatasetError, match="names 3 images twice"):
        _lists.read_names(path)
    path.write_text("a 1\nb -1\nc 0\n")
    assert _lists.read_names(path) == ["a", "b", "c"]
    # Of one line that has none, or one that is a picture's name, all are names.
    assert _lists.read_names(path, is_there=lambda name: name == "c 0") == ["a 1", "b -1", "c 0"]
    path.write_text("a 1\nb\n")
    assert _lists.read_names(path) == ["a 1", "b"]
    path.write_bytes(b"\xff\x00")
    with pytest.raises(BadDatasetError, match="not a text"):
        _lists.read_names(path)


def test_files_are_found_by_their_stems(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", ".c.png", "d.txt", "sub/e.tif", ".hid/f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in _names.images_of(tmp_path)] == ["a.jpg", "b.PNG"]
    assert [path.name for path in _names.images_of(tmp_path, below=True)] == ["a.jpg", "b.PNG", "e.tif"]
    assert _names.images_of(tmp_path / "absent") == [] == _names.images_of(tmp_path / "a.jpg")
    (tmp_path / "a.png").touch()
    with pytest.raises(BadDatasetError, match=r"a\.jpg and a\.png are pictures of one name"):
        _names.by_stem(_names.images_of(tmp_path), "pictures")
    composed, apart = "\u00e9.png", "e\u0301.png"
    (tmp_path / apart).touch()
    assert _names.in_folder(tmp_path, composed).name == apart
    assert _names.in_folder(tmp_path, "z\u00e9.png") == tmp_path / "z\u00e9.png"
