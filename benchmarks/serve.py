"""What the server costs: throughput beside `stream`, latency beside latency mode, overload, slow clients, memory.

    python benchmarks/serve.py ARTIFACT PICTURE… [--seconds 5] [--peers PYTHON] [--json FILE]

Everything runs on this machine, over loopback, one thing after the other; a server and its clients share the CPUs, so
figures are ratios within one run. Beside it a plain handler around the package's own steps, and with `--peers`, a
Python that has `openvino pillow opencv-python-headless fastapi litserve python-multipart` in an environment of its own,
handlers of FastAPI and LitServe around OpenVINO as one writes them. Four minutes with 5 seconds a load.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from densecast import read_image
from densecast.artifact import CompiledArtifact
from densecast.pipeline import Pipeline
from densecast.runtime import machine

_PLAIN = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route
from densecast.pipeline import Pipeline
from densecast.verbs.serve.outputs import png

pipeline = Pipeline.open(sys.argv[1], mode="throughput")

async def predict(request):
    body = await request.body()
    return Response(await run_in_threadpool(lambda: png(pipeline(body).class_id)), media_type="image/png")

uvicorn.run(Starlette(routes=[Route("/predict", predict, methods=["POST"])]), port=int(sys.argv[2]), log_level="error")
"""
_FEW, _SHORT_QUEUE = 4, 8
_HEADERS = {"Content-Type": "image/jpeg", "Accept": "image/png"}


@dataclass(frozen=True)
class Load:
    """One run of clients: answers by code, the accepted ones' times, and how soon others were refused."""

    clients: int
    images_per_s: float
    p50_ms: float
    p99_ms: float
    refused: int
    refused_p99_ms: float
    failed: int


def as_form(picture: bytes) -> bytes:
    """A form with one file."""
    head = b'--edge\r\nContent-Disposition: form-data; name="%s"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return head % b"file" + picture + b"\r\n--edge--\r\n"


def load(
    port: int,
    pictures: Sequence[bytes],
    clients: int,
    seconds: float,
    *,
    pause_s: float = 0.0,
    headers: dict[str, str] = _HEADERS,
) -> Load:
    """`clients` at a time, each asking again as soon as it has its answer; after a refusal it waits `pause_s`."""
    accepted: list[float] = []
    refused: list[float] = []
    failed: list[str] = []
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for picture in cycle(pictures[number % len(pictures) :] + pictures[: number % len(pictures)]):
            start = time.perf_counter()
            if start > end:
                return
            try:
                connection.request("POST", "/predict", picture, headers)
                reply = connection.getresponse()
                reply.read()
            except (OSError, http.client.HTTPException) as error:
                failed.append(type(error).__name__)
                connection.close()
                continue
            took_ms = (time.perf_counter() - start) * 1e3
            if reply.status == 200:
                accepted.append(took_ms)
            elif reply.status in (429, 503):
                refused.append(took_ms)
                time.sleep(pause_s)
            else:
                failed.append(str(reply.status))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(accepted) / (time.perf_counter() - start)
    p50, p99 = np.percentile(accepted, [50, 99]) if accepted else (np.nan, np.nan)
    soon = float(np.percentile(refused, 99)) if refused else 0.0
    return Load(
        clients, round(rate, 2), round(float(p50), 2), round(float(p99), 2), len(refused), round(soon, 2), len(failed)
    )


@contextlib.contextmanager
def running(arguments: Sequence[str], port: int) -> Iterator[int]:
    """A server in a process of its own; gives its process id once it answers."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(arguments, stdout=quiet, stderr=quiet, start_new_session=True) as process:
        try:
            end = time.monotonic() + 120
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if time.monotonic() > end or process.poll() is not None:
                    raise SystemExit(f"{arguments[0]} did not start")
                time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            # LitServe's workers outlive it, and would take their share of the next server's CPUs.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def slow_clients(port: int, count: int) -> Iterator[None]:
    """`count` connections that send their header or body one byte after the other."""
    start = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    over = threading.Event()

    def drip() -> None:
        connections: list[socket.socket | None] = [None] * count
        while not over.wait(0.5):
            for place, each in enumerate(connections):
                try:
                    if each is None:
                        each = connections[place] = socket.create_connection(("127.0.0.1", port), 1)
                        each.sendall(start + (b"Content-Length: 100000\r\n\r\n" if place % 2 else b""))
                    each.sendall(b"a")
                except OSError:
                    connections[place] = None

    thread = threading.Thread(target=drip)
    thread.start()
    time.sleep(2)
    try:
        yield
    finally:
        over.set()
        thread.join()


def streamed(artifact: str, pictures: Sequence[bytes], seconds: float) -> float:
    """Images/s of `Pipeline.stream`, with the same PNG at the end."""
    from densecast.verbs.serve.outputs import png

    with Pipeline.open(artifact, mode="throughput") as pipeline:
        list(pipeline.stream(pictures[:1] * 8, lambda each: each, lambda found: png(found.prediction.class_id)))
        start = time.perf_counter()
        until = takewhile(lambda _: time.perf_counter() - start < seconds, cycle(pictures))
        done = sum(1 for _ in pipeline.stream(until, lambda each: each, lambda found: png(found.prediction.class_id)))
        return done / (time.perf_counter() - start)


def alone_ms(artifact: str, pictures: Sequence[bytes], seconds: float) -> tuple[float, float]:
    """p50 and p99 of one picture at a time in latency mode, decoding and PNG included."""
    from densecast.verbs.serve.outputs import png

    times: list[float] = []
    with Pipeline.open(artifact) as pipeline:
        end = time.perf_counter() + seconds
        for picture in cycle(pictures):
            start = time.perf_counter()
            if start > end:
                break
            png(pipeline(picture).class_id)
            times.append((time.perf_counter() - start) * 1e3)
    p50, p99 = np.percentile(times[5:], [50, 99])
    return float(p50), float(p99)


def told_to_peers(artifact: str, picture: Path) -> tuple[str, str]:
    """OpenVINO's model file, and what a handler has to know of it: the size of this picture in the network …"""
    opened = CompiledArtifact.open(artifact)
    rule, image = opened.spec.preprocess, read_image(picture)
    found = {
        "size_hw": rule.place(image.shape[:2]).model_hw,
        "mean": rule.mean,
        "std": rule.std,
        "divisor": rule.divisor,
        "hint": opened.manifest.settings.get("INFERENCE_PRECISION_HINT", "f32"),
    }
    return str(opened.file("model.xml")), json.dumps(found)


