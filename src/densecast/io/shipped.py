"""What a process on another machine has to know of this one: the packages whose plug-ins are allowed."""

from __future__ import annotations

import os

from densecast import plugins as _plugins


def plugins() -> str:
    """The allowed packages, by comma."""
    return os.environ.get(_plugins.VARIABLE, "")


def allow(packages: str) -> None:
    """Allow them here as well."""
    names = [name for name in packages.split(",") if name.strip()]
    if names:
        _plugins.allow_plugins(*names)
