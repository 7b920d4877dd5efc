"""Mean, deviation, divisor and value range as flags: they are in the model's spec, or say why they cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import colour_network
import numpy as np
import pytest
from command_line import densecast, failed
from PIL import Image

LABELS = ("--labels", "ground,red,green")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_network.onnx_file(tmp_path_factory.mktemp("network") / "colours.onnx", 3)


def exported(network: Path, out: Path, *flags: str) -> dict[str, Any]:
    ended = densecast("export", network, *LABELS, *flags, "--out", out, "-q")
    assert ended.code == 0, ended.err
    plain: dict[str, Any] = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["spec"]["preprocess"]
    return plain


def test_a_divisor_goes_with_mean_and_deviation_of_values_0_to_1(network: Path, tmp_path: Path) -> None:
    flags = ("--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225")
    made = exported(network, tmp_path / "a", *flags, "--divisor", "255")
    assert made["divisor"] == 255 and made["mean"] == [0.485, 0.456, 0.406] and made["std"] == [0.229, 0.224, 0.225]
    assert "divisor" in failed(2, "export", network, *LABELS, *flags, "--out", tmp_path / "b", "-q")
    message = failed(
        2, "export", network, *LABELS, "--normalise", "imagenet", "--divisor", "2", "--out", tmp_path / "b"
    )
    assert "--divisor" in message
    for wrong in ("0", "-1", "nan"):
        wanted = ("--mean", "0.5", "--std", "0.5", "--divisor", wrong)
        assert "divisor must be above 0" in failed(
            2, "export", network, *LABELS, *wanted, "--out", tmp_path / "b", "-q"
        )
    assert not (tmp_path / "b").exists()


def test_a_value_range_makes_twelve_bits_mean_what_eight_do(network: Path, tmp_path: Path) -> None:
    made = exported(network, tmp_path / "float", "--normalise", "0..255", "--value-range", "0:4095")
    assert made["value_range"] == [0, 4095]
    labels = np.repeat(np.arange(3, dtype=np.uint8), 8)[None].repeat(16, axis=0)
    grey = np.asarray(colour_network.COLOURS[:3], np.float64).mean(axis=1)
    # Grey pictures: the class whose colour is nearest to the grey is the plain answer.
    Image.fromarray((grey[labels] / 255 * 4095).round().astype(np.uint16)).save(tmp_path / "a.png")
    built = densecast("build", tmp_path / "float", "-b", "onnxruntime", "--out", tmp_path / "built", "-q")
    assert built.code == 0, built.err
    ended = densecast("infer", tmp_path / "built", tmp_path / "a.png", "--out", tmp_path / "out", "-q")
    assert ended.code == 0, ended.err
    values = (grey[labels] / 255 * 4095).round() * 255 / 4095
    colours = np.asarray(colour_network.COLOURS[:3], np.float64)
    expected = ((values[..., None, None] - colours) ** 2).sum(axis=-1).argmin(axis=-1)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "a.png")), expected)


@pytest.mark.parametrize("text", ["4095", "0-4095", "a:b", "0:1:2"])
def test_a_value_range_is_two_rising_numbers(network: Path, tmp_path: Path, text: str) -> None:
    flags = ("--normalise", "0..255", "--value-range")
    assert "LOW:HIGH" in failed(2, "export", network, *LABELS, *flags, text, "--out", tmp_path / "x", "-q")
    falling = failed(2, "export", network, *LABELS, *flags, "9:3", "--out", tmp_path / "x", "-q")
    assert "two rising numbers" in falling
