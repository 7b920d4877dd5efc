"""Procedural images with exact ground truth, drawn deterministically.

`write_<data set>.py` writes a folder in the layout of that data set. A zoo entry names the writer that draws its data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from densecast.plugins import PluginKind


class SceneWriter(Protocol):
    """Fills a folder with procedural images and their ground truth."""

    def __call__(self, root: Path, count: int, *, seed: int = 0) -> None:
        """Draw `count` images of the world `seed` into `root`; the same call finishes an interrupted folder.

        Raises:
            BadConfigError: an argument out of bounds.
            BadDatasetError: `root` holds something else; nothing is changed then.
        """


SCENES: PluginKind[SceneWriter] = PluginKind("scenes", "scene writer", "write", None, prefix="write_")
