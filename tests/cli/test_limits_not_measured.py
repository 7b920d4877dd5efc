"""A limit on what a call does not measure ends with 2 before anything runs; what is not a number is beyond it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast, failed
from made_images import write_jpeg

from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.precision import PrecisionRan
from densecast.tasks._base import TASKS
from densecast.verbs.compare.tally import Tally


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built pose model, and a folder with an image."""
    folder = tmp_path_factory.mktemp("limits")
    tiny_artifacts.compiled_pose(folder / "pose", BuildOptions("onnxruntime", shape=InputShape((2,), 64, 96)))
    write_jpeg(folder / "images" / "a.jpg", (64, 96))
    # An image nobody can read: whatever is said about the call is said before images are.
    (folder / "broken").mkdir()
    (folder / "broken" / "a.jpg").write_bytes(b"no image")
    return folder


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (("--max-drop", "0.01"), "--data"),
        (("--min-oks", "0.5"), "--min-oks limits people"),
        (("--max-drop", "nan"), "--max-drop must be a number"),
    ],
)
def test_compare_says_what_is_not_measured_before_it_runs(
    limit: tuple[str, str], said: str, artifacts: Path, root: Path
) -> None:
    both = (artifacts / "built", artifacts / "built")
    assert said in failed(2, "compare", *both, "--images", root / "broken", *limit, "-q")


@pytest.mark.parametrize("name", ["--tolerance", "--max-changed", "--min-oks"])
def test_a_limit_that_is_not_a_number_is_a_wrong_call(name: str, artifacts: Path, root: Path) -> None:
    ended = densecast("compare", artifacts / "built", artifacts / "built", "--images", root / "broken", name, "nan")
    assert ended.code == 2 and name in ended.err


def test_labels_of_a_pose_model_are_not_limited(root: Path) -> None:
    built = root / "pose" / "built"
    arguments = ("compare", built, built, "--images", root / "broken", "-q")
    assert "--max-changed limits labels" in failed(2, *arguments, "--max-changed", "1")


def test_what_is_measured_is_limited(artifacts: Path, root: Path) -> None:
    both = (artifacts / "built", artifacts / "built")
    assert densecast("compare", *both, "--images", root / "images", "--max-changed", "0", "-q").code == 0
    built = root / "pose" / "built"
    assert densecast("compare", built, built, "--images", root / "images", "--min-oks", "1", "-q").code == 0


def test_errors_against_a_reference_of_nan_or_nothing_are_beyond_every_limit() -> None:
    spec = tiny_artifacts.spec()

    def error(expected: float, found: float) -> float:
        tally, name = Tally(TASKS.load("segmentation"), spec), spec.output.name
        tally.add_output(name, np.full((1, 2, 2), expected), np.full((1, 2, 2), found))
        told = tally.comparison("a", "b", PrecisionRan.from_counts({"float32": 1}, "engine"), 1, None)
        assert np.isnan(told.relative_l2) == np.isnan(told.relative_error)
        return told.relative_error

    assert np.isnan(error(np.nan, 1.0)) and np.isnan(error(0.0, np.nan))
    assert error(0.0, 1.0) == np.inf
    assert error(0.0, 0.0) == 0.0
    assert error(2.0, 1.0) == 0.5


def result(path: Path, **scores: float | None) -> Path:
    """A report with one row for each score."""
    rows = [{"artifact": n, "score": {"name": "mIoU", "value": v, "better": "higher"}} for n, v in scores.items()]
    path.write_text(json.dumps({"rows": rows}))
    return path


@pytest.mark.parametrize("after", [{"fp32": 0.7}, {"fp32": 0.7, "int8": 0.7, "fp16": 0.7}])
def test_a_tolerance_of_several_rows_is_not_kept_by_some_of_them(after: dict[str, float], tmp_path: Path) -> None:
    before = result(tmp_path / "a.json", fp32=0.7, int8=0.6)
    other = result(tmp_path / "b.json", **after)
    message = failed(2, "compare", "results", before, other, "--tolerance", "mIoU=0.5", "-q")
    assert "not measured" in message and ("int8/mIoU" in message or "fp16/mIoU" in message)
    assert densecast("compare", "results", before, other, "--tolerance", "fp32/mIoU=0", "-q").code == 0
    assert densecast("compare", "results", before, other, "-q").code == 0


@pytest.mark.parametrize("amount", ["1", "100%"])
@pytest.mark.parametrize(("before", "after"), [(0.7, float("nan")), (float("nan"), 0.7)])
def test_a_score_that_is_not_a_number_is_beyond_every_tolerance(
    before: float, after: float, amount: str, tmp_path: Path
) -> None:
    left, right = result(tmp_path / "a.json", fp32=before), result(tmp_path / "b.json", fp32=after)
    ended = densecast("compare", "results", left, right, "--tolerance", f"mIoU={amount}", "-q")
    assert ended.code == 1 and "FAIL" in ended.out


def test_an_onnx_file_brings_no_framework_to_limit_the_difference_from(tmp_path: Path) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "tiny.onnx")
    arguments = ("export", tmp_path / "tiny.onnx", "--labels", "background,car", "--out", tmp_path / "out", "-q")
    assert "--tolerance" in failed(2, *arguments, "--tolerance", "1e-3")
    assert not (tmp_path / "out").exists()
    assert densecast(*arguments).code == 0


def test_a_run_without_int8_limits_no_drop(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    message = failed(
        2, "run", "unet_tiny", "--out", tmp_path / "out", "--precisions", "fp32,fp16", "--max-drop", "0.5", "-q"
    )
    assert "int8" in message
    assert not (tmp_path / "out").exists()
