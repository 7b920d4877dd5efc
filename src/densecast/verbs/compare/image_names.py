"""What images are called in results: by their files' names, and by their folders too where two have one name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def by_name(images: Iterable[Path]) -> dict[str, Path]:
    """Images by what they are called: the file's name, or the path below all images' folder where two have one name.

    >>> list(by_name([Path("data/a/1.jpg"), Path("data/b/1.jpg"), Path("data/b/2.jpg")]))
    ['a/1.jpg', 'b/1.jpg', '2.jpg']
    """
    distinct = list(dict.fromkeys(images))
    shared = {name for name, count in Counter(path.name for path in distinct).items() if count > 1}
    if not shared:
        return {path.name: path for path in distinct}
    try:
        top = Path(os.path.commonpath([Path.cwd() / path.parent for path in distinct]))
    except ValueError:  # on two drives
        return {str(path): path for path in distinct}
    below = [(Path.cwd() / path).relative_to(top).as_posix() for path in distinct]
    return {name if path.name in shared else path.name: path for name, path in zip(below, distinct, strict=True)}


def names_of(images: Iterable[Path]) -> dict[Path, str]:
    """The same the other way round."""
    return {path: name for name, path in by_name(images).items()}
