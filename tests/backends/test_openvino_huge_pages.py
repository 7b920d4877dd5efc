"""Huge pages are asked for where a model takes memory: when it is loaded, and at an input larger than all before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts

from densecast.backends import openvino
from densecast.core import huge_pages
from densecast.core.options import BuildOptions, InputShape, Range
from densecast.core.runner import Plan

OPEN_SIZES = InputShape(Range(1, 4), Range(8, 512), Range(8, 512))
FIXED = InputShape((1, 2), 24, 32)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What memory the kernel was asked to do something about, in order."""
    found = []

    @contextlib.contextmanager
    def noted(*, written: bool = False) -> Iterator[None]:
        found.append("written" if written else "new")
        yield

    monkeypatch.setattr(huge_pages, "for_new_memory", noted)
    return found


def feed(batch: int, height: int, width: int) -> dict[str, np.ndarray]:
    return {"image": np.zeros((batch, 3, height, width), np.float32)}


def test_open_sizes_take_memory_when_an_input_is_larger_than_all_before(tmp_path: Path, asked: list[str]) -> None:
    artifact = tiny_artifacts.compiled(tmp_path, BuildOptions("openvino", shape=OPEN_SIZES))
    asked.clear()
    runner = openvino.load(artifact, Plan(1))
    assert asked == ["new"]
    for size, wanted in (((1, 24, 32), 1), ((1, 24, 32), 1), ((1, 16, 16), 1), ((1, 48, 32), 2), ((2, 48, 32), 3)):
        runner.run(feed(*size))
        assert asked == ["new", *["written"] * wanted], size
    runner.run_in(1, feed(1, 24, 32))
    assert asked[-2:] == ["new", "written"]  # another lane has a request, and memory, of its own
    runner.close()


def test_each_batch_size_is_a_model_of_its_own(tmp_path: Path, asked: list[str]) -> None:
    artifact = tiny_artifacts.compiled(tmp_path, BuildOptions("openvino", shape=FIXED))
    asked.clear()
    runner = openvino.load(artifact, Plan(1))
    runner.run(feed(1, 24, 32))
    runner.run(feed(2, 24, 32))
    runner.run(feed(1, 24, 32))
    assert asked == ["new", "written", "new", "written"]
    runner.close()
