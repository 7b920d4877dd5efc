"""Which files of a folder are pictures, which of them a list names, runs of a mask, and tags of a TIFF."""

from __future__ import annotations

import io
import struct
from pathlib import Path, PurePath

import numpy as np
import pytest

from densecast.errors import BadDatasetError, BadImageError, BadInputError, MissingFileError
from densecast.imaging import folder, geotiff, name_list, run_lengths, tiff_tags


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.JPG", "a.png", "c.tiff", "note.txt", "raw.heic", "more.HEIC", "plain", ".hidden.png",
        "sub/d.webp", "sub/deep/e.gif", ".git/f.png",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "lost.png").symlink_to(tmp_path / "absent.png")
    (tmp_path / "sub" / "circle").symlink_to(tmp_path)
    return tmp_path


def test_pictures_are_listed_in_order_and_all_else_is_told(tree: Path) -> None:
    found = folder.list_images(tree)
    # A link that leads nowhere is kept, for it to be named.
    assert [path.name for path in found.images] == ["a.png", "b.JPG", "c.tiff", "lost.png"]
    assert found.remark() == "2 .heic, 1 .txt, 1 file without an ending, 1 subfolder"
    deep = folder.list_images(tree, recursive=True)
    assert [str(path.relative_to(tree)) for path in deep.images] == [
        "a.png", "b.JPG", "c.tiff", "lost.png", "sub/d.webp", "sub/deep/e.gif",
    ]  # fmt: skip
    assert deep.remark() == "2 .heic, 1 .txt, 1 file without an ending"
    (tree / "other").mkdir()
    (tree / "none").touch()
    assert folder.list_images(tree).remark() == "2 .heic, 1 .txt, 2 files without an ending, 2 subfolders"
    assert folder.images_in(tree) == found.images


