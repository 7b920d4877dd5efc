"""Plug-ins are found by their file name: `networks/unet.py` is the network `unet`.

There is no registry and no list to edit. Files whose name starts with an underscore are parts, not plug-ins; of
`scenes/`, only the files `write_*` are plug-ins, and all others parts.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Literal

from densecast.errors import UnknownNameError

Kind = Literal["networks", "zoo", "graph", "datasets", "scenes", "tasks", "metrics", "backends"]

_SINGULAR: dict[Kind, str] = {
    "networks": "network",
    "zoo": "model",
    "graph": "graph pass",
    "datasets": "data set",
    "scenes": "scene generator",
    "tasks": "task",
    "metrics": "metric",
    "backends": "backend",
}
_PREFIX: dict[Kind, str] = {"scenes": "write_"}


def names(kind: Kind) -> tuple[str, ...]:
    """All plug-ins of one kind, sorted. Imports the folder's package only, none of the plug-ins."""
    package = importlib.import_module(f"densecast.{kind}")
    prefix = _PREFIX.get(kind, "")
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in found if name.startswith(prefix) and not name.startswith("_")))


def load(kind: Kind, name: str) -> ModuleType:
    """The plug-in module of that name.

    Raises:
        UnknownNameError: no file of that name; the message names the nearest.
    """
    known = names(kind)
    if name not in known:
        raise UnknownNameError.among(_SINGULAR[kind], name, known)
    return importlib.import_module(f"densecast.{kind}.{name}")
