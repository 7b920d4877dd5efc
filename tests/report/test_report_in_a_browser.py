"""The report in Chromium, at three widths, light, dark and printed: nothing overlaps, and all of it can be read."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import made_street_report
import pytest

from densecast.report import history, page

pytestmark = pytest.mark.slow

# Says in the page itself where its texts and blocks lie, in pixels.
LOOK = """
<script>
const shown = e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0; };
const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
const charts = [...document.querySelectorAll("svg")].filter(shown).map(svg => ({
  title: svg.querySelector("title").textContent, box: box(svg),
  texts: [...svg.querySelectorAll("text")].map(t => ({
    text: t.textContent, box: box(t), px: parseFloat(getComputedStyle(t).fontSize) * t.getScreenCTM().a })),
  dots: [...svg.querySelectorAll("circle")].map(box) }));
const blocks = [...document.querySelectorAll("h1, h2, h3, body > p, .verdict, figure, .wide")].filter(shown)
  .map(e => ({ text: e.tagName + " " + e.textContent.slice(0, 30), box: box(e) }));
const style = getComputedStyle(document.body);
parent.document.getElementById("found").textContent = JSON.stringify({ width: innerWidth,
  scroll: document.documentElement.scrollWidth, ink: style.color, paper: style.backgroundColor, charts, blocks });
</script></body>"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = os.environ.get("DENSECAST_CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.skip("needs Chromium: name it in DENSECAST_CHROMIUM")
    return found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report whose builds are far apart, one whose builds are alike, and a history."""
    pytest.importorskip("jinja2")
    folder = tmp_path_factory.mktemp("pages")
    street = made_street_report.report(folder)
    alike = tuple(
        replace(row, timing=replace(row.timing, images_per_s=12 + 0.1 * place), score=replace(row.score, value=0.72))
        for place, row in enumerate(street.rows)
    )
    runs = history.of([(name, replace(street, created=name)) for name in ("a", "b", "c")])
    texts = {
        "report": page.render(street, folder),
        "alike": page.render(replace(street, rows=alike), folder),
        "history": page.render_history(runs),
    }
    made = {}
    for name, text in texts.items():
        made[name] = folder / f"{name}.html"
        made[name].write_text(text.replace("</body>", LOOK), encoding="utf-8")
    return made


def looked(chromium: str, path: Path, width: int, *, dark: bool) -> dict:
    # No window of Chromium's is as narrow as a telephone; a frame within it is.
    host = path.with_name(f"{path.stem}_{width}.html")
    inner = html.escape(path.read_text(encoding="utf-8"), quote=True)
    frame = f'<iframe style="border: 0" width="{width}" height="1600" srcdoc="{inner}"></iframe>'
    host.write_text(
        f'<!doctype html><meta charset="utf-8"><body><pre id="found"></pre>{frame}</body>', encoding="utf-8"
    )
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1500,1700",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom", host.as_uri(),
    ]  # fmt: skip
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.search(r'<pre id="found">(.*?)</pre>', dumped, re.S)
    assert found is not None
    return json.loads(html.unescape(found[1]))


def overlap(one: list[float], other: list[float], slack: float = 1.0) -> bool:
    """Whether two boxes have more in common than `slack` pixels of both sides."""
    return (
        min(one[2], other[2]) - max(one[0], other[0]) > slack and min(one[3], other[3]) - max(one[1], other[1]) > slack
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 800, 1300])
@pytest.mark.parametrize("name", ["report", "alike", "history"])
def test_nothing_of_a_page_overlaps_and_all_can_be_read(
    chromium: str, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    found = looked(chromium, pages[name], width, dark=dark)
    assert found["width"] == width and found["scroll"] <= width, "the page itself does not scroll sideways"
    paper = [int(each) for each in re.findall(r"\d+", found["paper"])[:3]]
    assert (sum(paper) < 200) == dark
    assert len(found["charts"]) >= 2
    for chart in found["charts"]:
        texts = chart["texts"]
        assert all(text["px"] >= 10 for text in texts), chart["title"]
        for place, one in enumerate(texts):
            assert one["box"][0] >= chart["box"][0] - 1 and one["box"][2] <= chart["box"][2] + 1, one["text"]
            for other in texts[place + 1 :]:
                # A line of text is taller than its letters.
                assert not overlap(one["box"], other["box"], 4), (chart["title"], one["text"], other["text"])
            for dot in chart["dots"]:
                assert not overlap(one["box"], dot, 4), (chart["title"], one["text"])
    blocks = found["blocks"]
    for place, one in enumerate(blocks):
        assert not any(overlap(one["box"], other["box"]) for other in blocks[place + 1 :]), one["text"]


def test_a_report_is_printed(chromium: str, pages: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "report.pdf"
    command = [
        chromium,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--print-to-pdf={out}",
        pages["report"].as_uri(),
    ]
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    data = out.read_bytes()
    assert data.startswith(b"%PDF") and 2 <= len(re.findall(rb"/Type\s*/Page[^s]", data)) <= 12
