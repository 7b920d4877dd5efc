"""The page works from this server alone, in a browser that may load nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import serve_client
from made_images import write_jpeg

PAGE = resources.files("densecast.verbs.serve") / "page"


class Tags(HTMLParser):
    """Ids, links and inline code of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.loaded: list[str] = []
        self.inline: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[dict[str, Any]] = []
        self._in_label = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.ids += [str(given["id"])] if "id" in given else []
        self.loaded += [str(given[name]) for name in ("src", "href") if name in given]
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        self._in_label += tag == "label"
        if tag in ("select", "input"):
            assert self._in_label or "aria-label" in given, given

    def handle_endtag(self, tag: str) -> None:
        self._in_label -= tag == "label"


def test_the_page_and_its_parts_come_from_this_server_alone(server: str) -> None:
    page = serve_client.ask(server, "GET", "/")
    policy = page.headers["content-security-policy"]
    assert page.status == 200 and "default-src 'self'" in policy and "unsafe" not in policy
    tags = Tags()
    tags.feed(page.body.decode())
    assert (
        not tags.inline
        and all(each.startswith("/page/") for each in tags.loaded)
        and len(set(tags.ids)) == len(tags.ids)
    )
    kinds = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    for each in tags.loaded:
        part = serve_client.ask(server, "GET", each)
        assert part.status == 200 and part.headers["content-type"].startswith(kinds[Path(each).suffix])
    for script in ("page.js", "draw.js"):
        text = (PAGE / script).read_text(encoding="utf-8")
        assert set(re.findall(r"""by\("([^"]+)"\)""", text)) <= set(tags.ids)
        assert not re.search(r"https?://|\beval\b|innerHTML|document\.write", text), script
        imported = re.findall(r"""from "([^"]+)";""", text)
        assert all(serve_client.ask(server, "GET", each).status == 200 for each in imported)


def test_what_the_page_needs_of_a_model_is_told(server: str) -> None:
    told = serve_client.ask(server, "GET", "/v2/models/tiny").document["parameters"]
    assert told["labels"] == ["background", "car"] and len(told["palette"]) == 2 and told["version"] == "1"
    assert len(serve_client.ask(server, "GET", "/v2/models/people").document["parameters"]["limbs"]) >= 12


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, in an environment of its own")
    found = os.environ.get("DENSECAST_CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.skip("needs Chromium: name it in DENSECAST_CHROMIUM")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.slow
def test_pictures_are_dropped_compared_and_saved_in_a_browser(server: str, browser: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    picture = write_jpeg(tmp_path / "a.jpg", (120, 160))
    page = browser.new_context(accept_downloads=True).new_page()
    foreign: list[str] = []
    page.on("request", lambda asked: None if asked.url.startswith((server, "blob:")) else foreign.append(asked.url))
    page.on("console", lambda said: foreign.append(said.text) if said.type == "error" else None)
    page.goto(server)
    status = page.locator("#status")
    expect(status).to_contain_text("2 models ready")
    page.set_input_files("#files", str(picture))
    expect(status).to_have_text(re.compile(r" ms$"))
    expect(page.locator("#legend")).to_contain_text("car")
    expect(page.locator("#times")).to_contain_text("infer")
    page.select_option("#other", "tiny:1")
    expect(page.locator("#legend")).to_contain_text("0 of 19200 pixels differ")
    page.focus("#slide")
    page.keyboard.press("ArrowRight")
    assert page.eval_on_selector("#right", "e => e.style.clipPath") == "inset(0px 0px 0px 51%)"
    # Pointed at where one of two models has no classes.
    page.select_option("#other", "people:2")
    expect(status).to_contain_text(" and ")
    expect(page.locator("#save-png")).to_be_enabled()
    page.hover("#stage")
    expect(page.locator("#pointed")).to_have_text(re.compile(r"^\d+, \d+: \S+ \| –$"))
    page.select_option("#model", "people:2")
    expect(page.locator("#legend")).to_contain_text("people")
    # The same file again is another picture.
    page.set_input_files("#files", str(picture))
    expect(page.locator("#pictures button")).to_have_count(2)
    expect(status).to_have_text(re.compile(r" ms$"))
    with page.expect_download() as saved:
        page.click("#save-json")
    assert json.loads(Path(saved.value.path()).read_text())["image"] == {"width": 160, "height": 120}
    with page.expect_download() as saved:
        page.click("#save-png")
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    page.set_input_files("#files", str(tmp_path / "b.jpg"))
    expect(status).to_contain_text("not an image of a known format")
    assert not [each for each in foreign if "400" not in each]


@pytest.mark.slow
def test_a_page_without_models_says_so(browser: Any, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    from densecast.spec.serve_options import ServeOptions
    from densecast.verbs.serve import serving

    with serving([], ServeOptions(port=0, access_log=False, watch=str(tmp_path))) as running:
        page = browser.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(running.url)
        expect(page.locator("#status")).to_contain_text("No model is served yet")
        assert not wrong
