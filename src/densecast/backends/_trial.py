"""What engines' trials share: finding the layer with which a network first ends its process, and the words for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from densecast.io import files

if TYPE_CHECKING:
    from densecast.runtime.trial import EngineCrashError


def key(path: Path, *settings: object) -> str:
    """What a trial's outcome depends on, beside the engine and the CPU: the graph, its weights, and how it is run."""
    weights = path.with_suffix(".bin")  # OpenVINO keeps them beside the graph
    held = [files.sha256(each) for each in (path, weights) if each.exists()]
    return files.sha256_text(repr((held, settings)))


def first_that_crashes(names: Sequence[str], crashes: Callable[[int], bool]) -> str | None:
    """The name of the operator with which a beginning of the network first ends its process, by halving.

    `crashes` says of the first so many operators whether they do. None where the beginnings do not, as where layers are
    fused only in the whole network, or where it ends for another reason.
    """
    low, high = 0, len(names)
    if not high or not crashes(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if crashes(middle):
            high = middle
        else:
            low = middle
    return names[high - 1]


def told(error: EngineCrashError, layer: str | None) -> str:
    """How the process ended, and where, in words."""
    where = f" at layer {layer!r}" if layer else ""
    reason = str(error).partition(": ")[2].rstrip(".") or str(error)
    return f"ends the process{where} ({reason})"
