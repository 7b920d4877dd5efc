"""What processes of a server do in tests: tell that they are ready, wait to be ended, fail, or die."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from densecast.errors import UsageError
from densecast.verbs.serve import metrics, workers

Tell = Callable[[Any], None]


def tell_and_wait(tell: Tell, listening: socket.socket, folder: Path) -> None:
    """Tell where the server listens, wait for the signal that ends a process, and end what is in work."""

    def end(number: int, frame: object) -> None:
        time.sleep(0.1)
        (folder / f"ended_{os.getpid()}").touch()
        raise SystemExit

    signal.signal(signal.SIGTERM, end)
    (folder / f"started_{os.getpid()}").touch()
    tell(listening.getsockname()[1])
    while True:
        time.sleep(60)


def refuse(tell: Tell, listening: socket.socket, folder: Path) -> None:
    """Raise an error of densecast's before anything is told."""
    raise UsageError("no such model", field="artifacts")


def die(tell: Tell, listening: socket.socket, folder: Path) -> None:
    """End without a word."""
    os._exit(3)


def die_once(tell: Tell, listening: socket.socket, folder: Path) -> None:
    """Die when it is ready; the one that takes its place ends the server."""
    tell(os.getpid())
    if not (folder / "died").exists():
        (folder / "died").touch()
        os._exit(3)
    os.kill(os.getppid(), signal.SIGTERM)
    while True:
        time.sleep(60)


def serve_until_told(folder: Path) -> None:
    """A server of two processes, in a process of its own, which ends itself by a signal when they are ready.

    Leaves `ready`, whose lines are what was told, how many processes had started, and the folder of counts.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def ready(message: Any) -> None:
            started = len(list(folder.glob("started_*")))
            place = Path(os.environ[metrics.MULTIPROCESS])
            lines = (message == listening.getsockname()[1], started, place.is_dir(), place)
            (folder / "ready").write_text("\n".join(map(str, lines)), encoding="utf-8")
            os.kill(os.getpid(), signal.SIGTERM)

        workers.run(tell_and_wait, (folder,), listening, count=2, grace_s=3, ready=ready)
    assert metrics.MULTIPROCESS not in os.environ
