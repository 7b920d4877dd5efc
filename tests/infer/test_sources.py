"""Which images are meant by files, folders, patterns and lists, and what is said of the rest."""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from command_line import densecast, failed
from PIL import Image

from densecast.errors import BadInputError, MissingFileError
from densecast.verbs.infer import sources


def image(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16, 3), shade, np.uint8)).save(path)
    return path


def names(found: sources.Sources) -> list[str]:
    return [each.path.name for each in found.images]


def listed(folder: Path, data: bytes, **more: bool) -> list[str]:
    """The images in `folder` that a list of these bytes names."""
    listing = folder.parent / "list.txt"
    listing.write_bytes(data)
    return names(sources.find([folder], named_in=listing, **more))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """`my photo.jpg`, `day.jpg`, `1.jpg`, `x.jpg`, `x.png`."""
    for name in ("my photo.jpg", "day.jpg", "1.jpg", "x.jpg", "x.png"):
        image(tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "data",
    [b"my photo.jpg\n1\n", b"\xef\xbb\xbfmy photo.jpg\r\n1.jpg\r\n", b"\nmy photo\n\n1", b"my photo.jpg\r1.jpg",
     "my photo.jpg\r\n1.jpg\r\n".encode("utf-16"), b"my photo.jpg\x001.jpg\x00", b"./my photo.jpg\n 1.jpg \n"],
)  # fmt: skip
def test_a_line_is_one_name_whatever_system_wrote_it(data: bytes, photos: Path) -> None:
    assert listed(photos, data) == ["my photo.jpg", "1.jpg"]


def test_two_names_on_a_line_are_not_two_images(photos: Path) -> None:
    with pytest.raises(MissingFileError, match=r"the first is day 1"):
        listed(photos, b"day 1\n")


def test_a_list_that_is_empty_is_refused(photos: Path) -> None:
    for data in (b"", b"\n \n", b"\xef\xbb\xbf"):
        with pytest.raises(BadInputError, match="names no images"):
            listed(photos, data)


def test_a_stem_of_two_files_is_refused_and_a_name_is_not(photos: Path) -> None:
    with pytest.raises(BadInputError, match=r"x\.jpg or .*x\.png"):
        listed(photos, b"x\n")
    assert listed(photos, b"x.png\n") == ["x.png"]


