"""The pages of docs/ as a site: navigation, Markdown that both builders read alike, the generated pages, the builds."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

import densecast

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_in_the_navigation_once() -> None:
    shown = re.findall(r"^ +- .*: (\S+\.md)$", CONFIG.partition("\nnav:\n")[2], re.MULTILINE)
    assert sorted(shown) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


def test_the_start_leads_to_every_page_by_what_one_wants_to_do() -> None:
    """But to those that hang below another: each reference's own page."""
    linked = set(re.findall(r"\]\(([\w-]+\.md)", (DOCS / "index.md").read_text(encoding="utf-8")))
    assert {page.name for page in PAGES if not page.name.startswith("reference-")} - linked == {"index.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_stay_within_the_site(page: Path) -> None:
    """A site has no other files: what lies beside docs/ is named by its path instead."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", target)]
    outside = [
        target
        for target in targets
        if target.partition("#")[0] and not (page.parent / target.partition("#")[0]).resolve().is_relative_to(DOCS)
    ]
    assert not outside


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lists_and_tables_stand_apart_from_the_text_before_them(page: Path) -> None:
    """GitHub takes them either way; Python-Markdown, which both builders use, would run them into the paragraph."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    kinds = (r"\|", r"[-*] ", r"\d+\. ")
    run_in = []
    for before, line in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        starts = [kind for kind in kinds if re.match(kind, line)]
        same = any(re.match(kind, before) for kind in starts) or before.startswith("  ")
        if starts and before.strip() and not before.startswith("#") and not same:
            # The second line of an item may begin like a list: only a paragraph's own lines count.
            run_in.append(line[:60])
    assert not run_in


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_begins_with_its_one_title(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    assert text.startswith("# ") and len(re.findall(r"^# ", text, re.MULTILINE)) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_first_what_it_is_for(page: Path) -> None:
    """A sentence, not a command, stands below the title."""
    first = page.read_text(encoding="utf-8").split("\n", 1)[1].lstrip("\n").splitlines()[0]
    assert re.match(r"[\w`*\[-]", first) and not first.startswith(("```", "| ", "#", "- ")), first


def test_the_reference_is_made_from_the_docstrings() -> None:
    make_api = script("make_api")
    assert make_api.page() == make_api.PAGE.read_text(encoding="utf-8"), "run `python docs/make_map.py`"


def test_the_reference_has_every_public_name_with_its_own_words() -> None:
    """Against the package as it is imported, which the page's maker does not do."""
    page = " ".join((DOCS / "api.md").read_text(encoding="utf-8").split())
    assert set(re.findall(r"### (\w+)", page)) == set(densecast.__all__)
    for name in ("evaluate", "infer", "check_data", "verify", "reproduce", "demo"):
        function = getattr(densecast, name)
        first = " ".join((function.__doc__ or "").partition("\n\n")[0].split())
        assert first and first in page
        for parameter in function.__code__.co_varnames[: function.__code__.co_argcount]:
            assert re.search(rf"### {name} ```py {name}\([^`]*\b{parameter}: ", page), (name, parameter)


@pytest.mark.slow
@pytest.mark.parametrize("builder", ["mkdocs", "zensical"])
def test_it_builds_without_a_warning(builder: str, tmp_path: Path) -> None:
    place = os.environ.get("DENSECAST_SITE_ENV", str(ROOT / ".venv-docs"))
    program = Path(place) / "bin" / builder
    if not program.exists():
        pytest.skip(f"NO {builder} in {place}: the site is NOT BUILT (make docs, or name one in DENSECAST_SITE_ENV)")
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    text = CONFIG.replace("site_dir: build/site", "site_dir: site")
    (tmp_path / "mkdocs.yml").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [program, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=500,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    tables = re.compile(r"<p>[^<]*\n\|")
    for page in PAGES:
        html = (tmp_path / "site" / f"{page.stem}.html").read_text(encoding="utf-8")
        assert "<h1" in html and not tables.search(html), page.name
