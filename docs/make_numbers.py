"""Writes docs/numbers.md: the figures that were measured, from the files in benchmarks/results/, and nothing by hand.

`python docs/make_map.py` runs it as well; a test holds the pages to the files. Another page, or README.md, shows one of
these tables where it has a line `<!-- numbers: NAME -->` and, below the table, `<!-- end numbers -->`.

To add a table:

- **of a file that a benchmark wrote** (`--json`): put it into benchmarks/results/, write a function in
  docs/number_tables.py that takes its contents and returns rows of text, the heading first, and add a `Table` with it
  to `TABLES` there;
- **of which only what was printed was kept**: a file in benchmarks/results/printed/ with `title`, `group` (one of
  `GROUPS`), `by` (the command), `says` (what, where, under what conditions), `columns` and `rows` of text. No code is
  needed.

Every table says which files it is of. Figures are rounded here, in one place.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # when loaded by its path, as tests do

from number_tables import GROUPS, TABLES, Rows, Table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "numbers.md"
RESULTS = ROOT / "benchmarks" / "results"
HEAD = """# Numbers

What was measured, in one place: made by `docs/make_numbers.py` from the files in `benchmarks/results`, do not edit.
What the figures mean stands on the page that each part names. All are of one shared machine of two virtual CPUs (Xeon
with AMX), unless a table says otherwise: compare ratios within a table, not times across tables. `make bench` measures
the larger ones again.
"""
_MARKED = re.compile(r"(?<=<!-- numbers: )([\w-]+)( -->\n).*?(?=<!-- end numbers -->)", re.DOTALL)


def tables() -> list[Table]:
    """All tables: those of the benchmarks' files, and those that were kept as printed."""
    printed = [
        _printed(path.relative_to(RESULTS).as_posix(), json.loads(path.read_text(encoding="utf-8")))
        for path in sorted((RESULTS / "printed").glob("*.json"), key=lambda path: path.stem)
    ]
    found = [*TABLES, *printed]
    names = [table.name for table in found]
    assert len(names) == len(set(names)), "two tables have one name"
    return found


def _printed(file: str, kept: dict[str, object]) -> Table:
    rows: Rows = [kept["columns"], *kept["rows"]]  # type: ignore[list-item, misc]
    words = {key: str(kept[key]) for key in ("title", "group", "by", "says")}
    return Table(Path(file).stem, files=(file,), rows=lambda _: rows, kept_as_printed=True, **words)


def markdown(table: Table) -> str:
    """One table as Markdown; columns of numbers stand at the right."""
    contents = [json.loads((RESULTS / file).read_text(encoding="utf-8")) for file in table.files]
    head, *rows = table.rows(*contents)
    assert rows and all(len(row) == len(head) for row in rows), f"{table.name}: rows of different lengths"
    right = [all(re.fullmatch(r"(\W*\d.{0,30})?", row[column]) for row in rows) for column in range(len(head))]
    marks = ["--:" if each else ":--" for each in right]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, marks, *rows)) + "\n"


def page() -> str:
    """The whole page."""
    return "\n".join(_sections())


def _sections() -> Iterator[str]:
    yield HEAD
    every = tables()
    assert {table.group for table in every} <= set(GROUPS), "a table is of no known group"
    for group, of_page in GROUPS.items():
        yield f"## {group}\n"
        if of_page:
            yield f"Explained in [{of_page.removesuffix('.md')}]({of_page}).\n"
        for table in (each for each in every if each.group == group):
            files = ", ".join(f"`{file}`" for file in table.files)
            kept = ", as it was printed; its raw samples were not kept" if table.kept_as_printed else ""
            yield f"### {table.title}\n"
            yield f"{table.says} (`{table.by}`; {files}{kept})\n"
            yield markdown(table)


def filled(text: str) -> str:
    """A page with its marked tables made anew."""
    by_name = {table.name: table for table in tables()}
    return _MARKED.sub(lambda found: found[1] + found[2] + markdown(by_name[found[1]]), text)


def pages() -> dict[Path, str]:
    """Each page that holds tables, with what has to stand in it."""
    others = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = {path: path.read_text(encoding="utf-8") for path in others if path != PAGE}
    return {PAGE: page(), **{path: filled(text) for path, text in texts.items() if _MARKED.search(text)}}


if __name__ == "__main__":
    for written, contents in pages().items():
        written.write_text(contents, encoding="utf-8")
        print(f"wrote {written.relative_to(ROOT)}", file=sys.stderr)
