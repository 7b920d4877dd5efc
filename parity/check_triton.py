"""Compare `densecast serve` with a real Triton, and ask it by Triton's own clients.

The same requests, right and wrong, go to both servers, which hold the same network: of right ones status, members,
datatypes, shapes and bytes are compared, of wrong ones the status. What may differ, and why, stands below; exit 1 where
anything else does.

Run in densecast's own environment with [serve,grpc], after make_triton_env.sh:
PYTHONPATH=tests/support python parity/check_triton.py
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gzip
import io
import json
import re
import socket
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import malformed_requests
import numpy as np
import onnx.parser
import serve_client
import tiny_artifacts
from PIL import Image
from serve_client import Reply

from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import serving

HERE = Path(__file__).parent
# Statuses here and there of requests that are wrong, and why they differ.
FORESEEN = {
    (400, 500): "a wrong type in the JSON is the client's fault",
    (400, 200): "a damaged gzip body, NaN in a tensor: never wrong in silence",
    (413, 500): "too large is said as such",
    (415, 501): "an unknown compression is the client's choice",
    (400, 404): "a version that is no name",
}
# What ends Triton 2.51, or keeps it busy for minutes: sizes beyond any memory.
_TOO_MUCH = re.compile(r"\d{6,}|a bomb in a bomb")


def network() -> onnx.ModelProto:
    """(N, 3, H, W) -> the sum of the channels, and its negative."""
    return onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        tiny (float[N, 3, H, W] image) => (float[N, 2, H, W] logits)
        <float[2, 3, 1, 1] w = {1, 1, 1, -1, -1, -1}> { logits = Conv (image, w) }
        """
    )


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with contextlib.ExitStack() as opened:
        made = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in made]


