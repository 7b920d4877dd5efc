"""Options that do nothing beside the others are refused before anything is opened, with what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import failed

INT8 = ("-p", "int8", "--data", "photos")


@pytest.mark.parametrize(
    ("given", "idle", "for_what"),
    [
        ((), ("--data", "photos"), "int8"),
        (("-p", "fp16"), ("--images", "300"), "int8"),
        (("-p", "fp32"), ("--estimator", "minmax"), "int8"),
        (("-p", "fp16", "--data", "photos"), ("--exclude-type", "MatMul"), "int8"),
        (("--tune",), ("--split", "val"), "int8"),
        ((), ("--half-type", "bf16"), "16 bits"),
        (INT8, ("--drop-data", "others"), "--max-drop"),
        (INT8, ("--drop-images", "10"), "--max-drop"),
        (INT8, ("--metric", "iou"), "--max-drop"),
        (INT8, ("--otherwise", "best"), "--max-drop"),
        (INT8, ("--allow-ignored",), "--max-drop"),
        (INT8, ("--time-budget", "10m"), "--tune and --max-drop"),
        (INT8, ("--goal", "latency"), "--tune"),
        ((*INT8, "--max-drop", "1"), ("--goal", "throughput"), "--tune"),
        (("-p", "fp16"), ("--dataset", "pairs"), "--data"),
        ((*INT8, "--calibration-method", "minmax"), ("--percentile", "99.9"), "percentile"),
    ],
)
def test_build_refuses_what_has_no_effect(given: tuple[str, ...], idle: tuple[str, ...], for_what: str) -> None:
    said = failed(2, "build", "float", *given, *idle)
    flag = {"--estimator": "--calibration-method"}.get(idle[0], idle[0])
    assert said.startswith(f"{flag} ")
    assert for_what in said.removeprefix(flag)


@pytest.mark.parametrize(
    "given",
    [
        (*INT8, "--images", "300", "--split", "val", "--half-type", "bf16"),
        ("--tune", "--data", "photos", "--images", "20", "--goal", "latency", "--time-budget", "1m"),
        ("--max-drop", "1", "--data", "photos", "--drop-images", "5", "--time-budget", "1m", "--allow-ignored"),
        ("-p", "fp32", "--data", "photos", "--half-type", "f16"),
        ("-p", "int8", "--data", "photos", "--percentile", "99"),
    ],
)
def test_build_takes_what_has_one(tmp_path: Path, given: tuple[str, ...]) -> None:
    assert "does not exist" in failed(3, "build", tmp_path / "none", *given)


@pytest.mark.parametrize("idle", [("--split", "val"), ("--dataset", "pairs"), ("--allow-ignored",)])
def test_compare_refuses_words_about_ground_truth_beside_images(idle: tuple[str, ...]) -> None:
    assert failed(2, "compare", "a", "b", "--images", "photos", *idle).startswith(f"{idle[0]} says how ground truth")


@pytest.mark.parametrize("idle", [("--calibration-data", "photos"), ("--calibration-images", "3")])
def test_a_handoff_refuses_calibration_without_int8(idle: tuple[str, ...]) -> None:
    given = ("handoff", "prepare", "float", "--out", "out")
    assert failed(2, *given, *idle).startswith(f"{idle[0]} is for int8")
    assert "does not exist" in failed(3, *given, *idle, "-p", "int8")


def test_a_run_refuses_a_search_and_a_calibration_that_it_does_not_have(tmp_path: Path) -> None:
    given = ("run", "unet_tiny", "--out", tmp_path / "run")
    assert failed(2, *given, "--time-budget", "10m").startswith("--time-budget is for --tune and --max-drop")
    idle = failed(2, *given, "--precisions", "fp32,fp16", "--calibration-split", "val")
    assert idle.startswith("--calibration-split is for int8")


@pytest.mark.parametrize("whole", [("--split", "all"), ("--protocol", "magicmind_1000")])
def test_an_evaluation_of_named_images_refuses_a_seed(whole: tuple[str, ...], tmp_path: Path) -> None:
    assert failed(2, "evaluate", tmp_path / "none", *whole, "--seed", "0").startswith("--seed draws the split")
    assert "does not exist" in failed(3, "evaluate", tmp_path / "none", "--seed", "0")
