"""The plan of the house, kept by machine: short files, one line that says what each is for, and light imports."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

import densecast

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "densecast"
FILES = sorted(SOURCE.rglob("*.py"))
LONGEST = 300
LONGEST_FUNCTION = 60

HEAVY = ("cv2", "nncf", "numba", "numpy", "onnx", "onnxruntime", "openvino", "PIL", "pydantic", "tensorflow", "torch")
TRAINING = ("nncf", "safetensors", "tensorflow", "torch")
# What only an extra brings may be imported by these alone.
NEEDS_TORCH = ("densecast.networks.", "densecast.verbs.export", "densecast.backends.torch")
# Where this machine keeps the project must not show in it, nor work that is left.
FORBIDDEN_TEXT = ("/work/" + "main", "/work/" + "shared", "/home/" + "runner", "TO" + "DO", "FIX" + "ME", "X" * 3)


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


RUNTIME = [
    name
    for name in (module_name(path) for path in FILES if path.name != "__main__.py")
    if not name.startswith(NEEDS_TORCH)
]
STEPS = {
    "the package": "import densecast",
    "help": "sys.argv = ['densecast', '--help']\nfrom densecast.cli import main\ntry: main()\nexcept SystemExit: pass",
    "the pipeline": "import densecast.pipeline",
    "the runtime": f"import importlib\nfor name in {RUNTIME!r}: importlib.import_module(name)",
}


def loaded_after(steps: Iterable[str]) -> list[set[str]]:
    """What of `HEAVY` and `TRAINING` a fresh interpreter has loaded after each of these steps, one after the other."""
    wanted = (*HEAVY, *TRAINING)
    tell = f"print('loaded', *(name for name in {wanted!r} if name in sys.modules))"
    script = "\n".join(["import sys", *(f"{step}\n{tell}" for step in steps)])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [set(line.split()[1:]) for line in done.stdout.splitlines() if line.split()[:1] == ["loaded"]]


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """What is loaded after each of `STEPS`, of which every one may load what the ones before it may, and more."""
    return dict(zip(STEPS, loaded_after(STEPS.values()), strict=True))


def test_a_file_is_one_short_thing_and_its_first_line_says_which() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in FILES}
    lines = {module_name(path): len(text.splitlines()) for path, text in texts.items()}
    assert not {name: count for name, count in lines.items() if count > LONGEST}
    unsaid = [path for path, text in texts.items() if not re.match(r'"""\s*(?:(?!""")[^\n]){11}', text)]
    assert not [module_name(path) for path in unsaid]


def test_no_file_hides_a_module_of_the_standard_library_or_is_a_grab_bag() -> None:
    names = {path.stem for path in FILES} - {"__init__", "__main__"}
    grab_bags = {"base", "common", "helpers", "misc", "util", "utils"}
    assert not names & grab_bags
    assert not names & sys.stdlib_module_names


def test_public_names_resolve() -> None:
    assert densecast.__all__
    for name in densecast.__all__:
        assert getattr(densecast, name).__name__ == name
    assert set(densecast.__all__) <= set(dir(densecast))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = densecast.no_such_name


@pytest.mark.slow
def test_importing_the_package_loads_nothing_heavy(loaded: dict[str, set[str]]) -> None:
    assert loaded["the package"] == set()


def test_help_loads_nothing_heavy(loaded: dict[str, set[str]]) -> None:
    assert loaded["help"] == set()


def test_the_pipeline_leaves_engines_and_compilers_to_be_loaded_side_by_side(loaded: dict[str, set[str]]) -> None:
    assert loaded["the pipeline"] <= {"numpy", "pydantic"}


def test_the_runtime_loads_no_training_framework(loaded: dict[str, set[str]]) -> None:
    assert {
        "densecast.pipeline",
        "densecast.verbs.builder",
        "densecast.backends.openvino",
        "densecast.verbs.reproduce",
    } <= set(RUNTIME)
    assert "numpy" in loaded["the runtime"] and not loaded["the runtime"] & set(TRAINING)


@pytest.mark.torch
@pytest.mark.slow
def test_what_needs_torch_imports_with_torch() -> None:
    pytest.importorskip("torch")
    names = [module_name(path) for path in FILES if module_name(path).startswith(NEEDS_TORCH)]
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    assert "torch" in loaded_after([code])[0]


def test_no_file_of_the_project_tells_of_this_machine_or_of_work_that_is_left() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    found = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not path.is_file() or path.suffix in (".npz", ".safetensors", ".png", ".jpg"):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{name}: {word}" for word in FORBIDDEN_TEXT if word in text]
    assert not found


# What pytest reaches from the project's own settings, without importing any of it.
COLLECTED = """
import pytest
class Empty(pytest.Module):
    def collect(self): return []
class Seen:
    def pytest_pycollect_makemodule(self, module_path, parent):
        tests.append(module_path)
        return Empty.from_parent(parent, path=module_path)
tests = []
options = ["--collect-only", "-q", "-o", "addopts=", "-p", "no:cacheprovider"]
pytest.main(options, plugins=[Seen()])
print(*tests, sep="\\n")
"""


@pytest.mark.slow
def test_every_file_of_tests_is_collected() -> None:
    """A folder that pytest passes over for its name holds tests that nobody runs."""
    done = subprocess.run(
        [sys.executable, "-c", COLLECTED], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    found = set(done.stdout.splitlines())
    on_disk = {str(path) for path in (ROOT / "tests").rglob("test_*.py")}
    assert on_disk and not on_disk - found, done.stderr


def test_test_modules_have_names_of_their_own() -> None:
    """Folders of tests are no packages: two modules of one name are one to Python, and only one of them is run."""
    names = Counter(
        path.name for path in (ROOT / "tests").rglob("*.py") if not path.is_relative_to(ROOT / "tests" / "user_package")
    )
    # pytest itself tells the configurations of folders apart, of which there are two at most.
    twice = {name for name, count in names.items() if count > 1}
    assert twice <= {"conftest.py"} and names["conftest.py"] <= 2


def test_the_map_in_the_docs_is_what_is_there() -> None:
    spec = importlib.util.spec_from_file_location("make_map", ROOT / "docs" / "make_map.py")
    assert spec is not None and spec.loader is not None
    make_map = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_map)
    current = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert make_map.page() == current, "run `python docs/make_map.py`"


def test_no_plug_ins_ability_is_found_by_its_name() -> None:
    pattern = re.compile(r"ModuleType|getattr\(plugin|hasattr\(")
    lines = [
        f"{module_name(path)}: {line.strip()}"
        for path in FILES
        for line in path.read_text(encoding="utf-8").splitlines()
        if pattern.search(line)
    ]
    assert not lines


def may_be_long(text: str) -> bool:
    """Whether a function could be too long: the next one, or class, of no deeper an indentation is that far away."""
    starts: list[tuple[int, int]] = []
    lines = [*text.splitlines(), "class End:"]
    for number, line in enumerate(lines):
        if (found := _START.match(line)) is not None:
            indent = len(found[1])
            if any(number - start > LONGEST_FUNCTION for start, deep in starts if deep >= indent):
                return True
            starts = [each for each in starts if each[1] < indent]
            if found[2].endswith("def"):
                starts.append((number, indent))
    return False


_START = re.compile(r"( *)(def|async def|class|@\w)")


def long_functions(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    if not may_be_long(text):  # parsing all files takes a while
        return []
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    return [f"{module_name(path)}.{name}: {lines} lines" for name, lines in lengths.items() if lines > LONGEST_FUNCTION]


def test_functions_are_short_but_for_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [each for path in FILES if "kernels" not in path.parts for each in long_functions(path)]
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path / "made")
    (tmp_path / "made").mkdir()
    made = tmp_path / "made" / "one.py"
    for indent, after in (("", ""), ("    ", ""), ("    ", "\n    def next(self):\n        pass\n")):
        for count, is_long in ((LONGEST_FUNCTION - 1, False), (LONGEST_FUNCTION, True)):
            body = "\n".join(f"{indent}    x = {number}" for number in range(count))
            made.write_text(f"{'class A:' if indent else 'y = 1'}\n{indent}def f():\n{body}\n{after}")
            assert bool(long_functions(made)) == is_long


def test_the_facade_has_one_home_for_each_name() -> None:
    """What type checkers are told and what the table says are the same."""
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(imported) == set(densecast.__all__)
    for name, module in imported.items():
        assert getattr(densecast, name) is getattr(importlib.import_module(str(module)), name), name
