"""The artifacts that commands are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_artifacts

from densecast.core.options import BuildOptions, InputShape, Range

OPEN = BuildOptions("onnxruntime", shape=InputShape(batch=Range(1, 4)))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`float` and `built`: the tiny network for sides of 8 to 512 pixels, images halved."""
    made = tmp_path_factory.mktemp("artifacts")
    tiny_artifacts.compiled(made, OPEN)
    return made
