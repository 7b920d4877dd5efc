"""Reads configurations that are written as Python assignments, without executing any of it.

What is understood: literals, lists, tuples and tables, `dict(…)`, `+`, `+=`, names that were assigned before, their
entries, `**name` and `*name`, f-strings of such names, of numbers `- * / //`, `sum([…])`, `len(…)`, `list(range(…))`,
and lists times a number. All else is refused, but for names that nothing needs (`UNREAD`). `_base_`: `config_files`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

from densecast.errors import BadConfigError
from densecast.io.python_nodes import called, count_values, holds, is_number, parsed

MAX_CHARACTERS = 1 << 20
# Configurations nest about ten deep. The parser of Python itself gives up near two hundred.
MAX_DEPTH = 60
# Of values, counted each time one is used: a name that is doubled forty times would fill the memory.
MAX_VALUES = 200_000
# Averaged views, which nearly all configurations of MMSegmentation 1.x make by comprehensions: passed over unread.
UNREAD = frozenset(("tta_pipeline", "tta_model"))
FLAT = "The copy that training wrote beside its checkpoints is flat: name that one (--config)"
_LARGEST = 1e15
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}

Names = Mapping[str, Any]


def parse(text: str, where: str, base: Names | None = None) -> dict[str, Any]:
    """The names that a configuration assigns, with their values; lists stay lists.

    `where` is what errors call the text. `base` are the values of its `_base_` files, which `_base_.name` and
    `{{_base_.name}}` mean.

    Raises:
        BadConfigError: too long or too deep, no Python, or with anything that would have to be executed.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_CHARACTERS:
        raise BadConfigError(
            f"{where} has {len(text):,} characters; a configuration has at most {MAX_CHARACTERS:,}.", field="config"
        )
    tree = parsed(text, where, MAX_DEPTH)
    return _Reader(where, base or {}).assignments(tree)


