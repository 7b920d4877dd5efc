"""Computes shards on a Ray cluster: one actor a machine, paths only through the engine, machines come and go.

Ray's own retries are not used: it repeats an image that crashes its process for ever, or gives the whole run up. A
shard whose actor dies is put back here, and halved until the image to blame is alone; an actor that died is left alone
until it answers again.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import socket
import time
from dataclasses import dataclass, field
from typing import Any

from densecast.errors import DensecastError, MissingExtraError, UsageError, WorkerError
from densecast.io import shipped
from densecast.measure.distribute import local
from densecast.measure.distribute.job import Bench, Job, Outcome, work_on
from densecast.measure.distribute.local import Tally
from densecast.measure.distribute.shards import Shard, Shards
from densecast.measure.store.record import Maker
from densecast.measure.store.store import Store

_log = logging.getLogger(__name__)

LOOK_S = 0.2
NODES_S = 3.0
# No machine for so long, and the run ends; what is recorded stays.
ALONE_S = 120.0
BACK_OFF_S = 0.5
_ANSWER_S = 10.0
_ADDRESS = re.compile(r"(?:ray://)?(\[[^\]]+\]|[^:/\[\]]+):(\d{1,5})/?")


class Worker:
    """What runs in an actor: the model, opened once, with the threads that its machine has given it."""

    def __init__(self, job: Job, plugins: str) -> None:
        shipped.allow(plugins)
        self._job = job
        self._opened: Any = None
        self._bench: Bench | None = None
        self._store: Store | None = None

    def open(self) -> str:
        """Open the model and the data; answers with the node's name.

        Raises:
            DensecastError: they cannot be opened here.
        """
        import platform

        import ray

        if self._bench is None:
            cpus = ray.get_runtime_context().get_assigned_resources().get("CPU", 0)
            self._opened = self._job.open(max(1, int(cpus)) if cpus else None)
            self._bench = self._opened.__enter__()
            self._store = Store.at(self._job.store)
        return platform.node()

    def work(self, ids: tuple[str, ...], budget: int) -> Outcome:
        """Compute a shard and record it."""
        self.open()
        assert self._bench is not None and self._store is not None
        return work_on(self._bench, self._store, ids, budget)


@dataclass
class _Actor:
    """An actor, its machine, and what it is busy with."""

    node: str
    handle: Any
    shard: Shard | None = None
    pending: Any = None
    began: float = 0.0
    is_ready: bool = False
    again_at: float = 0.0
    opened: int = field(default=0)


def require() -> None:
    """Check that Ray is there.

    Raises:
        MissingExtraError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError.of("ray", "--on ray")


def run_on_ray(job: Job, store: Store, shards: Shards, tally: Tally, blame: Maker, address: str) -> None:
    """Compute all shards on the cluster at `address`; "" is one that Ray finds, else this machine alone, as
    `local` is.

    Raises:
        WorkerError: no machine answers.
        DensecastError: what is not about one image, as a model that cannot be opened.
    """
    require()
    import ray

    is_ours = not ray.is_initialized()
    if is_ours:
        _connect(ray, address)
    try:
        _Driver(ray, job, store, shards, tally, blame).run()
    finally:
        if is_ours:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    import os

    named = address or os.environ.get("RAY_ADDRESS", "")
    if named not in ("", "local", "auto"):
        _require_answer(named)
    options: dict[str, Any] = {"address": named} if named else {}
    if named in ("", "local"):  # one that Ray starts here, if it finds none
        options["include_dashboard"] = False
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise WorkerError(
            f"no Ray cluster answers at {named or 'this machine'} ({(str(error).splitlines() or [''])[0]}).", field="on"
        ) from None


