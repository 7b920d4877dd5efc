"""Runs requests on a model: a bounded queue, batches of pictures of one size, deadlines, cancellation."""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from densecast.errors import BadInputError
from densecast.imaging.door import as_image
from densecast.imaging.prepare import displayable
from densecast.io import system
from densecast.pipeline import Image, Pipeline
from densecast.runtime.clock import StopWatch
from densecast.verbs.serve.refusals import Refused, bad, busy

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a request: pictures as they were read, their predictions, and the milliseconds of each stage."""

    images: list[Image]
    predictions: list[Any]
    stages_ms: dict[str, float]


@dataclass(eq=False, slots=True)
class Job:
    """A request that waits: pictures of one request, which are answered together.

    `finish` makes the answer of the predictions; with `run` the job is that call alone. Jobs of one `key` may share an
    inference. `deadline` is of the monotonic clock.
    """

    sources: Sequence[Any]
    key: Hashable
    deadline: float
    finish: Callable[[Done], Any]
    scores: bool = False
    run: Callable[[], Any] | None = None
    future: Future[Any] = field(default_factory=Future)
    arrived: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> int:
        """How many pictures it is in the queue."""
        return max(1, len(self.sources))


class Observer(Protocol):
    """What is told of the work, for metrics."""

    def batch(self, images: int, queued_s: Sequence[float]) -> None:
        """An inference of so many pictures starts; each request has waited so long."""

    def stages(self, stages_ms: dict[str, float], images: int) -> None:
        """A batch is done."""


class Scheduler:
    """The queue of one model, and the threads that work on it; as many as the pipeline has images in work.

    `running` bounds the inferences of all models of a process together.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        capacity: int,
        batch: int,
        batch_wait_s: float,
        observer: Observer,
        running: threading.Semaphore,
    ) -> None:
        self.pipeline, self.capacity = pipeline, capacity
        self._batch, self._batch_wait_s, self._observer, self._running = batch, batch_wait_s, observer, running
        self._waiting: collections.deque[Job] = collections.deque()
        self._changed = threading.Condition()
        self._images = 0
        self._image_s = 0.0
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"densecast serve {number}", daemon=True)
            for number in range(pipeline.config.num_workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Pictures that wait."""
        return self._images

    def check_room(self) -> None:
        """Check that there is room for a picture.

        Raises:
            Refused: the queue is full, or closed.
        """
        with self._changed:
            self._check_room(1)

    def submit(self, job: Job) -> Future[Any]:
        """Queue a request.

        Raises:
            Refused: the queue is full or closed, or the request is larger than the queue.
        """
        if job.size > self.capacity:
            raise bad(f"{job.size} pictures in one request; at most {self.capacity}. Send several requests.", "inputs")
        with self._changed:
            self._check_room(job.size)
            self._waiting.append(job)
            self._images += job.size
            self._changed.notify()
        return job.future

    def cancel(self, job: Job) -> None:
        """Take a request out of the queue, if it still waits; nobody wants its answer any more."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                self._images -= job.size
        job.future.cancel()

    def close(self, timeout_s: float) -> bool:
        """Refuse what comes, finish what waits; returns whether that was done within the time."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _check_room(self, images: int) -> None:
        if self._is_closed:
            raise busy("the server is about to end. Ask another one.")
        if self._images + images > self.capacity:
            after_s = self._image_s * self._images / len(self._threads)
            raise busy(f"{self._images} pictures are waiting already. Try again later.", after_s)

    def _work(self) -> None:
        system.give_way()
        while group := self._next():
            try:
                with self._running:
                    self._serve(group)
            except BaseException as error:
                for job in group:
                    _fail(job, error)
            # A thread that waits for its next request must not keep the last one's pictures.
            group = []

    def _next(self) -> list[Job]:
        """The requests that run together next; none when the scheduler is closed and all is done."""
        with self._changed:
            while True:
                while not self._waiting:
                    if self._is_closed:
                        return []
                    self._changed.wait()
                first = self._pop()
                if first is None:
                    continue
                group = [first]
                if first.run is None and self._batch > 1:
                    self._gather(group)
                return group

    def _pop(self) -> Job | None:
        """The oldest request, if somebody still waits for it."""
        job = self._waiting.popleft()
        self._images -= job.size
        if not job.future.set_running_or_notify_cancel():
            return None
        if time.monotonic() > job.deadline:
            job.future.set_exception(busy("the request's time was over before its turn came."))
            return None
        return job

    def _gather(self, group: list[Job]) -> None:
        """Add requests that can share the first one's inference; wait for them no longer than is allowed."""
        first = group[0]
        until = first.arrived + self._batch_wait_s
        while True:
            room = self._batch - sum(job.size for job in group)
            for job in [each for each in self._waiting if (each.key, each.run) == (first.key, None)]:
                if job.size > room:
                    continue
                self._waiting.remove(job)
                self._images -= job.size
                if job.future.set_running_or_notify_cancel():
                    group.append(job)
                    room -= job.size
            left = until - time.monotonic()
            if room < 1 or left <= 0 or self._is_closed or not self._changed.wait(left):
                return

    def _serve(self, group: list[Job]) -> None:
        start = time.monotonic()
        queued_s = [start - job.arrived for job in group]
        first = group[0]
        if first.run is not None:
            self._observer.batch(first.size, queued_s)
            first.future.set_result(first.run())
            return
        watch = StopWatch()
        read: list[tuple[Job, list[Image]]] = []
        for job in group:
            with _failing(job):
                with watch("decode"):
                    images = [as_image(source, self.pipeline.spec) for source in job.sources]
                read.append((job, images))
        together = [image for _, images in read for image in images]
        if not together:
            return
        self._observer.batch(len(together), queued_s)
        predictions = iter(self.pipeline.predict_together(together, scores=first.scores, clock=watch))
        stages_ms = {stage: sum(samples) for stage, samples in watch.samples_ms.items()}
        answers = []
        for job, images in read:
            mine = [next(predictions) for _ in images]
            with _failing(job), watch("encode"):
                shown = [displayable(image, self.pipeline.spec.preprocess) for image in images]
                queue_ms = {"queue": (start - job.arrived) * 1e3}
                answers.append((job, job.finish(Done(shown, mine, queue_ms | stages_ms))))
        # Before the answers: who has got one finds it counted.
        self._observer.stages(stages_ms | {"encode": sum(watch.samples_ms["encode"])}, len(together))
        for job, answer in answers:
            job.future.set_result(answer)
        per_image_s = (time.monotonic() - start) / len(together)
        self._image_s = per_image_s if not self._image_s else 0.9 * self._image_s + 0.1 * per_image_s


@contextlib.contextmanager
def _failing(job: Job) -> Iterator[None]:
    """An error within the block is this request's alone."""
    try:
        yield
    except Exception as error:
        _fail(job, error)


def _fail(job: Job, error: BaseException) -> None:
    if not job.future.done():
        job.future.set_exception(error)
    elif not isinstance(error, (Refused, BadInputError)):
        _log.error("after an answer: %s: %s", type(error).__name__, error)
