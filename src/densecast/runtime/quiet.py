"""Thread-safe suppression of other libraries' warnings.

`warnings.catch_warnings` keeps what it found and puts it back. Two threads that do so in turns, the first to come
also being the first to go, leave the process with all warnings ignored. Here the last to go puts back what the first
found.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator

_changing = threading.Lock()
_inside = 0
_outermost = contextlib.ExitStack()


@contextlib.contextmanager
def warnings_ignored() -> Iterator[None]:
    """No warning is shown or raised within the block, nor in other threads meanwhile."""
    global _inside
    with _changing:
        if _inside == 0:
            _outermost.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _changing:
            _inside -= 1
            if _inside == 0:
                _outermost.close()
