"""Counts and times of a server for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from densecast.io import system
from densecast.verbs.serve.scheduler import Observer

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""Where processes that share a port keep their counts; prometheus_client reads it when it is imported."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """All metrics of a process. Labels are names of ours only: nothing that a client makes up becomes one."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
        from prometheus_client.multiprocess import MultiProcessCollector

        self._registry = own = CollectorRegistry()
        self._shown = own
        if os.environ.get(MULTIPROCESS):
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown)  # type: ignore[no-untyped-call]
        else:
            ProcessCollector(registry=own)
        self._requests = Counter(
            "densecast_requests_total", "Requests by what was asked and how it was answered.",
            ("endpoint", "model", "code"), registry=own,
        )  # fmt: skip
        self._request_s = Histogram(
            "densecast_request_seconds", "From the header of a request to the end of its answer.", ("endpoint",),
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self._queue_s = Histogram(
            "densecast_queue_seconds", "Time that requests waited for their turn.", ("model",), buckets=_SECONDS,
            registry=own,
        )  # fmt: skip
        self._batch = Histogram(
            "densecast_batch_images", "Pictures that ran together.", ("model",), buckets=_IMAGES, registry=own
        )
        self._stage_s = Histogram(
            "densecast_stage_seconds",
            "Time of a stage for a batch.",
            ("model", "stage"),
            buckets=_SECONDS,
            registry=own,
        )
        self._images = Counter("densecast_images_total", "Pictures predicted; its rate is images/s.", ("model",),
                               registry=own)  # fmt: skip
        self._waiting = Gauge(
            "densecast_queue_images", "Pictures that wait.", ("model",), registry=own, multiprocess_mode="livesum"
        )
        self._memory = Gauge(
            "densecast_resident_memory_bytes", "Memory of all processes.", registry=own, multiprocess_mode="livesum"
        )

    def request(self, endpoint: str, model: str, code: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(endpoint, model, str(code)).inc()
        self._request_s.labels(endpoint).observe(seconds)

    def observer(self, model: str) -> Observer:
        """What the queue of a model tells its work to."""
        return _Of(self, model)

    def text(self, waiting: dict[str, int]) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        for model, images in waiting.items():
            self._waiting.labels(model).set(images)
        self._memory.set(_resident_bytes())
        return generate_latest(self._shown), CONTENT_TYPE_LATEST


class _Of:
    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics: Any = metrics
        self._model = model

    def batch(self, images: int, queued_s: Sequence[float]) -> None:
        """An inference of so many pictures starts; each request has waited so long."""
        self._metrics._batch.labels(self._model).observe(images)
        for seconds in queued_s:
            self._metrics._queue_s.labels(self._model).observe(seconds)

    def stages(self, stages_ms: dict[str, float], images: int) -> None:
        """A batch is done."""
        self._metrics._images.labels(self._model).inc(images)
        for stage, ms in stages_ms.items():
            self._metrics._stage_s.labels(self._model, stage).observe(ms / 1e3)


def _resident_bytes() -> int:
    return system.resident_bytes() or 0
