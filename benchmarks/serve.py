"""What the server costs: throughput beside `stream`, latency beside latency mode, overload, slow clients.

    python benchmarks/serve.py ARTIFACT PICTURE… [--only PART…] [--rounds 5] [--peers PYTHON] [--json FILE]

Everything runs on this machine, over loopback: a server and its clients share the CPUs. Whatever is compared takes
turns, and figures are ratios within a round, or differences between neighbours, with their spread:

throughput  8 clients of the server, of a plain handler around the package's own steps and, with `--peers`, a Python
            that has `openvino pillow opencv-python-headless fastapi litserve python-multipart`, of handlers of FastAPI
            and LitServe around OpenVINO as one writes them; and `stream` in this process.
latency     one picture after the other, by `Pipeline` in latency mode here, by the server in latency mode, by a plain
            handler: request by request.
overload    arrivals at four times the rate that the server has just been found to answer at.
slow        four clients alone, and beside 200 that send a byte now and then.

About five minutes with an inference of 300 ms; `--json` keeps the other parts that a file has of the same artifact.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import cycle, takewhile
from pathlib import Path
from typing import Any

import numpy as np

import serve_clients
from densecast import read_image
from densecast.artifact import CompiledArtifact
from densecast.pipeline import Pipeline
from densecast.runtime import machine
from densecast.verbs.serve.outputs import png
from serve_clients import Answer, Clients

_PLAIN = """
import sys
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route
from densecast.pipeline import Pipeline
from densecast.verbs.serve.outputs import png

pipeline = Pipeline.open(sys.argv[1], mode=sys.argv[3])

async def predict(request):
    body = await request.body()
    return Response(await run_in_threadpool(lambda: png(pipeline(body).class_id)), media_type="image/png")

uvicorn.run(Starlette(routes=[Route("/predict", predict, methods=["POST"])]), port=int(sys.argv[2]), log_level="error")
"""
PARTS = ("throughput", "latency", "overload", "slow")
_MANY, _FEW, _SHORT_QUEUE = 8, 4, 8
_OVER = 4


class Given:
    """What is measured, and how long."""

    def __init__(self, artifact: str, files: Sequence[Path], rounds: int, seconds: float, peers: Path | None) -> None:
        self.artifact, self.files, self.rounds, self.seconds, self.peers = artifact, files, rounds, seconds, peers
        self.pictures = [path.read_bytes() for path in files]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def running(arguments: Sequence[str], port: int) -> Iterator[int]:
    """A server in a process of its own; gives its process id once it answers.

    In this session: Linux shares CPUs between sessions first, and one with two would get more beside others' work.
    """
    quiet = subprocess.DEVNULL
    with subprocess.Popen(arguments, stdout=quiet, stderr=quiet, process_group=0) as process:
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
def served(given: Given, *arguments: str) -> Iterator[tuple[int, Clients]]:
    """The server of this package: its process, and clients of it."""
    port = free_port()
    with running([sys.executable, "-m", "densecast", "serve", given.artifact, "--port", str(port), "-q", *arguments],
                 port) as pid:  # fmt: skip
        yield pid, Clients(port, given.pictures)


@contextlib.contextmanager
def plain(given: Given, mode: str) -> Iterator[tuple[int, Clients]]:
    """A handler around the package's own steps."""
    port = free_port()
    with running([sys.executable, "-c", _PLAIN, given.artifact, str(port), mode], port) as pid:
        yield pid, Clients(port, given.pictures)


@contextlib.contextmanager
def peer(given: Given, name: str) -> Iterator[tuple[int, Clients]]:
    """A handler of another framework around OpenVINO alone."""
    port, script = free_port(), Path(__file__).parent / "contenders" / "serve_peers.py"
    # What comes by LitServe's own name is the field `request`.
    head = f'--e\r\nContent-Disposition: form-data; name="{"request" if name == "litserve" else "file"}"; filename="a"'
    forms = [
        f"{head}\r\nContent-Type: image/jpeg\r\n\r\n".encode() + each + b"\r\n--e--\r\n" for each in given.pictures
    ]
    with running([str(given.peers), str(script), name, *told_to_peers(given), str(port)], port) as pid:
        yield pid, Clients(port, forms, {"Content-Type": "multipart/form-data; boundary=e"})


def told_to_peers(given: Given) -> tuple[str, str]:
    """OpenVINO's model file, and what a handler has to know of it: the size of this picture in the network …"""
    opened = CompiledArtifact.open(given.artifact)
    rule, image = opened.spec.preprocess, read_image(given.files[0])
    found = {
        "size_hw": rule.place(image.shape[:2]).model_hw,
        "mean": rule.mean,
        "std": rule.std,
        "divisor": rule.divisor,
        "hint": opened.manifest.settings.get("INFERENCE_PRECISION_HINT", "f32"),
    }
    return str(opened.file("model.xml")), json.dumps(found)


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """The median, the quartiles and the extremes."""
    low, first, middle, third, high = np.percentile(values, [0, 25, 50, 75, 100])
    named = {"median": middle, "quartile_1": first, "quartile_3": third, "least": low, "most": high}
    return {name: round(float(value), digits) for name, value in named.items()}


