"""What every request passes before it is answered: its length, its host, its token; and what is noted of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from densecast.errors import BadImageError, MissingFileError, ParityError, UsageError
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve.body import Disconnected
from densecast.verbs.serve.front import Front, read_token
from densecast.verbs.serve.refusals import Refused

TOKEN = "0123456789abcdef"


class Counted:
    """Metrics that are a list."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []

    def request(self, endpoint: str, model: str, code: int, seconds: float) -> None:
        """Note a request."""
        assert seconds >= 0
        self.seen.append((endpoint, model, code))


class Answer:
    """What came back: status, headers, body."""

    def __init__(self, messages: list[Any]) -> None:
        starts = [each for each in messages if each["type"] == "http.response.start"]
        self.status = starts[0]["status"] if starts else 0
        self.headers = {name.decode(): value.decode() for each in starts for name, value in each["headers"]}
        body = b"".join(each.get("body", b"") for each in messages if each["type"] == "http.response.body")
        self.told = json.loads(body) if body.startswith(b"{") else body


def asked(
    options: ServeOptions | None = None,
    *,
    path: str = "/v2",
    version: str = "1.1",
    raises: BaseException | None = None,
    begun: bool = False,
    headers: tuple[tuple[str, str], ...] = (("host", "localhost:8000"),),
) -> tuple[Answer, list[tuple[str, str, int]]]:
    metrics, messages = Counted(), list[Any]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if raises is None or begun:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
            await send({"type": "http.response.body", "body": b"four"})
        if raises is not None:
            raise raises

    async def send(message: Any) -> None:
        messages.append(message)

    front = Front(app, options or ServeOptions(access_log=False), metrics)  # type: ignore[arg-type]
    scope = {
        "type": "http", "http_version": version, "method": "GET", "path": path, "client": ("10.0.0.9", 5),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
    }  # fmt: skip

    async def nothing() -> None:
        return None

    asyncio.run(front(scope, nothing, send))
    return Answer(messages), metrics.seen


def test_an_answer_passes_with_an_id_and_headers_that_keep_foreign_code_out() -> None:
    answer, seen = asked()
    assert (answer.status, answer.told, seen) == (200, b"four", [("other", "", 200)])
    assert answer.headers["a"] == "b" and answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert len(answer.headers["x-request-id"]) == 16
    for given, is_kept in (("mine-1.x_Y", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ("ä", False)):
        answer, _ = asked(headers=(("host", "localhost"), ("x-request-id", given)))
        assert (answer.headers["x-request-id"] == given) == is_kept


@pytest.mark.parametrize(("version", "status"), [("1.0", 200), ("1.1", 200), ("2", 400), ("0.9", 400)])
def test_http_is_of_version_1(version: str, status: int) -> None:
    answer, _ = asked(version=version)
    assert answer.status == status and (status == 200 or answer.headers["connection"] == "close")


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ((("content-length", "3"),), 200), ((("transfer-encoding", "chunked"),), 200),
        ((("content-length", "3"), ("content-length", "3")), 400), ((("host", "localhost"),), 400),
        ((("content-length", "3"), ("transfer-encoding", "chunked")), 400),
    ],
)  # fmt: skip
def test_a_request_says_once_how_long_it_is_and_whom_it_asks(more: tuple[tuple[str, str], ...], status: int) -> None:
    answer, _ = asked(headers=(("host", "localhost"), *more))
    assert answer.status == status and (status == 200 or answer.headers["connection"] == "close")


@pytest.mark.parametrize(
    ("host", "options", "status"),
    [
        ("localhost", {}, 200), ("LOCALHOST:8000", {}, 200), ("127.0.0.1:8000", {}, 200), ("[::1]:8000", {}, 200),
        ("10.1.2.3", {}, 200), ("evil.example", {}, 403), ("evil.example:8000", {}, 403), ("localhost.evil", {}, 403),
        ("[::g]", {}, 403), ("", {}, 403),
        ("mine.example", {"allowed_host": ("Mine.example",)}, 200), ("other", {"allowed_host": ("mine",)}, 403),
    ],
)  # fmt: skip
def test_a_server_that_anybody_may_ask_is_asked_by_its_own_names(
    host: str, options: dict[str, Any], status: int
) -> None:
    answer, seen = asked(ServeOptions(access_log=False, **options), headers=(("host", host),))
    assert answer.status == status and seen[0][2] == status
    if status == 403:
        assert answer.told["field"] == "Host" and answer.told["request_id"] == answer.headers["x-request-id"]


