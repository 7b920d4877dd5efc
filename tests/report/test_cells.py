"""Every cell of a report's tables holds the number of its own row and column, in Markdown and on the page."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import made_report
import pytest

from densecast.report import devices, markdown, page, plot
from densecast.report.data import DeviceRow, Report
from densecast.results.timing import Pace
from densecast.runtime.ab_timing import Ratio
from densecast.runtime.cpu_load import CpuLoad
from densecast.zoo._base import PublishedScore

HEADER = [
    "backend", "asked", "ran", "dice_per_image", "change", "published", "images/s", "times as fast as",
    "inference only/s", "infer p50 ms", "size MB",
]  # fmt: skip
SCORES = (0.9, 0.875, 0.8125)
# Median 3, mean 22: skewed, so that no other summary has this number.
INFER_MS = (1.0, 2.0, 3.0, 4.0, 100.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Three rows, of which no two numbers are alike."""
    whole = made_report.report(tmp_path_factory.mktemp("cells"))
    rows = []
    for index, (row, score) in enumerate(zip(whole.rows[:3], SCORES, strict=True)):
        samples = {name: tuple(each + index for each in INFER_MS) for name in row.timing.samples_ms}
        timing = replace(row.timing, samples_ms=samples, images_per_s=10.0 + index, inference_only_per_s=20.0 + index)
        pace = Pace("fp32", Ratio(1.5 + index, 1.25, 1.75), 15, "yes", "faster", 0.8, CpuLoad(0.0, 0.0, 0.0))
        rows.append(replace(row, score=replace(row.score, value=score), timing=timing, size_mb=30.0 + index, pace=pace))
    published = (
        PublishedScore("force_float32", "dice_per_image", 0.7, 508, "table A"),
        PublishedScore("qint8_mixed_float16", "dice_per_image", 0.6, 507, "table B"),
    )
    return replace(whole, rows=tuple(rows), published=published, images=())


def cells_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


class Tables(HTMLParser):
    """The texts of a page's tables, cell by cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._is_inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._is_inside = True

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = self._is_inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._is_inside:
            self.tables[-1][-1][-1] += data


def expected(index: int) -> dict[str, str]:
    """What stands in a row, by hand: 0.875 - 0.9 and 0.8125 - 0.9 are the changes."""
    return {
        "dice_per_image": ("0.9000", "0.8750", "0.8125")[index],
        "change": ("+0.0000", "-0.0250", "-0.0875")[index],
        "published": ("0.7000 (n=508)", "", "0.6000 (n=507)")[index],
        "images/s": ("10.0", "11.0", "12.0")[index],
        "times as fast as": ("1.50 (1.25 to 1.75) fp32", "2.50 (1.25 to 1.75) fp32", "3.50 (1.25 to 1.75) fp32")[index],
        "inference only/s": ("20.0", "21.0", "22.0")[index],
        "infer p50 ms": ("3.00", "4.00", "5.00")[index],
        "size MB": ("30.0", "31.0", "32.0")[index],
    }


def test_each_cell_of_the_markdown_table_is_its_rows_number(made: Report) -> None:
    header, _, *rows = cells_of(markdown.results(made))
    assert header == HEADER
    for index, row in enumerate(rows):
        found = dict(zip(header, row, strict=True))
        assert {name: found[name] for name in expected(index)} == expected(index)


def test_each_cell_of_the_pages_table_is_its_rows_number(made: Report) -> None:
    pytest.importorskip("jinja2")
    header, *rows = Tables(page.render(made, Path())).tables[0]
    assert len(rows) == len(made.rows)
    for index, row in enumerate(rows):
        found = dict(zip(header, row, strict=True))
        assert {name: found[name].strip() for name in expected(index)} == expected(index)


def test_stages_are_median_and_percentiles_of_their_own(made: Report) -> None:
    # Of 1, 2, 3, 4, 100 the 90th percentile lies 0.6 of the way from 4 to 100, the 99th 0.96 of it.
    _, _, first, *_ = cells_of(markdown.stages(made))
    assert first[2:] == ["3.00 (61.60, 96.16)"] * 5


def test_a_published_score_stands_beside_its_own_precision_with_its_source(made: Report) -> None:
    assert made.published_for("force_float16") is None
    int8 = made.published_for("qint8_mixed_float16")
    assert int8 is not None and int8.value == 0.6
    assert "Published: fp32: table A, 508 images; int8: table B, 507 images." in markdown.render(made)


def test_bars_share_an_inference_among_the_images_of_its_batch(made: Report) -> None:
    batched = replace(made, rows=(replace(made.rows[0], timing=replace(made.rows[0].timing, batch=4)),))
    bars = [each.text for element in ET.fromstring(plot.stage_bars(batched)) for each in element]
    assert bars == ["decode: 3.00 ms", "preprocess: 3.00 ms", "infer: 0.75 ms", "postprocess: 3.00 ms"]


def device(made: Report, **changes: object) -> DeviceRow:
    row = DeviceRow("ascend", "force_float16", 16, made.rows[0].score, {}, "some card")
    return replace(row, **changes)  # type: ignore[arg-type]


def sentences(made: Report, row: DeviceRow) -> tuple[str, str]:
    ((heading, section),) = devices.sections(replace(made, devices=(row,)))
    return heading, " ".join(section.sentences)


def test_what_was_simulated_is_never_told_as_a_devices(made: Report) -> None:
    heading, text = sentences(made, device(made, is_simulated=True, hardware="simulated on a CPU"))
    assert heading.endswith(", simulated") and "simulating CPU's speed" in text and "vendor's tool reports" not in text
    heading, text = sentences(made, device(made))
    assert "simulat" not in heading + text and "vendor's tool reports" in text


def test_a_devices_score_over_other_images_is_compared_with_none(made: Report) -> None:
    score = made.rows[0].score
    assert score.data is not None
    _, same = sentences(made, device(made, score=replace(score, value=0.8)))
    assert "-0.1000 to the first model above" in same
    other = replace(score, data=replace(score.data, ids_sha256="cd" * 32))
    _, text = sentences(made, device(made, score=other))
    assert "over other images than the models above" in text
