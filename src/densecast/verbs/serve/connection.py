"""One connection: uvicorn's HTTP/1.1 on h11, with deadlines for headers, unread bodies and slow readers."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from densecast.spec.serve_options import ServeOptions

if TYPE_CHECKING:
    import h11

LONGEST_HEADER = 32 << 10
# After an answer to a request whose body has not ended, so that its client gets to read the answer.
_LINGER_S = 2.0
# A client that takes nothing of its answer for so long is cut off.
_STALLED_S = 20.0
# Frames of a chunked body: so many of so few bytes each are an attack on the parser.
_FEW_CHUNKS, _SMALL_CHUNK = 1000, 64


def protocol(options: ServeOptions) -> type[asyncio.Protocol]:
    """The protocol class for uvicorn, whose own waits for ever for headers, unread bodies and slow readers."""
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    counting = _counting()

    class Protocol(H11Protocol):
        """One connection; `look` is called once a second."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.conn = counting(h11.SERVER, LONGEST_HEADER)
            self.since = self.stalled_since = time.monotonic()
            self.phase: object = None
            self.unsent = 0

        def data_received(self, data: bytes) -> None:
            if self.timeout_keep_alive_task is not None:  # the first bytes of another request
                self.since = time.monotonic()
            super().data_received(data)

        def look(self, now: float) -> None:
            """Cut the connection off if its client has used up the time it has for what it does."""
            theirs, ours = self.conn.their_state, self.conn.our_state
            phase = (theirs, ours, id(self.cycle))
            if phase != self.phase:
                self.phase, self.since = phase, now
            passed = now - self.since
            if theirs is h11.IDLE and self.timeout_keep_alive_task is None and passed > options.header_timeout:
                self._give_up("408 Request Timeout", "the header came too slowly.")
            elif theirs is h11.SEND_BODY and ours in (h11.DONE, h11.MUST_CLOSE) and passed > _LINGER_S:
                self.transport.abort()
            unsent = self.transport.get_write_buffer_size()
            if unsent == 0 or unsent != self.unsent:
                self.unsent, self.stalled_since = unsent, now
            elif now - self.stalled_since > _STALLED_S:
                self.transport.abort()

        def _give_up(self, status: str, why: str) -> None:
            self.transport.write(_error(status, why))
            self.transport.close()

        def send_400_response(self, msg: str) -> None:
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
                self._give_up("400 Bad Request", "this is no HTTP request.")
            else:  # an answer is on its way already
                self.transport.abort()

        def _unsupported_upgrade_warning(self) -> None:
            """Say nothing: any client could fill the log."""

    return Protocol


def _counting() -> type[h11.Connection]:
    import h11

    class Counting(h11.Connection):
        """Refuses bodies that are hardly more than their frames: parsing a million of them takes seconds."""

        chunks = payload = 0

        def next_event(self) -> Any:
            event = super().next_event()
            if type(event) is h11.Data:
                self.chunks += 1
                self.payload += len(event.data)
                if self.chunks > _FEW_CHUNKS and self.payload < self.chunks * _SMALL_CHUNK:
                    raise h11.RemoteProtocolError("chunks of a few bytes each")
            elif type(event) is h11.Request:
                self.chunks = self.payload = 0
            return event

    return Counting


def _error(status: str, why: str) -> bytes:
    body = json.dumps({"error": why})
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode("ascii")
