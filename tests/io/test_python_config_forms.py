"""Rarer forms of configurations have the values that Python gives them, or are refused with the reason and the line."""

from __future__ import annotations

from typing import Any

import pytest

from densecast.errors import BadConfigError
from densecast.io import python_config
from densecast.io.python_config import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES

SAME_AS_PYTHON = [
    "a = 2\na += 3\na *= 4\na -= 1\na /= 2\na //= 3",
    "a = 'x'\na += 'y'",
    "a = (1,)\nb = a\na += (2,)",
    "a = [1]\nb = a\na += [2]\na += (3,)",
    "a = dict(x=dict(y=1))\nb = a\na['x']['y'] = 2\na[3] = 'z'",
    "a: int = 3\nb: list = [a]",
    "a = b = [1]\na += [2]",
    "a = {1: 'x', 2.5: 'y', True: 'z', None: 0, 'k': 1}",
    "a = {**dict(x=1), 'x': 2, **{'y': 3}}",
    "a = dict(dict(x=1, y=2), y=3)",
    "a = sum([1, 2.5])\nb = sum(())\nc = len('abc') + len([1]) + len({}) + len((1, 2))",
    "a = list(range(3))\nb = [*range(1, 7, 2)]\nc = tuple([1, 2])\nd = list((3, 4))\ne = [*range(0)]",
    "a = [1, *[2, 3], *(4,)]\nb = (*[1],)",
    "a = [0] * 0\nb = [1, 2] * 2\nc = (1,) * 3\nd = [1] * -1",
    "a = -1\nb = +2.5\nc = -True",
    "n = 3\ns = 't'\na = f'{s}/{n}.x'",
    "a = 7 // 2\nb = -7 // 2\nc = 1 / 8\nd = 5 - 7\ne = 2 * 3.5",
    "'''words'''\na = 'one' 'two'",
    "a = [[1, 2], [3]][0][-1]\nb = {'k': (5, 6)}['k'][1]\nc = 'text'[0]",
]


@pytest.mark.parametrize("text", SAME_AS_PYTHON)
def test_it_says_what_python_says(text: str) -> None:
    expected: dict[str, Any] = {}
    exec(compile(text, "test", "exec"), expected)
    for name in ("__builtins__", "__doc__", "__annotations__"):
        expected.pop(name, None)
    found = python_config.parse(text, "theirs")
    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {name: type(each) for name, each in expected.items()}


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a = [1]\na += 3", 2, r"\+= adds another list to a list"),
        ("a = [1]\na += [a]", 2, r"\+= adds another list to a list"),
        ("a = [1]\na *= 'x'", 2, "a list is repeated a whole number of times"),
        ("a = [1]\na[0] = 2", 2, "only entries of tables are assigned"),
        ("a = {}\na[1.5] = 2", 2, "only entries of tables are assigned"),
        ("a = {}\na['x'] = [a]", 2, "a table cannot hold itself"),
        ("a, b = 1, 2", 1, "only names are assigned"),
        ("a: int", 1, "a configuration only assigns names"),
        ("a = [*3]", 1, r"\* is for lists"),
        ("a = {(1,): 2}", 1, "keys of tables are names or numbers"),
        ("a = {1}", 1, "a set is no value"),
        ("a = sum('ab')", 1, "sum is for a list of numbers"),
        ("a = sum([True])", 1, "sum is for a list of numbers"),
        ("a = len(3)", 1, "len is for lists, tables and texts"),
        ("a = range(1, 2, 3, 4)", 1, "range is for one to three whole numbers"),
        ("a = range(True)", 1, "range is for one to three whole numbers"),
        ("a = list([1], [2])", 1, "list is for one list"),
        ("a = tuple(3)", 1, "tuple is for one list"),
        ("a = [1] * True", 1, "a list is repeated a whole number of times"),
        ("a = 'x'\nb = a.upper", 2, "an attribute would have to be looked up"),
        ("a = _base_.model.missing", 1, "its base files do not assign 'missing'"),
        ("a = _base_.size.deeper", 1, "its base files do not assign 'deeper'"),
        ("a = {}['x']", 1, "there is no entry 'x'"),
        ("a = 3['x']", 1, "there is no entry 'x'"),
        ("a = 1 % 2", 1, "would have to be executed"),
        ("a = [1] + (2,)", 1, r"\+ joins texts, lists or tuples"),
        ("a = 'x' - 'y'", 1, r"\+ joins texts, lists or tuples"),
        ("a = True + 1", 1, r"\+ joins texts, lists or tuples"),
        ("a = 1e300 * 1e300", 1, "numbers stay below"),
        ("a = not 1", 1, "would have to be executed"),
        ("a = -'x'", 1, "would have to be executed"),
        ("a = 1.5\nb = f'{a}'", 2, "only names of texts and numbers"),
        ("a = f'{1}'", 1, "only names of texts and numbers"),
        ("a = ...", 1, "is no value of a configuration"),
        ("a = 1j", 1, "is no value of a configuration"),
        ("a = dict([1], 2)", 1, "a call of dict would have to be executed"),
        ("a = (1)(2)", 1, "a call would have to be executed"),
    ],
)
def test_what_has_no_value_is_refused_with_the_reason(text: str, line: int, why: str) -> None:
    with pytest.raises(BadConfigError, match=rf"^theirs, line {line}: .*{why}") as raised:
        python_config.parse(text, "theirs", {"model": {"a": 1}, "size": 3})
    assert raised.value.field == "config"


def test_values_of_base_files_are_meant_in_both_spellings() -> None:
    base = {"model": {"head": {"channels": 8}}, "size": (2, 3)}
    text = "a = _base_.model.head.channels\nb = {{_base_.size}}\nc = {{_base_.model.head}}\nd = _base_.size[1]"
    assert python_config.parse(text, "own", base) == {"a": 8, "b": (2, 3), "c": {"channels": 8}, "d": 3}


def test_the_bounds_themselves_are_allowed() -> None:
    head = "a = 1\n#"
    assert python_config.parse(head + "x" * (MAX_CHARACTERS - len(head)), "own") == {"a": 1}
    with pytest.raises(BadConfigError, match="characters; a configuration has at most"):
        python_config.parse(head + "x" * (MAX_CHARACTERS - len(head) + 1), "own")
    # The name itself is a value, too.
    sums = " + ".join(["1"] * (MAX_DEPTH - 1))
    assert python_config.parse(f"a = {sums}", "own") == {"a": MAX_DEPTH - 1}
    with pytest.raises(BadConfigError, match=f"nested more than {MAX_DEPTH} deep"):
        python_config.parse(f"a = {sums} + 1 + 1", "own")
    most = MAX_VALUES - 6
    assert len(python_config.parse(f"a = list(range({most // 2}))", "own")["a"]) == most // 2
    with pytest.raises(BadConfigError, match="makes more than"):
        python_config.parse(f"a = [*range({MAX_VALUES + 1})]", "own")
