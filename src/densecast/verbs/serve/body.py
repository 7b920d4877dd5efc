"""Reads the body of a request within limits of size, memory and time, and inflates it within the same limits."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from densecast.spec.serve_options import MIB, ServeOptions
from densecast.verbs.serve.refusals import Refused, bad, busy

Receive = Callable[[], Awaitable[Any]]

# What a body may take its time for: a client that sends less than this for each `body_timeout` is told to go.
_BYTES_PER_TIMEOUT = 256 << 10
# Bodies of all requests together, in units of the largest one.
_BODIES_AT_A_TIME = 8
_INFLATE_STEP = 1 << 20
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Disconnected(Exception):
    """The client has gone."""


class _Held:
    """The bytes that one request holds."""

    bytes = 0


class Bodies:
    """Reads bodies; knows how much memory those of all requests take."""

    def __init__(self, options: ServeOptions) -> None:
        self._limit = options.max_body_mib * MIB
        self._most = _BODIES_AT_A_TIME * self._limit
        self._timeout_s = options.body_timeout
        self._bytes = 0

    @contextlib.asynccontextmanager
    async def read(self, receive: Receive, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The whole body, inflated if it is compressed; its memory counts until the block ends.

        Raises:
            Refused: too large (413), too slow (408), compressed in an unknown way (415) or damaged, or no room (503).
            Disconnected: the client has gone.
        """
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "") and encoding not in _WINDOW_BITS:
            raise Refused(415, "bodies are compressed with gzip or deflate, or not at all.", field="Content-Encoding")
        announced = headers.get("content-length", "0")
        if announced.isascii() and announced.isdigit() and int(announced) > self._limit:
            raise self._too_large()
        held = _Held()
        try:
            data = await self._received(receive, held)
            if encoding in _WINDOW_BITS:
                data = await asyncio.to_thread(self._inflated, data, encoding)
                self._hold(held, len(data))
            yield data
        finally:
            self._bytes -= held.bytes

    async def _received(self, receive: Receive, held: _Held) -> bytes:
        parts = bytearray()
        loop = asyncio.get_running_loop()
        start = loop.time()
        while True:
            allowed_s = self._timeout_s * (1 + len(parts) / _BYTES_PER_TIMEOUT)
            try:
                message = await asyncio.wait_for(receive(), max(0.01, start + allowed_s - loop.time()))
            except TimeoutError:
                raise Refused(408, "the body came too slowly.", field="body", headers={"Connection": "close"}) from None
            if message["type"] == "http.disconnect":
                raise Disconnected
            part = message.get("body", b"")
            if len(parts) + len(part) > self._limit:
                raise self._too_large()
            self._hold(held, len(part))
            parts += part
            if not message.get("more_body", False):
                return bytes(parts)

    def _hold(self, held: _Held, size: int) -> None:
        if self._bytes + size > self._most:
            raise busy("requests in work hold all the memory there is for them. Try again later.")
        held.bytes += size
        self._bytes += size

    def _inflated(self, data: bytes, encoding: str) -> bytes:
        inflater = zlib.decompressobj(_WINDOW_BITS[encoding])
        parts = bytearray()
        try:
            while data and not inflater.eof:
                parts += inflater.decompress(data, _INFLATE_STEP)
                if len(parts) > self._limit:
                    raise self._too_large()
                data = inflater.unconsumed_tail
        except zlib.error:
            raise bad(f"the body is no {encoding}.", "Content-Encoding") from None
        if not inflater.eof or inflater.unused_data:
            raise bad(f"the {encoding} of the body is cut off, or something follows it.", "body")
        return bytes(parts)

    def _too_large(self) -> Refused:
        # The connection stays open for a moment: closed at once, the client would not get to read this.
        return Refused(413, f"a body is at most {self._limit // MIB} MiB, inflated as well.", field="body")
