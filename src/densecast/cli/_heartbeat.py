"""Says every half minute what a command is doing, while nothing else is shown: no long stage is silent."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

from densecast.runtime import stages

SILENCE_S = 30.0
"""After so long without a word, there is one."""

_SHORTEST_WAIT_S = 0.01


class Heartbeat:
    """Prints the stage and how long it takes to standard error, from a thread of its own."""

    def __init__(self) -> None:
        self._stage, self._since = "", time.monotonic()
        self._last_word, self._muted = self._since, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="densecast-heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to count, and to listen to stages of this thread."""
        stages.listen(self.enter)
        self._thread.start()

    def stop(self) -> None:
        """Say nothing more."""
        stages.listen(None)
        self._ended.set()

    def enter(self, stage: str) -> None:
        """Another stage begins."""
        self._stage, self._since = stage, time.monotonic()

    def spoken(self) -> None:
        """Something was shown just now."""
        self._last_word = time.monotonic()

    @contextlib.contextmanager
    def muted(self) -> Iterator[None]:
        """Leave the terminal to a bar that moves by itself."""
        self._muted += 1
        try:
            yield
        finally:
            self._muted -= 1

    def _beat(self) -> None:
        while not self._ended.wait(max(self._last_word + SILENCE_S - time.monotonic(), _SHORTEST_WAIT_S)):
            now = time.monotonic()
            if now - self._last_word < SILENCE_S:
                continue
            self.spoken()
            if not self._muted:
                what = self._stage or "at work"
                with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
                    print(f"{what}: {now - self._since:.0f} s", file=sys.stderr, flush=True)


_current: Heartbeat | None = None


def begin() -> None:
    """Begin to watch this command; one that was begun before ends."""
    global _current
    end()
    _current = Heartbeat()
    _current.start()


def end() -> None:
    """Watch no more."""
    global _current
    if _current is not None:
        _current.stop()
        _current = None


def spoken() -> None:
    """Something was shown just now."""
    if _current is not None:
        _current.spoken()


@contextlib.contextmanager
def shown_by_a_bar() -> Iterator[None]:
    """Leave the terminal to a bar that moves by itself within the block."""
    with _current.muted() if _current is not None else contextlib.nullcontext():
        yield
