"""A signal raised inside a library's callback prints nothing; what else such a callback raises is told as before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from densecast.io import system

CODE = """
import os, signal, sys
from densecast.runtime.signals import ending_on_signals
def told(unraisable):
    print(type(unraisable.exc_value).__name__, unraisable.exc_value, flush=True)
sys.unraisablehook = told
class Raises:
    def __init__(self, error):
        self.error = error
    def __del__(self):
        raise self.error
class Ends:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass
def drop(what):
    del what
with ending_on_signals():
    drop(Raises(ValueError("before")))
    drop(Raises(SystemExit(5)))
    drop(Ends())
    drop(Raises(ValueError("after")))
    drop(Raises(SystemExit(6)))
    os._exit(0)
"""


@pytest.mark.skipif(not system.has_selectable_pipes(), reason="signals are left to Python there")
def test_only_the_end_that_was_asked_for_goes_unheard_in_a_callback() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["ValueError before", "SystemExit 5", "ValueError after"]
    assert (done.returncode, done.stderr) == (0, "")