def cpu_s(group: int | None = None) -> float:
    """CPU time of a group of processes so far; of this process without one."""
    if group is None:
        return time.process_time()
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def throughput(given: Given) -> dict[str, Any]:
    """Images/s of all contenders in turns, their CPU time an image, and both beside `stream`'s within a round.

    CPU time, of server and clients together, is disturbed less by what else runs: where nothing does, and all CPUs are
    busy, throughput is its inverse.
    """

    def of(pid: int, clients: Clients) -> Callable[[float], tuple[float, float]]:
        def measured(seconds: float) -> tuple[float, float]:
            until_s, before_s = time.perf_counter() + seconds, cpu_s() + cpu_s(pid)
            told = clients.at_a_time(_MANY, seconds)
            if failed := sorted({each.status for each in told} - {200}):
                raise SystemExit(f"answered with {failed}")
            rate = serve_clients.images_per_s([each.end_s for each in told], until_s)
            return rate, (cpu_s() + cpu_s(pid) - before_s) / len(told) * 1e3

        return measured

    with contextlib.ExitStack() as opened:
        pipeline = opened.enter_context(Pipeline.open(given.artifact, mode="throughput"))

        def stream(seconds: float) -> tuple[float, float]:
            until_s, before_s = time.perf_counter() + seconds, cpu_s()
            endless = takewhile(lambda _: time.perf_counter() < until_s, cycle(given.pictures))
            done = pipeline.stream(endless, lambda each: each, lambda found: png(found.prediction.class_id))
            ends = [time.perf_counter() for _ in done]
            return serve_clients.images_per_s(ends, until_s), (cpu_s() - before_s) / len(ends) * 1e3

        contenders = {"stream": stream, "served": of(*opened.enter_context(served(given, "--queue", "64")))}
        contenders["plain_handler"] = of(*opened.enter_context(plain(given, "throughput")))
        for name in ("fastapi", "litserve") if given.peers else ():
            contenders[name] = of(*opened.enter_context(peer(given, name)))
        for warm_up in contenders.values():
            warm_up(2.0)
        names, rates, cpu_ms = list(contenders), [], []
        for number in range(given.rounds):
            turn = names[number % len(names) :] + names[: number % len(names)]
            found = {name: contenders[name](given.seconds) for name in turn}
            rates.append({name: round(found[name][0], 2) for name in names})
            cpu_ms.append({name: round(found[name][1], 1) for name in names})
    return {
        "clients": _MANY,
        "seconds": given.seconds,
        "rounds_images_per_s": rates,
        "rounds_cpu_ms_an_image": cpu_ms,
        "of_stream": {name: spread([each[name] / each["stream"] for each in rates]) for name in names[1:]},
        "of_stream_by_cpu_time": {name: spread([each["stream"] / each[name] for each in cpu_ms]) for name in names[1:]},
    }


def latency(given: Given) -> dict[str, Any]:
    """Milliseconds of one picture at a time, in turns: here, served, and by a plain handler."""
    with contextlib.ExitStack() as opened:
        pipeline = opened.enter_context(Pipeline.open(given.artifact))
        ports = {
            "served": opened.enter_context(served(given, "--mode", "latency"))[1],
            "plain_handler": opened.enter_context(plain(given, "latency"))[1],
        }
        ask = {name: opened.enter_context(clients.kept()) for name, clients in ports.items()}

        def here(number: int) -> None:
            png(pipeline(given.pictures[number % len(given.pictures)]).class_id)

        calls: dict[str, Callable[[int], object]] = {"latency_mode": here, **ask}
        names, rows = list(calls), []
        end_s = time.perf_counter() + 4 * given.rounds * given.seconds
        for number in range(5000):
            row = {}
            for name in names[number % 3 :] + names[: number % 3]:
                start = time.perf_counter()
                calls[name](number)
                row[name] = (time.perf_counter() - start) * 1e3
            if number >= 3:
                rows.append(row)
            if time.perf_counter() > end_s:
                break
    times = {name: np.array([row[name] for row in rows]) for name in names}
    draw = np.random.default_rng(0)
    again = draw.integers(0, len(rows), (1000, len(rows)))
    p99s = {name: np.percentile(values[again], 99, axis=1) for name, values in times.items()}
    told: dict[str, Any] = {"requests_each": len(rows)}
    told["p50_p90_p99_ms"] = {
        name: [round(float(each), 2) for each in np.percentile(values, [50, 90, 99])] for name, values in times.items()
    }
    for name in names[1:]:
        extra = times[name] - times["latency_mode"]
        told[f"{name}_ms_more"] = spread(extra, 2)
        p99 = float(np.percentile(times[name], 99) - np.percentile(times["latency_mode"], 99))
        low, high = np.percentile(p99s[name] - p99s["latency_mode"], [2.5, 97.5])
        told[f"{name}_p99_ms_more"] = {
            "value": round(p99, 2),
            "low": round(float(low), 2),
            "high": round(float(high), 2),
        }
    return told


