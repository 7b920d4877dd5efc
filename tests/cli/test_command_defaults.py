"""What commands do if nothing else is said: scripts of years ago rely on it without a word."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
import typer.main

from densecast.cli import app

# Of options that several commands share, once.
_INT8 = {"images": 300, "split": "train"}
_STORE = {"max_errors": "0", "on": "local"}
DEFAULTS: dict[str, dict[str, object]] = {
    "export": {"opset": 17, "exporter": "auto", "variant": "original"},
    "build": {
        "on": "local",
        "backend": "openvino",
        "half_type": "auto",
        "cpu": "native",
        "batch": "1",
        "images": 300,
        "weights": "per_channel",
        "activations": "auto",
        "calibration_method": "auto",
        "percentile": 99.99,
        "bias_correction": "auto",
        "goal": "throughput",
        "seconds": "10m",
        "otherwise": "16-bit",
    },
    "infer": {"ratios": "1.0", "every": 1, "overlay_video": "webm", **_STORE},
    "evaluate": {"ratios": "1.0", "split": "val", **_STORE},
    "benchmark": {"mode": "latency", "style": "densecast", "images": 50, "seconds": 3.0, "warm_up": 5},
    "compare": {"split": "val", **_STORE},
    "diagnose": {"limit": 20},
    "run": {
        "backends": "openvino,onnxruntime",
        "exporter": "auto",
        "variant": "original",
        "batch": "1",
        "seconds": "10m",
    },
    "serve": {
        "host": "127.0.0.1",
        "port": 8000,
        "mode": "throughput",
        "workers": 1,
        "batch_wait_ms": 5.0,
        "deadline": "30s",
        "max_body_mib": 64,
        "max_megapixels": 64.0,
        "max_connections": 1000,
        "header_timeout": "10s",
        "body_timeout": "10s",
        "idle_timeout": "30s",
        "grace": "20s",
    },
    "export-to": {"colour": "auto", "layout": "nhwc", "file_format": "auto", **_INT8},
    "data check": {"split": "all"},
    "handoff prepare": {"precision": "fp16", "target": "ascend", "output_form": "logits", "batch": 1, "images": 300},
    "handoff rehearse": {"tool": "benchmark"},
    "handoff simulate": {"tool": "benchmark"},
}
# Each command's own splits: where numbers are found, and where ranges are.
SPLITS = {
    "build": {"quantize_split": "train", "max_drop_split": "val"},
    "run": {"quantize_split": "train", "evaluate_split": "val"},
    "handoff prepare": {"options_split": "val", "quantize_split": "train"},
}


def commands() -> Iterator[tuple[str, click.Command]]:
    def below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
        parts = getattr(command, "commands", None)
        if parts is None:
            yield " ".join(words), command
        for name, each in (parts or {}).items():
            yield from below(each, (*words, name))

    yield from below(typer.main.get_command(app), ())


BY_NAME = dict(commands())


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_is_not_said_is_what_it_always_was(name: str) -> None:
    found = {each.name or "": each.default for each in BY_NAME[name].params}
    for option, value in DEFAULTS[name].items():
        named = [given for full, given in found.items() if full == option or full.endswith(f"_{option}")]
        assert value in named, f"{option}: {named}"
    assert {option: found[option] for option in SPLITS.get(name, {})} == SPLITS.get(name, {})


@pytest.mark.parametrize("name", BY_NAME)
def test_no_flag_is_on_unless_it_is_given(name: str) -> None:
    """A flag that is on by itself cannot be told from one that was given, and most cannot be switched off."""
    flags = {each.name or "": each.default for each in BY_NAME[name].params if getattr(each, "is_flag", False)}
    assert not [flag for flag, value in flags.items() if value]
    counted = [each.default for each in BY_NAME[name].params if getattr(each, "count", False)]
    assert not any(counted)
