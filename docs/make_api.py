"""Writes docs/api.md: every public name with its signature and docstring, read from the source without importing it.

`python docs/make_map.py` runs it as well. A test holds the page to it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"
SOURCE = ROOT / "src"
HEAD = """# Python API

Every name of the package `densecast`, with its docstring: made by `docs/make_api.py`, do not edit. Anything that is
not here is an implementation detail. The verbs are the commands of the same names; a path may be a `Path` or text
everywhere. Errors are [`densecast.errors`](#errors), each with a line that says what to do.
"""
# (title, what the defining module's name begins with); the first that fits counts.
GROUPS = (
    ("Verbs", ("densecast.verbs.",)),  # and their options below
    ("Running a model", ("densecast.pipeline", "densecast.session", "densecast.imaging.", "densecast.spec.augment")),
    (
        "Options",
        (
            "densecast.spec.options", "densecast.spec.verb_options", "densecast.spec.data_options",
            "densecast.spec.handover_options", "densecast.spec.serve_options", "densecast.spec.store_options",
        ),
    ),
    ("Predictions and scores", ("densecast.tasks.m", "densecast.tasks.p", "densecast.tasks.s", "densecast.spec.score")),
    ("What a model is", ("densecast.artifact", "densecast.spec.", "densecast.zoo.")),
    ("Plug-ins", ("densecast.",)),
)  # fmt: skip
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _module(name: str) -> Path:
    path = SOURCE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _tree(name: str) -> ast.Module:
    return ast.parse(_module(name).read_text(encoding="utf-8"))


def public_names() -> dict[str, str]:
    """Each public name, and the module that it is taken from."""
    for node in _tree("densecast").body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_HOME":
            return dict(sorted(ast.literal_eval(node.value).items()))
    raise AssertionError("densecast/__init__.py lists no names")


def definition(module: str, name: str) -> tuple[str, Definition | ast.stmt]:
    """Where a name is defined, through modules that only hand it on."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, Definition) and node.name == name:
            return module, node
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("densecast"):
            for each in node.names:
                if (each.asname or each.name) == name:
                    return definition(node.module, each.name)
    raise AssertionError(f"{module} does not define {name}")


def signature(function: ast.FunctionDef | ast.AsyncFunctionDef, *, method: bool = False) -> str:
    """The call as Python writes it, a parameter a line where it is long."""
    arguments = function.args
    if method and arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments.args = arguments.args[1:]
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    word = "async " if isinstance(function, ast.AsyncFunctionDef) else ""
    short = f"{word}{function.name}({', '.join(map(_spaced, _split(ast.unparse(arguments))))}){returns}"
    if len(short) <= 100:
        return short
    parts = [_spaced(part) for part in _split(ast.unparse(arguments))]
    return f"{word}{function.name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def _spaced(part: str) -> str:
    """`name: type = default` as it is usually written."""
    return re.sub(r"^(\w+: [^=]*[^=\s])=", r"\1 = ", part)


def _split(text: str) -> list[str]:
    """Parts between the commas that lie outside of all brackets and quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    return [*parts, text[start:].strip()]


def prose(docstring: str) -> Iterator[str]:
    """A docstring as Markdown: sections become lists."""
    section = False
    for line in docstring.splitlines():
        if match := re.fullmatch(r"(Args|Raises|Returns|Yields|Attributes):", line.strip()):
            section = True
            yield from ("", f"**{match[1]}**", "")
        elif section and line.startswith("    ") and not line.startswith("     "):
            name, colon, rest = line.strip().partition(": ")
            yield f"- `{name}`: {rest}" if colon and re.fullmatch(r"[\w*., ]+", name) else f"- {line.strip()}"
        elif section and line.strip():
            yield f"    {line.strip()}" if line.startswith("     ") else line.strip()
        elif not section and line.startswith("    "):
            yield line
        else:
            section = section and not line.strip()
            yield line.strip()


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str, str, str]]:
    """(name, type, default, meaning) of each field of a dataclass."""
    for place, each in enumerate(node.body):
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name) or each.target.id[0] == "_":
            continue
        default, meaning = (ast.unparse(each.value) if each.value else ""), ""
        if isinstance(each.value, ast.Call) and ast.unparse(each.value.func) in ("option", "path_option"):
            words = each.value.args
            default = ast.unparse(words[0]) if words else ""
            meaning = str(ast.literal_eval(words[1])) if len(words) > 1 and isinstance(words[1], ast.Constant) else ""
        elif default.startswith("field("):
            made = re.search(r"default_factory=([\w.]+)", default)
            default = f"{made[1]}()" if made else default
        after = node.body[place + 1] if place + 1 < len(node.body) else None
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            meaning = meaning or " ".join(str(after.value.value).split())
        yield each.target.id, ast.unparse(each.annotation), default, meaning


def _cell(text: str, *, code: bool = False) -> str:
    text = text.replace("|", "\\|")
    return f"`{text}`" if code and text else text


def _class(node: ast.ClassDef) -> Iterator[str]:
    fields = list(_fields(node))
    if fields:
        yield from ("", "| field | type | default | |", "|---|---|---|---|")
        for name, kind, default, meaning in fields:
            yield f"| `{name}` | {_cell(kind, code=True)} | {_cell(default, code=True)} | {_cell(meaning)} |"
    calls: list[str] = []
    for each in node.body:
        if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if each.name.startswith("_") and each.name != "__call__":
            continue
        decorators = [ast.unparse(decorator) for decorator in each.decorator_list]
        if any(word.endswith(".setter") or word == "overload" for word in decorators):
            continue
        first = (ast.get_docstring(each) or "").partition("\n\n")[0].replace("\n", " ")
        call = signature(each, method=True)
        call = re.sub(r"\s*\n\s*", " ", call).replace("( ", "(").replace(", )", ")")
        call = re.sub(r"\(\)( -> )?", ": ", call, count=1) if "property" in decorators else call
        calls.append(f"- `{call}`" + (f": {first}" if first else ""))
    if calls:
        yield from ("", *calls)


def entry(module: str, name: str) -> Iterator[str]:
    """One name: heading, signature, docstring, fields and methods."""
    _, node = definition(module, name)
    yield from (f"### {name}", "")
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield from ("```py", signature(node), "```", "")
    if isinstance(node, Definition):
        yield from prose(ast.get_docstring(node) or "")
    if isinstance(node, ast.ClassDef):
        yield from _class(node)
    yield ""


def _errors() -> Iterator[str]:
    yield from ("## Errors", "", "In `densecast.errors`; all are a `DensecastError`.", "")
    yield from ("| error | is a | means |", "|---|---|---|")
    for node in _tree("densecast.errors").body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            first = (ast.get_docstring(node) or "").partition("\n\n")[0].replace("\n", " ")
            yield f"| `{node.name}` | {', '.join(f'`{ast.unparse(base)}`' for base in node.bases)} | {_cell(first)} |"


def page() -> str:
    """The whole page."""
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title, _ in GROUPS}
    for name, module in public_names().items():
        title = next(title for title, starts in GROUPS if module.startswith(starts))
        title = "Options" if title == "Verbs" and name.endswith("Options") else title
        groups[title].append((module, name))
    lines = [HEAD]
    for title, members in groups.items():
        lines += [f"## {title}", ""]
        lines += [" · ".join(f"[{name}](#{name.lower()})" for _, name in members), ""]
        for module, name in members:
            lines += entry(module, name)
    lines += _errors()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}", file=sys.stderr)
