"""docs/numbers.md holds what the files in benchmarks/results say, rounded; no figure of it is typed by hand."""

from __future__ import annotations

import importlib.util
import json
import re
import statistics
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
FILES = sorted(path.relative_to(RESULTS).as_posix() for path in RESULTS.rglob("*.json"))


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_numbers", ROOT / "docs" / "make_numbers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(text: str, title: str) -> list[list[str]]:
    """The rows below a heading of the page, the heading of the table first."""
    below = text.split(f"\n### {title}\n")[1].split("\n#")[0]
    lines = [line for line in below.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in (lines[0], *lines[2:])]


@pytest.fixture(scope="module")
def text(maker: ModuleType) -> str:
    return str(maker.page())


def test_pages_are_as_they_are_made(maker: ModuleType) -> None:
    for path, made in maker.pages().items():
        assert path.read_text(encoding="utf-8") == made, f"{path.name}: run `python docs/make_map.py`"


def test_every_file_has_a_table_and_every_table_its_files(maker: ModuleType) -> None:
    assert {file for table in maker.tables() for file in table.files} == set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_table_names_a_program_that_is_there(maker: ModuleType, file: str) -> None:
    for table in (each for each in maker.tables() if file in each.files):
        scripts = re.findall(r"(?:benchmarks|parity|portable|tests/faults)/\w+\.py", table.by)
        assert all((ROOT / script).is_file() for script in scripts)
        assert scripts or table.by.startswith(("make ", "densecast ")), table.by


def test_figures_are_those_of_the_files(text: str) -> None:
    """Worked out again, from the files alone."""
    store = json.loads((RESULTS / "store_2m.json").read_text(encoding="utf-8"))
    rows = table(text, "Two million records")[1:]
    assert [row[1] for row in rows] == [f"{step['seconds'] / 2:.1f}" for step in store["steps"]]
    assert [row[2] for row in rows] == [f"{step['peak_rss_mib']:.0f}" for step in store["steps"]]

    pair = json.loads((RESULTS / "store_unet_tiny.json").read_text(encoding="utf-8"))["paired"]
    more = sorted(kept - plain for kept, plain in zip(pair["stored_ms"], pair["plain_ms"], strict=True))
    shown = next(row for row in table(text, "What records cost") if row[0].startswith("unet_tiny"))
    assert shown[2] == f"{statistics.median(more):+.1f} ({more[0]:+.1f} to {more[-1]:+.1f})"

    serve = json.loads((RESULTS / "serve.json").read_text(encoding="utf-8"))["artifacts"]
    served = [row for row in table(text, "Latency of a request") if row[2] == "`densecast serve`"]
    for row in served:
        times = serve[row[0].strip("`")]["latency"]["p50_p90_p99_ms"]["served"]
        assert [float(cell) for cell in row[3:6]] == [round(time) for time in times]
    assert len(served) == len(serve)

    rounds = serve["fcn_r50_d8_voc"]["throughput"]["rounds_images_per_s"]
    of_stream = sorted(each["litserve"] / each["stream"] for each in rounds)
    shown = next(row for row in table(text, "Throughput and slow clients") if "LitServe" in row[1])
    assert shown[3] == f"{statistics.median(of_stream):.2f} ({of_stream[0]:.2f} to {of_stream[-1]:.2f})"


def test_what_an_hour_of_a_cpu_buys_follows_from_the_time_of_an_image(text: str) -> None:
    """Two CPUs that are busy for 81 ms are 0.162 s of CPU time, of which an hour has 22,222."""
    shown = table(text, "What an hour of a rented CPU buys")
    kept = json.loads((RESULTS / "printed" / "peers.json").read_text(encoding="utf-8"))
    ms = dict(zip(kept["columns"][1:], map(float, kept["rows"][0][1:]), strict=True))
    int8 = {row[0]: row for row in shown[1:] if row[1] == "int8"}
    for network, each in ms.items():
        assert int8[network][2:4] == [f"{1000 / each:.1f}", f"{round(3600 / (2 * each / 1000)):,}"]
    assert "16.3 inference alone" in int8["FCN-R50"][4] and "Ascend 310" in int8["FCN-R50"][4]
    assert len(shown) == 1 + 2 * 7
    assert "22,222" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_was_kept_as_printed_is_shown_cell_by_cell(text: str) -> None:
    for file in (each for each in FILES if each.startswith("printed/")):
        kept = json.loads((RESULTS / file).read_text(encoding="utf-8"))
        assert table(text, kept["title"]) == [kept["columns"], *kept["rows"]], file


def test_another_figure_in_a_file_is_another_page(maker: ModuleType, text: str, tmp_path: Path) -> None:
    for file in FILES:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes((RESULTS / file).read_bytes())
    kept = json.loads((RESULTS / "store_2m.json").read_text(encoding="utf-8"))
    kept["steps"][0]["seconds"] = 246.9
    (tmp_path / "store_2m.json").write_text(json.dumps(kept), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maker, "RESULTS", tmp_path)
        assert "| 123.5 |" in maker.page() and "| 123.5 |" not in text


def test_a_page_shows_a_table_between_its_marks(maker: ModuleType) -> None:
    before = "Words.\n\n<!-- numbers: store -->\nold\n<!-- end numbers -->\n\nMore words.\n"
    after = maker.filled(before)
    assert after.startswith("Words.\n\n<!-- numbers: store -->\n| step |") and "old" not in after
    assert after.endswith("|\n<!-- end numbers -->\n\nMore words.\n") and maker.filled(after) == after
