"""A user's package (depth, with its metric, data and a network of two outputs) goes through every verb.

`tests/user_package` is on the path as an installed package would be, with its entry points; nothing in `src/` knows it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brief_runs
import numpy as np
import pytest
from command_line import densecast as command

import densecast

pytestmark = [pytest.mark.torch, pytest.mark.quantize]
pytest.importorskip("torch")
pytest.importorskip("nncf")

PACKAGE = Path(__file__).parent / "user_package"
PRECISIONS = ("force_float32", "force_float16", "qint8_mixed_float16")
SHAPE = densecast.InputShape(height=72, width=96)


@pytest.fixture(scope="module", autouse=True)
def installed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PACKAGE))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, installed: None) -> Path:
    """`data`, `weights.pth` of a trained network, and the float artifact `float`."""
    import torch
    from my_depth import data, network

    folder = tmp_path_factory.mktemp("depth")
    data.write(folder / "data")
    torch.save(network.trained(str(folder / "data")).state_dict(), folder / "weights.pth")
    densecast.export("depth_tiny", folder / "float", checkpoint=folder / "weights.pth")
    return folder


def truth(folder: Path) -> tuple[float, float]:
    """AbsRel and RMSE by the network's own forward in torch and plain numpy."""
    import cv2
    import torch
    from my_depth import data, network

    module = network.build(network.Options()).eval()
    module.load_state_dict(torch.load(folder / "weights.pth", weights_only=True))
    relative, squared, pixels = 0.0, 0.0, 0
    split = data.open_folder(folder / "data", "val")
    for sample in split.samples:
        image = cv2.imread(str(sample.image))[:, :, ::-1].astype(np.float32) / 255
        with torch.inference_mode():
            plane = module(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()))["depth"][0, 0].numpy()
        depth = np.clip(cv2.resize(plane, (image.shape[1], image.shape[0])), 0, 20).astype(np.float64)
        target = split.read_target(sample).astype(np.float64)
        relative += float((np.abs(depth - target) / target).sum())
        squared += float(((depth - target) ** 2).sum())
        pixels += target.size
    return relative / pixels, float(np.sqrt(squared / pixels))


@pytest.mark.slow
def test_by_python_from_export_to_comparison(made: Path) -> None:
    abs_rel, rmse = truth(made)
    assert abs_rel < 0.2, "the network has learned something"
    scores = {}
    for precision in PRECISIONS:
        options = densecast.BuildOptions(precision=precision, shape=SHAPE, half_type="bf16")
        built = densecast.build(made / "float", made / f"python_{precision}", options, data=made / "data")
        result = densecast.evaluate(built.folder, made / "data")
        scores[precision] = result.score
    exact = scores["force_float32"]
    assert exact.name == "AbsRel" and exact.better == "lower" and exact.count == 6
    # Float32 sums in another order, of values up to 12: 1e-5 of them is generous.
    assert abs(exact.value - abs_rel) < 1e-5 and abs(exact.others["RMSE"] - rmse) < 1e-4
    # bfloat16 keeps 8 bits of mantissa: each value is off by at most 0.4 %, and a few of them add up.
    assert abs(scores["force_float16"].value - abs_rel) < 0.01
    assert abs(scores["qint8_mixed_float16"].value - abs_rel) < 0.05
    int8 = made / "python_qint8_mixed_float16"
    compared = densecast.compare(made / "float", [int8], data=made / "data")
    (comparison,) = [each.comparison for each in compared.stages if each.comparison.candidate == str(int8)]
    assert comparison.measure == "relative_difference" and 0 < comparison.difference < 0.2
    assert comparison.metric is not None and comparison.metric.metric == "AbsRel" and comparison.metric.drop is not None
    assert comparison.labels_changed is None and comparison.mean_oks is None
    images = sorted((made / "data" / "images").glob("*.png"))
    timing = densecast.benchmark(int8, images, densecast.BenchmarkOptions(images=6, seconds=0.0)).timing
    assert timing.images >= 6 and set(timing.samples_ms) >= {"preprocess", "infer", "postprocess"}
    with densecast.Pipeline.open(int8) as pipeline:
        assert [output.name for output in pipeline.spec.outputs] == ["depth", "confidence"]
        prediction = pipeline(densecast.read_image(images[0]))
        assert prediction.depth_m.shape == (72, 96) and prediction.depth_m.dtype == np.float32
        outputs = pipeline.forward(pipeline.preprocess(densecast.read_image(images[0])))[0]
        assert set(outputs) == {"depth", "confidence"}
    assert densecast.verify(int8).is_sound


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "torch", "reference"])
def test_every_engine_gives_both_outputs(made: Path, backend: str) -> None:
    options = densecast.BuildOptions(backend, shape=SHAPE)
    built = densecast.build(made / "float", made / f"engine_{backend}", options)
    reference = densecast.build(made / "float", made / "engine_openvino", densecast.BuildOptions(shape=SHAPE))
    image = densecast.read_image(sorted((made / "data" / "images").glob("*.png"))[0])
    with densecast.Pipeline.open(built) as pipeline, densecast.Pipeline.open(reference) as other:
        (found,), (expected,) = (each.forward(each.preprocess(image)) for each in (pipeline, other))
    assert set(found) == {"depth", "confidence"}
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


