"""Clients for `benchmarks/serve.py`, all in one thread: some at a time, arrivals at a rate, and very slow ones."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

JPEG = {"Content-Type": "image/jpeg", "Accept": "image/png"}
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """When a request was due and when its answer was there, on one clock; status 0 where there was none."""

    due_s: float
    end_s: float
    status: int

    @property
    def ms(self) -> float:
        return (self.end_s - self.due_s) * 1e3


class Clients:
    """Requests with pictures to one server, over connections that are kept."""

    def __init__(self, port: int, pictures: Sequence[bytes], headers: dict[str, str] = JPEG) -> None:
        self.port, self._free = port, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
        self._pictures, self._headers = pictures, headers
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._requests = [
            f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n{told}Content-Length: {len(each)}\r\n\r\n".encode() + each
            for each in pictures
        ]

    def at_a_time(self, clients: int, seconds: float) -> list[Answer]:
        """So many clients, each asking again once it has its answer; what is asked in time is waited for."""
        end_s = time.perf_counter() + seconds
        numbers = count()

        async def client() -> list[Answer]:
            told = []
            while (now := time.perf_counter()) < end_s:
                told.append(await self._ask(next(numbers), now))
            return told

        async def everybody() -> list[Answer]:
            found = await asyncio.gather(*(client() for _ in range(clients)))
            self._close()
            return [each for part in found for each in part]

        return asyncio.run(everybody())

    def at_a_rate(self, per_s: float, seconds: float, seed: int = 0) -> list[Answer]:
        """Requests that come when they come (a Poisson process), whatever became of those before.

        Times count from when a request was due, so that a generator that falls behind makes them longer, not fewer.
        """
        draw = random.Random(seed)

        async def everybody() -> list[Answer]:
            due_s = time.perf_counter()
            end_s = due_s + seconds
            waiting = []
            for number in count():
                due_s += draw.expovariate(per_s)
                if due_s > end_s:
                    break
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                waiting.append(asyncio.ensure_future(self._ask(number, due_s)))
            found = list(await asyncio.gather(*waiting))
            self._close()
            return found

        return asyncio.run(everybody())

    @contextlib.contextmanager
    def kept(self) -> Iterator[Callable[[int], None]]:
        """A client over one connection, for requests one by one."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)) as connection:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def ask(number: int) -> None:
                for is_last in (False, True):
                    try:
                        connection.request(
                            "POST", "/predict", self._pictures[number % len(self._pictures)], self._headers
                        )
                        reply = connection.getresponse()
                        break
                    except (ConnectionError, http.client.HTTPException):
                        # It was idle for longer than the server keeps connections.
                        connection.close()
                        if is_last:
                            raise
                if reply.status != 200 or not reply.read():
                    raise SystemExit(f"answered with {reply.status}")

            yield ask

    async def _ask(self, number: int, due_s: float) -> Answer:
        status = 0
        with contextlib.suppress(OSError, EOFError, TimeoutError, ValueError):
            async with asyncio.timeout(_PATIENCE_S):
                status = await self._asked(self._requests[number % len(self._requests)])
        return Answer(due_s, time.perf_counter(), status)

    async def _asked(self, request: bytes) -> int:
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        if b"connection: close" in head:
            writer.close()
        else:
            self._free.append((reader, writer))
        return int(head.split(None, 2)[1])

    def _close(self) -> None:
        for _, writer in self._free:
            writer.close()
        self._free.clear()


def images_per_s(ends_s: Sequence[float], until_s: float) -> float:
    """The rate at which answers came until a time; the first few, which found an empty server, do not count."""
    times = sorted(each for each in ends_s if each <= until_s)
    first = min(2, len(times) - 1)
    return (len(times) - 1 - first) / (times[-1] - times[first]) if len(times) > first + 1 else 0.0


def percentile_ms(answers: Sequence[Answer], percent: float) -> float:
    return round(float(np.percentile([each.ms for each in answers], percent)), 2) if answers else float("nan")


@contextlib.contextmanager
def slow(port: int, clients: int) -> Iterator[None]:
    """Connections that send their header or body one byte after the other."""
    start = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    over = threading.Event()

    def drip() -> None:
        connections: list[socket.socket | None] = [None] * clients
        while not over.wait(0.5):
            for place, each in enumerate(connections):
                try:
                    if each is None:
                        each = connections[place] = socket.create_connection(("127.0.0.1", port), 1)
                        each.sendall(start + (b"Content-Length: 100000\r\n\r\n" if place % 2 else b""))
                    each.sendall(b"a")
                except OSError:
                    connections[place] = None
        for each in connections:
            if each is not None:
                each.close()

    thread = threading.Thread(target=drip)
    thread.start()
    time.sleep(1.5)
    try:
        yield
    finally:
        over.set()
        thread.join()