@contextlib.contextmanager
def triton(python: Path) -> Iterator[str]:
    """The address of a real Triton with the network."""
    ports = free_ports(3)
    given = [str(python), str(HERE / "triton_oracle.py"), *map(str, ports)]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(given, stdin=subprocess.PIPE, stdout=said, stderr=said) as process,
    ):
        url, end = f"http://127.0.0.1:{ports[0]}/", time.monotonic() + 180
        try:
            while True:
                with contextlib.suppress(OSError):
                    if serve_client.ask(url, "GET", "/v2/models/tiny/ready").status == 200:
                        break
                if process.poll() is not None or time.monotonic() > end:
                    said.seek(0)
                    raise SystemExit(f"Triton did not start: {said.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.5)
            yield url
        finally:
            if process.stdin:
                process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()


def right() -> Iterator[tuple[str, bytes | None, dict[str, str], str]]:
    """Path, body, headers and what it is of requests that both answer."""
    path, draw = "/v2/models/tiny/infer", np.random.default_rng(0)
    for count, side in ((1, 8), (2, 8), (4, 12), (3, 9)):
        feeds = (draw.integers(-40, 40, (count, 3, side, side + 1)) / 4).astype(np.float32)
        own = [("image", "FP32", feeds.shape, feeds.tobytes())]
        for wanted in (["logits"], []):
            for is_binary in (True, False):
                body, headers = serve_client.v2(own, wanted, binary=is_binary, id=f"{count}-{side}")
                yield path, body, headers, f"binary in, outputs {wanted}, binary {is_binary}, {feeds.shape}"
        body, headers = serve_client.v2(own, ["logits"])
        yield "/v2/models/tiny/versions/1/infer", body, headers, "of a version"
        tensor = {"name": "image", "datatype": "FP32", "shape": list(feeds.shape), "data": feeds.ravel().tolist()}
        for more in ({}, {"outputs": [{"name": "logits"}]}, {"parameters": {"binary_data_output": True}},
                     {"id": "a b"}, {"parameters": {"timeout": 5_000_000}}):  # fmt: skip
            text = json.dumps({"inputs": [tensor], **more}).encode()
            yield path, text, {}, f"JSON in, {more}"
        nested = json.dumps({"inputs": [tensor | {"data": feeds.tolist()}]}).encode()
        yield path, nested, {}, "nested JSON"
        yield path, gzip.compress(nested), {"Content-Encoding": "gzip"}, "gzip"
        yield path, zlib.compress(nested), {"Content-Encoding": "deflate"}, "deflate"
        yield path, body, headers | {"Accept-Encoding": "identity"}, "no compression asked for"


def parts(reply: Reply) -> tuple[object, bytes]:
    """What is compared of an inference's answer: its JSON without names of software, and the bytes behind it."""
    length = int(reply.headers.get(serve_client.LENGTH.lower(), len(reply.body)))
    return json.loads(reply.body[:length]), reply.body[length:]


def compare_right(ours: str, theirs: str) -> list[str]:
    """Differences of the answers to right requests."""
    told = []
    for path, body, headers, what in right():
        here, there = (serve_client.ask(url, "POST", path, body, headers) for url in (ours, theirs))
        if (here.status, there.status) != (200, 200) or parts(here) != parts(there):
            told.append(f"{what}: {here.status} {here.body[:200]!r} {there.status} {there.body[:200]!r}")
        kinds = {each.headers.get("content-type") for each in (here, there)}
        told += [f"{what}: {kinds}"] * (len(kinds) > 1)
    for path in ("/v2", "/v2/models/tiny", "/v2/models/tiny/versions/1"):
        here, there = (set(serve_client.ask(url, "GET", path).document) for url in (ours, theirs))
        told += [f"{path}: {here} {there}"] * (not there <= here)
    return told


def compare_wrong(ours: str, theirs: str) -> tuple[collections.Counter[tuple[int, int]], list[str]]:
    """How often which statuses met, and what was not foreseen."""
    counted: collections.Counter[tuple[int, int]] = collections.Counter()
    told = []
    for name, sent in (*malformed_requests.binary(), *malformed_requests.compressed()):
        if _TOO_MUCH.search(name):
            continue
        both = status(ours, sent), status(theirs, sent)
        counted[both] += 1
        if both[0] != both[1] and both not in FORESEEN:
            told.append(f"{name}: {both}")
    return counted, told


def status(url: str, sent: bytes) -> int:
    """The status of the answer; 0 without one."""
    host, port = url.split("/")[2].rsplit(":", 1)
    received = b""
    with socket.create_connection((host, int(port)), timeout=3.0) as connection:
        with contextlib.suppress(OSError):  # it is answered before all was sent, or never
            connection.sendall(sent)
        with contextlib.suppress(OSError):
            while b"\r\n" not in received and (part := connection.recv(65536)):
                received += part
    return int(received.split(None, 2)[1]) if received.startswith(b"HTTP/") else 0


def compare_clients(python: Path, url: str, grpc_port: int, artifact: Path, folder: Path) -> list[str]:
    """What Triton's own clients get, where it is not the pipeline's answer."""
    image = np.random.default_rng(1).integers(0, 255, (40, 48, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    (folder / "picture.png").write_bytes(stream.getvalue())
    feeds = (np.random.default_rng(2).integers(-40, 40, (2, 3, 8, 9)) / 4).astype(np.float32)
    np.savez(folder / "feeds.npz", image=feeds)
    subprocess.run(
        [str(python), str(HERE / "triton_client.py"), url.split("/")[2], f"127.0.0.1:{grpc_port}",
         str(folder / "feeds.npz"), str(folder / "picture.png"), str(folder / "answers.npz")],
        check=True, timeout=120,
    )  # fmt: skip
    answers = np.load(folder / "answers.npz", allow_pickle=True)
    with Pipeline.open(artifact) as pipeline:
        class_id = pipeline(image).class_id
    sums = feeds.sum(axis=1)
    logits = np.stack([sums, -sums], axis=1)
    told = []
    for name in answers.files:
        value = answers[name]
        if "error" in name:
            fits = "nobody" in str(value) or "nothing" in str(value)
        elif name == "png":
            fits = np.array_equal(np.asarray(Image.open(io.BytesIO(value.item()))), class_id)
        else:
            fits = np.array_equal(value, logits if "logits" in name else class_id[None])
        told += [f"{name}: {value}"] * (not fits)
    return told if len(answers.files) == 11 else [*told, f"only {answers.files}"]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    root = HERE.parent
    parser.add_argument("--triton", type=Path, default=root / ".venv-triton" / "bin" / "python")
    parser.add_argument("--client", type=Path, default=root / ".venv-tritonclient" / "bin" / "python")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shape = InputShape(batch=Range(1, 4))
        tiny_artifacts.compiled(folder, BuildOptions("onnxruntime", shape=shape), network())
        (port,) = free_ports(1)
        options = ServeOptions(port=0, grpc_port=port, access_log=False)
        with serving([folder / "built"], options) as running:
            asked = compare_clients(given.client, running.url, port, folder / "built", folder)
            with triton(given.triton) as theirs:
                differing = compare_right(running.url, theirs)
                counted, unforeseen = compare_wrong(running.url, theirs)
    print(f"clients: {len(asked)} answers are not the pipeline's")
    print(f"right requests: {len(list(right()))}, {len(differing)} answered differently")
    for both, count in sorted(counted.items()):
        print(f"wrong requests: {count:4} x {both[0]} here, {both[1]} there: {FORESEEN.get(both, 'the same')}")
    for each in (*asked, *differing, *unforeseen):
        print(f"! {each}")
    raise SystemExit(1 if asked or differing or unforeseen else 0)


if __name__ == "__main__":
    main()
