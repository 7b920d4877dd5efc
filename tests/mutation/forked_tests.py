"""Runs chosen tests in forks of one process that has imported the heavy libraries, so that a trial costs seconds.

    python forked_tests.py PARENT [MODULE ...]

imports the modules that are there, and ends with the process PARENT that started it, as does whatever it runs. Reads
one JSON request a line: {"tests": [...], "limit_s": 60, "log": FILE}; answers one JSON line: {"code": pytest's exit
status, or -1 at the limit of time, "failed": the test that failed, or nothing}.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType


def _of_the_system() -> ModuleType:
    """`densecast.io.system` under another name: the package itself is what changes."""
    place = Path(__file__).resolve().parents[2] / "src/densecast/io/system.py"
    found = importlib.util.spec_from_file_location("system_of_the_trials", place)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


class _FirstFailure:
    """A plug-in of pytest that notes the first test that fails, and keeps the bytecode of files of tests.

    Only of what is imported before the first test: where a test lets no file grow, bytecode would end in the middle.
    """

    def __init__(self, note: Path) -> None:
        self.note = note
        sys.dont_write_bytecode = False

    def pytest_collection_finish(self) -> None:
        sys.dont_write_bytecode = True

    def pytest_runtest_logreport(self, report: object) -> None:
        if getattr(report, "failed", False) and not self.note.exists():
            self.note.write_text(str(getattr(report, "nodeid", "")))


def _child(request: dict[str, object], system: ModuleType, server: int) -> None:
    import pytest

    os.setsid()
    system.die_with_parent(server)
    log = os.open(str(request["log"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    tests = request["tests"]
    assert isinstance(tests, list)
    # Modules with plug-ins of pytest's are among those that were imported before.
    imported = ["-W", "ignore:Module already imported so cannot be rewritten"]
    quiet = [
        *imported,
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "no:cov",
        "-m",
        "not slow and not gpu",
    ]
    code = pytest.main([*quiet, *tests], plugins=[_FirstFailure(Path(f"{request['log']}.failed"))])
    sys.stdout.flush()
    os._exit(int(code))


def _wait(child: int, limit_s: float) -> int:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def main() -> None:
    """Answer requests until standard input ends."""
    system = _of_the_system()
    system.die_with_parent(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    for name in sys.argv[2:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        note = Path(f"{request['log']}.failed")
        note.unlink(missing_ok=True)
        server = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                _child(request, system, server)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(70)
        code = _wait(child, float(request["limit_s"]))
        failed = note.read_text() if note.is_file() else ""
        answers.write(json.dumps({"code": code, "failed": failed}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