class _Reader:
    def __init__(self, where: str, base: Names) -> None:
        self._where, self._base = where, base
        self._names: dict[str, Any] = {}
        self._left = MAX_VALUES
        self._depth = 0

    def assignments(self, tree: ast.Module) -> dict[str, Any]:
        for statement in tree.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            if isinstance(statement, ast.AugAssign):
                self._add_to(statement)
                continue
            if isinstance(statement, ast.AnnAssign) and statement.value is not None:
                statement = ast.copy_location(ast.Assign([statement.target], statement.value), statement)
            if not isinstance(statement, ast.Assign):
                raise self._refused(
                    statement, f"a configuration only assigns names; here is {called(statement)}. {FLAT}"
                )
            if all(isinstance(each, ast.Name) and each.id in UNREAD for each in statement.targets):
                continue
            value = self.value(statement.value)
            for target in statement.targets:
                self._assign(target, value)
        return self._names

    def _add_to(self, statement: ast.AugAssign) -> None:
        """`+=`, which lengthens a list under all of its names."""
        before = self.value(statement.target)
        if not (isinstance(before, list) and isinstance(statement.op, ast.Add)):
            joined = ast.BinOp(statement.target, statement.op, statement.value)
            self._assign(statement.target, self.value(ast.copy_location(joined, statement)))
            return
        more = self.value(statement.value)
        if not isinstance(more, (list, tuple)) or holds(more, before):
            raise self._refused(statement, "+= adds another list to a list")
        before.extend(more)

    def _assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._names[target.id] = value
        elif isinstance(target, ast.Subscript):
            holder, key = self.value(target.value), self.value(target.slice)
            if not isinstance(holder, dict) or not isinstance(key, (str, int)):
                raise self._refused(target, "only entries of tables are assigned")
            if holds([value], holder):
                raise self._refused(target, "a table cannot hold itself")
            holder[key] = value
        else:
            raise self._refused(target, f"only names are assigned, not {called(target)}")

    def value(self, node: ast.expr) -> Any:
        """The value of an expression."""
        read: Callable[[Any], Any] | None = getattr(self, f"_{type(node).__name__.lower()}", None)
        if read is None:
            raise self._refused(node, f"{called(node)} would have to be executed, and nothing of it is. {FLAT}")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._refused(node, f"values are nested more than {MAX_DEPTH} deep")
        made = read(node)
        self._depth -= 1
        self._spend(node, 1)
        return made

    def _constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, (bytes, complex)) or node.value is Ellipsis:
            raise self._refused(node, f"{node.value!r:.20} is no value of a configuration")
        return node.value

    def _list(self, node: ast.List) -> list[Any]:
        return self._items(node.elts)

    def _tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self._items(node.elts))

    def _items(self, nodes: list[ast.expr]) -> list[Any]:
        items: list[Any] = []
        for node in nodes:
            if not isinstance(node, ast.Starred):
                items.append(self.value(node))
                continue
            inner = self.value(node.value)
            if not isinstance(inner, (list, tuple)):
                raise self._refused(node, "* is for lists")
            items += inner
        return items

    def _set(self, node: ast.Set) -> Any:
        """`{{_base_.name}}`, which older configurations write for values of their base."""
        inner = node.elts[0] if len(node.elts) == 1 else None
        name = inner.elts[0] if isinstance(inner, ast.Set) and len(inner.elts) == 1 else None
        if not isinstance(name, ast.Attribute):
            raise self._refused(node, "a set is no value of a configuration")
        return self.value(name)

    def _dict(self, node: ast.Dict) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            if key is None:
                made |= self._table(item)
                continue
            name = self.value(key)
            if not isinstance(name, (str, int, float, bool)) and name is not None:
                raise self._refused(key, "keys of tables are names or numbers")
            made[name] = self.value(item)
        return made

    def _table(self, node: ast.expr) -> dict[Any, Any]:
        table = self.value(node)
        if not isinstance(table, dict):
            raise self._refused(node, "** is for tables")
        return table

    def _call(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name == "sum" and len(node.args) == 1 and not node.keywords:
            items = self.value(node.args[0])
            if isinstance(items, (list, tuple)) and all(is_number(item) for item in items):
                return self._bounded(node, sum(items))
            raise self._refused(node, "sum is for a list of numbers")
        if name == "len" and len(node.args) == 1 and not node.keywords:
            counted = self.value(node.args[0])
            if isinstance(counted, (list, tuple, dict, str)):
                return len(counted)
            raise self._refused(node, "len is for lists, tables and texts")
        if name in ("range", "list", "tuple") and node.args and not node.keywords:
            return self._sequence(node, name)
        if name != "dict" or len(node.args) > 1:
            raise self._refused(
                node, f"a call{f' of {name}' if name else ''} would have to be executed, and nothing of it is. {FLAT}"
            )
        made = dict(self._table(node.args[0])) if node.args else {}
        for keyword in node.keywords:
            if keyword.arg is None:
                made |= self._table(keyword.value)
            else:
                made[keyword.arg] = self.value(keyword.value)
        return made

    def _sequence(self, node: ast.Call, kind: str) -> Any:
        """`range(…)` as a list, and a list of it or of another list."""
        values = [self.value(each) for each in node.args]
        if kind == "range":
            if len(values) > 3 or not all(is_number(each) and isinstance(each, int) for each in values):
                raise self._refused(node, "range is for one to three whole numbers")
            try:
                counted = range(*values)
                self._spend(node, min(len(counted), MAX_VALUES + 1))
            except ValueError:
                raise self._refused(node, "the step of a range is 0") from None
            except OverflowError:
                raise self._refused(node, f"numbers stay below {_LARGEST:g}") from None
            return list(counted)
        if len(values) != 1 or not isinstance(values[0], (list, tuple)):
            raise self._refused(node, f"{kind} is for one list")
        self._spend(node, len(values[0]))
        return list(values[0]) if kind == "list" else tuple(values[0])

    def _repeated(self, node: ast.BinOp, items: Any, times: Any) -> Any:
        """A list or tuple times a whole number."""
        if not (is_number(times) and isinstance(times, int)):
            raise self._refused(node, "a list is repeated a whole number of times")
        self._spend(node, count_values(items, self._left) * max(times, 1))
        return items * times

    def _name(self, node: ast.Name) -> Any:
        if node.id not in self._names:
            raise self._refused(node, f"{node.id!r} was not assigned before")
        return self._used(node, self._names[node.id])

    def _attribute(self, node: ast.Attribute) -> Any:
        """`_base_.name`, and what is inside of it."""
        if isinstance(node.value, ast.Name) and node.value.id == "_base_":
            holder: Any = self._base
        elif isinstance(node.value, ast.Attribute):
            holder = self.value(node.value)
        else:
            raise self._refused(node, "an attribute would have to be looked up by executing, and nothing of it is")
        if not isinstance(holder, Mapping) or node.attr not in holder:
            raise self._refused(node, f"its base files do not assign {node.attr!r}")
        return self._used(node, holder[node.attr])

    def _subscript(self, node: ast.Subscript) -> Any:
        holder, key = self.value(node.value), self.value(node.slice)
        try:
            return holder[key]
        except (KeyError, IndexError, TypeError):
            raise self._refused(node, f"there is no entry {key!r:.40}") from None

    def _binop(self, node: ast.BinOp) -> Any:
        work = _ARITHMETIC.get(type(node.op))
        if work is None:
            raise self._refused(node, f"{called(node.op)} would have to be executed, and nothing of it is. {FLAT}")
        left, right = self.value(node.left), self.value(node.right)
        if is_number(left) and is_number(right):
            try:
                return self._bounded(node, work(left, right))
            except ZeroDivisionError:
                raise self._refused(node, "a division by 0") from None
        if isinstance(node.op, ast.Mult) and isinstance(left, (list, tuple)):
            return self._repeated(node, left, right)
        if not (isinstance(node.op, ast.Add) and type(left) is type(right) and isinstance(left, (str, list, tuple))):
            raise self._refused(node, "+ joins texts, lists or tuples, and other operators are for numbers")
        self._spend(node, len(left) + len(right))
        joined: Any = left + right
        return joined

    def _bounded(self, node: ast.expr, number: float) -> float:
        if not abs(number) < _LARGEST:
            raise self._refused(node, f"numbers stay below {_LARGEST:g}")
        return number

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        if isinstance(node.op, (ast.USub, ast.UAdd)) and isinstance(value, (int, float)):
            return -value if isinstance(node.op, ast.USub) else value
        raise self._refused(node, f"{called(node.op)} would have to be executed, and nothing of it is. {FLAT}")

    def _joinedstr(self, node: ast.JoinedStr) -> str:
        """Text and the values of plain names."""
        parts = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                inner = self.value(part.value) if isinstance(part.value, ast.Name) else None
                if not isinstance(inner, (str, int)) or part.conversion != -1 or part.format_spec is not None:
                    raise self._refused(node, "of f-strings only names of texts and numbers are read")
                parts.append(str(inner))
            elif isinstance(part, ast.Constant):
                parts.append(str(part.value))
        joined = "".join(parts)
        self._spend(node, len(joined))
        return joined

    def _used(self, node: ast.expr, value: Any) -> Any:
        self._spend(node, count_values(value, self._left))
        return value

    def _spend(self, node: ast.expr, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise self._refused(node, f"the configuration makes more than {MAX_VALUES:,} values")

    def _refused(self, node: Any, why: str) -> BadConfigError:
        return BadConfigError(f"{self._where}, line {getattr(node, 'lineno', '?')}: {why}.", field="config")
