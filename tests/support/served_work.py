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

Tell = Callable[[Any], None]


def tell_and_wait(tell: Tell, listening: socket.socket, folder: Path) -> None:
    """Tell where the server listens, then wait for the signal that ends a process."""
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
