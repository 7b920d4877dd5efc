"""The description of the server is kept: a tool that reads it alone finds no answer that it does not describe."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import malformed_requests
import pytest
import serve_client

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


def test_a_deadline_that_passes_is_answered_as_it_is_described(server: str) -> None:
    described = serve_client.ask(server, "GET", "/openapi.json").document
    answer = described["paths"]["/predict/{name}"]["post"]["responses"]["503"]
    reply = serve_client.ask(
        server, "POST", "/predict/tiny?timeout_ms=0.0001", malformed_requests.jpeg(), {"Content-Type": "image/jpeg"}
    )
    assert reply.status == 503 and {each.lower() for each in answer["headers"]} == {"retry-after"}
    assert int(reply.headers["retry-after"]) >= 1
    schema = described["components"]["schemas"]["Error"]
    assert set(reply.document) <= set(schema["properties"]) and set(schema["required"]) <= set(reply.document)


def test_a_field_of_a_form_that_would_have_no_effect_is_named(server: str) -> None:
    parts = b'--x\r\nContent-Disposition: form-data; name="overlay"\r\n\r\n1\r\n'
    parts += b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    body = parts + malformed_requests.jpeg() + b"\r\n--x--\r\n"
    reply = serve_client.ask(server, "POST", "/predict/tiny", body, {"Content-Type": "multipart/form-data; boundary=x"})
    assert reply.status == 400 and reply.document["field"] == "overlay"


@pytest.mark.slow
def test_schemathesis_finds_no_fault(server: str, tmp_path: Path) -> None:
    program = os.environ.get("SCHEMATHESIS") or shutil.which("schemathesis")
    if program is None:
        pytest.skip("schemathesis is not installed (in a venv of its own; SCHEMATHESIS names it): it was not asked")
    words = ["--config-file", CONFIGURATION, "run", server + "openapi.json", "--max-examples", 10, "--seed", 1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [program, *map(str, words)], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stdout[-4000:]
