"""Which tests may notice a change of a line: those that ran it, nearest and quickest first."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PACKAGE = "src/densecast"
# About what one more file costs to import.
_COLLECTING_S = 0.1


@dataclass(frozen=True)
class Timed:
    """A test as pytest names it, and what it took when the map was made."""

    name: str
    seconds: float


def _timed(junit: Path) -> dict[str, Timed]:
    """Every test that passed."""
    found = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        if any(each.tag in ("failure", "error", "skipped") for each in case):
            continue
        file = f"{case.attrib['classname'].replace('.', '/')}.py"
        name = f"{file}::{case.attrib['name']}"
        found[name] = Timed(name, float(case.attrib["time"]))
    return found


def compiled_lines(source: str) -> set[int]:
    """Lines inside of functions that numba compiles: no tracer sees them run."""
    inside: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and any("njit" in ast.unparse(each) for each in node.decorator_list):
            assert node.end_lineno is not None
            inside.update(range(node.lineno, node.end_lineno + 1))
    return inside


def readers(root: Path) -> dict[str, set[str]]:
    """For every module's path the paths of the modules that import it."""
    found: dict[str, set[str]] = defaultdict(set)
    paths = [each.relative_to(root) for each in sorted((root / PACKAGE).rglob("*.py"))]
    names = {".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__"): str(path) for path in paths}
    for path in paths:
        for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                for name in (node.module, *(f"{node.module}.{each.name}" for each in node.names)):
                    if name in names:
                        found[names[name]].add(str(path))
    return found


class Choice(Protocol):
    """Tells which tests to run for a line of a file."""

    def choose(self, path: str, line: int, limit_s: float) -> list[str]:
        """Tests, nearest first, of about `limit_s` seconds where times are known."""


def homes(root: Path) -> dict[str, str]:
    """`densecast.package.name` -> where the name is defined, for every name that a module has from another one."""
    found: dict[str, str] = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts[1:]).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("densecast"):
                found |= {f"{module}.{each.asname or each.name}": f"{node.module}.{each.name}" for each in node.names}
    return found


def _with_homes(name: str, moved: dict[str, str]) -> set[str]:
    """A dotted name, the module around it, and the same of where it is defined, however often it is handed on."""
    found: set[str] = set()
    while name and name not in found:
        found |= {name, name.rpartition(".")[0]}
        name = moved.get(name, "")
    return found


