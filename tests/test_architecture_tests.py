"""What tests take from the package has a public name, so that its inside can be rebuilt under them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(path for path in TESTS.rglob("*.py") if "user_package" not in path.parts)

# Folders whose files are found by their names, where an underscore says that a file is a part and no plug-in, command
# or verb (see plugins.py): what such a part offers to its neighbours is public, as the protocols of `_base.py`.
FOUND_BY_NAME = {"backends", "cli", "datasets", "graph", "metrics", "networks", "scenes", "tasks", "verbs", "zoo"}

# Private names that a test needs all the same, with the reason. None.
ALLOWED: dict[str, str] = {}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def module_is_private(module: str) -> bool:
    first, *parts = module.split(".")
    inner = [place for place, part in enumerate(parts) if is_private(part)]
    return first == "densecast" and any(place != 1 or parts[0] not in FOUND_BY_NAME for place in inner)


def imported(tree: ast.Module) -> dict[str, str]:
    """What names of a file stand for things of the package: `{"bins": "densecast.verbs.handoff.bins"}`."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "densecast":
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.asname or "densecast": alias.name for alias in node.names if alias.name[:9] == "densecast"}
    return found


# A test without such a word has none to look for: parsing all of them takes a while.
_PRIVATE = re.compile(r"""(?:(?<!\bself)\.|['"]|import |^ +|, )_[A-Za-z0-9]""", re.MULTILINE)
_FOUND_BY_NAME = re.compile(rf"\bdensecast\.({'|'.join(sorted(FOUND_BY_NAME))})(\._\w+| import _\w+)")


def private_names(source: str) -> Iterator[str]:
    """Every private name of the package that a test imports, reads, or replaces by its text."""
    if not _PRIVATE.search(_FOUND_BY_NAME.sub("", source)):
        return
    tree = ast.parse(source)
    of_package = imported(tree)
    yield from (full for full in of_package.values() if module_is_private(full))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and module_is_private(node.module or ""):
            yield str(node.module)
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            root = node.value
            while isinstance(root, ast.Attribute | ast.Call | ast.Subscript):
                root = root.func if isinstance(root, ast.Call) else root.value
            if isinstance(root, ast.Name) and root.id in of_package and not node.attr.startswith("_repr_"):
                yield ast.unparse(node)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            *("setattr", "delattr", "getattr", "object"),
        ):
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            yield from (text for text in texts if is_private(text))
        elif isinstance(node, ast.Constant) and re.fullmatch(r"densecast(\.\w+)+(:\w+)?", str(node.value)):
            yield from (each for each in (str(node.value),) if module_is_private(each.replace(":", ".")))


@pytest.mark.parametrize(
    "source",
    [
        "from densecast.spec.geometry import _rounded",
        "from densecast.runtime import _lanes",
        "from densecast.runtime._lanes import Lane",
        "import densecast\ndensecast._HOME",
        "from densecast.verbs.handoff import bins\nbins._Writer._prepare",
        "from densecast.verbs.export import checkpoint\ncheckpoint.read(1)._size",
        "from densecast.verbs import evaluate\nmonkeypatch.setattr(evaluate, '_scored', None)",
        "monkeypatch.setattr('densecast.pipeline._pool', None)",
    ],
)
def test_a_private_name_is_seen(source: str) -> None:
    assert list(private_names(source))


@pytest.mark.parametrize(
    "source",
    [
        "from densecast.backends._base import BACKENDS",
        "from densecast.datasets import _coco_annotations\n_coco_annotations.MAX_BYTES",
        "class Own:\n    def __init__(self): self._x = 1\nOwn()._x",
        "from densecast import __version__",
        "import os\nos._exit(0)",
    ],
)
def test_parts_of_folders_that_are_found_by_name_and_a_tests_own_are_not(source: str) -> None:
    assert not list(private_names(source))


@pytest.mark.slow
def test_tests_need_no_private_name() -> None:
    found = {
        f"{path.relative_to(TESTS)}: {name}"
        for path in FILES
        if path.name != Path(__file__).name
        for name in private_names(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)
