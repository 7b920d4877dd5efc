"""The queue of a model: what runs together, what is refused, taken out or too late; with a pipeline that counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_specs

from densecast.errors import BadImageError
from densecast.spec.preprocess import Native
from densecast.verbs.serve.refusals import Refused
from densecast.verbs.serve.scheduler import Done, Job, Scheduler

IMAGE = np.zeros((4, 6, 3), np.uint8)
FAR = time.monotonic() + 3600


class Pipeline:
    """Predicts each picture's mean; notes what ran together."""

    def __init__(self) -> None:
        self.spec = tiny_specs.segmentation(resize=Native())
        self.config = SimpleNamespace(num_workers=1)
        self.ran: list[tuple[int, bool]] = []

    def predict_together(self, images: Sequence[Any], *, scores: bool, clock: Any) -> list[float]:
        """The means, in order."""
        self.ran.append((len(images), scores))
        with clock("infer"):
            return [float(np.mean(each)) for each in images]


class Told:
    """What an observer hears."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        self.done: list[tuple[set[str], int]] = []

    def batch(self, images: int, queued_s: Sequence[float]) -> None:
        """An inference starts."""
        assert all(each >= 0 for each in queued_s)
        self.batches.append((images, len(queued_s)))

    def stages(self, stages_ms: dict[str, float], images: int) -> None:
        """A batch is done."""
        self.done.append((set(stages_ms), images))


class Queue:
    """A scheduler whose thread waits in its first job until it is let go, so that others wait behind it."""

    def __init__(self, capacity: int = 8, batch: int = 4) -> None:
        self.pipeline, self.told = Pipeline(), Told()
        self.scheduler = Scheduler(
            self.pipeline,  # type: ignore[arg-type]
            capacity=capacity, batch=batch, batch_wait_s=0.0, observer=self.told, running=threading.Semaphore(1),
        )  # fmt: skip
        self._begun, self._go = threading.Event(), threading.Event()
        self._blocker = Job([], "blocker", FAR, lambda done: None, run=self._wait)
        self.scheduler.submit(self._blocker)
        assert self._begun.wait(60)

    def _wait(self) -> str:
        self._begun.set()
        assert self._go.wait(60)
        return "blocked"

    def go(self) -> None:
        """Let the waiting jobs run."""
        self._go.set()


@pytest.fixture
def queue() -> Iterator[Queue]:
    made = Queue()
    yield made
    made.go()
    assert made.scheduler.close(60)


def job(key: str = "a", pictures: int = 1, value: int = 0, deadline: float = FAR, scores: bool = False) -> Job:
    return Job([IMAGE + np.uint8(value)] * pictures, key, deadline, lambda done: done, scores)


def test_requests_of_one_key_run_together_up_to_the_batch(queue: Queue) -> None:
    jobs = [job("a", 1, 1), job("b", 1, 2), job("a", 2, 3), job("a", 2, 4), job("a", 1, 5)]
    futures = [queue.scheduler.submit(each) for each in jobs]
    assert queue.scheduler.waiting == 7
    queue.go()
    answers: list[Done] = [each.result(60) for each in futures]
    # The first takes those of its key that there is room for: 1 + 2 + 1 of 4; then the others in order.
    assert [count for count, _ in queue.pipeline.ran] == [4, 1, 2]
    assert [each.predictions for each in answers] == [[1.0], [2.0], [3.0, 3.0], [4.0, 4.0], [5.0]]
    assert queue.told.batches == [(1, 1), (4, 3), (1, 1), (2, 1)]
    assert queue.told.done == [({"decode", "infer", "encode"}, count) for count in (4, 1, 2)]
    assert {"queue", "decode", "infer"} <= set(answers[0].stages_ms) and queue.scheduler.waiting == 0
    assert [each.shape for each in answers[2].images] == [IMAGE.shape] * 2


def test_scores_are_asked_for_as_the_first_request_does(queue: Queue) -> None:
    futures = [queue.scheduler.submit(job("a", scores=True)), queue.scheduler.submit(job("b"))]
    queue.go()
    for each in futures:
        each.result(60)
    assert queue.pipeline.ran == [(1, True), (1, False)]


def test_a_queue_holds_so_many_pictures(queue: Queue) -> None:
    queue.scheduler.submit(job(pictures=7))
    queue.scheduler.check_room()
    with pytest.raises(Refused) as refused:
        queue.scheduler.submit(job(pictures=2))
    assert refused.value.status == 503 and refused.value.headers["Retry-After"] == "1"
    last = queue.scheduler.submit(job())
    for call in (queue.scheduler.check_room, lambda: queue.scheduler.submit(job())):
        with pytest.raises(Refused, match="8 pictures are waiting already") as refused:
            call()
        assert refused.value.status == 503
    with pytest.raises(Refused, match="9 pictures in one request; at most 8") as refused:
        queue.scheduler.submit(job(pictures=9))
    assert (refused.value.status, refused.value.field) == (400, "inputs")
    queue.go()
    assert last.result(60).predictions == [0.0]
    queue.scheduler.check_room()


def test_who_has_gone_or_is_too_late_is_not_served(queue: Queue) -> None:
    gone, late, served = job("a", 3), job("b", 1, deadline=time.monotonic() - 1), job("c", 1, 9)
    futures = [queue.scheduler.submit(each) for each in (gone, late, served)]
    queue.scheduler.cancel(gone)
    assert queue.scheduler.waiting == 2 and futures[0].cancelled()
    futures[0].cancel()
    queue.go()
    with pytest.raises(Refused, match="time was over before its turn came") as refused:
        futures[1].result(60)
    assert refused.value.status == 503
    assert futures[2].result(60).predictions == [9.0] and queue.pipeline.ran == [(1, False)]


def test_an_error_is_of_its_request_alone(queue: Queue) -> None:
    def fails(done: Done) -> None:
        raise KeyError("answer")

    broken = Job([b"no picture"], "a", FAR, lambda done: done)
    unanswered = Job([IMAGE], "a", FAR, fails)
    futures = [queue.scheduler.submit(each) for each in (broken, unanswered, job("a", 1, 7))]
    queue.go()
    with pytest.raises(BadImageError):
        futures[0].result(60)
    with pytest.raises(KeyError):
        futures[1].result(60)
    assert futures[2].result(60).predictions == [7.0] and queue.pipeline.ran == [(2, False)]


def test_a_request_of_the_network_itself_runs_alone(queue: Queue) -> None:
    alone = Job([], "a", FAR, lambda done: done, run=lambda: "answer")
    futures = [queue.scheduler.submit(each) for each in (job("a"), alone, job("a"))]
    assert alone.size == 1 and queue.scheduler.waiting == 3
    queue.go()
    assert futures[1].result(60) == "answer" and queue.pipeline.ran == [(2, False)]
    assert sorted(queue.told.batches) == [(1, 1), (1, 1), (2, 2)]


def test_a_queue_that_is_closed_finishes_what_waits_and_takes_no_more() -> None:
    made = Queue(batch=1)
    futures = [made.scheduler.submit(job("a", 1, value)) for value in (1, 2)]
    assert not made.scheduler.close(0.0)
    with pytest.raises(Refused, match="about to end") as refused:
        made.scheduler.submit(job())
    assert refused.value.status == 503
    made.go()
    assert [each.result(60).predictions for each in futures] == [[1.0], [2.0]] and made.scheduler.close(60)
    assert made.pipeline.ran == [(1, False), (1, False)]
