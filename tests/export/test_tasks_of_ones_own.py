"""A file from others is exported for a task that only the user's own process knows: the confined one has a stand-in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
import tiny_graphs

import densecast
from densecast.spec.model import ModelSpec
from densecast.tasks.segmentation import TASK


def test_a_task_given_as_an_object_is_that_of_the_artifact_where_the_confined_process_cannot_import_it(
    tmp_path: Path,
) -> None:
    @dataclass(frozen=True)
    class Options:
        kind: str = "own_classes"
        strength: int = 3
        weights: tuple[float, ...] = (0.5, 2.0)

    class Own(type(TASK)):  # type: ignore[misc]
        name = "own_classes"
        options_type = Options

        def check(self, spec: ModelSpec) -> None:
            pass

        def output_channels(self, spec: ModelSpec) -> int:
            return len(spec.labels)

    onnx.save(tiny_graphs.segmentation(), tmp_path / "net.onnx")
    made = densecast.export(tmp_path / "net.onnx", tmp_path / "out", task=Own(), labels=2)
    assert (made.spec.task, made.spec.decode) == ("own_classes", Options())