def test_health_checks_leave_the_name_out() -> None:
    assert asked(version="1.0", headers=())[0].status == 200


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/v2", f"Bearer {TOKEN}", 200), ("/v2", None, 401), ("/v2", f"bearer {TOKEN}", 401), ("/v2", TOKEN, 401),
        ("/v2", f"Bearer {TOKEN}0", 401), ("/v2", "Bearer é", 401),
        ("/v2/health/live", None, 200), ("/v2/health/ready", None, 200), ("/v2/health/other", None, 401),
        ("/", None, 200), ("/page/page.js", None, 200), ("/page/page.css", None, 200), ("/page/x.py", None, 401),
        ("/page/../v2", None, 401), ("/v2/health/live/x", None, 401), ("/metrics", None, 401),
    ],
)  # fmt: skip
def test_a_token_is_asked_for_but_by_health_checks_and_the_page(
    path: str, sent: str | None, status: int, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    options = ServeOptions(access_log=False, token_file=str(tmp_path / "token"))
    headers = (("host", "any.example"), *(() if sent is None else (("authorization", sent),)))
    answer, _ = asked(options, path=path, headers=headers)
    assert answer.status == status
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer" and answer.told["field"] == "Authorization"


@pytest.mark.parametrize(
    ("text", "token"),
    [
        (TOKEN, TOKEN), (f"  {TOKEN}\n", TOKEN), (TOKEN[:-1], None), ("two words of letters", None), ("", None),
        (f"{TOKEN}\n{TOKEN}", None), ("ä" * 20, None),
    ],
)  # fmt: skip
def test_a_token_is_one_word_of_sixteen_letters_at_least(text: str, token: str | None, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(text, encoding="utf-8")
    options = ServeOptions(token_file=str(path))
    if token is None:
        with pytest.raises(UsageError) as error:
            read_token(options)
        assert error.value.field == "token_file"
    else:
        assert read_token(options) == token
    assert read_token(ServeOptions()) is None
    with pytest.raises(MissingFileError):
        read_token(ServeOptions(token_file=str(tmp_path / "absent")))


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (Refused(418, "teapot", field="pot", headers={"Retry-After": "7"}), 418, "teapot"),
        (BadImageError("broken"), 400, "broken"),
        (MemoryError(), 503, "there is no memory"),
        (ParityError("wrong"), 500, "wrong"),
        (KeyError("secret"), 500, "an error of the server's own; its log has it as "),
        (asyncio.CancelledError(), 503, "the server ended before the answer"),
    ],
)
def test_an_error_is_an_answer_of_one_line(error: BaseException, status: int, words: str) -> None:
    answer, seen = asked(raises=error)
    assert answer.status == status and answer.told["error"].startswith(words) and "secret" not in answer.told["error"]
    assert seen == [("other", "", status)] and answer.headers["content-type"] == "application/json"
    if status == 418:
        assert answer.told["field"] == "pot" and answer.headers["retry-after"] == "7"


def test_who_left_is_noted_and_an_answer_that_has_begun_is_cut_off() -> None:
    answer, seen = asked(raises=Disconnected())
    assert answer.status == 0 and seen == [("other", "", 499)]
    with pytest.raises(KeyError):
        asked(raises=KeyError("x"), begun=True)


def test_the_access_log_is_a_line_of_json_without_what_a_client_makes_up(capsys: pytest.CaptureFixture[str]) -> None:
    options = ServeOptions(access_log=True)
    asked(options, path="/ä\n" + "x" * 300)
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["client"], told["method"], told["status"], told["sent_bytes"]) == ("10.0.0.9", "GET", 200, 4)
    assert told["path"] == ("/ä\n" + "x" * 300)[:200] and line.isascii() and told["received_bytes"] == 0
    asked()
    assert capsys.readouterr().err == ""
