"""A skip that nobody expects fails a whole run; one that is listed with its reason does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from expected_skips import EXPECTED, is_expected

TESTS = Path(__file__).parent

MADE = """
import pytest
def test_passes(): pass
def test_skips(): pytest.skip({reason!r})
@pytest.mark.xfail(reason="known", strict=True)
def test_fails_as_is_known(): raise ValueError
"""


def run(folder: Path, texts: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "tests" / "support").mkdir(parents=True)
    for name in ("conftest.py", "support/expected_skips.py"):
        shutil.copy(TESTS / name, folder / "tests" / name)
    for name, text in texts.items():
        (folder / "tests" / f"test_{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "tests"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
def test_an_unexpected_skip_fails_a_run_and_is_named_wherever_it_happens(tmp_path: Path) -> None:
    text, whole_file = MADE.format(reason="today is Sunday"), "import pytest\npytest.importorskip('no_such_package')\n"
    done = run(tmp_path, {"a": text, "b": whole_file}, "--expected-skips-only", "-p", "xdist", "-n", "1")
    assert done.returncode == 1
    assert "tests/test_a.py::test_skips: Skipped: today is Sunday" in done.stdout
    assert "tests/test_b.py: Skipped: could not import 'no_such_package'" in done.stdout


@pytest.mark.parametrize(
    ("reason", "options"),
    [("today is Sunday", ()), ("set DENSECAST_TEST_DATA to a folder", ("--expected-skips-only",))],
    ids=["not asked", "expected"],
)
def test_other_runs_with_a_skip_pass(reason: str, options: tuple[str, ...], tmp_path: Path) -> None:
    assert run(tmp_path, {"a": MADE.format(reason=reason)}, *options).returncode == 0


def test_a_package_that_an_extra_brings_is_no_reason() -> None:
    for name in ("torch", "nncf", "pyarrow", "jinja2", "pycocotools", "ray", "starlette", "transformers"):
        assert not is_expected(
            "tests/test_info.py::test_x", f"Skipped: could not import {name!r}: No module named {name!r}"
        )


def test_every_entry_is_about_tests_that_exist() -> None:
    for each in EXPECTED:
        assert (TESTS.parent / each.where).exists() and each.why, each
