"""Stand-ins for the wheels of an index: they hold nothing but what they need."""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from unittest import mock


def stub(folder: Path, name: str, version: str = "1.0", needs: tuple[str, ...] = ()) -> Path:
    """A wheel that holds nothing but what it needs."""
    plain = re.sub(r"[-_.]+", "_", name)
    info = f"{plain}-{version}.dist-info"
    told = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    path = folder / f"{plain}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{info}/METADATA", told + "".join(f"Requires-Dist: {each}\n" for each in needs))
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@contextlib.contextmanager
def instead_of_an_index(folder: Path) -> Iterator[None]:
    """Have pip find stand-ins for everything that is installed here, and nothing else."""
    folder.mkdir(exist_ok=True)
    for each in metadata.distributions():
        if each.metadata["Name"] != "densecast":
            stub(folder, each.metadata["Name"], each.version.partition("+")[0])
    with mock.patch.dict(os.environ, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}):
        yield
