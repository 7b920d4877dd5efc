"""Images and data sets that cannot be used: one line, exit code 3, nothing half-written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import failed, tree
from made_images import carvana, png_that_claims, write_jpeg, write_mask
from PIL import Image


def refused_image(artifacts: Path, tmp_path: Path, name: str, content: bytes) -> str:
    (tmp_path / name).write_bytes(content)
    before = tree(tmp_path)
    message = failed(3, "infer", artifacts / "built", tmp_path / name, "--out", tmp_path / "out", "-q")
    assert tree(tmp_path) == before
    assert name in message
    return message


@pytest.fixture(scope="module")
def jpeg(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_jpeg(tmp_path_factory.mktemp("jpeg") / "a.jpg", (96, 128)).read_bytes()


@pytest.fixture(scope="module")
def png(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("png") / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)).save(path)
    return path.read_bytes()


def test_empty_image(artifacts: Path, tmp_path: Path) -> None:
    assert "is empty" in refused_image(artifacts, tmp_path, "a.jpg", b"")


@pytest.mark.parametrize("content", [b"text, not pixels", bytes(999), b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_unreadable_image(artifacts: Path, tmp_path: Path, content: bytes) -> None:
    assert "image" in refused_image(artifacts, tmp_path, "a.png", content)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_image_that_is_cut_off(artifacts: Path, tmp_path: Path, jpeg: bytes, png: bytes, share: float) -> None:
    for name, whole in (("a.jpg", jpeg), ("a.png", png)):
        message = refused_image(artifacts, tmp_path, name, whole[: int(len(whole) * share)])
        assert "damaged or cut off" in message


def test_png_with_a_changed_byte(artifacts: Path, tmp_path: Path, png: bytes) -> None:
    changed = bytearray(png)
    changed[len(png) // 2] ^= 0xFF
    assert "damaged" in refused_image(artifacts, tmp_path, "a.png", bytes(changed))


@pytest.mark.parametrize("side", [100_000, 20_000, 2**31 - 1])
def test_enormous_image_is_refused_by_its_header(artifacts: Path, tmp_path: Path, side: int) -> None:
    message = refused_image(artifacts, tmp_path, "a.png", png_that_claims(side, side))
    assert "pixels" in message


def test_image_without_pixels(artifacts: Path, tmp_path: Path) -> None:
    refused_image(artifacts, tmp_path, "a.png", png_that_claims(0, 10))


def test_image_outside_the_artifacts_sizes(artifacts: Path, tmp_path: Path) -> None:
    wide = write_jpeg(tmp_path / "source" / "a.jpg", (40, 1400)).read_bytes()
    (tmp_path / "a.jpg").write_bytes(wide)
    message = failed(3, "infer", artifacts / "built", tmp_path / "a.jpg", "--out", tmp_path / "out", "-q")
    assert "1400×40 pixels becomes 700 wide" in message and "W in 8..512" in message
    assert not (tmp_path / "out").exists()


def test_missing_image(artifacts: Path, tmp_path: Path) -> None:
    message = failed(3, "infer", artifacts / "built", tmp_path / "no.jpg", "--out", tmp_path / "out")
    assert "no.jpg does not exist" in message
    assert not list(tmp_path.iterdir())


def test_empty_folder_of_images(artifacts: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for verb in ("infer", "benchmark"):
        out = ("--out", tmp_path / "out") if verb == "infer" else ()
        assert "holds no images" in failed(3, verb, artifacts / "built", tmp_path / "images", *out)
    message = failed(3, "compare", artifacts / "built", artifacts / "built", "--images", tmp_path / "images")
    assert "holds no images" in message


def test_two_images_of_one_name_are_not_written_over_each_other(artifacts: Path, tmp_path: Path) -> None:
    images = [write_jpeg(tmp_path / side / "a.jpg") for side in ("left", "right")]
    assert "would both write" in failed(2, "infer", artifacts / "built", *images, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_before_a_broken_one_keep_their_results_and_it_has_none(artifacts: Path, tmp_path: Path) -> None:
    images = [write_jpeg(tmp_path / "images" / f"{name}.jpg") for name in "abc"]
    images[1].write_bytes(images[1].read_bytes()[:-100])  # its header is whole
    message = failed(3, "infer", artifacts / "built", tmp_path / "images", "--out", tmp_path / "out", "-q")
    assert "b.jpg" in message
    # The next one may have been in work at the same time.
    written = {path.name for path in (tmp_path / "out").glob("[!.]*")}
    assert {"a.png"} <= written <= {"a.png", "c.png"}


# Data sets


def test_mask_of_another_size_than_its_image(artifacts: Path, tmp_path: Path) -> None:
    root = carvana(tmp_path / "data", count=3)
    write_mask(next((root / "masks").iterdir()), np.zeros((10, 12), np.uint8))
    message = failed(3, "evaluate", artifacts / "built", "--data", root, "--split", "all", "-q")
    assert "the labels are 12×10 pixels, their image 0002_01.jpg 64×48" in message


def test_data_set_folder_that_is_none(artifacts: Path, tmp_path: Path) -> None:
    assert "does not exist" in failed(3, "evaluate", artifacts / "built", "--data", tmp_path / "absent", "-q")
    assert "imgs/*.jpg" in failed(3, "evaluate", artifacts / "built", "--data", tmp_path, "-q")