def test_a_folder_without_pictures_says_what_it_holds(tree: Path) -> None:
    (tree / "empty").mkdir()
    (tree / "outer" / "inner").mkdir(parents=True)
    with pytest.raises(BadDatasetError, match=r"holds no images .*It holds 1 subfolder\."):
        folder.images_in(tree / "outer")
    with pytest.raises(BadDatasetError, match=r"holds no images \([^)]*\)\.$"):
        folder.images_in(tree / "empty")
    for wrong in (tree / "absent", tree / "a.png"):
        with pytest.raises(MissingFileError, match="does not exist"):
            folder.list_images(wrong)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"a.png\nb c.png\n\n", ["a.png", "b c.png"]),
        (b"a\r\nb\rc", ["a", "b", "c"]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        ("ä\nb\n".encode("utf-16"), ["ä", "b"]),
        (b"\xfe\xff" + "ä\n".encode("utf-16-be"), ["ä"]),
        (b"a\nb\0c\0", ["a\nb", "c"]),
        (b" a \n \n", [" a "]),
        (b"a\xff.png\n", ["a\udcff.png"]),
        ("a\u2028b\n".encode(), ["a\u2028b"]),
    ],
)
def test_lists_are_one_name_a_line_of_any_system(data: bytes, names: list[str], tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(data)
    assert name_list.read_names(tmp_path / "list") == names


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    for data, words in ((b"\n \n", "names no images"), (b"\xff\xfea", "not a text")):
        with pytest.raises(BadInputError, match=words):
            name_list.names_in(data, Path("list"))
    limit = 16 << 20
    assert len(name_list.names_in(b"a" * limit, Path("list"))[0]) == limit
    (tmp_path / "list").write_bytes(b"a" * (limit + 1))
    with pytest.raises(BadInputError, match="larger than 16 MiB"):
        name_list.read_names(tmp_path / "list")
    with pytest.raises(MissingFileError, match="cannot be read"):
        name_list.read_names(tmp_path / "absent")


def test_names_are_looked_for_from_the_whole_path_to_the_stem() -> None:
    paths = [(Path("d", *below.split("/")), PurePath(below)) for below in ("x/a.png", "y/a.png", "y/b.jpg", "x.png")]

    def chosen(*names: str) -> list[int]:
        return name_list.choose(paths, names, Path("list"))

    assert chosen("d/y/a.png", "x/a.png", "y/a", "b.jpg", "b", "x") == [1, 0, 1, 2, 2, 3]
    assert chosen("./d/x/../y/b.jpg", " b.jpg ", "y//b.jpg") == [2, 2, 2]
    assert chosen("b", "b") == [2, 2]
    for twice in ("a", "a.png"):
        with pytest.raises(BadInputError, match=rf"names {twice}, which may be d/x/a\.png or d/y/a\.png"):
            chosen("b", twice)
    with pytest.raises(MissingFileError, match="names 2 images that are not given, the first is q"):
        chosen("b", "q", "r")
    # Blanks belong to a name: without them it is looked for last.
    blank = [(Path(name), PurePath(name)) for name in ("x.png", " x.png")]
    assert name_list.choose(blank, [" x.png", "x.png", "x.png "], Path("list")) == [1, 0, 0]
    apart, composed = "e\u0301.png", "\u00e9.png"
    one = [(Path(apart), PurePath(apart))]
    assert name_list.choose(one, [composed], Path("list")) == [0]
    both = [*one, (Path(composed), PurePath(composed))]
    assert name_list.choose(both, [composed, apart], Path("list")) == [1, 0]  # as it is spelt goes before


@pytest.mark.coco
def test_runs_of_a_mask_are_cocos_own() -> None:
    mask_of_coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    masks = [rng.random((17, 23)) < share for share in (0.0, 0.05, 0.5, 0.95, 1.0)]
    blocks = np.zeros((300, 400), bool)  # runs of more than 5, 10 and 15 bits, and differences below zero
    blocks[10:290, 60], blocks[5:6, 70:300], blocks[:, 350:] = True, True, True
    masks += [blocks, ~blocks, np.ones((1, 1), bool), np.zeros((1, 1), bool)]
    for mask in masks:
        found = run_lengths.encode(mask)
        wanted = mask_of_coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert found == {"size": list(wanted["size"]), "counts": wanted["counts"].decode()}


def directory(order: str, big: bool, entries: list[tuple[int, int, int, bytes]], extra: bytes = b"") -> bytes:
    """A TIFF of one directory behind `extra`; entries are tag, type, count and the bytes of their field."""
    inline, offset = (8, "Q") if big else (4, "I")
    start = {"<": b"II", ">": b"MM"}[order]
    start += (
        struct.pack(f"{order}HHHQ", 43, 8, 0, 16 + len(extra)) if big else struct.pack(f"{order}HI", 42, 8 + len(extra))
    )
    body = struct.pack(order + ("Q" if big else "H"), len(entries))
    for tag, kind, count, field in entries:
        body += struct.pack(f"{order}HH{offset}", tag, kind, count) + field.ljust(inline, b"\0")
    return start + extra + body + struct.pack(order + offset, 77)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tags_of_every_type_are_read(order: str, big: bool) -> None:
    begin, offset = (16, "Q") if big else (8, "I")
    doubles, rational = struct.pack(f"{order}2d", 1.5, -2.5), struct.pack(f"{order}4i", 1, 2, 3, 0)
    text = b"a long text\0"
    extra = doubles + rational + text

    def at(place: int) -> bytes:
        return struct.pack(order + offset, begin + place)

    data = directory(order, big, [
        (256, 3, 1, struct.pack(f"{order}H", 700)),
        (257, 4, 1, struct.pack(f"{order}I", 70000)),
        (258, 1, 3, bytes([1, 2, 3])),
        (259, 8, 2, struct.pack(f"{order}2h", -5, 5)),
        (270, 2, 3, b"ab\0"),
        (271, 2, len(text), at(32)),
        (282, 10, 2, at(16)),
        (300, 99, 1, b"\1"),  # a type that nobody knows
        (33550, 12, 2, at(0)),
    ], extra)  # fmt: skip
    tags = tiff_tags.read_tags(io.BytesIO(data), "a.tif")
    assert (tags.order, tags.is_big, tags.next_at) == (order, big, 77)
    assert tags.values == {
        256: (700,), 257: (70000,), 258: (1, 2, 3), 259: (-5, 5), 270: b"ab\0", 271: text, 282: (0.5, 0.0),
        33550: (1.5, -2.5),
    }  # fmt: skip
    assert (tags.one(256, 9), tags.one(999, 9), tags.one(270, 9)) == (700, 9, 9)
    assert (tags.text(271), tags.text(256), tags.text(999), tags.numbers(270)) == ("a long text", "", "", ())
    assert tiff_tags.is_tiff(data) and not tiff_tags.is_tiff(b"II*") and not tiff_tags.is_tiff(b"\x89PNG")
    for cut in (6, 20, len(data) - 3):
        with pytest.raises(BadImageError, match=r"a\.tif: the TIFF's directory is damaged"):
            tiff_tags.read_tags(io.BytesIO(data[:cut]), "a.tif")
    with pytest.raises(BadImageError, match="no TIFF"):
        tiff_tags.read_tags(io.BytesIO(b"text"), "a.tif")


def test_a_directory_of_too_many_tags_or_values_is_refused() -> None:
    many = [(1000 + place, 3, 1, b"\1") for place in range(4096)]
    assert len(tiff_tags.read_tags(io.BytesIO(directory("<", False, many)), "a").values) == 4096
    with pytest.raises(BadImageError, match="4097 tags"):
        tiff_tags.read_tags(io.BytesIO(directory("<", False, [*many, many[0]])), "a")
    with pytest.raises(BadImageError, match="a tag of 67108865 values"):
        tiff_tags.read_tags(io.BytesIO(directory("<", False, [(256, 3, (1 << 26) + 1, b"")])), "a")


MATRIX = (2.0, 0.5, 0.0, 100.0, -0.25, -3.0, 0.0, 200.0, 0, 0, 0, 0, 0, 0, 0, 1)


@pytest.mark.parametrize(
    ("values", "affine", "crs"),
    [
        ({34264: MATRIX}, (2.0, 0.5, 100.0, -0.25, -3.0, 200.0), None),
        # Half a pixel along both axes, where the tags speak of centres.
        (
            {34264: MATRIX, 34735: (1, 1, 0, 1, 1025, 0, 1, 2)},
            (2.0, 0.5, 98.75, -0.25, -3.0, 201.625),
            None,
        ),
        (
            {33550: (2.0, 3.0, 0.0), 33922: (1.0, 2.0, 0.0, 10.0, 20.0, 0.0), 34735: (1, 1, 0, 1, 2048, 0, 1, 4326)},
            (2.0, 0.0, 8.0, 0.0, -3.0, 26.0),
            "EPSG:4326",
        ),
        # Some writers leave out the scale of heights.
        ({33550: (2.0, 3.0), 33922: (1.0, 2.0, 0.0, 10.0, 20.0, 0.0)}, (2.0, 0.0, 8.0, 0.0, -3.0, 26.0), None),
        # A projected system goes before the geodetic one; one that the file defines itself has no code.
        ({34264: MATRIX, 34735: (1, 1, 0, 2, 2048, 0, 1, 4326, 3072, 0, 1, 32633)}, None, "EPSG:32633"),
        ({34264: MATRIX, 34735: (1, 1, 0, 1, 3072, 0, 1, 32767)}, None, None),
        ({34264: MATRIX, 34735: (1, 1, 0, 1, 3072, 0, 1, 0)}, None, None),
        # Keys beyond the count that is told, and keys whose value lies elsewhere, are none.
        ({34264: MATRIX, 34735: (1, 1, 0, 0, 3072, 0, 1, 32633)}, None, None),
        ({34264: MATRIX, 34735: (1, 1, 0, 1, 3072, 34736, 1, 32633)}, None, None),
    ],
)
def test_where_pixels_lie_follows_from_the_tags(
    values: dict[int, tuple[float, ...]], affine: tuple[float, ...] | None, crs: str | None
) -> None:
    found = geotiff.of_tags(tiff_tags.Tags(values, "<", False, 0))
    assert found is not None and found.crs == crs
    if affine is not None:
        assert found.transform == affine
    kept = geotiff.kept(tiff_tags.Tags({**values, 256: (3,)}, "<", False, 0))
    assert kept == values


def test_tags_that_no_affine_map_follows_from_are_no_georeference() -> None:
    for values in ({}, {34264: MATRIX[:12]}, {33550: (2.0, 3.0, 0.0)}, {33550: (1.0,), 33922: (0.0,) * 6},
                   {33550: (1.0, 1.0, 0.0), 33922: (0.0,) * 12}):  # fmt: skip
        assert geotiff.of_tags(tiff_tags.Tags(values, "<", False, 0)) is None  # type: ignore[arg-type]
