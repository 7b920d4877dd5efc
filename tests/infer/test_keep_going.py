"""Images that cannot be used: found before the first inference where headers tell, gone over on request."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import densecast, failed
from PIL import Image

from densecast.errors import BadShapeError
from densecast.pipeline import Pipeline
from densecast.results.predictions import FailedImage
from densecast.spec.augment import Augment


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten images of which 2 is a page, 4 is empty, 6 is cut off inside, 8 is too small; even shades."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(10):
        pixels = np.full((32, 32, 3), 255 * (number % 2), np.uint8)
        pixels[0] = np.random.default_rng(number).integers(0, 255, (32, 3))
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=95)
    (folder / "2.jpg").write_bytes(b"<html>not found</html>")
    (folder / "4.jpg").write_bytes(b"")
    (folder / "6.jpg").write_bytes((folder / "6.jpg").read_bytes()[:-40])
    Image.new("RGB", (4, 4)).save(folder / "8.jpg")
    return folder


BAD = ["2.jpg", "4.jpg", "6.jpg", "8.jpg"]


def test_all_that_headers_tell_is_told_before_the_first_inference(bright: Path, photos: Path, tmp_path: Path) -> None:
    message = failed(3, "infer", bright, photos, "--out", tmp_path / "out", "-q")
    assert message.index("2.jpg") < message.index("4.jpg") < message.index("8.jpg") and "--keep-going" in message
    assert not (tmp_path / "out").exists()


def test_a_benchmark_names_them_before_it_runs(bright: Path, photos: Path) -> None:
    message = failed(3, "benchmark", bright, photos, "-q")
    assert message.index("2.jpg") < message.index("4.jpg") and "--keep-going" not in message


@pytest.mark.parametrize("batch", ["1", "3"])
def test_the_others_are_predicted_and_the_bad_ones_listed(
    batch: str, bright: Path, photos: Path, tmp_path: Path
) -> None:
    ended = densecast(
        "infer", bright, photos, "--out", tmp_path / "out", "--keep-going", "--batch", batch, "-q",
        "--json", tmp_path / "r.json",
    )  # fmt: skip
    assert ended.code == 3
    written = json.loads((tmp_path / "r.json").read_text())
    assert [Path(each["image"]).name for each in written["failed"]] == BAD
    assert all(Path(each["image"]).name in each["error"] for each in written["failed"])
    good = [f"{number}.jpg" for number in range(10) if f"{number}.jpg" not in BAD]
    assert [Path(each["image"]).name for each in written["results"]] == good
    for each in written["results"]:
        labels = np.asarray(Image.open(each["file"]))
        assert (labels[8:] == int(Path(each["image"]).stem) % 2).all()
    assert all(ended.err.count(name) == 1 for name in BAD) and "4 of 10 images" in ended.err


def test_all_is_well_ends_with_0_and_all_is_bad_with_3(bright: Path, photos: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out", "--keep-going", "-q")
    assert densecast("infer", bright, photos / "1.jpg", *out).code == 0
    assert "2.jpg" in failed(3, "infer", bright, photos / "2.jpg", *out)


def test_an_image_that_does_not_fit_is_left_out_of_a_batch_in_a_stream(bright: Path) -> None:
    images = {"a": np.full((16, 16, 3), 255, np.uint8), "b": np.zeros((4, 4, 3), np.uint8),
              "c": np.zeros((16, 16, 3), np.uint8)}  # fmt: skip

    def failed_image(source: str, error: Exception) -> str | FailedImage:
        assert isinstance(error, BadShapeError)
        return f"{source} failed"

    with Pipeline.open(bright, augment=Augment(flip=True)) as pipeline:
        results = list(
            pipeline.stream(
                images, images.__getitem__, lambda each: each.prediction.class_id.max(), batch=3, failed=failed_image
            )
        )
    assert results == [1, "b failed", 0]
