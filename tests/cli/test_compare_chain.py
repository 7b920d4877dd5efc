"""`compare` over a whole accuracy chain: stages nobody named, limits and their exit codes, the page."""

from __future__ import annotations

import json
from pathlib import Path

import command_line
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import write_jpeg

from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.builder import build


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float artifact, one built from it, a faulty graph, and images."""
    folder = tmp_path_factory.mktemp("chain")
    source = tiny_artifacts.exported(folder)
    build(source, folder / "built", BuildOptions("openvino", shape=InputShape((1,), 24, 32)))
    onnx.save(tiny_graphs.segmentation(seed=9), folder / "faulty.onnx")
    for index in range(3):
        write_jpeg(folder / "images" / f"{index}.jpg", (48, 64), seed=index)
    return folder


def test_stages_in_between_are_added(root: Path) -> None:
    out = root / "chain.json"
    ended = command_line.densecast(
        "compare", root / "float", root / "built", "--images", root / "images", "--locate", "--json", out, "-q"
    )
    assert ended.code == 0, ended.err
    stages = json.loads(out.read_text())
    assert [stage["title"] for stage in stages] == ["optimised graph", "built"]
    for stage in stages:
        assert stage["relative_l2"] < 1e-5  # sums in another order
        assert stage["findings"]["location"] is None and stage["findings"]["curve"]


@pytest.mark.slow
def test_a_faulty_graph_is_beyond_the_limits_and_located(root: Path) -> None:
    page = root / "chain.html"
    arguments = ("compare", root / "float", root / "faulty.onnx", "--images", root / "images", "--locate", "-q")
    ended = command_line.densecast(*arguments, "--html", page, "--max-changed", "0.001")
    assert ended.code == 1 and "faulty.onnx" in ended.err
    assert "parts from the reference at network" in ended.out
    text = page.read_text()
    assert "data:image/jpeg;base64," in text and "<polyline" in text and "http" not in text.replace("http-equiv", "")
    assert command_line.densecast(*arguments, "--tolerance", "1e-3").code == 1
    assert command_line.densecast(*arguments, "--max-changed", "1").code == 0
    assert command_line.densecast(*arguments, "--max-difference", "0.001").code == 1
    assert command_line.densecast(*arguments, "--max-difference", "1").code == 0


def test_wrong_calls_say_so(root: Path) -> None:
    images = root / "images"
    assert "candidate" in command_line.failed(2, "compare", root / "built", "--images", images, "-q")
    assert "--images" in command_line.failed(2, "compare", root / "float", root / "built", "-q")
    message = command_line.failed(2, "compare", root / "faulty.onnx", root / "faulty.onnx", "--images", images, "-q")
    assert "how images are prepared" in message
    assert "does not exist" in command_line.failed(3, "compare", root / "float", root / "no", "--images", images, "-q")
