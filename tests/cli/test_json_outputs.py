"""What `--json` writes: the keys that scripts rely on, with numbers that fit together."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast
from made_images import carvana, write_jpeg

from densecast.spec.options import BuildOptions

PRECISION_KEYS = {"asked", "ran", "layers", "source"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("artifacts")
    tiny_artifacts.compiled(made, BuildOptions("onnxruntime"), tiny_graphs.brightness())
    carvana(made / "data", count=20)
    return made


def written(file: Path, *arguments: str | Path) -> dict[str, object]:
    ended = densecast(*arguments, "--json", file, "-q")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.strip()
    found: dict[str, object] = json.loads(file.read_text())
    return found


def test_evaluate(folder: Path, tmp_path: Path) -> None:
    found = written(tmp_path / "a.json", "evaluate", folder / "built", "--data", folder / "data", "--split", "all")
    assert {"format", "score", "precision", "backend", "model", "artifact"} == set(found)
    score, precision = found["score"], found["precision"]
    assert isinstance(score, dict) and isinstance(precision, dict)
    assert {"name", "value", "count"} <= set(score)
    assert (score["name"], score["count"]) == ("dice_per_image", 20) and 0 <= score["value"] <= 1
    assert set(precision) == PRECISION_KEYS
    assert (precision["asked"], precision["ran"], found["backend"]) == ("force_float32", "float32", "onnxruntime")
    assert score["value"] == pytest.approx(sum(score["per_image"].values()) / 20)
    assert score["data"]["count"] == score["data"]["total"] == 20


def test_evaluate_prints_the_numbers_that_it_writes(folder: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", folder / "built", "--data", folder / "data", "--split", "all", "-q")
    ended = densecast(*arguments, "--json", tmp_path / "a.json")
    score = json.loads((tmp_path / "a.json").read_text())["score"]
    printed = dict(re.findall(r"^(\w+): (-?[0-9.]+)(?:$| over)", ended.out, re.MULTILINE))
    expected = {score["name"]: score["value"], **score["others"]}
    assert len(expected) > 1 and printed == {name: f"{value:.4f}" for name, value in expected.items()}


def test_evaluate_does_not_depend_on_the_batch(folder: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", folder / "built", "--data", folder / "data", "--split", "all")
    one = written(tmp_path / "1.json", *arguments)["score"]
    assert written(tmp_path / "7.json", *arguments, "--batch", "7")["score"] == one


def test_benchmark(folder: Path, tmp_path: Path) -> None:
    images = [write_jpeg(tmp_path / f"{index}.jpg", seed=index) for index in range(3)]
    quick = ("--count", "4", "--seconds", "0", "--warm-up", "1", "--threads", "1")
    found = written(tmp_path / "a.json", "benchmark", folder / "built", *images, *quick)
    assert {"throughput", "stages", "precision", "machine", "backend", "model", "artifact"} <= set(found)
    throughput, stages, samples = found["throughput"], found["stages"], found["samples_ms"]
    assert isinstance(throughput, dict) and isinstance(stages, dict) and isinstance(samples, dict)
    assert set(throughput) == {"images_per_s", "inference_only_per_s", "images_per_vcpu_hour", "images_per_kwh"}
    # Energy is counted where the machine's counters can be read.
    assert all(value > 0 for name, value in throughput.items() if name != "images_per_kwh" or value is not None)
    assert set(stages) == {"decode", "preprocess", "infer", "postprocess", "end_to_end"} == set(found["scope"])  # type: ignore[call-overload]
    for name, summary in stages.items():
        assert set(summary) == {"p50_ms", "p90_ms", "p99_ms", "mean_ms"}
        assert len(samples[name]) == 4 and min(samples[name]) <= summary["p50_ms"] <= summary["p99_ms"]
    assert isinstance(found["machine"], dict) and found["machine"]["cpu"]
    assert set(found["precision"]) == PRECISION_KEYS  # type: ignore[call-overload]
    assert (found["images"], found["batch"], found["threads"], found["inputs"]) == (4, 1, 1, "3 image files")


def test_benchmark_in_throughput_mode(folder: Path, tmp_path: Path) -> None:
    images = [write_jpeg(tmp_path / f"{index}.jpg", seed=index) for index in range(3)]
    quick = ("--count", "6", "--seconds", "0", "--warm-up", "1", "--threads", "2", "--mode", "throughput")
    found = written(tmp_path / "a.json", "benchmark", folder / "built", *images, *quick)
    assert (found["mode"], found["threads"], found["streams"], found["images"]) == ("throughput", 2, 2, 6)
    samples = found["samples_ms"]
    assert isinstance(samples, dict) and {len(samples[name]) for name in samples} == {6}
    share, bound = found["end_to_end_share"], found["end_to_end_bound"]
    other_stages = found["other_stages_cpu_ms"]
    assert isinstance(share, float) and isinstance(bound, float) and isinstance(other_stages, float)
    throughput = found["throughput"]
    assert isinstance(throughput, dict)
    assert share == pytest.approx(throughput["images_per_s"] / throughput["inference_only_per_s"])
    # Two CPUs for inference alone, and the other stages on top.
    inference_ms = 2000 / throughput["inference_only_per_s"]
    assert other_stages > 0 and bound == pytest.approx(inference_ms / (inference_ms + other_stages))


def test_benchmark_without_images_times_inference_alone(folder: Path, tmp_path: Path) -> None:
    found = written(
        tmp_path / "a.json", "benchmark", folder / "built", "--count", "2", "--seconds", "0", "--warm-up", "0"
    )
    assert set(found["stages"]) == {"infer"} and found["inputs"] == "random"  # type: ignore[call-overload]
    throughput = found["throughput"]
    assert isinstance(throughput, dict) and throughput["images_per_s"] == throughput["inference_only_per_s"]


def test_infer_with_overlays(folder: Path, tmp_path: Path) -> None:
    images = [write_jpeg(tmp_path / "images" / f"{name}.jpg") for name in "ab"]
    found = written(
        tmp_path / "a.json", "infer", folder / "built", tmp_path / "images", "--out", tmp_path / "out", "--overlay"
    )
    assert found["results"] == [
        {"image": str(image), "file": str(tmp_path / "out" / f"{image.stem}.png")} for image in images
    ]
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == [
        "a.png",
        "a_overlay.jpg",
        "b.png",
        "b_overlay.jpg",
    ]


def test_compare_with_itself(folder: Path, tmp_path: Path) -> None:
    write_jpeg(tmp_path / "images" / "a.jpg")
    arguments = ("compare", folder / "built", folder / "built", "--images", tmp_path / "images")
    (found,) = written(tmp_path / "a.json", *arguments)
    assert isinstance(found, dict)
    assert found["max_error"] == found["labels_changed"] == 0 and found["cosine"] == pytest.approx(1)


def stored(folder: Path) -> dict[str, object]:
    """A manifest without its digest, which is of the file alone."""
    plain: dict[str, object] = json.loads((folder / "manifest.json").read_text())
    del plain["manifest_sha256"]
    return plain


def test_build_and_export_tell_the_whole_manifest(folder: Path, tmp_path: Path) -> None:
    found = written(
        tmp_path / "a.json", "build", folder / "float", "--out", tmp_path / "out", "-b", "reference", "--batch", "1:4"
    )
    assert stored(tmp_path / "out").items() <= found.items()
    assert found["artifact"] == str(tmp_path / "out")
    found = written(
        tmp_path / "a.json", "export", folder / "tiny.onnx", "--labels", "road,car", "--out", tmp_path / "float"
    )
    assert stored(tmp_path / "float").items() <= found.items()


def test_build_names_its_folder_beside_the_exported_one(folder: Path) -> None:
    assert densecast("build", folder / "float", "-b", "reference", "-q").code == 0
    assert (folder / "tiny__fp32__8-512x8-512__b1__reference" / "manifest.json").is_file()


def test_models_and_doctor(tmp_path: Path) -> None:
    models = written(tmp_path / "a.json", "models")
    assert "unet_tiny" in models
    assert written(tmp_path / "a.json", "models", "unet_tiny") == models["unet_tiny"]
    doctor = written(tmp_path / "a.json", "doctor")
    assert set(doctor) == {"machine", "cpu_targets", "cgroup_quota_cpus", "confinement", "backends", "extras"}
    assert "openvino" in doctor["backends"] and set(doctor["extras"]) >= {"torch", "quantize", "report"}  # type: ignore[operator, call-overload]