def _require_answer(address: str) -> None:
    """Check that something listens at an address, on which Ray itself would wait for minutes.

    Raises:
        UsageError: it is none.
        WorkerError: nothing answers.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise UsageError(f"a cluster's address is HOST:PORT, as 10.0.0.1:6379, got {address!r}.", field="on")
    try:
        socket.create_connection((parts[1].strip("[]"), int(parts[2])), timeout=_ANSWER_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WorkerError(
            f"no Ray cluster answers at {address} ({reason}). Start one there with `ray start --head`.", field="on"
        ) from None


class _Driver:
    """The loop of one run: gives shards to actors, and looks what came of them."""

    def __init__(self, ray: Any, job: Job, store: Store, shards: Shards, tally: Tally, blame: Maker) -> None:
        self._ray, self._job, self._store, self._shards = ray, job, store, shards
        self._tally, self._blame = tally, blame
        self._actors: list[_Actor] = []
        self._looked = 0.0
        self._last_life = time.monotonic()

    def run(self) -> None:
        """Until no shard is left, or too many images failed."""
        try:
            while not self._tally.is_over and (self._shards.left or any(each.shard for each in self._actors)):
                self._find_machines()
                self._give()
                self._look()
        finally:
            for actor in self._actors:
                self._ray.kill(actor.handle)

    def _find_machines(self) -> None:
        """An actor for every machine that has none; those of machines that went away are dropped."""
        now = time.monotonic()
        if now - self._looked < NODES_S and self._actors:
            return
        self._looked = now
        alive = {node["NodeID"]: node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]}
        for actor in [each for each in self._actors if each.node not in alive]:
            self._actors.remove(actor)
            if actor.shard is not None:
                _log.warning("a machine went away; its images are computed elsewhere")
                self._put_back(actor.shard)
        have = {actor.node for actor in self._actors}
        for node, cpus in sorted(alive.items()):
            if node not in have and cpus >= 1:
                self._actors.append(_Actor(node, self._made(node, cpus)))
        self._shards.workers = max(1, len(self._actors))
        if self._actors:
            self._last_life = now
        elif now - self._last_life > ALONE_S:
            raise WorkerError(
                f"the cluster has had no machine with a CPU for {ALONE_S:.0f} s. Run it again.", field="on"
            )

    def _made(self, node: str, cpus: float) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        place = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
        made = self._ray.remote(Worker).options(
            num_cpus=int(cpus), max_restarts=-1, max_task_retries=0, scheduling_strategy=place
        )
        return made.remote(self._job, shipped.plugins())

    def _give(self) -> None:
        now = time.monotonic()
        for actor in self._actors:
            if actor.pending is not None or now < actor.again_at:
                continue
            if not actor.is_ready:
                actor.pending, actor.began = actor.handle.open.remote(), now
            elif (shard := self._shards.take()) is not None:
                actor.shard, actor.began = shard, now
                actor.pending = actor.handle.work.remote(shard.ids, self._tally.budget)

    def _look(self) -> None:
        busy = {actor.pending: actor for actor in self._actors if actor.pending is not None}
        if not busy:
            time.sleep(LOOK_S)
            return
        done, _ = self._ray.wait(list(busy), num_returns=1, timeout=LOOK_S)
        for reference in done:
            self._ended(busy[reference], reference)

    def _ended(self, actor: _Actor, reference: Any) -> None:
        """An actor has answered, or is gone."""
        shard, actor.shard, actor.pending = actor.shard, None, None
        errors = self._ray.exceptions
        try:
            answer = self._ray.get(reference)
        except errors.RayTaskError as error:
            cause = error.cause
            raise cause if isinstance(cause, DensecastError) else error from None
        except errors.ActorUnschedulableError as error:
            self._set_aside(actor, shard, error, died=False)
        except errors.RayActorError as error:
            # An actor that Ray starts again is "unavailable": of a shard, that is a death; of `open`, it only waits.
            waits = shard is None and isinstance(error, errors.ActorUnavailableError)
            self._set_aside(actor, shard, error, died=not waits and self._is_alive(actor.node))
        else:
            if shard is None:
                actor.is_ready, actor.opened = True, 0
            else:
                self._tally.add(answer)
                self._shards.timed(shard, time.monotonic() - actor.began)

    def _set_aside(self, actor: _Actor, shard: Shard | None, error: Exception, *, died: bool) -> None:
        """Leave an actor alone until it answers again; its shard goes back."""
        _log.info("an actor is gone: %s", (str(error).splitlines() or [type(error).__name__])[0])
        actor.is_ready, actor.again_at = False, time.monotonic() + BACK_OFF_S
        self._looked = 0.0
        if shard is None:
            actor.opened += 1
            if actor.opened > 10 and died:
                raise WorkerError("the process that opens the model died on a machine of the cluster, ten times.")
        elif died:
            local.died(self._store, self._shards, shard, self._tally, self._blame)
        else:
            self._put_back(shard)

    def _put_back(self, shard: Shard) -> None:
        """Have a shard computed elsewhere, unless it was recorded before its machine went away."""
        if self._store.holds(shard.ids):
            self._tally.add(Outcome(len(shard.ids)))
        else:
            self._shards.put_back(shard)

    def _is_alive(self, node: str) -> bool:
        return any(each["NodeID"] == node and each["Alive"] for each in self._ray.nodes())