def _dotted(node: ast.expr) -> str:
    """`package.module.name` of names with points between them; of anything else nothing. `ast.unparse` takes longer."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def _imported(source: str, moved: dict[str, str]) -> set[str]:
    """Modules that a file names: imported, or as a text such as `densecast.zoo.unet_tiny`; names also at home.

    Where a file calls the command line, a text that is a sub-command's name stands for that command's module.
    """
    tree, found, known = ast.parse(source), set[str](), dict[str, str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            for each in node.names:
                known[each.asname or each.name] = f"{node.module}.{each.name}"
                found |= _with_homes(f"{node.module}.{each.name}", moved)
        elif isinstance(node, ast.Import):
            for each in node.names:
                found.add(each.name)
                top = each.name.partition(".")[0]
                known[each.asname or top] = each.name if each.asname else top
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("densecast."):
            found |= _with_homes(node.value.partition(":")[0], moved)
        elif isinstance(node, ast.Constant) and "command_line" in source and re.fullmatch("[a-z-]+", str(node.value)):
            found.add(f"densecast.cli.{str(node.value).replace('-', '_')}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            first, _, rest = _dotted(node).partition(".")
            if first in known and known[first].startswith("densecast"):
                name = f"{known[first]}.{rest}"
                found |= _with_homes(name, moved) if name in moved else set()
    return found


class NearTests:
    """Without a map: files of tests that import a file, and the nearest by name; for a quick look only.

    A name counts as imported from where it is defined, whichever module hands it on. Tests run until one fails, so
    that only changes which nobody notices cost the time of all `most` files.
    """

    def __init__(self, root: Path, most: int = 24, never: Sequence[str] = ()) -> None:
        """Choose at most `most` files, none whose path begins with one of `never`."""
        self._most = most
        self._readers = readers(root)
        moved = homes(root)
        support = {
            path.stem: _imported(path.read_text(encoding="utf-8"), moved)
            for path in (root / "tests" / "support").glob("*.py")
        }
        self._imports: dict[str, set[str]] = {}
        for file in sorted((root / "tests").rglob("test_*.py")):
            if str(file.relative_to(root)).startswith(tuple(never)):
                continue
            named = _imported(file.read_text(encoding="utf-8"), moved)
            self._imports[str(file.relative_to(root))] = named.union(*(support.get(each, set()) for each in named))

    def choose(self, path: str, line: int, limit_s: float) -> list[str]:
        """Files of tests that are named as the file or import it, then those that import one that imports it, …"""
        parts = Path(path).with_suffix("").parts[2:]
        words = [word.strip("_") for word in parts if word not in ("__init__", "verbs")]
        # Of a server and of a command line tests import nothing: those of the folder named as the package count.
        home = f"tests/{words[0]}/"
        found: dict[str, int] = {}
        for distance, paths in enumerate(self._circles(path)):
            modules = {".".join(Path(each).with_suffix("").parts[1:]).removesuffix(".__init__") for each in paths}
            for file, named in self._imports.items():
                if named & modules:
                    found.setdefault(file, distance)
                # Of a folder's tests those that name the file come first.
                elif distance == 0 and (all(word in file for word in words) or home in file):
                    found.setdefault(file, 1)
            if len(found) >= self._most:
                break

        def order(file: str) -> tuple[bool, int, int, int, str]:
            """Of equally near ones those first that import little: they are about it, and quick."""
            near = sum(word in file for word in words)
            return words[-1] not in file, found[file], -near, len(self._imports[file]), file

        return sorted(found, key=order)[: self._most]

    def _circles(self, path: str) -> Iterator[set[str]]:
        circle, seen = {path}, {path}
        while circle:
            yield circle
            circle = set().union(*(self._readers[each] for each in circle)) - seen
            seen |= circle
        # A plug-in is found by its file's name: whoever imports the finder of its kind may have it.
        finder = str(Path(*Path(path).parts[:3]) / "_base.py")
        if finder not in seen:
            yield {finder}


class TestMap:
    """Lines and the tests that ran them, from one run of the suite under coverage."""

    __test__ = False

    def __init__(self, root: Path, data_file: Path, junit: Path, otherwise: Choice) -> None:
        import coverage

        self.root = root
        self._otherwise = otherwise
        self._tests = _timed(junit)
        self._in_file = defaultdict(list)
        for name in self._tests:
            self._in_file[name.split("::")[0]].append(name)
        data = coverage.CoverageData(str(data_file))
        data.read()
        self._lines: dict[str, dict[int, set[str]]] = {}
        for file in data.measured_files():
            path = file[file.index(PACKAGE) :]
            self._lines[path] = {
                line: self._named(contexts) for line, contexts in data.contexts_by_lineno(file).items()
            }
        self._readers = readers(root)

    def _named(self, contexts: list[str]) -> set[str]:
        """What a fixture shared by a file ran may matter to any test of the file."""
        found: set[str] = set()
        for context in contexts:
            name, _, stage = context.rpartition("|")
            if stage == "setup":
                found.update(self._in_file[name.split("::")[0]])
            elif name in self._tests:
                found.add(name)
        return found

    def _of_file(self, path: str) -> set[str]:
        return set().union(*self._lines.get(path, {}).values()) if self._lines.get(path) else set()

    def _of_compiled(self, path: str) -> set[str]:
        stem = Path(path).stem
        found = self._of_file(path)
        for reader in self._readers[path]:
            found |= self._of_file(reader)
            for further in self._readers[reader] if "/kernels/" in reader else ():
                found |= self._of_file(further)
        for file in {name.split("::")[0] for name in self._tests}:
            if "kernels" in file and stem in (self.root / file).read_text(encoding="utf-8"):
                found.update(self._in_file[file])
        return found

    def choose(self, path: str, line: int, limit_s: float) -> list[str]:
        """Tests for a line, near and quick ones first, as many as take `limit_s` seconds together.

        A file of which no test ran a line, as where child processes run it, is given to the other choice.
        """
        if line in compiled_lines((self.root / path).read_text(encoding="utf-8")):
            names = self._of_compiled(path)
        else:
            names = self._lines.get(path, {}).get(line, set()) or self._of_file(path)
        if not names:
            return self._otherwise.choose(path, line, limit_s)
        words = set(Path(path).with_suffix("").parts[2:])

        def order(test: Timed) -> tuple[float, str]:
            """What a test may cost: a shared word in the file's name is worth four times as long."""
            file = test.name.split("::")[0]
            near = sum(word.strip("_") in file for word in words)
            return (test.seconds + _COLLECTING_S) / 4**near, file

        chosen, total = [], 0.0
        for test in sorted((self._tests[name] for name in names), key=order):
            if total + test.seconds <= limit_s or not chosen:
                chosen.append(test.name)
                total += test.seconds
        return chosen
