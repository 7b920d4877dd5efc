"""`build --max-drop` on the command line: its options, its table, its JSON, and how it says no."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny_artifacts
from command_line import densecast, failed
from made_images import carvana
from outlier_network import outlier_network

from densecast.cli import _options
from densecast.errors import UsageError

pytest.importorskip("nncf")
pytestmark = pytest.mark.quantize


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float artifact and images to search with."""
    made = tmp_path_factory.mktemp("max_drop")
    tiny_artifacts.exported(made, outlier_network())
    carvana(made / "data", count=30)
    return made


@pytest.mark.slow
def test_the_table_is_printed_and_the_json_says_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))
    ended = densecast(
        *("build", folder / "float", "--out", tmp_path / "built", "--data", folder / "data"),
        *("--max-drop", "30", "--metric", "dice", "--drop-split", "all", "--drop-images", "8", "--images", "6"),
        *("--height", "24", "--width", "32", "--json", tmp_path / "found.json", "-q"),
    )
    assert ended.code == 0, ended.err
    written = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    search = written["search"]
    assert search["metric"] == "dice_per_image" and search["images"] == 8 == len(search["ids"])
    assert written["precision_asked"] == "qint8_mixed_float16"
    for trial in search["trials"]:
        assert f"| {trial['name']} " in ended.out
    assert f"taken: {search['winner']}: {search['why']}" in ended.out
    marked = [
        row
        for row in ended.out.splitlines()
        if row.startswith("|") and "taken" in row.rpartition("|")[0].split("|")[-1]
    ]
    assert [row.split("|")[1].strip() for row in marked] == [search["winner"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--max-drop", "0.5"), "--data"),
        (("--max-drop", "0", "--data", "."), "above 0|between 0"),
        (("--max-drop", "0.5", "--data", ".", "--time-budget", "soon"), "90s, 10m or 2h"),
        (("--max-drop", "0.5", "--data", ".", "--precision", "fp16"), "among int8"),
        (("--max-drop", "0.5", "--data", ".", "--otherwise", "float"), "otherwise"),
        (("--max-drop", "0.5", "--data", ".", "--drop-split", "test"), "split"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    message = failed(2, "build", folder / "float", "--out", tmp_path / "out", *arguments, "-q")
    assert any(part in message for part in said.split("|"))
    assert not list(tmp_path.iterdir())


def test_a_backend_whose_layers_cannot_be_had_one_by_one_is_refused(folder: Path, tmp_path: Path) -> None:
    message = failed(
        2, "build", folder / "float", "--out", tmp_path / "o", "-b", "reference", "--max-drop", "1", "--data", "."
    )
    assert "reference" in message


def test_a_time_is_seconds_minutes_or_hours() -> None:
    assert [_options.seconds(text) for text in ("90", "90s", "1.5m", "2h")] == [90.0, 90.0, 90.0, 7200.0]
    for text in ("", "m", "-5s", "10 m", "1d"):
        with pytest.raises(UsageError, match="90s, 10m or 2h"):
            _options.seconds(text)
