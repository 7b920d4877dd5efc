"""Options of the server: where it listens, how requests are scheduled, and what it refuses."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from typing import Literal

from densecast.errors import UsageError
from densecast.spec import choices
from densecast.spec.options import option

ServeMode = Literal["latency", "throughput"]

_LISTEN = "Address"
_SCHEDULE = "Scheduling"
_LIMITS = "Limits"

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Options of `serve`.

    `queue` is how many pictures may wait for a model; None for eight times as many as are in work at a time. `batch`
    None is what tuning found best, else 1. `token_file` holds the bearer token on its first line; without one,
    everybody who reaches the address may ask. `access_log` writes a line of JSON for each request.
    """

    host: str = option("127.0.0.1", "Address to listen on; any but this machine's own needs a token.", group=_LISTEN)
    port: int = option(8000, "Port; 0 picks a free one.", minimum=0, maximum=65535, group=_LISTEN)
    grpc_port: int | None = option(
        None, "Port for the same protocol over gRPC (extra grpc); default: none.", minimum=1, maximum=65535,
        group=_LISTEN,
    )  # fmt: skip
    token_file: str | None = option(
        None, "File with the bearer token that requests must send; health checks need none.", group=_LISTEN
    )
    insecure: bool = option(False, "Let other machines connect without a token.", group=_LISTEN)
    allowed_host: tuple[str, ...] = option(
        (),
        "Additional host name that requests to a server without a token may use; repeatable.",
        form="names",
        group=_LISTEN,
    )
    watch: str | None = option(
        None, "Also serve all artifacts in this folder: new and changed ones are loaded, removed ones are dropped."
    )
    mode: ServeMode = option(
        "throughput", "latency: one image at a time on all CPUs; throughput: several at a time.", group=_SCHEDULE
    )
    workers: int = option(
        1, "Number of processes that share the port, each with its share of the CPUs.", minimum=1, group=_SCHEDULE
    )
    batch: int | None = option(
        None, "Largest batch of images of one size; default: what tuning found best, else 1.", minimum=1,
        group=_SCHEDULE,
    )  # fmt: skip
    batch_wait_ms: float = option(
        5.0, "How long an image waits for others of its size, if batches may be larger than 1.", minimum=0,
        group=_SCHEDULE,
    )  # fmt: skip
    queue: int | None = option(
        None, "Number of images that may wait for a model; further ones get 503. Default: 8 for each one in work.",
        minimum=1, group=_SCHEDULE,
    )  # fmt: skip
    deadline: float = option(30.0, "Longest time from a request to its answer.", form="seconds", group=_SCHEDULE)
    max_body_mib: int = option(64, "Largest request body in MiB, before and after decompression.", minimum=1,
        maximum=1024, group=_LIMITS)  # fmt: skip
    max_megapixels: float = option(64.0, "Largest image, in megapixels.", minimum=0.001, group=_LIMITS)
    max_connections: int = option(
        1000, "Number of simultaneous connections; further ones get 503.", minimum=1, group=_LIMITS
    )
    header_timeout: float = option(10.0, "Time limit for a request's header.", form="seconds", group=_LIMITS)
    body_timeout: float = option(
        10.0,
        "Time limit for a request's body, and as much again for every 256 KiB of it.",
        form="seconds",
        group=_LIMITS,
    )
    idle_timeout: float = option(30.0, "How long an unused connection is kept.", form="seconds", group=_LIMITS)
    grace: float = option(20.0, "How long requests in work may take to finish when the server is told to stop.",
        form="seconds", group=_LIMITS)  # fmt: skip
    access_log: bool = True

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            UsageError: a number that means nothing.
        """
        choices.types_of(self)
        if not self.host or any(letter.isspace() for letter in self.host):
            raise UsageError(f"an address to listen on is needed, got {self.host!r}.", field="host")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"a port is 0 to 65535, got {self.port}.", field="port")
        if self.grpc_port is not None and (not 1 <= self.grpc_port <= 65535 or self.grpc_port == self.port):
            raise UsageError(f"a port of its own is 1 to 65535, got {self.grpc_port}.", field="grpc_port")
        if self.batch_wait_ms < 0 or not math.isfinite(self.batch_wait_ms):
            raise UsageError(f"batch_wait_ms must be 0 or more, got {self.batch_wait_ms}.", field="batch_wait_ms")
        for name in ("deadline", "header_timeout", "body_timeout", "idle_timeout", "grace"):
            seconds = getattr(self, name)
            if not 0 < seconds <= 86400:
                raise UsageError(f"{name} must be above 0 and at most a day, got {seconds:g} s.", field=name)
        for name in ("workers", "max_body_mib", "max_connections"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}.", field=name)
        for name in ("batch", "queue"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise UsageError(f"{name} must be at least 1, got {number}.", field=name)
        if not self.max_megapixels > 0:
            raise UsageError(f"max_megapixels must be above 0, got {self.max_megapixels}.", field="max_megapixels")
        if self.insecure and (self.token_file or self.is_loopback):
            why = "a token is asked for" if self.token_file else f"{self.host} is this machine's own address"
            raise UsageError(f"insecure has no effect: {why}. Leave it out.", field="insecure")
        if self.allowed_host and self.token_file:
            raise UsageError("names are checked where no token is. Leave one of the two out.", field="allowed_host")
        choices.check(self)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the address."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def check_reach(self) -> None:
        """Check that a server beyond this machine asks for a token.

        Raises:
            UsageError: it does not, and nobody has said that this is meant.
        """
        if not self.is_loopback and not self.token_file and not self.insecure:
            raise UsageError(
                f"{self.host} can be reached from other machines, by anybody. Pass --token-file, or --insecure if that "
                "is meant.",
                field="host",
            )
