"""A built artifact whose class 1 is where an image is bright: what a result has to be can be computed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_artifacts
import tiny_graphs

from densecast.spec.options import BuildOptions
from densecast.spec.preprocess import Native, Preprocess


@pytest.fixture(scope="session")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the artifact; images of 8 to 512 pixels a side, at their own size."""
    from densecast.verbs.builder import build

    folder = tmp_path_factory.mktemp("bright")
    source = tiny_artifacts.exported(folder, tiny_graphs.brightness(), Preprocess(Native()))
    return build(source, folder / "built", BuildOptions("onnxruntime")).folder
