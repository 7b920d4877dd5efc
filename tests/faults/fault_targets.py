"""What is done with a damaged file: run in a process of its own, for a crash of it to be seen and counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any


def checkpoint(payload: dict[str, Any], folder: Path) -> None:
    """Read weights and load them into the network that they were made for."""
    import tiny_torch

    from densecast.verbs.export import checkpoint as checkpoints

    state = checkpoints.read(Path(payload["path"]))
    checkpoints.load_into(tiny_torch.segmentation(), state, None, None, "it")


def artifact(payload: dict[str, Any], folder: Path) -> None:
    """Open an artifact and predict one image; with `renew` the manifest has the hash of the damaged file."""
    import numpy as np

    from densecast.io import files
    from densecast.pipeline import Pipeline

    copied = folder / "artifact"
    shutil.copytree(payload["artifact"], copied)
    shutil.copyfile(payload["path"], copied / payload["name"])
    if payload["name"] != "manifest.json":
        manifest = copied / "manifest.json"
        plain = json.loads(manifest.read_text())
        plain.pop("manifest_sha256", None)
        plain["files"][payload["name"]] = files.sha256(copied / payload["name"])
        manifest.write_text(json.dumps(plain))
    with Pipeline.open(copied) as pipeline:
        pipeline(np.zeros((64, 64, 3), np.uint8))


def crash(payload: dict[str, Any], folder: Path) -> None:
    """The control: what a file that kills its process looks like."""
    import os
    import signal

    os.kill(os.getpid(), signal.SIGSEGV)


def untyped(payload: dict[str, Any], folder: Path) -> None:
    """The control: what an error without a type looks like."""
    raise LookupError("not typed")


def endless(payload: dict[str, Any], folder: Path) -> None:
    """The control: what a file that never ends looks like."""
    while True:
        pass


def greedy(payload: dict[str, Any], folder: Path) -> None:
    """The control: what a file that fills the memory looks like."""
    held = [bytes(range(256)) * (1 << 16) for _ in range(1 << 10)]
    raise AssertionError(len(held))
