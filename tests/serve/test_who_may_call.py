"""Over gRPC a token is asked for by every call but those that ask whether the server lives; no model is loaded."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from densecast.errors import DensecastError
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve.models import Models
from densecast.verbs.serve.refusals import busy
from densecast.verbs.serve.remote import Remote
from densecast.verbs.serve.remote_messages import messages

grpc = pytest.importorskip("grpc", reason="needs the [grpc] extra")


class State:
    """A server without models that counts what was answered."""

    def __init__(self, options: ServeOptions) -> None:
        self.options, self.models, self.is_ending = options, Models(), False
        self.answered: list[tuple[str, int]] = []
        self.metrics = SimpleNamespace(
            request=lambda endpoint, model, code, seconds: self.answered.append((endpoint, code))
        )

    def check_open(self) -> None:
        """Refuse what comes once it ends."""
        if self.is_ending:
            raise busy("the server is about to end.")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def state(port: int, tmp_path: Path) -> Iterator[State]:
    token = tmp_path / "token"
    token.write_text("secret-of-thirty-two-letters-or-so\n")
    token.chmod(0o600)
    made = State(ServeOptions(grpc_port=port, token_file=str(token)))
    server = Remote(made)  # type: ignore[arg-type]
    yield made
    server.stop(0)


def asked(state: State, call: str, token: str | None = None, **fields: Any) -> Any:
    """The answer, or the code that a call is refused with."""
    with grpc.insecure_channel(f"127.0.0.1:{state.options.grpc_port}") as channel:
        rpc = channel.unary_unary(
            f"/inference.GRPCInferenceService/{call}",
            request_serializer=lambda each: each.SerializeToString(),
            response_deserializer=messages()[f"{call}Response"].FromString,
        )
        sent = None if token is None else (("authorization", f"Bearer {token}"),)
        try:
            return rpc(messages()[f"{call}Request"](**fields), timeout=20, metadata=sent)
        except grpc.RpcError as error:
            return error.code().name


TOKEN = "secret-of-thirty-two-letters-or-so"


def test_whether_it_lives_and_is_ready_is_told_to_everybody(state: State) -> None:
    assert asked(state, "ServerLive").live and asked(state, "ServerReady").ready
    state.is_ending = True
    assert asked(state, "ServerLive").live and not asked(state, "ServerReady").ready
    assert state.answered == [("grpc", 200)] * 4


@pytest.mark.parametrize("name", ["ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer"])
@pytest.mark.parametrize("token", [None, "", "secret", f"{TOKEN}x"])
def test_everything_else_is_for_those_who_have_the_token(name: str, token: str | None, state: State) -> None:
    assert asked(state, name, token) == "UNAUTHENTICATED" and state.answered == [("grpc", 401)]


def test_with_the_token_the_server_answers(state: State) -> None:
    told = asked(state, "ServerMetadata", TOKEN)
    assert told.name == "densecast" and told.version
    for name in ("ModelReady", "ModelMetadata"):
        assert asked(state, name, TOKEN, name="tiny") == "NOT_FOUND"
    assert asked(state, "ModelInfer", TOKEN, model_name="tiny") == "NOT_FOUND"
    state.is_ending = True
    assert asked(state, "ModelInfer", TOKEN, model_name="tiny") == "UNAVAILABLE"
    assert [code for _, code in state.answered] == [200, 404, 404, 404, 503]


def test_a_port_that_is_taken_is_told(state: State) -> None:
    with pytest.raises(DensecastError, match=f"port {state.options.grpc_port} of 127.0.0.1 is taken") as error:
        Remote(State(state.options))  # type: ignore[arg-type]
    assert error.value.field == "grpc_port"
