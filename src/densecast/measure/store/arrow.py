"""Loads pyarrow, which only stores need, and turns its errors into ours."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from densecast.errors import BadStoreError, DensecastError, MissingExtraError


def require() -> None:
    """Check that pyarrow is there, before any work.

    Raises:
        MissingExtraError: it is not installed.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError.of("store", "a store of records (--store)")


def load() -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        MissingExtraError: not installed.
    """
    require()
    import pyarrow
    import pyarrow.parquet

    return pyarrow, pyarrow.parquet


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn whatever Arrow raises about a file's contents into an error that says which file, and what to do.

    Raises:
        BadStoreError: the file is damaged.
    """
    pyarrow, _ = load()
    try:
        yield
    except (DensecastError, MemoryError):
        raise
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise BadStoreError(
            f"{name} is damaged ({first}). Remove it and run the same command again: its images are computed anew."
        ) from None
