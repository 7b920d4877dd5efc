"""Small meaningful changes to a source file: a comparison, a sum, a constant, a branch, an argument left out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARED = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_COMPUTED = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
}
_NAMED = {
    "min": "max",
    "max": "min",
    "floor": "ceil",
    "ceil": "floor",
    "round": "int",
    "rint": "floor",
    "sorted": "list",
    "any": "all",
    "all": "any",
    "argmax": "argmin",
    "maximum": "minimum",
    "minimum": "maximum",
    "mean": "median",
}
# Words for people and descriptions of options: what they say is for readers, not for tests of numbers.
_SPOKEN = {"option", "debug", "info", "warning", "echo", "progress", "Field"}


@dataclass(frozen=True)
class Change:
    """Bytes `start` to `end` of a file's text become `became`."""

    path: str
    line: int
    kind: str
    start: int
    end: int
    was: str
    became: str

    def apply(self, source: str) -> str:
        """The changed text of the file.

        Raises:
            ValueError: at that place the text is another one.
        """
        data = source.encode()
        if data[self.start : self.end].decode() != self.was:
            raise ValueError(f"{self.path}:{self.line} is not what it was")
        return (data[: self.start] + self.became.encode() + data[self.end :]).decode()


class _Finder(ast.NodeVisitor):
    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.data = source.encode()
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found: list[Change] = []

    def _at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def _span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._at(node.lineno, node.col_offset), self._at(node.end_lineno, node.end_col_offset)

    def _change(self, kind: str, line: int, start: int, end: int, became: str) -> None:
        self.found.append(Change(self.path, line, kind, start, end, self.data[start:end].decode(), became))

    def _between(self, kind: str, left: ast.expr, right: ast.expr, was: str, became: str) -> None:
        first, last = self._span(left)[1], self._span(right)[0]
        place = self.data[first:last].find(was.encode())
        if place >= 0:
            self._change(kind, left.lineno, first + place, first + place + len(was), became)

    def visit_Compare(self, node: ast.Compare) -> None:
        if len(node.ops) == 1 and type(node.ops[0]) in _COMPARED:
            sign = {ast.IsNot: "is not", ast.NotIn: "not in", ast.Is: "is", ast.In: "in"}.get(type(node.ops[0]))
            signs = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
            was = sign or signs[type(node.ops[0])]
            self._between("comparison", node.left, node.comparators[0], was, _COMPARED[type(node.ops[0])])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in _COMPUTED and not any(
            isinstance(part, ast.JoinedStr | ast.List | ast.Tuple)
            or (isinstance(part, ast.Constant) and isinstance(part.value, str | bytes))
            for part in (node.left, node.right)
        ):
            self._between("arithmetic", node.left, node.right, *_COMPUTED[type(node.op)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        was, became = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        self._between("boolean", node.values[0], node.values[1], was, became)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        start, end = self._span(node)
        operand = self.data[slice(*self._span(node.operand))].decode()
        if isinstance(node.op, ast.Not):
            self._change("boolean", node.lineno, start, end, f"bool({operand})")
        elif isinstance(node.op, ast.USub):
            self._change("sign", node.lineno, start, end, f"(+{operand})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        start, end = self._span(node)
        if isinstance(node.value, bool):
            self._change("constant", node.lineno, start, end, str(not node.value))
        elif isinstance(node.value, int):
            self._change("constant", node.lineno, start, end, str(node.value + 1))
        elif isinstance(node.value, float):
            self._change("constant", node.lineno, start, end, repr(node.value * 1.1 or 0.1))

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in _SPOKEN:
            return
        if name in _NAMED:
            _, end = self._span(node.func)
            self._change("function", node.lineno, end - len(name), end, _NAMED[name])
        for place, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, "strict", "help") and len(node.args) + len(node.keywords) > 1:
                start, end = self._span(keyword)
                after = self.data[end:]
                comma = len(after) - len(after.lstrip(b" \n")) + 1 if after.lstrip(b" \n").startswith(b",") else 0
                if comma or place == len(node.keywords) - 1:
                    self._change("argument left out", keyword.lineno, start, end + comma, "")
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """`strict` states what always holds; `help` is for people."""
        if node.arg not in ("strict", "help"):
            self.visit(node.value)

    def visit_Slice(self, node: ast.Slice) -> None:
        if isinstance(node.step, ast.UnaryOp):
            start, end = self._span(node.step)
            self._change("order", node.lineno, start, end, "1")
            return
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        start, end = self._span(node.test)
        if "TYPE_CHECKING" in self.data[start:end].decode():
            return
        self._change("branch", node.lineno, start, end, "True")
        self._change("branch", node.lineno, start, end, "False")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        start, end = self._span(node.test)
        self._change("branch", node.lineno, start, end, "True")
        self._change("branch", node.lineno, start, end, "False")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if type(node.op) in (ast.Add, ast.Sub) and not isinstance(node.value, ast.List | ast.JoinedStr | ast.Tuple):
            was, became = ("+=", "-=") if isinstance(node.op, ast.Add) else ("-=", "+=")
            self._between("arithmetic", node.target, node.value, was, became)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call):
            name = getattr(node.value.func, "attr", getattr(node.value.func, "id", ""))
            if name not in _SPOKEN:
                start, end = self._span(node)
                self._change("statement left out", node.lineno, start, end, "pass")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """What an error says is for people; that it is raised is the branch's business."""

    def visit_Assert(self, node: ast.Assert) -> None:
        """Assertions state what always holds."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Places inside of texts are not told apart by Python 3.11's parser."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *(each for each in node.args.kw_defaults if each is not None)):
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)


def compiles(change: Change, source: str) -> bool:
    """Whether Python takes the changed text."""
    try:
        compile(change.apply(source), change.path, "exec")
    except SyntaxError:
        return False
    return True


def changes(path: str, source: str) -> Iterator[Change]:
    """Every change of a file, in the order of the text; few of them do not compile."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    for change in sorted(finder.found, key=lambda each: (each.start, each.end, each.became)):
        if change.was != change.became:
            yield change
