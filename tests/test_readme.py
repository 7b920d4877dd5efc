"""What the pages show is true: commands parse, Python names exist, spec files are read, links lead somewhere."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import made_images
import pytest
import typer
from PIL import Image

import densecast
from densecast.backends._base import BACKENDS
from densecast.cli import app, spelled_out
from densecast.datasets._base import DATASETS
from densecast.io import codec
from densecast.io.config import Config
from densecast.measure.ground_truth import GroundTruth
from densecast.metrics._base import METRICS
from densecast.networks._base import NETWORKS
from densecast.tasks._base import TASKS
from densecast.verbs.export.spec_file import SpecFile
from densecast.zoo._base import ZOO

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
KINDS = {f"densecast.{kind.package}": kind for kind in (BACKENDS, DATASETS, METRICS, NETWORKS, TASKS, ZOO)}


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 2
            found.append(Block(page, line, match.group(1), match.group(2)))
    return [block for block in found if block.language in languages]


def commands() -> list[tuple[str, list[str]]]:
    """(where, words) of every shell line that calls densecast or make."""
    found = []
    for block in blocks("bash", "sh", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words and words[0] in ("densecast", "make"):
                found.append((f"{block}: {line.strip()}", words))
    return found


def test_there_is_something_to_check() -> None:
    assert len(PAGES) > 3 and len(commands()) > 10 and blocks("python") and blocks("toml")


@functools.cache
def command_line() -> Any:
    return typer.main.get_command(app)


@pytest.mark.parametrize("words", [pytest.param(words, id=where) for where, words in commands()])
def test_shell_lines_parse(words: list[str]) -> None:
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
        return
    group = command_line()
    if words[1:] in (["--help"], ["-h"]):
        return
    verb, *arguments = spelled_out(words[1:])
    assert verb in group.commands, f"no sub-command {verb}"
    # Parsing alone: unknown options, missing arguments and values of a wrong type raise.
    group.commands[verb].make_context(verb, arguments).close()


# A block that sets a bad way beside a good one shows pieces, not code that runs.
WHOLE = [block for block in blocks("python") if "# bad" not in block.text]


@pytest.mark.parametrize("block", WHOLE, ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


# What stands in for the published weights and the photographs, which no test has: the program is the same.
STAND_INS = {
    '"unet_carvana"': '"unet_tiny"',
    ', checkpoint="unet_carvana_scale0.5_epoch2.pth"': "",
    "height=640, width=959": "height=64, width=96",
}


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.quantize
def test_the_program_of_the_readme_runs(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("nncf")
    (program,) = [block.text for block in blocks("python") if block.page == ROOT / "README.md"]
    for published, here in STAND_INS.items():
        assert published in program
        program = program.replace(published, here)
    made_images.carvana(tmp_path / "carvana", 20, (128, 192))
    made_images.write_jpeg(tmp_path / "photo.jpg", (128, 192))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    score, answer = done.stdout.splitlines()
    assert score.startswith("dice_per_image ") and answer.endswith("(128, 192)")


def is_there(dotted: str) -> bool:
    """Whether `package.module.name.attribute` leads to something."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for name in parts[count:]:
            if not hasattr(value, name):
                return False
            value = getattr(value, name)
        return True
    return False


def names_of(tree: ast.AST) -> set[str]:
    """Every name of densecast that Python code imports, or takes from the package itself."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "densecast":
            names |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "densecast":
            names.add(f"densecast.{node.attr}")
    return names


@pytest.mark.parametrize("block", WHOLE, ids=str)
def test_names_in_python_exist(block: Block) -> None:
    assert [name for name in names_of(ast.parse(block.text)) if not is_there(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_in_sentences_exist(page: Path) -> None:
    if page.name == "CHANGELOG.md":  # it names what was, too
        return
    text = page.read_text(encoding="utf-8")
    names = set(re.findall(r"`(densecast(?:\.\w+)+)", text)) - {*KINDS, "densecast.toml"}
    assert [name for name in names if not is_there(name)] == []


def test_readme_and_examples_need_the_public_names_alone() -> None:
    code = [block.text for block in blocks("python") if block.page == ROOT / "README.md"]
    code += [example.read_text(encoding="utf-8") for example in EXAMPLES]
    names = {name.removeprefix("densecast.") for text in code for name in names_of(ast.parse(text))}
    # A demo has no photo, so its image is drawn.
    assert {name for name in names if not name.startswith("scenes.")} <= set(densecast.__all__)


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_toml_is_what_it_says(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tomllib.loads(block.text)
    if "project" in plain:
        monkeypatch.syspath_prepend(str(ROOT / "tests" / "user_package"))
        for group, members in plain["project"]["entry-points"].items():
            for target in members.values():
                KINDS[group].load(target)
        return
    if "data" in plain:
        codec.from_plain(plain, Config, str(block))
        return
    if "masks" in plain:
        _opened_as_pairs(block.text, plain, tmp_path)
        return
    spec = codec.from_plain(plain, SpecFile, str(block))
    spec.model("shown")


def _opened_as_pairs(text: str, plain: dict[str, Any], root: Path) -> None:
    """A data file describes a folder made as it says."""
    (root / "data.toml").write_text(text, encoding="utf-8")
    for folder, suffix in ((plain["images"], ".png"), (plain["masks"], plain["suffix"])):
        (root / folder).mkdir()
        for name in "abcdefghij":
            Image.new("L", (4, 4), 1).save(root / folder / f"{name}{suffix}")
    model = SpecFile(("ground", "road", "car")).model("shown")
    assert len(GroundTruth.open(model, root, split="all").samples) == 10


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub links them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        is_there = there.exists() and there.is_relative_to(ROOT)
        if not is_there or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_run(example: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("torch")
    arguments: list[str] = []
    if example.name == "03_tensorflow_graph.py":
        data: Path = request.getfixturevalue("test_data")
        graph = data / "weights" / "deeplabv3_mnv2_pascal" / "frozen_inference_graph.pb"
        arguments = [str(graph), str(data / "VOCdevkit" / "VOC2012" / "JPEGImages"), "out"]
    command = [sys.executable, str(example), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
