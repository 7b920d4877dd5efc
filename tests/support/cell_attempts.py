"""What a hostile file might have its process do; each fails in a cell, and outside of one does what it says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any


def attempt(payload: dict[str, Any], folder: Path) -> Any:
    """Do one thing."""
    what, argument = payload["what"], payload["argument"]
    if what in ("write", "overwrite"):
        Path(argument).write_text("changed")
    elif what == "read":
        return Path(argument).read_text()
    elif what == "connect":
        socket.create_connection(("127.0.0.1", int(argument)), 2).close()
    elif what == "program":
        subprocess.run(["/bin/true"], check=True)
    elif what == "fork":
        if os.fork() == 0:
            os._exit(0)
    elif what == "signal":
        os.kill(int(argument), 0)
    elif what == "parents variables":
        return os.environ["SECRET_TOKEN"]
    elif what == "work":
        return _work(folder)
    elif what == "describe":
        from densecast.runtime import confinement

        return confinement.describe()
    elif what == "kernel":
        return _labels()
    else:
        _end(what, folder)
    return None


def _labels() -> list[list[int]]:
    """Labels of a compiled kernel."""
    import numpy as np

    from densecast.kernels.labels import upsample_argmax

    logits = np.array([[[[0, 1], [1, 0]], [[1, 0], [0, 1]]]], np.float32)
    return [[int(label) for label in row] for row in upsample_argmax(logits, [(2, 2)])[0]]


def _work(folder: Path) -> dict[str, Any]:
    done: list[int] = []
    thread = threading.Thread(target=done.append, args=(1,))
    thread.start()
    thread.join()
    (folder / "folder").mkdir()
    (folder / "folder" / "a").write_text("text")
    (folder / "folder" / "a").rename(folder / "folder" / "b")
    return {"threads": len(done), "text": (folder / "folder" / "b").read_text()}


def _end(what: str, folder: Path) -> None:
    if what == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "abort":
        os.abort()
    elif what == "memory":
        bytearray(1 << 30)
    elif what == "disk":
        (folder / "large").write_bytes(bytes(2 << 20))
    elif what == "exit":
        os._exit(7)
    elif what == "no answer":
        os._exit(0)
    elif what == "link as answer":
        (folder / "reply.json").symlink_to("/etc/hostname")
        os._exit(0)
    elif what == "lie":
        (folder / "reply.json").write_text(json.dumps({"error": "__builtins__", "message": "a\nb"}))
        os._exit(0)
