"""Names what a long piece of work is doing at the moment: deep code says it, and whoever waits for it may listen."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Listener = Callable[[str], None]

_listener: ContextVar[Listener | None] = ContextVar("densecast_stages", default=None)


def at(what: str) -> None:
    """Say that `what` begins, which may take long; costs next to nothing where nobody listens."""
    listener = _listener.get()
    if listener is not None:
        listener(what)


def listen(listener: Listener | None) -> None:
    """Have `listener` told of all stages of this thread from now on; None tells nobody."""
    _listener.set(listener)


@contextlib.contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Have `listener` told of the stages of this thread within the block, instead of whoever listened before."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
