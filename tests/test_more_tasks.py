"""Multi-label segmentation and depth go through every verb, on networks whose results can be computed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_pairs
import numpy as np
import onnx
import pytest
import tiny_graphs
from command_line import densecast, failed
from PIL import Image

from densecast import evaluate

pytestmark = pytest.mark.quantize
pytest.importorskip("nncf")

SPECS = {
    "multilabel": """
        task = "multilabel"
        labels = ["red", "green", "blue"]
        evaluation = { dataset = "multilabel_pairs", metric = "multilabel_iou" }
        side = { min = 16, max = 64 }
    """,
    "monocular_depth": """
        task = "monocular_depth"
        decode = { max_m = 20.0, eval_max_m = 10.0 }
        evaluation = { dataset = "depth_pairs", metric = "monocular_depth" }
        side = { min = 16, max = 64 }
    """,
}
SIZE = ("--height", "32", "--width", "40")


def run(folder: Path, *arguments: str | Path) -> dict[str, Any]:
    ended = densecast(*arguments, "--json", folder / "result.json", "-q")
    assert ended.code == 0, ended.err + ended.out
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").unlink()
    return result if isinstance(result, dict) else {"rows": result}


@pytest.fixture(scope="module", params=sorted(SPECS))
def task(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The task's name, and a folder of `data`, the float artifact `float`, and builds `fp32`, `fp16` and `int8`."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    if name == "multilabel":
        made_pairs.multilabel(folder / "data")
        onnx.save(tiny_graphs.upper_halves(), folder / "net.onnx")
    else:
        made_pairs.depth(folder / "data")
        graph = tiny_graphs.brightness_as_depth(made_pairs.NEAREST_M, made_pairs.SPAN_M)
        onnx.save(graph, folder / "net.onnx")
    (folder / "spec.toml").write_text(SPECS[name])
    run(folder, "export", folder / "net.onnx", "--spec", folder / "spec.toml", "--out", folder / "float")
    for precision in ("fp32", "fp16", "int8"):
        run(
            folder, "build", folder / "float", "-b", "onnxruntime", "-p", precision, *SIZE, "--data", folder / "data",
            "--out", folder / precision,
        )  # fmt: skip
    yield name, folder


def test_a_result_is_what_the_network_means(task: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = task
    written = run(
        tmp_path, "infer", folder / "fp32", folder / "data" / "images", "--out", tmp_path / "out", "--overlay"
    )
    assert len(written["results"]) == 12
    for index, each in enumerate(written["results"]):
        image, stored = made_pairs.scene(index), np.asarray(Image.open(each["file"])).astype(int)
        if name == "multilabel":
            expected = sum(plane.astype(int) << place for place, plane in enumerate(made_pairs.bits_of(image)))
            np.testing.assert_array_equal(stored, expected)
        else:
            # Half a step of 1/256 m, and float32's rounding.
            assert np.abs(stored / 256 - made_pairs.depth_of(image)).max() < 0.5001 / 256 + 1e-5


def test_scores_are_perfect_and_int8_is_close(task: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = task
    values = {
        precision: run(tmp_path, "evaluate", folder / precision, "--data", folder / "data")["score"]["value"]
        for precision in ("fp32", "fp16", "int8")
    }
    scenes = [(str(index), made_pairs.scene(index)) for index in range(2)]
    truth = made_pairs.bits_of if name == "multilabel" else made_pairs.depth_of
    held = [(each, image, np.asarray(truth(image))) for each, image in scenes]
    from_memory = evaluate(folder / "fp32", held).score.value
    assert from_memory == 1.0 if name == "multilabel" else from_memory < 5e-4
    if name == "multilabel":
        assert values["fp32"] == 1.0 and values["fp16"] > 0.97 and values["int8"] > 0.95
    else:
        # The ground truth is in millimetres, from 1 m on.
        assert values["fp32"] < 5e-4 and values["fp16"] < 0.01 and values["int8"] < 0.02
        # Millimetres that are taken for metres lie beyond all that is evaluated.
        root = made_pairs.depth(tmp_path / "far", 2)
        (root / "depth.toml").write_text("units_per_m = 1")
        told = failed(3, "evaluate", folder / "fp32", "--data", root, "--split", "all", "-q")
        assert "AbsRel is no number" in told and "eval_max_m" in told


def test_differences_are_the_tasks_own(task: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = task
    measure = {"multilabel": "bits_changed", "monocular_depth": "relative_difference"}[name]
    compared = ("compare", folder / "float", folder / "int8", "--data", folder / "data")
    rows = run(tmp_path, *compared, "--max-difference", "0.1")["rows"]
    # Bits of images of 8 bits may all survive; depth does not.
    assert rows[-1]["measure"] == measure and (name == "multilabel" or 0 < rows[-1]["difference"] < 0.1)
    if name == "monocular_depth":
        assert densecast(*compared, "--max-difference", "0", "-q").code == 1


def test_int8_within_a_limit_is_judged_by_the_tasks_metric(task: tuple[str, Path], tmp_path: Path) -> None:
    name, folder = task
    ended = densecast(
        "build", folder / "float", "-b", "onnxruntime", "--max-drop", "20", "--data", folder / "data", *SIZE,
        "--out", tmp_path / "promised", "--time-budget", "30s", "-q",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    manifest = json.loads((tmp_path / "promised" / "manifest.json").read_text())
    assert manifest["search"]["metric"] == {"multilabel": "mIoU", "monocular_depth": "AbsRel"}[name]


def test_a_depth_network_without_a_channel_axis_is_taken(tmp_path: Path) -> None:
    onnx.save(tiny_graphs.brightness_as_depth(1, 8, "N, H, W"), tmp_path / "net.onnx")
    (tmp_path / "spec.toml").write_text(SPECS["monocular_depth"])
    run(tmp_path, "export", tmp_path / "net.onnx", "--spec", tmp_path / "spec.toml", "--out", tmp_path / "float")
    run(tmp_path, "build", tmp_path / "float", "-b", "onnxruntime", *SIZE, "--out", tmp_path / "fp32")
    root = made_pairs.depth(tmp_path / "data", 2)
    assert run(tmp_path, "evaluate", tmp_path / "fp32", "--data", root, "--split", "all")["score"]["value"] < 5e-4
