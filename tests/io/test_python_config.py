"""Configurations written as Python are read as data: what they say is right, and nothing in them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from densecast.errors import BadConfigError, MissingFileError
from densecast.io import config_files, python_config

TEXT = '''
"""A configuration."""
norm_cfg = dict(type="SyncBN", requires_grad=True)
crop_size = (512, 1024)
root = "data/" + "cityscapes"
widths = [18, 36] + [72, 144]
mean = [123.675, -1.5]
base = {"a": None}
table = {3: True, "x": 2}
weights = [1.0] * 3 + [[0, 1]] * 2
places = list(range(2, 9, 3)) + list(range(2)) + [*range(5, 3, -1)]
pair = (1,) * 2 + tuple([3])
model = dict(
    backbone=dict(norm_cfg=norm_cfg, widths=widths, **base),
    head=dict(channels=sum([18, 36]), ratio=1 / 4, size=crop_size[0], ann=f"{root}/gt"),
    stages=[*widths, dict(norm_cfg, eps=1e-3)],
)
'''


def test_a_configuration_says_what_python_says() -> None:
    expected: dict[str, Any] = {}
    exec(compile(TEXT, "test", "exec"), expected)
    expected.pop("__builtins__")
    expected.pop("__doc__", None)
    assert python_config.parse(TEXT, "test") == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import os", 1),
        ("from os import system", 1),
        ("a = 1\nb = open({canary!r}, 'w')", 2),
        ("a = __import__('os').system('touch ' + {canary!r})", 1),
        ("a = [x for x in (1, 2)]", 1),
        ("a = {{x: open({canary!r}, 'w') for x in 'a'}}", 1),
        ("a = (lambda: open({canary!r}, 'w'))()", 1),
        ("a = lambda: 0", 1),
        ('a = f"{{open({canary!r}, chr(119))}}"', 1),
        ('a = "x"\nb = f"{{a!r}}"', 2),
        ('a = "x"\nb = f"{{a:>99999999}}"', 2),
        ("a = 1 if open({canary!r}, 'w') else 2", 1),
        ("a = (b := open({canary!r}, 'w'))", 1),
        ("def f():\n    pass", 1),
        ("class A(open({canary!r}, 'w').__class__):\n    pass", 1),
        ("a = 'x' * 10 ** 9", 1),
        ("a = [1]\nb = a * 300000", 2),
        ("a = [[1] * 1000] * 1000", 1),
        ("a = list(range(999999999999999))", 1),
        ("a = list(range(0, 99999999999999999999999))", 1),
        ("a = list(range(0, 1, 0))", 1),
        ("a = range(0.5)", 1),
        ("a = list('abc')", 1),
        ("a = [1] * 1.5", 1),
        ("a = 3 * [1]", 1),
        ("a = 9 ** 9 ** 9 ** 9", 1),
        ("a = 1 << 99999999999", 1),
        ("a = b", 1),
        ("a = dict.fromkeys('abc')", 1),
        ("a = ().__class__.__base__.__subclasses__()", 1),
        ("a = dict(type=exec('1'))", 1),
        ("a = sum([1, 2], open({canary!r}, 'w'))", 1),
        ("a = 'text'.format(1)", 1),
        ("a = {{1, 2}}", 1),
        ("a = b'bytes'", 1),
        ("a += 1", 1),
        ("del a", 1),
        ("for x in 'abc':\n    pass", 1),
        ("with open({canary!r}, 'w') as f:\n    pass", 1),
        ("print('hello')", 1),
        ("a = [1][5]", 1),
        ("a = _base_.secret", 1),
        ("a = {{{{_base_.__class__}}}}", 1),
        ("a = *[1]", 1),
        ("a = dict(**[1])", 1),
        ("a = await b", 1),
        ("a.b = 1", 1),
        ("a = 1 / 0", 1),
        ("a = 'unfinished", 1),
        ("a = 1\n  b = 2", 2),
        ("a = dict()\n\n\nb = a()", 4),
    ],
)
def test_what_would_run_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(BadConfigError, match=rf"theirs, line {line}: "):
        python_config.parse(text.format(canary=str(canary)), "theirs")
    assert not canary.exists()


def _doubled() -> str:
    return "\n".join(["a = [1, 2]", *(["a = a + a"] * 60)])


def _laughing() -> str:
    return "\n".join(["a = [1, 2]", *(["a = [a, a, a, a]"] * 60)])


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5_000_000 + "]" * 5_000_000,
        "a = " + "[" * 5000 + "]" * 5000,
        "a = " + "(" * 150 + "1" + ")" * 150,
        "a = " + "-" * 100_000 + "1",
        "a = " + "+".join(["1"] * 100_000),
        "a = b" + ".c" * 100_000,
        "a = " + "not " * 100_000 + "b",
        "a = " + "9" * 100_000,
        "a = '" + "x" * 2_000_000 + "'",
        "a = 1\0",
        "a = '\ud800'\nb = c",
        _doubled(),
        _laughing(),
        "\n".join(["a = 'x'", *(["a = a + a"] * 60)]),
        "\n".join(["a = 'x'", *(['a = f"{a}{a}"'] * 60)]),
        "\n".join(["a = 9", *(["a = a * a"] * 60)]),
    ],
)
def test_huge_and_deep_texts_are_refused_before_they_are_followed(text: str) -> None:
    with pytest.raises(BadConfigError):
        python_config.parse(text, "theirs")


@pytest.mark.parametrize("text", ["a = [\n" + "[" * 150 + "]" * 150, "a = [\n" + "[[], " * 150 + "]" * 150])
def test_deep_brackets_are_counted_before_python_reads_them_whatever_is_closed_in_between(text: str) -> None:
    with pytest.raises(BadConfigError, match=r"theirs, line 2: brackets are nested more than \d+ deep"):
        python_config.parse(text, "theirs")


def _write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_base_files_are_merged_key_by_key(tmp_path: Path) -> None:
    _write(
        tmp_path,
        bases__model="size = 3\nmodel = dict(a=dict(x=1, y=2), b=[1, 2], c=dict(t=1), d=[dict(p=1), dict(p=2)])",
        bases__run="lr = 0.1\nnames = ['a', 'b']",
        mine__own="_base_ = ['../bases/model.py', '../bases/run.py']\n"
        "k = {{_base_.size}}\n"
        "model = dict(a=dict(x=_base_.size), b=[3], c=dict(_delete_=True, z=5), d={'1': dict(p=7)}, n=_base_.names)",
    )
    assert config_files.read(tmp_path / "mine" / "own.py") == {
        "size": 3,
        "lr": 0.1,
        "names": ["a", "b"],
        "k": 3,
        "model": {
            "a": {"x": 3, "y": 2},
            "b": [3],
            "c": {"z": 5},
            "d": [{"p": 1}, {"p": 7}],
            "n": ["a", "b"],
        },
    }


def test_wrong_base_files_are_refused_in_words(tmp_path: Path) -> None:
    _write(
        tmp_path,
        around="_base_ = 'again.py'",
        again="_base_ = 'around.py'",
        lone="_base_ = 'absent.py'",
        odd="_base_ = open('x')",
        one="a = 1",
        two="_base_ = ['one.py', 'other.py']",
        other="a = 2",
        table="_base_ = 'one.py'\na = dict(b=1)",
        package="a = 1\n_base_ = ['mmseg::unet/one.py']",
    )
    for name, words in (
        ("package", "line 2.*'mmseg::unet/one.py'.* flat"),
        ("around", "circles"),
        ("odd", "line 1"),
        ("two", "both|two"),
        ("table", "_delete_"),
    ):
        with pytest.raises(BadConfigError, match=words):
            config_files.read(tmp_path / f"{name}.py")
    for name in ("lone", "nowhere"):
        with pytest.raises(MissingFileError, match="does not exist"):
            config_files.read(tmp_path / f"{name}.py")
    (tmp_path / "binary.py").write_bytes(bytes(range(256)))
    with pytest.raises(BadConfigError, match="as text"):
        config_files.read(tmp_path / "binary.py")


def test_what_nothing_needs_is_passed_over_unread_and_nothing_else_is(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    averaged = f"tta_pipeline = [dict(type='Resize', scale_factor=r, f=open({str(canary)!r}, 'w')) for r in (0.5, 1.0)]"
    assert python_config.parse(f"a = 1\n{averaged}\nb = 2", "test") == {"a": 1, "b": 2}
    assert not canary.exists()
    with pytest.raises(BadConfigError, match="line 2: 'tta_pipeline' was not assigned before"):
        python_config.parse(f"{averaged}\nb = tta_pipeline", "test")
    with pytest.raises(BadConfigError, match="line 1: a comprehension"):
        python_config.parse(averaged.replace("tta_pipeline", "a = tta_pipeline"), "test")
