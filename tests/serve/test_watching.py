"""Artifacts that are put into a watched folder are served, replaced and let go."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import malformed_requests
import pytest
import serve_client

from densecast.artifact import MANIFEST, CompiledArtifact
from densecast.errors import MissingFileError
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import serving
from densecast.verbs.serve.models import Models, Place
from densecast.verbs.serve.watching import Watch


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


class Loaded:
    """Stands for an opened model: notes how it is closed."""

    def __init__(self, place: Place) -> None:
        self.name, self.version, self.artifact = place.name, place.version, place.artifact
        self.closed: list[float] = []

    def close(self, leave_s: float) -> None:
        self.closed.append(leave_s)


def test_each_artifact_has_one_model_and_whoever_leaves_is_closed(
    artifacts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A manifest that is written anew is another model; hidden folders are not read."""
    models, loaded = Models(), list[Loaded]()

    def load(place: Place) -> Any:
        loaded.append(Loaded(place))
        return loaded[-1]

    def told() -> list[str]:
        return [each for each in caplog.messages if each.startswith(("mine", "other", f"{tmp_path}"))]

    other: Any = Loaded(Place("taken", "1", CompiledArtifact.open(artifacts / "built")))
    models.replace(None, other)
    for name in ("mine", ".hidden", "taken"):
        shutil.copytree(artifacts / "built", tmp_path / name)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / MANIFEST).write_text("{}")
    (tmp_path / "empty").mkdir()
    watch = Watch(tmp_path, models, load, every_s=0.01)
    watch.start()
    try:
        assert [(each.name, each.version) for each in models] == [("taken", "1"), ("mine", "1")]
        assert "mine is served, as it is new." in told()
        os.utime(tmp_path / "mine" / MANIFEST, ns=(1, 1))
        until(lambda: [each.closed for each in loaded], [[30.0], []])
        assert next(each for each in models if each.name == "mine") is loaded[1]
        (tmp_path / "mine").rename(tmp_path / "other")
        until(lambda: [each.name for each in models], ["taken", "other"])
        until(lambda: [each.closed for each in loaded], [[30.0], [30.0], []])
    finally:
        watch.stop()
    assert [each.closed for each in loaded] == [[30.0], [30.0], [0.0]] and not other.closed
    # What cannot be served is said once, though it was tried again and again.
    assert [each for each in told() if str(tmp_path / "taken") in each] == [
        f"{tmp_path / 'taken'} is not served: another model is served as taken. Rename the folder."
    ]
    assert len([each for each in told() if str(tmp_path / "broken") in each]) == 1
    assert "mine is served, in place of the one before." in told() and "mine is no longer served." in told()
    assert not [each for each in caplog.messages if "hidden" in each or "empty" in each]


def test_a_folder_that_is_not_there_is_told(artifacts: Path, tmp_path: Path) -> None:
    with (
        pytest.raises(MissingFileError, match="no folder"),
        serving([], ServeOptions(port=0, watch=str(tmp_path / "no"))),
    ):
        pass
