"""One server for all tests that only ask: a tiny segmentation and tiny people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_artifacts

from densecast.spec.options import BuildOptions, InputShape

pytest.importorskip("starlette", reason="needs the [serve] extra")


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`built`: tiny people."""
    made = tmp_path_factory.mktemp("people")
    tiny_artifacts.compiled_pose(made, BuildOptions("onnxruntime", shape=InputShape((1, 2))))
    return made


@pytest.fixture(scope="session")
def server(artifacts: Path, people: Path) -> Iterator[str]:
    """The address of a server of `tiny` and `people`."""
    from densecast.spec.serve_options import ServeOptions
    from densecast.verbs.serve import serving

    options = ServeOptions(port=0, access_log=False)
    with serving([artifacts / "built", f"people:2={people / 'built'}"], options) as running:
        yield running.url
