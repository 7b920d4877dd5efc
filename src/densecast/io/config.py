"""Finds the roots of a user's data sets in a configuration file or in environment variables.

```toml
# densecast.toml
[data]
carvana = "/data/carvana"
cityscapes = "$HOME/cityscapes"
```
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from densecast.errors import MissingFileError
from densecast.io import cache, codec

VARIABLE = "DENSECAST_CONFIG"
NAME = "densecast.toml"


@dataclass(frozen=True, slots=True)
class Config:
    """The contents of a configuration file. Environment variables and `~` in paths are expanded."""

    data: dict[str, str] = field(default_factory=dict)


def find() -> Path | None:
    """Find the configuration file: `$DENSECAST_CONFIG`, `./densecast.toml`, or `~/.config/densecast/config.toml`.

    Raises:
        MissingFileError: the variable names a file that is not there.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_file():
            raise MissingFileError.at(Path(named), f"${VARIABLE} names a file:")
        return Path(named)
    folders = os.environ.get("XDG_CONFIG_HOME")
    home = cache.home_folder()
    own = Path(folders) if folders else home / ".config" if home else None
    candidates = (Path(NAME), *([own / "densecast" / "config.toml"] if own else []))
    return next((path for path in candidates if path.is_file()), None)


def data_root(dataset: str, variables: tuple[str, ...]) -> Path:
    """The root of a data set: from the configuration file, else from the first of `variables` that is set.

    Raises:
        MissingFileError: neither names it; says how to.
        BadConfigError: the file is malformed, or has an unknown key.
    """
    path = find()
    named = codec.read(path, Config).data.get(dataset) if path else None
    named = named or next((os.environ[name] for name in variables if os.environ.get(name)), None)
    if named is None:
        raise MissingFileError(
            f"where is {dataset}? Pass --data FOLDER, set ${variables[0]}, or name it under [data] in {NAME}."
        )
    return Path(os.path.expandvars(named)).expanduser()
