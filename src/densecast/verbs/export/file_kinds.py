"""Says what a file is that bears the name of a network or checkpoint and is none: a pointer, a web page, a picture."""

from __future__ import annotations

import re
from pathlib import Path

# What such files begin with, and what they are.
_OTHERS = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself: git lfs pull"),
    (b"\x89HDF", "an HDF5 file, as Keras writes them: save it as a SavedModel or a frozen graph"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
)
_MARKUP = re.compile(rb"\s*<[A-Za-z!?]")
_LOOKED_AT = 64
_CONTROL = bytes(set(range(32)) - set(b"\t\r\n"))


def other(path: Path) -> str | None:
    """What the file is, if its first bytes show that it is neither a network nor a checkpoint."""
    with path.open("rb") as file:
        start = file.read(_LOOKED_AT)
    if not start:
        return "an empty file: fetch it again"
    if _MARKUP.match(start):
        return "a web page or XML: what was downloaded is not the file"
    # Graphs may begin with any letter, but hold control characters soon.
    if start.lstrip().startswith(b"{") and not any(byte in _CONTROL for byte in start):
        return "text"
    return next((what for begin, what in _OTHERS if start.startswith(begin)), None)