@pytest.mark.slow  # a whole run in processes of its own, whose first use of the package compiles its kernels
def test_by_the_command_line_from_export_to_report(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("densecast.cli.run.BenchmarkOptions", brief_runs.options)
    data, weights, images = made / "data", made / "weights.pth", made / "data" / "images"
    quiet: dict[str, Any] = {}

    def run(*arguments: str | Path) -> dict[str, Any]:
        ended = command(*arguments, "--json", tmp_path / "result.json", "-q")
        assert ended.code == 0, ended.err + ended.out
        result = json.loads((tmp_path / "result.json").read_text())
        return result if isinstance(result, dict) else {"rows": result}

    run("export", "depth_tiny", "--checkpoint", weights, "--out", tmp_path / "float")
    for precision in ("fp32", "fp16", "int8"):
        run(
            "build", tmp_path / "float", "-p", precision, "--data", data, "--out", tmp_path / precision,
            "--height", "72", "--width", "96", "--half-type", "bf16",
        )  # fmt: skip
        quiet[precision] = run("evaluate", tmp_path / precision, "--data", data)["score"]["value"]
    assert abs(quiet["fp32"] - truth(made)[0]) < 1e-5
    rows = run("compare", tmp_path / "float", tmp_path / "int8", "--data", data, "--locate", "--max-difference", "0.3")
    assert rows["rows"][-1]["measure"] == "relative_difference"
    ended = command("compare", tmp_path / "float", tmp_path / "int8", "--data", data, "--max-difference", "0", "-q")
    assert ended.code == 1
    run("benchmark", tmp_path / "int8", images, "--count", "6", "--seconds", "0")
    results = run("infer", tmp_path / "int8", images, "--out", tmp_path / "results", "--overlay", "--limit", "2")
    assert len(results["results"]) == 2
    assert sorted(path.suffix for path in (tmp_path / "results").glob("[!.]*")) == [".jpg", ".jpg", ".png", ".png"]
    run("verify", tmp_path / "int8")
    ended = command(
        "run", "depth_tiny", "--checkpoint", weights, "--data", data, "--out", tmp_path / "run",
        "--backends", "openvino", "-q",
    )  # fmt: skip
    assert ended.code == 0, ended.err + ended.out
    report = (tmp_path / "run" / "report.html").read_text()
    assert "AbsRel" in report and "depth_tiny" in report
    assert command("report", tmp_path / "run", "-q").code == 0


@pytest.mark.slow
def test_max_drop_by_a_metric_of_which_less_is_better(made: Path, tmp_path: Path) -> None:
    ended = command(
        "build", made / "float", "--max-drop", "20", "--data", made / "data", "--out", tmp_path / "promised",
        "--height", "72", "--width", "96", "--time-budget", "60s", "--half-type", "bf16", "-q",
    )  # fmt: skip
    assert ended.code == 0, ended.err + ended.out
    search = densecast.Artifact.open(tmp_path / "promised").manifest.search
    assert search is not None and search.metric == "AbsRel"


@pytest.mark.slow
def test_a_file_names_no_package_that_nobody_has_allowed(made: Path, tmp_path: Path) -> None:
    manifest = made / "float" / "manifest.json"
    plain = json.loads(manifest.read_text())
    # Whoever changes a manifest on purpose can take its digest away.
    del plain["manifest_sha256"]
    text = json.dumps(plain).replace('"depth"', '"my_depth.task:DepthTask"', 1)
    folder = tmp_path / "float"
    folder.mkdir()
    for path in (made / "float").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "manifest.json").write_text(text.replace('"kind": "depth"', '"kind": "my_depth.task:DepthTask"'))
    code = "import sys; sys.argv = ['densecast', *sys.argv[1:]]; from densecast.cli import main; main()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE), *sys.path])}
    calls = {(): 2, ("--plugin", "my_depth"): 0}
    for extra, expected in calls.items():
        call = [sys.executable, "-c", code, *extra, "verify", str(folder)]
        ended = subprocess.run(call, capture_output=True, text=True, check=False, timeout=120, env=environment)
        assert ended.returncode == expected, ended.stderr
        assert ("--plugin my_depth" in ended.stderr) == (expected == 2)
