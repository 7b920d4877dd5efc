"""Ends a command within seconds of SIGTERM, SIGINT or SIGHUP, whatever it is doing, with its temporary files removed.

A signal first raises `SystemExit`, which unwinds the program as any error does. Python looks at signals between its own
steps only: where an engine computes on, or a thread is waited for, a second thread ends the process after a grace
period. Workers and converters end with it, because each asks the kernel to (`system.die_with_parent`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from densecast.io import system, temporaries

_SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if system.HANG_UP is not None:
    _SIGNALS[signal.Signals(system.HANG_UP)] = "terminal closed"
ENDING = tuple(_SIGNALS)
"""The signals that ask a process to end."""
_GRACE_S = 3.0
_SHOW_CURSOR = b"\x1b[?25h"


@contextlib.contextmanager
def ending_on_signals() -> Iterator[None]:
    """Within the block, a signal that asks the process to end raises `SystemExit` with 128 and its number.

    A signal that whoever started the process has made it ignore, as `nohup` does, stays ignored. In another than the
    main thread nothing is done, as only that can have handlers; nor where a pipe cannot be waited for with a clock:
    there Ctrl-C raises Python's own `KeyboardInterrupt`.
    """
    if threading.current_thread() is not threading.main_thread() or not system.has_selectable_pipes():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    # Nothing but a signal of these is ever written to the pipe, and a zero byte at the end.
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handled = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    waker = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reading,), name="densecast signals", daemon=True)
    watcher.start()
    received: list[int] = []
    report = sys.unraisablehook

    def unheard(unraisable: sys.UnraisableHookArgs) -> None:
        # Raised inside a library's callback, from which nothing is passed on; the watcher ends the process.
        if not (received and isinstance(unraisable.exc_value, SystemExit)):
            report(unraisable)

    def end(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise SystemExit(128 + number)

    for number in handled:
        signal.signal(number, end)
    sys.unraisablehook = unheard
    try:
        yield
    finally:
        sys.unraisablehook = report
        for number in handled:
            signal.signal(number, before[number])
        signal.set_wakeup_fd(waker)
        if received:
            _say(_SIGNALS[signal.Signals(received[0])])
        else:
            os.write(writing, b"\0")
            watcher.join()
            os.close(reading)
            os.close(writing)


@contextlib.contextmanager
def told() -> Iterator[int]:
    """Within the block those signals end nothing: the file descriptor becomes readable, a byte for each signal.

    For commands that end in an order of their own. In another than the main thread it never becomes readable.
    """
    reading, writing = os.pipe()
    if system.has_selectable_pipes():
        os.set_blocking(writing, False)
    if threading.current_thread() is not threading.main_thread() or not system.has_selectable_pipes():
        try:
            yield reading
        finally:
            os.close(reading)
            os.close(writing)
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    waker = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, lambda received, frame: None)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(waker)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _watch(reading: int) -> None:
    """Wait for a signal's number; if the process still runs after the grace period or a second signal, end it."""
    number = 0
    while number not in {int(each) for each in _SIGNALS}:
        number = os.read(reading, 1)[0]
        if number == 0:
            return
    select.select([reading], [], [], _GRACE_S)
    temporaries.remove_own()
    with contextlib.suppress(OSError):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(128 + number)


def _say(what: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        print(f"densecast: {what}", file=sys.stderr, flush=True)
