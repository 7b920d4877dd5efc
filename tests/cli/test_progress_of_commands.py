"""What takes long is told on a terminal: commands hand what they show on to the verb that does the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from command_line import densecast

from densecast.errors import BadInputError

pytest.importorskip("pyarrow")


class Heard:
    """Stands for a verb: notes what it is given, tells half of its work, and ends."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    def __call__(self, *given: Any, **named: Any) -> Any:
        self.given = named
        named["progress"](1, 2)
        raise BadInputError("that was all.")


@pytest.mark.parametrize("quiet", [True, False])
@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("densecast.verbs.export.export", ("export", "deeplabv3_tiny", "--out", "out")),
        (
            "densecast.verbs.stored.compare_models.compare_stored",
            ("compare", "float", "float", "--images", "images", "--store", "kept"),
        ),
    ],
)
def test_progress_reaches_who_does_the_work(
    verb: str, words: tuple[str, ...], quiet: bool, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "float").symlink_to(artifacts / "float")
    heard = Heard()
    monkeypatch.setattr(verb, heard)
    ended = densecast(*words, *(["-q"] if quiet else []))
    assert "that was all" in ended.err, ended.err
    assert callable(heard.given["progress"])