def verdicts(result: dict[str, Any]) -> dict[str, Any]:
    """The figures that are promised, and what they are held against."""
    served = max(each["images_per_s"] for each in result["served"])
    overload, alone_p99 = result["overload"], result["latency_mode_p50_p99_ms"][1]
    # What waits and what is in work, each at the rate at which they leave.
    bound_ms = (_SHORT_QUEUE + (os.cpu_count() or 1)) / max(served, 1e-9) * 1e3
    return {
        "throughput, of stream's (at least 0.90)": round(served / result["stream_images_per_s"], 3),
        "p99 unloaded, ms more than latency mode (at most 5)": round(
            result["served_in_latency_mode"]["p99_ms"] - alone_p99, 2
        ),
        "overload: accepted p99, of the queue's bound (at most 2)": round(overload["p99_ms"] / bound_ms, 2),
        "overload: refused within, ms (at most 50)": overload["refused_p99_ms"],
        "overload: memory, KiB": result["overload_kb"],
        "beside 200 slow clients, of four clients alone (at least 0.9)": round(
            result["served_beside_200_slow_clients"]["images_per_s"]
            / next(each["images_per_s"] for each in result["served"] if each["clients"] == _FEW),
            3,
        ),
    }


def resident_kb(pid: int) -> int:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("artifact")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument(
        "--clients", type=lambda text: [int(each) for each in text.split(",")], default=[1, _FEW, 16, 64]
    )
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--peers", type=Path, help="a Python that has FastAPI, LitServe and OpenVINO")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    pictures = [path.read_bytes() for path in given.pictures]
    result: dict[str, Any] = {"machine": asdict(machine.describe()), "load_average_before": os.getloadavg()}
    result["stream_images_per_s"] = round(streamed(given.artifact, pictures, given.seconds), 2)
    result["latency_mode_p50_p99_ms"] = alone_ms(given.artifact, pictures, given.seconds)
    ours = [sys.executable, "-m", "densecast", "serve", given.artifact, "--port", str(given.port), "-q"]
    with running([*ours, "--queue", "64"], given.port) as pid:
        result["served"] = [asdict(load(given.port, pictures, count, given.seconds)) for count in given.clients]
        before_kb = resident_kb(pid)
        with slow_clients(given.port, 200):
            result["served_beside_200_slow_clients"] = asdict(load(given.port, pictures, _FEW, given.seconds))
        result["slow_clients_kb"] = resident_kb(pid) - before_kb
    with running([*ours, "--queue", str(_SHORT_QUEUE)], given.port) as pid:
        before_kb = resident_kb(pid)
        result["overload"] = asdict(load(given.port, pictures, 64, given.seconds, pause_s=0.05))
        result["overload_kb"] = resident_kb(pid) - before_kb
    with running([*ours, "--mode", "latency"], given.port):
        result["served_in_latency_mode"] = asdict(load(given.port, pictures, 1, given.seconds))
    with running([sys.executable, "-c", _PLAIN, given.artifact, str(given.port)], given.port):
        result["plain_handler"] = [asdict(load(given.port, pictures, count, given.seconds)) for count in given.clients]
    if given.peers:
        model, config = told_to_peers(given.artifact, given.pictures[0])
        forms = [as_form(picture) for picture in pictures]
        headers = {"Content-Type": "multipart/form-data; boundary=edge"}
        for name in ("fastapi", "litserve"):
            script = Path(__file__).parent / "contenders" / "serve_peers.py"
            # What comes by LitServe's own name is the field `request`.
            sent = [each.replace(b'name="file"', b'name="request"') for each in forms] if name == "litserve" else forms
            with running([str(given.peers), str(script), name, model, config, str(given.port)], given.port):
                load(given.port, sent, 1, 1.0, headers=headers)
                result[name] = [
                    asdict(load(given.port, sent, count, given.seconds, headers=headers)) for count in given.clients
                ]
    result["verdicts"] = verdicts(result)
    result["load_average_after"] = os.getloadavg()
    text = json.dumps(result, indent=1)
    print(text)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(text)


if __name__ == "__main__":
    main()
