"""Writes the map in docs/architecture.md: the layers as import-linter keeps them, and every module's first line.

Run it after a file is added, moved or described anew: `python docs/make_map.py`, which also writes docs/api.md and
docs/numbers.md. A test holds the pages to it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "densecast"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- map -->", "<!-- end map -->"
# Of these, one line tells enough: their files are alike.
FOLDED = {"zoo", "scenes", "networks", "kernels"}


def layers() -> list[str]:
    """The layers from the top down, as pyproject.toml lists them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return [str(layer) for layer in settings["tool"]["importlinter"]["contracts"][0]["layers"]]


def first_line(path: Path) -> str:
    """The first line of a module's docstring."""
    with path.open(encoding="utf-8") as file:
        found = re.match(r'"""(.*?)(?:"""|$)', file.readline().rstrip("\n"))
    return found[1].strip() if found else ""


def lines() -> Iterator[str]:
    """The map: a heading for each layer, a row for each module."""
    yield "```"
    yield from (f" {layer}" for layer in layers())
    yield "```"
    for layer in layers():
        for name in layer.split(" | "):
            yield ""
            yield from _module(name)


def _module(name: str) -> Iterator[str]:
    folder = SOURCE / name
    if not folder.is_dir():
        yield f"**{name}.py**: {first_line(SOURCE / f'{name}.py')}"
        return
    yield f"**{name}/**: {first_line(folder / '__init__.py')}"
    if name in FOLDED:
        return
    yield ""
    yield "| | |"
    yield "|---|---|"
    for path in sorted(folder.rglob("*.py")):
        if path != folder / "__init__.py":
            name = str(path.relative_to(folder)).replace("__init__.py", "")
            yield f"| `{name}` | {first_line(path).replace('  ->  ', ' → ')} |"


def page() -> str:
    """The page with its map made anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n" + "\n".join(lines()) + f"\n{END}{after}"


if __name__ == "__main__":
    import make_api
    import make_numbers

    PAGE.write_text(page(), encoding="utf-8")
    make_api.PAGE.write_text(make_api.page(), encoding="utf-8")
    numbers = make_numbers.pages()
    for path, text in numbers.items():
        path.write_text(text, encoding="utf-8")
    for written in (PAGE, make_api.PAGE, *numbers):
        print(f"wrote {written.relative_to(ROOT)}", file=sys.stderr)
