"""Listens for HTTP: uvicorn, with deadlines for headers, bodies and readers, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib.util
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from densecast.errors import DensecastError, MissingExtraError, UsageError
from densecast.runtime import signals
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import connection

if TYPE_CHECKING:
    import uvicorn

    from densecast.verbs.serve.web import State

_NEEDED = ("prometheus_client", "starlette", "uvicorn")
_BACKLOG = 1024


def check_installed() -> None:
    """Check that the [serve] extra is there.

    Raises:
        MissingExtraError: it is not.
    """
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise MissingExtraError.of("serve", "a server")


def bound(options: ServeOptions) -> socket.socket:
    """A socket that is bound to where the options say; it listens only when the models are ready.

    Raises:
        UsageError: no address of this machine, or a port that needs rights.
        DensecastError: the port is taken.
    """
    host = options.host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{options.host} is no address ({error}).", field="host") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise DensecastError(
                f"port {options.port} of {options.host} is taken. Pass another one, or 0 for any.", field="port"
            ) from None
        field = "port" if error.errno == errno.EACCES else "host"
        raise UsageError(f"{options.host}:{options.port}: {error.strerror}.", field=field) from None
    listening.setblocking(False)
    return listening


class Listener:
    """Serves an application on a socket until it is told to end."""

    def __init__(self, app: Any, state: State, listening: socket.socket) -> None:
        self._state, self._socket = state, listening
        self._server = _server(app, state.options)
        self._ended_by: list[int] = []

    def run(self, started: Callable[[], None]) -> None:
        """Serve; in the main thread until a signal, else until `end`. `started` is called when requests are taken."""
        # uvicorn's own words would be a second log of the same things.
        for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        asyncio.run(self._serve(started))

    def end(self) -> None:
        """Finish what is in work, and return from `run`; may be called in any thread."""
        self._state.is_ending = True
        self._server.should_exit = True

    async def _serve(self, started: Callable[[], None]) -> None:
        with self._signals():
            serving = asyncio.ensure_future(self._server._serve([self._socket]))
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.005)
            if not serving.done():
                started()
            await serving

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        try:
            for number in signals.ENDING:
                loop.add_signal_handler(number, self._told_to_end)
        except NotImplementedError:  # a system whose loops hear no signals; Python's own handlers do, at the next step
            for number in signals.ENDING:
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._told_to_end))
            yield
            return
        try:
            yield
        finally:
            # From here on one more signal ends the process as it would have anyway.
            for number in signals.ENDING:
                loop.remove_signal_handler(number)

    def _told_to_end(self) -> None:
        if self._server.should_exit:  # a second time: now
            self._server.force_exit = True
        self.end()


def _server(app: Any, options: ServeOptions) -> uvicorn.Server:
    import uvicorn

    config = uvicorn.Config(
        app,
        http=connection.protocol(options),
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=options.max_connections,
        timeout_keep_alive=max(1, round(options.idle_timeout)),
        timeout_graceful_shutdown=max(1, round(options.grace)),
        h11_max_incomplete_event_size=connection.LONGEST_HEADER,
    )

    class Server(uvicorn.Server):
        """Looks after its connections once a second."""

        async def on_tick(self, counter: int) -> bool:
            if counter % 10 == 0:
                now = time.monotonic()
                for each in list(self.server_state.connections):
                    each.look(now)  # type: ignore[union-attr]
            return await super().on_tick(counter)

    return Server(config)
