"""Runs chosen tests in forks of one process that has imported the heavy libraries, so that a trial costs seconds.

Reads one JSON request a line: {"tests": [...], "limit_s": 60, "log": FILE}; answers one JSON line:
{"code": pytest's exit status, or -1 at the limit of time, "failed": the test that failed, or nothing}.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

# Imported before the first fork; none of them starts threads by that. densecast itself is not: it is what changes.
_HEAVY = (
    *("numpy", "cv2", "numba", "onnx", "onnxruntime", "openvino", "torch", "scipy.ndimage", "pytest"),
    *("pydantic", "PIL.Image", "typer", "jinja2", "yaml"),
)


class _FirstFailure:
    """A plug-in of pytest that notes the first test that fails."""

    def __init__(self, note: Path) -> None:
        self.note = note

    def pytest_runtest_logreport(self, report: object) -> None:
        if getattr(report, "failed", False) and not self.note.exists():
            self.note.write_text(str(getattr(report, "nodeid", "")))


def _child(request: dict[str, object]) -> None:
    import pytest

    os.setsid()
    log = os.open(str(request["log"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    tests = request["tests"]
    assert isinstance(tests, list)
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "-m", "not slow and not gpu"]
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
    answers = os.fdopen(os.dup(1), "w")
    for name in _HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        note = Path(f"{request['log']}.failed")
        note.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            try:
                _child(request)
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
