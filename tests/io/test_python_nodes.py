"""How deep a configuration's text may nest, how many values it may hold, and what its parts are called in errors."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from densecast.errors import BadConfigError
from densecast.io import python_nodes


@pytest.mark.parametrize(
    ("value", "is_one"),
    [(0, True), (-2, True), (0.5, True), (True, False), (False, False), ("1", False), (None, False)],
)
def test_truth_values_and_texts_are_no_numbers(value: object, is_one: bool) -> None:
    assert python_nodes.is_number(value) is is_one


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (5, 1),
        ([], 1),
        ([1, 2, 3], 4),
        ((1, (2, 3)), 5),
        ({"a": 1, "b": [2]}, 4),
        ("x" * 63, 1),
        ("x" * 64, 2),
        (["x" * 128], 4),
    ],
)
def test_a_value_counts_with_all_inside_of_it_and_a_long_text_as_several(value: Any, count: int) -> None:
    assert python_nodes.count_values(value, 100) == count


def test_counting_ends_one_above_the_bound() -> None:
    assert python_nodes.count_values([0] * 4, 5) == 5
    assert python_nodes.count_values([0] * 500, 5) == 6


def test_a_value_holds_what_lies_in_it_itself_and_no_equal_of_it() -> None:
    part: list[int] = [1]
    for holder in ([part], (0, part), {"a": {"b": [part]}}, [[], {"k": (part,)}]):
        assert python_nodes.holds(holder, part), holder
    for other in ([[1]], {"a": [1]}, [], {}):
        assert not python_nodes.holds(other, part), other
    round_: list[Any] = []
    round_.append(round_)
    assert python_nodes.holds(round_, round_) and not python_nodes.holds(round_, part)


@pytest.mark.parametrize("text", ["[[[]]]", "{(['a'],)}", "[[[]], [[]]]", "a = [\n[\n[1]]]"])
def test_brackets_may_nest_as_deep_as_the_bound_however_many_there_are(text: str) -> None:
    assert isinstance(python_nodes.parsed(text, "theirs", 3), ast.Module)


def test_what_is_closed_and_was_never_opened_is_left_to_python() -> None:
    with pytest.raises(BadConfigError, match=r"^theirs, line 1: no Python assignments"):
        python_nodes.parsed("]]][[[", "theirs", 3)


@pytest.mark.parametrize(
    ("text", "line"), [("[[[[]]]]", 1), ("a = 1\nb = (\n{[(1)]: 2})", 3), ("]]]]\n[[[[", 2), ("[]\n" * 9 + "[[[[", 10)]
)
def test_one_bracket_more_than_the_bound_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(BadConfigError, match=rf"^theirs, line {line}: brackets are nested more than 3 deep\.$"):
        python_nodes.parsed(text, "theirs", 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import a", "an import"),
        ("from a import b", "an import"),
        ("def f(): pass", "a function"),
        ("lambda: 1", "a function"),
        ("[a for a in b]", "a comprehension"),
        ("a if b else c", "a condition"),
        ("a and b", "a condition"),
        ("a < b", "a condition"),
        ("if a: pass", "a condition"),
        ("while a: pass", "a loop"),
        ("a += 1", "an assignment of another kind"),
        ("class A: pass", "'ClassDef'"),
    ],
)
def test_parts_of_python_are_called_by_what_people_know(text: str, words: str) -> None:
    (statement,) = ast.parse(text).body
    node = statement.value if isinstance(statement, ast.Expr) else statement
    assert python_nodes.called(node) == words
    assert python_nodes.called(ast.parse("f(1)").body[0]) == "an expression"
