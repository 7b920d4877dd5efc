"""Names, options, graphs and spec files that make no sense: one line that helps, a fixed exit code, nothing written."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import tiny_graphs
from command_line import densecast, failed


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("--precision", "in8"), "'int8'"),
        (("--precision", "fp61"), "'fp16'"),
        (("--backend", "openvio"), "'openvino'"),
        (("--backend", "onnx"), "'onnxruntime'"),
    ],
)
def test_unknown_names_bring_the_nearest(
    artifacts: Path, tmp_path: Path, arguments: tuple[str, str], near: str
) -> None:
    message = failed(2, "build", artifacts / "float", "--out", tmp_path / "out", *arguments, "-q")
    assert f"Did you mean {near}" in message
    assert not list(tmp_path.iterdir())


def test_unknown_model_brings_the_nearest(tmp_path: Path) -> None:
    for verb in ("export", "run"):
        assert "Did you mean 'unet_tiny'" in failed(2, verb, "unet_tinny", "--out", tmp_path / "out", "-q")
    assert "Did you mean 'unet_tiny'" in failed(2, "models", "unet-tiny")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--batch", "0"),
        ("--batch", "4:1"),
        ("--batch", "one"),
        ("--height", "1,2"),
        ("--height", "-5"),
        ("--sixteen-bit", "f8"),
        ("--estimator", "median"),
        ("--precision", "int8"),
    ],
)
def test_values_that_make_no_sense_are_wrong_usage(artifacts: Path, tmp_path: Path, arguments: tuple[str, str]) -> None:
    failed(2, "build", artifacts / "float", "--out", tmp_path / "out", *arguments, "-q")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [("--height", "4"), ("--width", "8:4000"), ("--batch", "9"), ("--batch", "1,64")])
def test_sizes_that_the_graph_does_not_take(artifacts: Path, tmp_path: Path, arguments: tuple[str, str]) -> None:
    message = failed(3, "build", artifacts / "float", "--out", tmp_path / "out", *arguments, "-q")
    assert "but the exported graph takes" in message
    assert not list(tmp_path.iterdir())


def test_wrong_options_are_wrong_usage(artifacts: Path) -> None:
    assert densecast("build", artifacts / "float", "--no-such-option").code == 2
    assert densecast("no-such-verb").code == 2
    assert densecast("infer", artifacts / "built").code == 2


@pytest.mark.parametrize("static", ["1x640", "axbxc", "0x64x64", "1x0x64", "1x64x-8"])
def test_static_shapes_that_are_none(tmp_path: Path, static: str) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    failed(2, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--labels", "a,b", "--static", static)
    assert not (tmp_path / "out").exists()


# Graphs and spec files


@pytest.mark.parametrize("content", [b"", b"not a graph", bytes(500), b"\x08\x07\x12\x04test"])
def test_files_that_are_no_graph(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tiny.onnx").write_bytes(content)
    failed(3, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--labels", "a,b")
    assert not (tmp_path / "out").exists()


def test_graph_with_another_number_of_classes_than_labels(tmp_path: Path) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    message = failed(3, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--labels", "a,b,c")
    assert "2 channels" in message and "labels a, b, c" in message and "needs 3" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("labels = ['a', 'b']\n[preproces]\nmean = [0, 0, 0]", "unknown key 'preproces'. Did you mean 'preprocess'?"),
        ("labels = ['a', 'b']\n[preprocess]\nresize = { kind = 'native' }\nmaen = [1, 2, 3]", "Did you mean 'mean'?"),
        ("lables = ['a', 'b']", "unknown key 'lables'. Did you mean 'labels'?"),
        ("labels = 3", "labels"),
        ("labels = ['a']", "at least two labels"),
        ("labels = ['a', 'b']\npalette = [[0, 0, 0]]", "2 labels but 1 colours"),
        ("labels = [", "not valid toml"),
        ("labels = ['a', 'b']\nside = { min = 9, max = 3 }", "1 <= min <= max"),
        ("labels = ['a', 'b']\n[preprocess]\nresize = { kind = 'zoom' }", "resize"),
    ],
)
def test_malformed_spec_files(tmp_path: Path, text: str, said: str) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    (tmp_path / "spec.toml").write_text(text)
    message = failed(
        2, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--spec", tmp_path / "spec.toml", "-q"
    )
    assert said in message
    assert not (tmp_path / "out").exists()


def test_a_file_without_spec_or_labels(tmp_path: Path) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    assert "--labels" in failed(2, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out")
    assert "cannot be read" in failed(
        2, "export", tmp_path / "tiny.onnx", "--out", tmp_path / "out", "--spec", tmp_path / "no.toml"
    )