def overload(given: Given) -> dict[str, Any]:
    """Arrivals at four times the rate of answers, with a queue of eight; both are measured in turns."""
    accepted: list[Answer] = []
    refused: list[Answer] = []
    bounds, p99s, kilobytes, other = [], [], [], 0
    with served(given, "--queue", str(_SHORT_QUEUE)) as (pid, clients):
        clients.at_a_time(_FEW, 2.0)
        for number in range(given.rounds):
            until_s = time.perf_counter() + given.seconds
            rate = serve_clients.images_per_s([each.end_s for each in clients.at_a_time(_FEW, given.seconds)], until_s)
            told = clients.at_a_rate(_OVER * rate, 2 * given.seconds, seed=number)
            kilobytes.append(resident_kb(pid))
            done = [each for each in told if each.status == 200]
            accepted += done
            refused += [each for each in told if each.status in (429, 503)]
            other += sum(each.status not in (200, 429, 503) for each in told)
            # What waits and what is in work, each at the rate at which they leave.
            bounds.append((_SHORT_QUEUE + (os.cpu_count() or 1)) / rate * 1e3)
            p99s.append(serve_clients.percentile_ms(done, 99) / bounds[-1])
    return {
        "queue": _SHORT_QUEUE,
        "accepted": len(accepted),
        "refused": len(refused),
        "neither": other,
        "queue_bound_ms": spread(bounds, 1),
        "accepted_p99_of_bound": spread(p99s),
        "accepted_p50_p99_ms": [serve_clients.percentile_ms(accepted, each) for each in (50, 99)],
        "refused_p50_p99_most_ms": [serve_clients.percentile_ms(refused, each) for each in (50, 99, 100)],
        "resident_kb_after_each_round": kilobytes,
    }


def slow(given: Given) -> dict[str, Any]:
    """Four clients alone and beside 200 slow ones, in turns."""
    rounds = []
    with served(given) as (pid, clients):
        port = clients.port

        def rate() -> float:
            until_s = time.perf_counter() + given.seconds
            return serve_clients.images_per_s([each.end_s for each in clients.at_a_time(_FEW, given.seconds)], until_s)

        def beside() -> float:
            with serve_clients.slow(port, 200):
                return rate()

        clients.at_a_time(_FEW, 2.0)
        before_kb = resident_kb(pid)
        for number in range(given.rounds):
            calls = {"alone": rate, "beside": beside}
            turn = ("alone", "beside") if number % 2 else ("beside", "alone")
            rounds.append({name: round(calls[name](), 2) for name in turn})
        grown_kb = resident_kb(pid) - before_kb
    ratios = [each["beside"] / each["alone"] for each in rounds]
    return {"slow_clients": 200, "rounds_images_per_s": rounds, "beside_of_alone": spread(ratios), "grown_kb": grown_kb}


def verdicts(parts: dict[str, Any]) -> dict[str, Any]:
    """The figures that are promised, and what they are held against."""
    told: dict[str, Any] = {}
    if part := parts.get("throughput"):
        told["throughput, of stream's (at least 0.90)"] = part["of_stream"]["served"]["median"]
        told["the same by CPU time"] = part["of_stream_by_cpu_time"]["served"]["median"]
    if part := parts.get("latency"):
        told["p99 unloaded, ms more than latency mode (at most 5)"] = part["served_p99_ms_more"]["value"]
        told["median unloaded, ms more than latency mode"] = part["served_ms_more"]["median"]
    if part := parts.get("overload"):
        told["overload: accepted p99, of the queue's bound (at most 2)"] = part["accepted_p99_of_bound"]["median"]
        told["overload: refused within, ms at p99 (at most 50)"] = part["refused_p50_p99_most_ms"][1]
        memory = part["resident_kb_after_each_round"]
        told["overload: memory, KiB more after the last round than after the first"] = memory[-1] - memory[0]
    if part := parts.get("slow"):
        told["beside 200 slow clients, of four clients alone (at least 0.9)"] = part["beside_of_alone"]["median"]
    return told


def resident_kb(pid: int) -> int:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("artifact")
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--peers", type=Path, help="a Python that has FastAPI, LitServe and OpenVINO")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    given = Given(options.artifact, options.pictures, options.rounds, options.seconds, options.peers)
    name = CompiledArtifact.open(given.artifact).spec.name
    result: dict[str, Any] = {"machine": asdict(machine.describe()), "artifacts": {}}
    if options.json and options.json.exists():
        result["artifacts"] = json.loads(options.json.read_text())["artifacts"]
    parts = result["artifacts"].setdefault(name, {})
    for part, measure in zip(PARTS, (throughput, latency, overload, slow), strict=True):
        if part in options.only:
            before = os.getloadavg()
            parts[part] = measure(given) | {"load_average_before": before}
            print(json.dumps({part: parts[part]}, indent=1))
    parts["verdicts"] = verdicts(parts)
    print(json.dumps(parts["verdicts"], indent=1))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