def test_names_of_files_in_two_folders_need_their_folder(tmp_path: Path) -> None:
    for side in ("left", "right"):
        image(tmp_path / "in" / side / "a.jpg")
    with pytest.raises(BadInputError, match="its folder"):
        listed(tmp_path / "in", b"a.jpg\n", recursive=True)
    (tmp_path / "list.txt").write_text("right/a\n")
    found = sources.find([tmp_path / "in"], recursive=True, named_in=tmp_path / "list.txt")
    assert [str(each.below) for each in found.images] == ["right/a.jpg"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_that_looks_equal_is_found(form: str, tmp_path: Path) -> None:
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    image(tmp_path / "in" / unicodedata.normalize(other, "één.png"))
    assert listed(tmp_path / "in", unicodedata.normalize(form, "één.png").encode()) == [
        unicodedata.normalize(other, "één.png")
    ]


def test_a_name_that_is_not_utf8_is_found_by_its_bytes_and_its_results_are_listed(bright: Path, tmp_path: Path) -> None:
    raw = "é.png".encode("latin-1")
    written = image(tmp_path / "in" / os.fsdecode(raw))
    assert listed(tmp_path / "in", raw) == [os.fsdecode(raw)]
    ended = densecast("infer", bright, tmp_path / "in", "--out", tmp_path / "out", "--json", tmp_path / "r.json")
    assert ended.code == 0, ended.err
    text = (tmp_path / "r.json").read_bytes().decode("utf-8", "surrogateescape")
    (entry,) = json.loads(text)["results"]
    assert os.fsencode(entry["image"]) == os.fsencode(written) and os.fsencode(written).endswith(raw)
    assert Path(entry["file"]).is_file()
    assert densecast("infer", bright, tmp_path / "in", "--out", tmp_path / "out", "-q").code == 0


def test_the_longest_name_that_the_file_system_takes_has_a_result(bright: Path, tmp_path: Path) -> None:
    # Results end in .png, too: the result's name is as long as the image's.
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    source = image(tmp_path / "in" / f"{'a' * (longest - 4)}.png")
    for _ in range(2):
        assert densecast("infer", bright, source, "--out", tmp_path / "out", "-q").code == 0
    assert (tmp_path / "out" / source.name).is_file()


def test_a_name_too_long_for_its_results_is_refused_before_anything_runs(bright: Path, tmp_path: Path) -> None:
    longest = os.pathconf(tmp_path, "PC_NAME_MAX")
    source = image(tmp_path / "in" / f"{'a' * (longest - 4)}.png")
    message = failed(2, "infer", bright, source, "--out", tmp_path / "out", "--overlay", "-q")
    assert f"longer than the {longest}" in message and not (tmp_path / "out").exists()


def test_the_same_picture_twice_is_taken_once_and_said(
    bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    image(tmp_path / "in" / "a.png")
    monkeypatch.chdir(tmp_path)
    ended = densecast("infer", bright, "in", "in/a.png", tmp_path / "in" / "a.png", "in/../in", "--out", "out")
    assert ended.code == 0 and "1 results" in ended.out and "taken once" in caplog.text


def test_every_ending_that_is_read_by_name_is_found_in_a_folder(tmp_path: Path) -> None:
    formats = {".jfif": "JPEG", ".jpe": "JPEG", ".gif": "GIF", ".ppm": "PPM", ".JPG": "JPEG", ".tiff": "TIFF"}
    for number, (suffix, kind) in enumerate(formats.items()):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.new("RGB", (16, 16)).save(tmp_path / "in" / f"{number}{suffix}", kind)
    assert {Path(name).suffix for name in names(sources.find([tmp_path / "in"]))} == set(formats)


def test_what_a_folder_held_beside_is_said(bright: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "in"
    image(folder / "a.png")
    image(folder / "b.jpg" / "inside.jpg")  # a folder of an image's name
    (folder / "c.heic").write_bytes(b"0")
    (folder / "d.HEIC").write_bytes(b"0")
    (folder / "notes").write_bytes(b"0")
    (folder / "._a.png").write_bytes(b"what macOS leaves")
    (folder / ".DS_Store").write_bytes(b"0")
    ended = densecast("infer", bright, folder, "--out", tmp_path / "out", "--json", tmp_path / "r.json")
    assert ended.code == 0
    assert "left out 2 .heic, 1 file without an ending, 1 subfolder; --recursive" in caplog.text
    assert json.loads((tmp_path / "r.json").read_text())["left_out"] == {
        ".heic": 2, "file without an ending": 1, "subfolder": 1,
    }  # fmt: skip
    ended = densecast("infer", bright, folder, "--recursive", "--out", tmp_path / "deep", "-q")
    assert (ended.code, ended.err) == (0, "")
    assert (tmp_path / "deep" / "b.jpg" / "inside.png").is_file()


def test_pages_beyond_the_first_are_said(bright: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pages = [Image.new("RGB", (16, 16), shade) for shade in ("white", "black")]
    pages[0].save(tmp_path / "scan.tiff", save_all=True, append_images=pages[1:])
    ended = densecast("infer", bright, tmp_path / "scan.tiff", "--out", tmp_path / "out", "--overlay")
    assert ended.code == 0
    # The headers are read before, the file itself for the network and for the overlay.
    assert caplog.text.count("holds several pictures; the first is taken") == 1
    assert np.asarray(Image.open(tmp_path / "out" / "scan.png")).all()


def test_trees_of_several_folders_are_kept_apart(bright: Path, tmp_path: Path) -> None:
    for day in ("monday", "tuesday"):
        image(tmp_path / day / "left" / "a.png")
    ended = densecast(
        "infer", bright, tmp_path / "monday", tmp_path / "tuesday", "--recursive", "--out", tmp_path / "out", "-q"
    )
    assert ended.code == 0, ended.err
    found = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png"))
    assert found == ["monday/left/a.png", "tuesday/left/a.png"]


def test_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    image(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    assert names(sources.find([tmp_path / "in"], recursive=True)) == ["a.png"]


def test_patterns_and_lists_are_sources(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert names(sources.find([f"{photos}/*.png"])) == ["x.png"]
    (photos / "notes.txt").write_text("no list of images")
    assert "notes.txt" not in names(sources.find([f"{photos}/*"]))
    with pytest.raises(MissingFileError, match="no file matches"):
        sources.find([f"{photos}/*.webp"])
    image(photos / "odd[1].png")  # a name that could be a pattern is a name first
    assert names(sources.find([photos / "odd[1].png"])) == ["odd[1].png"]
    (photos / "some.txt").write_text(f"{photos}/1.jpg\nday.jpg\n")
    assert names(sources.find([photos / "some.txt"])) == ["1.jpg", "day.jpg"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{photos}/my photo.jpg\n".encode())))
    assert names(sources.find(["-"])) == ["my photo.jpg"]


@pytest.mark.parametrize("data", [b"Dear diary,\r\n\r\nnothing.", b'"1.jpg"\n', b"# 1.jpg\n", b"~/1.jpg\n"])
def test_a_text_that_names_nothing_is_told_what_it_was_taken_for(photos: Path, data: bytes) -> None:
    (photos / "notes.txt").write_bytes(data)
    with pytest.raises(MissingFileError, match=r"notes\.txt is read as a list of images, one a line, and nothing"):
        sources.find([photos / "notes.txt"])
    # One that is there makes it a list, and what is missing is told as any file is.
    (photos / "notes.txt").write_bytes(b"1.jpg\r\n" + data)
    assert names(sources.find([photos / "notes.txt"]))[0] == "1.jpg"


def test_a_picture_of_a_phone_is_told_from_what_is_none(bright: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(100))
    ended = densecast("infer", bright, tmp_path / "a.png", "--out", tmp_path / "out", "-q")
    assert ended.code == 3 and "HEIC or AVIF file, which is not read. Convert it" in ended.err


def test_a_line_that_means_two_files_is_refused(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image(tmp_path / "1.jpg")
    (photos / "some.txt").write_text("1.jpg\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError, match="Write whole paths"):
        sources.find([photos / "some.txt"])


def test_an_option_without_effect_is_refused(bright: Path, photos: Path) -> None:
    out = ("--out", photos.parent / "out", "-q")
    assert "--recursive" in failed(2, "infer", bright, photos / "1.jpg", "--recursive", *out)


def test_an_address_is_no_file(bright: Path, tmp_path: Path) -> None:
    assert "Download it" in failed(3, "infer", bright, "https://example.org/a.jpg", "--out", tmp_path / "out", "-q")


def test_a_device_that_is_not_there_is_named(bright: Path, tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    told = failed(3, "infer", bright, tmp_path / "a.png", "--out", tmp_path / "out", "--device", "cuda", "-q")
    assert "CUDAExecutionProvider" in told and not (tmp_path / "out").exists()
