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


ENDS = """
import os, signal, sys, threading
from densecast.runtime.signals import ending_on_signals
number = signal.Signals[sys.argv[1]]
# Whoever runs the tests may have had some ignored.
signal.signal(number, signal.SIG_IGN if sys.argv[2] == "ignored" else signal.SIG_DFL)
before = signal.getsignal(number), sys.unraisablehook
try:
    with ending_on_signals():
        os.kill(os.getpid(), number)
        for _ in range(1000):
            pass
        print("goes on")
finally:
    print(before == (signal.getsignal(number), sys.unraisablehook), threading.active_count(), flush=True)
"""


@pytest.mark.skipif(not system.has_selectable_pipes(), reason="signals are left to Python there")
@pytest.mark.parametrize(
    ("name", "how", "code", "said", "out"),
    [
        ("SIGTERM", "heard", 143, "densecast: terminated\n", ["True 2"]),
        ("SIGINT", "heard", 130, "densecast: interrupted\n", ["True 2"]),
        ("SIGHUP", "heard", 129, "densecast: terminal closed\n", ["True 2"]),
        ("SIGHUP", "ignored", 0, "", ["goes on", "True 1"]),
    ],
)
def test_a_signal_unwinds_the_block_and_says_what_it_was(
    name: str, how: str, code: int, said: str, out: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS, name, how], capture_output=True, text=True, check=False, timeout=60
    )
    # The watcher stays, to end what does not end by itself, unless nothing was heard.
    assert (done.returncode, done.stderr, done.stdout.splitlines()) == (code, said, out)


TOLD = """
import os, select, signal, threading
from densecast.runtime.signals import ENDING, told
def waiting(reading):
    return bool(select.select([reading], [], [], 0)[0])
for each in ENDING:
    signal.signal(each, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with told() as reading:
    assert not waiting(reading)
    os.kill(os.getpid(), signal.SIGHUP)
    assert not waiting(reading)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    assert sorted(os.read(reading, 9)) == sorted((signal.SIGTERM, signal.SIGINT))
    assert not waiting(reading)
assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
signal.signal(signal.SIGHUP, signal.SIG_DFL)
assert {signal.getsignal(each) for each in ENDING} == {signal.SIG_DFL} and signal.set_wakeup_fd(-1) == -1
def elsewhere():
    with told() as reading:
        found.append(waiting(reading))
found = []
thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
assert found == [False]
print("all", len(ENDING))
"""


@pytest.mark.skipif(not system.has_selectable_pipes(), reason="signals are left to Python there")
def test_signals_may_be_told_of_instead_and_end_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", TOLD], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "all 3\n", "")
