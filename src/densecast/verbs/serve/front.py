"""What every request passes first: request id, token, host name, framing; and last: access log and metrics."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from densecast.errors import MissingFileError, UsageError
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import refusals
from densecast.verbs.serve.body import Disconnected
from densecast.verbs.serve.metrics import Metrics
from densecast.verbs.serve.refusals import Refused

Scope = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Send], Awaitable[None]]

_log = logging.getLogger(__name__)

_ID = re.compile(r"[\w.-]{1,64}", re.ASCII)
_OPEN = re.compile(r"/v2/health/(live|ready)|/|/page/[a-z]+\.(css|js|svg)", re.ASCII)
_LONGEST_SHOWN = 200
_SHORTEST_TOKEN = 16
_GONE = 499
"""nginx's code for a client that left before its answer; only logs and metrics see it."""

# Nothing may run but what comes from here, and no page may put this one in a frame.
HEADERS = (
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


def read_token(options: ServeOptions) -> str | None:
    """The token in the options' file; None without a file.

    Raises:
        MissingFileError: there is none.
        UsageError: no token in it, or one that is guessed easily.
    """
    if options.token_file is None:
        return None
    try:
        text = Path(options.token_file).read_text(encoding="ascii")
    except OSError as error:
        raise MissingFileError(f"{options.token_file}: {error.strerror}.", field="token_file") from None
    except UnicodeDecodeError:
        raise UsageError(f"{options.token_file}: a token is made of ASCII letters.", field="token_file") from None
    token = text.strip()
    if len(token) < _SHORTEST_TOKEN or len(token.split()) != 1:
        raise UsageError(
            f"{options.token_file}: a token is one word of at least {_SHORTEST_TOKEN} letters, as "
            "`openssl rand -hex 32` makes.",
            field="token_file",
        )
    return token


class Front:
    """An ASGI application around another one."""

    def __init__(self, app: App, options: ServeOptions, metrics: Metrics) -> None:
        self._app, self._options, self._metrics = app, options, metrics
        token = read_token(options)
        self._token = None if token is None else f"Bearer {token}".encode("ascii")
        names = {options.host, *options.allowed_host, "localhost"}
        # Where anybody may ask, a foreign page must not do so under a name of its own that it has pointed here.
        self._names = {name.lower() for name in names} if token is None and options.is_loopback else None

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        """Check a request, have it answered, and note how."""
        if scope["type"] != "http":
            raise AssertionError(f"no {scope['type']} here")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        note = scope["densecast"] = Note(given if _ID.fullmatch(given) else secrets.token_hex(8))
        note.headers = headers
        start = time.perf_counter()

        async def tell(message: Any) -> None:
            if message["type"] == "http.response.start":
                note.status = message["status"]
                own = [*message.get("headers", ()), (b"x-request-id", note.id.encode("ascii")), *HEADERS]
                message = {**message, "headers": own}
            elif message["type"] == "http.response.body":
                note.sent += len(message.get("body", b""))
            await send(message)

        try:
            self._check(scope, headers)
            await self._app(scope, receive, tell)
        except Disconnected:
            note.status = _GONE
        except asyncio.CancelledError:
            # The server ends, and this request has used up the time that there was for it.
            await _refuse(refusals.busy("the server ended before the answer."), note, tell)
        except Exception as error:
            await self._answer_error(error, note, tell)
        finally:
            self._note(scope, note, time.perf_counter() - start)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        if scope["http_version"] not in ("1.0", "1.1"):
            raise Refused(400, "this server speaks HTTP/1.1.", headers={"Connection": "close"})
        names = [name for name, _ in scope["headers"]]
        if (
            names.count(b"content-length") > 1
            or names.count(b"host") > 1
            or ("content-length" in headers and "transfer-encoding" in headers)
        ):
            raise Refused(
                400, "a request says once how long it is, and once whom it asks.", headers={"Connection": "close"}
            )
        # No browser leaves the name out; health checks that speak HTTP/1.0 do.
        if self._names is not None and "host" in headers and not _is_own(headers["host"], self._names):
            raise Refused(
                403, "this server is asked by a name that is not its own: pass --allowed-host NAME.", field="Host"
            )
        if self._token is not None and not _OPEN.fullmatch(scope["path"]):
            sent = headers.get("authorization", "").encode("latin-1")
            if not hmac.compare_digest(sent, self._token):
                raise Refused(
                    401, "this server asks for a token: Authorization: Bearer …", field="Authorization",
                    headers={"WWW-Authenticate": "Bearer"},
                )  # fmt: skip

    async def _answer_error(self, error: Exception, note: Note, send: Send) -> None:
        refused = refusals.of(error)
        if refused is None or refused.status == 500:
            _log.error("request %s failed: %s", note.id, type(error).__name__, exc_info=error)
            refused = refused or Refused(500, f"an error of the server's own; its log has it as {note.id}.")
        if note.status:  # the answer has begun: all that is left is to cut it off
            raise error
        await _refuse(refused, note, send)

    def _note(self, scope: Scope, note: Note, seconds: float) -> None:
        self._metrics.request(note.endpoint, note.model, note.status, seconds)
        if not self._options.access_log:
            return
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "id": note.id,
            "client": (scope.get("client") or ("",))[0],
            "method": scope["method"][:16],
            "path": scope["path"][:_LONGEST_SHOWN],
            "model": note.model,
            "status": note.status,
            "ms": round(seconds * 1e3, 1),
            "received_bytes": note.received,
            "sent_bytes": note.sent,
        }
        # One write of ASCII, so that no client writes lines of its own into the log.
        print(json.dumps(line), file=sys.stderr, flush=True)


class Note:
    """What is noted of a request on its way."""

    def __init__(self, request_id: str) -> None:
        self.id, self.status, self.received, self.sent = request_id, 0, 0, 0
        self.endpoint, self.model = "other", ""
        self.headers: dict[str, str] = {}


async def _refuse(refused: Refused, note: Note, send: Send) -> None:
    told: dict[str, str] = {"error": refused.message, "request_id": note.id}
    if refused.field is not None:
        told["field"] = refused.field
    body = json.dumps(told).encode("ascii")
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **refused.headers}
    encoded = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _is_own(host: str, names: set[str]) -> bool:
    name = host.lower()
    if name.startswith("["):
        name = name.partition("]")[0][1:]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
