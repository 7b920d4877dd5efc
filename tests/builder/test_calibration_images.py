"""Calibration images that cannot set int8 ranges well are remarked: few, blank, alike, unlike those evaluated."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import colour_network
import numpy as np
import pytest
from command_line import densecast
from made_mask_folders import pairs, write

import densecast as package
from densecast.spec.data_options import Data
from densecast.spec.options import BuildOptions

pytestmark = pytest.mark.quantize
INT8 = BuildOptions("onnxruntime", precision="qint8_mixed_float16")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network")
    colour_network.built(folder, 3)
    return folder / "float"


def photograph(seed: int, mean: float = 120.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.normal(mean, 40, (4, 6, 3)), np.ones((4, 4, 1)))
    return np.clip(coarse + rng.normal(0, 5, coarse.shape), 0, 255).astype(np.uint8)


def remarks_of(exported: Path, out: Path, data: Path) -> tuple[str, ...]:
    record = package.build(exported, out, INT8, data=Data(data)).manifest.calibration
    assert record is not None
    return record.remarks


def test_enough_pictures_that_differ_are_not_remarked(tmp_path: Path, exported: Path) -> None:
    for index in range(16):
        write(tmp_path / "images" / f"{index}.png", photograph(index))
    assert remarks_of(exported, tmp_path / "out", tmp_path / "images") == ()


@pytest.mark.parametrize(
    ("count", "distinct", "words"),
    [(1, 1, "few images (1)"), (5, 5, "few images (5)"), (30, 3, "few images (24 looked at of 30, of which 3 differ)")],
)
def test_few_and_repeated_pictures_are_remarked(
    tmp_path: Path, exported: Path, count: int, distinct: int, words: str
) -> None:
    for index in range(count):
        # One picture twice is written differently, as copies from other tools are.
        write(tmp_path / "images" / f"{index:02d}.png", photograph(index % distinct), compress_level=index % 10)
    (remark,) = remarks_of(exported, tmp_path / "out", tmp_path / "images")
    assert words in remark


def test_blank_pictures_are_named(tmp_path: Path, exported: Path) -> None:
    for index in range(16):
        write(tmp_path / "images" / f"{index:02d}.png", photograph(index))
    write(tmp_path / "images" / "03.png", np.zeros((16, 24, 3), np.uint8))
    write(tmp_path / "images" / "07.png", np.full((16, 24), 255, np.uint8))
    (remark,) = remarks_of(exported, tmp_path / "out", tmp_path / "images")
    assert remark.startswith("2 of 16 images are one colour throughout, the first is 03.png")


@pytest.mark.parametrize("mean", [15.0, 120.0, 235.0])
def test_pictures_unlike_those_of_the_validation_split_are_remarked(
    tmp_path: Path, exported: Path, mean: float
) -> None:
    root = pairs(tmp_path / "d", count=24)
    for index in range(24):
        split = "val" if index < 6 else "train"
        picture = photograph(index, 120.0 if split == "val" else mean)
        write(root / split / "images" / f"{index:02d}.png", picture)
        write(root / split / "masks" / f"{index:02d}.png", np.zeros(picture.shape[:2], np.uint8))
    for name in ("images", "masks"):
        for path in (root / name).iterdir():
            path.unlink()
        (root / name).rmdir()
    found = remarks_of(exported, tmp_path / "out", root)
    assert [remark.partition(":")[0] for remark in found] == (
        [] if mean == 120 else ["images are unlike those that are evaluated"]
    )


def test_the_remark_is_in_the_log_the_summary_and_the_manifest(
    tmp_path: Path, exported: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "images" / "black.png", np.zeros((16, 24, 3), np.uint8))
    out = tmp_path / "out"
    with caplog.at_level(logging.WARNING, logger="densecast"):
        ended = densecast(
            "build", exported, "--out", out, "-b", "onnxruntime", "-p", "int8", "--data", tmp_path / "images",
            "--json", tmp_path / "build.json",
        )  # fmt: skip
    assert ended.code == 0, ended.err
    for words in ("set by few images (1)", "one colour throughout"):
        assert words in ended.out and any(words in record.getMessage() for record in caplog.records)
    plain = json.loads((tmp_path / "build.json").read_text(encoding="utf-8"))
    assert len(plain["calibration"]["remarks"]) == 2
