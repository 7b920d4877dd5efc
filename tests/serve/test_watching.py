"""Artifacts that are put into a watched folder are served, replaced and let go."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import malformed_requests
import pytest
import serve_client

from densecast.errors import MissingFileError
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import serving


def until(what: Any, value: Any) -> None:
    end = time.monotonic() + 30
    while what() != value and time.monotonic() < end:
        time.sleep(0.1)
    assert what() == value


@pytest.mark.slow
def test_what_lies_in_a_watched_folder_is_served(artifacts: Path, people: Path, tmp_path: Path) -> None:
    with serving([], ServeOptions(port=0, access_log=False, watch=str(tmp_path))) as running:

        def listed() -> list[str]:
            reply = serve_client.ask(running.url, "POST", "/v2/repository/index", b"")
            return sorted(each["name"] for each in reply.document)

        assert listed() == [] and serve_client.ask(running.url, "GET", "/v2/models/mine").status == 404
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "manifest.json").write_text("{}")
        shutil.copytree(artifacts / "built", tmp_path / "mine")
        until(listed, ["mine"])
        assert serve_client.ask(running.url, "POST", "/predict", malformed_requests.jpeg()).document["model"] == "mine"
        shutil.copytree(people / "built", tmp_path / "next")
        (tmp_path / "mine").rename(tmp_path / "old")
        (tmp_path / "next").rename(tmp_path / "mine")
        until(
            lambda: serve_client.ask(running.url, "GET", "/v2/models/mine").document.get("parameters", {}).get("task"),
            "pose",
        )
        until(listed, ["mine", "old"])
        shutil.rmtree(tmp_path / "mine")
        until(listed, ["old"])


def test_a_folder_that_is_not_there_is_told(artifacts: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(MissingFileError, match="no folder"),
        serving([], ServeOptions(port=0, watch=str(tmp_path / "no"))),
    ):
        pass
