"""What is done when actors and machines of a Ray cluster die, wait or go away: by one that does as told."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from densecast.errors import BadImageError, WorkerError
from densecast.io import shipped
from densecast.measure.distribute import ray_cluster
from densecast.measure.distribute.job import Outcome
from densecast.measure.distribute.local import Tally
from densecast.measure.distribute.shards import Shards
from densecast.measure.store.record import Failure

IDS = tuple(f"{number:02}" for number in range(20))


# As in ray.exceptions.
class RayError(Exception): ...


class RayTaskError(RayError):
    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class RayActorError(RayError): ...


class ActorDiedError(RayActorError): ...


class ActorUnavailableError(RayActorError): ...


class ActorUnschedulableError(RayError): ...


Answer = Callable[[str, tuple[str, ...]], Exception | Outcome | None]


class Cluster:
    """`ray` itself: `answer(node, ids)` is what an actor answers, or dies of; without ids, when it opens the model."""

    exceptions = SimpleNamespace(
        RayTaskError=RayTaskError,
        RayActorError=RayActorError,
        ActorUnavailableError=ActorUnavailableError,
        ActorUnschedulableError=ActorUnschedulableError,
    )

    def __init__(self, *cpus: float) -> None:
        self.cpus = {f"n{number}": each for number, each in enumerate(cpus)}
        self.gone: set[str] = set()
        self._asked = itertools.count()
        self.answer: Answer = lambda node, ids: None
        self.opened, self.given, self.kept = Counter[str](), list[tuple[str, tuple[str, ...]]](), set[tuple[str, ...]]()
        self.made, self.killed, self.written = list[str](), list[str](), list[Any]()

    def is_initialized(self) -> bool:
        return True

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": node, "Alive": node not in self.gone, "Resources": {"CPU": cpus}}
            for node, cpus in self.cpus.items()
        ]

    def remote(self, worker: type) -> Any:
        def options(*, num_cpus: int, scheduling_strategy: Any, **others: Any) -> Any:
            node = scheduling_strategy.node_id
            assert num_cpus == int(self.cpus[node]) and not scheduling_strategy.soft

            def made(job: Any, plugins: str) -> Any:
                self.made.append(node)
                return SimpleNamespace(
                    node=node,
                    open=SimpleNamespace(remote=lambda: (next(self._asked), node, ())),
                    work=SimpleNamespace(remote=lambda ids, budget: (next(self._asked), node, ids)),
                )

            return SimpleNamespace(remote=made)

        assert worker is ray_cluster.Worker
        return SimpleNamespace(options=options)

    def wait(self, references: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        """Who was asked first has answered."""
        ordered = sorted(references)
        return ordered[:num_returns], ordered[num_returns:]

    def get(self, reference: tuple[int, str, tuple[str, ...]]) -> Any:
        _, node, ids = reference
        if ids:
            self.given.append((node, ids))
        else:
            self.opened[node] += 1
        answer = self.answer(node, ids)
        if isinstance(answer, Exception):
            raise answer
        return answer or (Outcome(len(ids)) if ids else node)

    def kill(self, handle: Any) -> None:
        self.killed.append(handle.node)

    def run(self, size: int | None = 4, allowed: int = 3) -> Tally:
        """Of all ids, in shards of `size`, of which `allowed` may fail."""
        store: Any = SimpleNamespace(
            holds=lambda ids: ids in self.kept, write=lambda records, maker, ran: self.written.extend(records)
        )
        tally = Tally(len(IDS), allowed)
        nothing: Any = None
        ray_cluster.run_on_ray(nothing, store, Shards(IDS, size), tally, nothing, "")
        return tally

    def times(self) -> Counter[str]:
        """How often each id was given to an actor."""
        return Counter(each for _, ids in self.given for each in ids)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Cluster]:
    monkeypatch.setattr(ray_cluster, "BACK_OFF_S", 0.0)
    monkeypatch.setattr(ray_cluster, "NODES_S", 0.0)
    monkeypatch.setattr(ray_cluster, "LOOK_S", 0.0)
    monkeypatch.setattr(shipped, "plugins", lambda: "")

    def made(*cpus: float) -> Cluster:
        found = Cluster(*cpus)
        strategies = ModuleType("ray.util.scheduling_strategies")
        strategies.NodeAffinitySchedulingStrategy = SimpleNamespace  # type: ignore[attr-defined]
        found.__spec__ = ModuleSpec("ray", None)  # type: ignore[attr-defined]
        for name, module in (("ray", found), ("ray.util", ModuleType("ray.util")), (strategies.__name__, strategies)):
            monkeypatch.setitem(sys.modules, name, module)
        return found

    return made


def test_each_machine_with_a_cpu_opens_the_model_once_and_all_shards_are_computed_once(cluster: Any) -> None:
    ray = cluster(2, 0.5, 1, 8)
    ray.gone = {"n3"}
    tally = ray.run()
    assert (tally.done, tally.failed) == (20, {})
    assert set(ray.times().values()) == {1} and len(ray.times()) == 20
    assert ray.opened == {"n0": 1, "n2": 1} and ray.made == ray.killed == ["n0", "n2"]


@pytest.mark.parametrize(("deaths", "ends"), [(1, True), (10, True), (11, False)])
def test_an_actor_may_die_ten_times_before_it_has_opened_the_model(cluster: Any, deaths: int, ends: bool) -> None:
    ray = cluster(1)
    ray.answer = lambda node, ids: ActorDiedError("out of memory") if not ids and ray.opened[node] <= deaths else None
    if ends:
        assert ray.run().done == 20 and ray.opened["n0"] == deaths + 1
    else:
        with pytest.raises(WorkerError, match="died on a machine of the cluster, ten times"):
            ray.run()
        assert ray.opened["n0"] == 11 and not ray.given
    assert ray.killed == ["n0"]


@pytest.mark.parametrize("error", [ActorUnavailableError("starting"), ActorUnschedulableError("no room yet")])
def test_an_actor_that_is_not_there_yet_is_waited_for(cluster: Any, error: Exception) -> None:
    ray = cluster(1)
    ray.answer = lambda node, ids: error if not ids and ray.opened[node] <= 30 else None
    assert ray.run().done == 20 and ray.opened["n0"] == 31


def test_deaths_while_opening_count_from_the_last_time_it_was_opened(cluster: Any) -> None:
    ray = cluster(1)

    def answer(node: str, ids: tuple[str, ...]) -> Exception | None:
        if ids:  # the first two shards die once
            return ActorDiedError("") if len(ray.given) in (1, 3) else None
        return None if ray.opened[node] in (8, 16) or ray.opened[node] > 17 else ActorDiedError("")

    ray.answer = answer
    assert ray.run().done == 20 and ray.opened["n0"] == 18


@pytest.mark.parametrize("error", [ActorDiedError("killed"), ActorUnavailableError("restarts")])
def test_the_image_that_actors_die_of_fails_alone(cluster: Any, error: Exception) -> None:
    ray = cluster(1, 1)
    ray.answer = lambda node, ids: error if "06" in ids else None
    tally = ray.run()
    assert tally.done == 19 and list(tally.failed) == ["06"] == [record.id for record in ray.written]
    assert tally.failed["06"].code == "WorkerError" and tally.failed["06"].text.startswith("06: ")
    # Two deaths of four, one of two, two alone; those beside it are computed when it is no longer with them.
    assert ray.times() == {**dict.fromkeys(IDS, 1), "04": 3, "05": 3, "07": 4, "06": 5}


@pytest.mark.parametrize("error", [ActorDiedError("machine lost"), ActorUnschedulableError("machine lost")])
def test_no_image_is_to_blame_for_a_machine_that_goes_away(cluster: Any, error: Exception) -> None:
    ray = cluster(1, 1)

    def answer(node: str, ids: tuple[str, ...]) -> Exception | None:
        if node == "n1" and ids:
            ray.gone = {"n1"}
            return error
        return None

    ray.answer = answer
    tally = ray.run()
    assert (tally.done, tally.failed) == (20, {})
    assert sorted(ray.times().values()) == [1] * 16 + [2] * 4


@pytest.mark.parametrize("gone", [False, True])
def test_what_was_recorded_before_its_actor_died_is_not_computed_again(cluster: Any, gone: bool) -> None:
    ray = cluster(1, 1)

    def answer(node: str, ids: tuple[str, ...]) -> Exception | None:
        if ids and not ray.kept:
            ray.kept = {ids}
            ray.gone = {node} if gone else set()
            return ActorDiedError("")
        return None

    ray.answer = answer
    assert ray.run().done == 20 and set(ray.times().values()) == {1}


def test_a_machine_that_comes_later_helps(cluster: Any) -> None:
    ray = cluster(1, 4)
    ray.gone = {"n1"}

    def answer(node: str, ids: tuple[str, ...]) -> None:
        if len(ray.given) == 2:
            ray.gone = set()

    ray.answer = answer
    assert ray.run().done == 20 and {node for node, _ in ray.given} == {"n0", "n1"}


def test_errors_of_the_work_itself_end_the_run(cluster: Any) -> None:
    ray = cluster(1)
    wrong = BadImageError("a.jpg: cut short")
    ray.answer = lambda node, ids: RayTaskError(wrong) if ids else None
    with pytest.raises(BadImageError) as raised:
        ray.run()
    assert raised.value is wrong and ray.killed == ["n0"]
    other = RayTaskError(ValueError("no densecast's"))
    ray.answer = lambda node, ids: other if ids else None
    with pytest.raises(RayTaskError) as told:
        ray.run()
    assert told.value is other


@pytest.mark.parametrize(("allowed", "shards"), [(0, 1), (1, 2), (4, 5), (5, 5)])
def test_a_run_ends_when_more_images_have_failed_than_may(cluster: Any, allowed: int, shards: int) -> None:
    ray = cluster(1)
    ray.answer = lambda node, ids: Outcome(3, {ids[0]: Failure("BadImageError", "cut")}) if ids else None
    tally = ray.run(allowed=allowed)
    assert len(ray.given) == len(tally.failed) == shards and tally.done == 3 * shards


def test_a_cluster_without_a_machine_is_waited_for_and_given_up(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "ALONE_S", 0.02)
    with pytest.raises(WorkerError, match=r"no machine with a CPU for 0 s\. Run it again") as raised:
        cluster(0.5, 0).run()
    assert raised.value.field == "on"
