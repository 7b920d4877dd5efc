"""Flags are made from the option dataclasses: each stands once, old names work, errors name the flag; exit code 70."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import made_images
import pytest
import typer.main
from command_line import densecast as command
from command_line import failed
from typer.testing import CliRunner

import densecast
from densecast.cli import _options, app
from densecast.errors import UsageError
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.spec.verb_options import (
    BenchmarkOptions,
    CompareLimits,
    EvaluateOptions,
    ExportOptions,
    MaxDrop,
    TuneOptions,
)

TAKEN = {
    "build": (BuildOptions, QuantizeOptions, InputShape, TuneOptions, MaxDrop),
    "export": (ExportOptions,),
    "evaluate": (EvaluateOptions,),
    "benchmark": (BenchmarkOptions,),
    "compare": (CompareLimits,),
}


def flags_of(verb: str) -> list[str]:
    command_of_verb = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    return [name for each in command_of_verb.params for name in each.opts if name.startswith("-")]


@pytest.mark.parametrize("verb", TAKEN)
def test_every_option_with_words_for_it_is_one_flag_of_its_verb(verb: str) -> None:
    flags = flags_of(verb)
    assert len(set(flags)) == len(flags)
    for kind in TAKEN[verb]:
        offered = [field for field in dataclasses.fields(kind) if field.metadata]
        assert offered, kind
        for field in offered:
            names = {f"--{prefix}{field.name.replace('_', '-')}" for prefix in ("", "drop-")}
            assert field.metadata["flag"] in flags if field.metadata["flag"] else names & set(flags), field.name
            assert set(field.metadata["aliases"]) <= set(flags)


@pytest.mark.parametrize(
    ("old", "value"),
    [("--sixteen-bit", "f16"), ("--estimator", "minmax"), ("--rewrite", "none"), ("--keep-float", "Conv_2")],
)
def test_flags_of_before_still_work(artifacts: Path, tmp_path: Path, old: str, value: str) -> None:
    ended = command("build", artifacts / "float", *int8(tmp_path), old, value, "--out", tmp_path / "out", "-q")
    assert ended.code == 0, ended.err


def int8(root: Path) -> tuple[str | Path, ...]:
    made_images.write_jpeg(root / "images" / "a.jpg")
    return ("-b", "onnxruntime", "-p", "int8", "--data", root / "images")


def test_what_is_given_reaches_the_build(artifacts: Path, tmp_path: Path) -> None:
    ended = command(
        "build", artifacts / "float", *int8(tmp_path), "--batch", "1:4", "--height", "24", "--half-type", "F16",
        "--graph-pass", "none", "--images", "7", "--seed", "3", "--exclude-type", "Relu", "--percentile", "99",
        "--out", tmp_path / "out", "--json", tmp_path / "out.json", "-q",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    build = json.loads((tmp_path / "out.json").read_text())["build"]
    assert build["shape"] == {"batch": {"min": 1, "max": 4}, "height": 24, "width": None}
    assert build["half_type"] == "f16" and build["graph_passes"] == []
    quantize = build["quantize"]
    assert (quantize["images"], quantize["seed"], quantize["percentile"]) == (7, 3, 99.0)
    assert quantize["excluded_types"] == ["Relu"]


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        (("--height", "640,2"), "--height"),
        (("--batch", "many"), "--batch"),
        (("--time-budget", "soon", "--max-drop", "1"), "--time-budget"),
    ],
)
def test_a_text_that_stands_for_nothing_is_told_with_its_flag(
    artifacts: Path, tmp_path: Path, arguments: tuple[str, ...], flag: str
) -> None:
    message = failed(2, "build", artifacts / "float", *arguments, "--out", tmp_path / "out", "-q")
    assert message.startswith(f"{flag}: ")


def test_a_number_out_of_bounds_is_told_in_plain_words(artifacts: Path, tmp_path: Path) -> None:
    ended = command("infer", artifacts / "built", tmp_path, "--out", tmp_path / "out", "--limit", "0")
    said = " ".join(ended.err.replace("│", " ").split())
    assert ended.code == 2 and "'--limit': must be " in said and "Input should" not in said


def test_a_choice_that_there_is_not_is_told_once_with_its_flag(artifacts: Path, tmp_path: Path) -> None:
    given = ("export-to", "onnx-full", artifacts / "float", "--out", tmp_path / "out", "-q")
    assert failed(2, *given, "--colour", "red").startswith("--colour: must be 'auto', 'rgb' or 'bgr', got 'red'")


def test_an_error_that_names_a_field_is_told_with_its_flag(artifacts: Path) -> None:
    message = failed(2, "evaluate", artifacts / "built", "--protocol", "one", "--limit", "3", "-q")
    assert message.startswith("--protocol 'one' determines")


def test_of_two_options_of_one_name_the_errors_path_says_which() -> None:
    @_options.takes({"max_drop": "drop-"}, quantize=QuantizeOptions, max_drop=MaxDrop)
    def fails(field: str, *, quantize: dict[str, Any], max_drop: dict[str, Any]) -> None:
        raise UsageError("too few.", field=field)

    made = typer.Typer()
    made.command()(fails)
    for field, flag in (("max_drop.images", "--drop-images"), ("quantize.images", "--images")):
        ended = CliRunner().invoke(made, [field])
        assert isinstance(ended.exception, UsageError) and str(ended.exception) == f"{flag}: too few."


def test_the_version_is_printed() -> None:
    assert command("--version").out.strip() == densecast.__version__


def test_a_fault_of_our_own_ends_with_70_and_keeps_its_traceback(
    artifacts: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("planted\nsecond line")

    monkeypatch.setattr("densecast.verbs.verify.verify", broken)
    message = failed(70, "verify", artifacts / "built")
    assert message.startswith("internal error: ZeroDivisionError: planted.") and str(own_cache) in message
    assert "broken" in (own_cache / "last_internal_error.txt").read_text()
